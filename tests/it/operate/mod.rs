//! The operator's commands, with a running service and on a stopped store. Both give the same output.

mod act;
mod doubt;
mod look;
mod past;
mod pipes;
mod posting;

use serde_json::Value;

use clap::Parser;
use heardback::cli::{Cli, Command, Tool};
use heardback::domain::message::State;
use rustix::process::Signal;

use crate::backup::binary::run;
use crate::harness::twilio::Manner;
use crate::harness::{LONG, RECIPIENT, SENDER, Scene, form, sid};

/// A service whose store has records in most states.
///
/// 1 reported, 2 and 3 refused (21609, 20404), 4 to 6 pending, 7 seen only in a callback; evidence
/// for two references without a message.
fn filled() -> Scene {
    let scene = Scene::new(&[]);
    for number in 1..=6 {
        let to = if number == 6 { "+4915112345678" } else { RECIPIENT };
        register(&scene, number, to, &format!("login-{}", number / 5));
    }
    scene.confirm(1);
    scene.reaches(1, "reported");
    for (number, code) in [(2, 21609), (3, 20404)] {
        refuse(&scene, number, code);
    }
    scene.twilio.behave(Manner::Status(200));
    assert_eq!(scene.send(&crate::harness::status_callback(7, "sent")).status, 204);
    for reference in ["login-77", "login-78"] {
        let named = form("/app/events", &[("Reference", reference), ("Type", "password_used")]);
        assert_eq!(scene.send(&named).status, 202);
    }
    scene
}

fn register(scene: &Scene, number: u32, to: &str, reference: &str) {
    let sid = sid(number);
    let fields =
        [("MessageSid", sid.as_str()), ("To", to), ("From", SENDER), ("Reference", reference)];
    assert_eq!(scene.send(&form("/app/messages", &fields)).status, 201);
}

/// Confirms a message, which Twilio then refuses.
fn refuse(scene: &Scene, number: u32, code: u32) {
    scene.twilio.behave(Manner::Refuse(code));
    scene.confirm(number);
    scene.reaches(number, "refused");
}

fn stop(scene: &mut Scene) {
    scene.service.signal(Signal::TERM);
    assert!(scene.service.ends_within(LONG).success());
}

/// The exit code and stdout of a command on the scene's store.
fn output_of(scene: &Scene, words: &[&str]) -> (Option<i32>, String) {
    let (code, stdout, _) = run(words, &scene.store());
    (code, stdout)
}

/// The JSON lines of a command that succeeds.
fn lines(scene: &Scene, words: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = run(words, &scene.store());
    assert_eq!(code, Some(0), "{words:?} {stdout}{stderr}");
    stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn the_states_on_the_command_line_are_all_states() {
    for state in State::ALL {
        let line = ["heardback", "list", "--state", state.as_str()];
        let command = Cli::try_parse_from(line).expect("a state").command;
        let Command::Tool(Tool::List(args)) = command else { panic!("{line:?}") };
        assert_eq!(args.state, Some(state));
    }
}
