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
use crate::harness::twilio::TwilioReply;
use crate::harness::{Harness, LONG, RECIPIENT, SENDER, form, sid};

/// A service whose store has records in most states.
///
/// 1 reported, 2 and 3 refused (21609, 20404), 4 to 6 pending, 7 seen only in a callback; evidence
/// for two references without a message.
fn filled() -> Harness {
    let harness = Harness::new(&[]);
    for number in 1..=6 {
        let to = if number == 6 { "+4915112345678" } else { RECIPIENT };
        register(&harness, number, to, &format!("login-{}", number / 5));
    }
    harness.confirm(1);
    harness.reaches(1, "reported");
    for (number, code) in [(2, 21609), (3, 20404)] {
        refuse(&harness, number, code);
    }
    harness.twilio.reply_with(TwilioReply::Status(200));
    assert_eq!(harness.send(&crate::harness::status_callback(7, "sent")).status, 204);
    for reference in ["login-77", "login-78"] {
        let named = form("/app/events", &[("Reference", reference), ("Type", "password_used")]);
        assert_eq!(harness.send(&named).status, 202);
    }
    harness
}

fn register(harness: &Harness, number: u32, to: &str, reference: &str) {
    let sid = sid(number);
    let fields =
        [("MessageSid", sid.as_str()), ("To", to), ("From", SENDER), ("Reference", reference)];
    assert_eq!(harness.send(&form("/app/messages", &fields)).status, 201);
}

/// Confirms a message, which Twilio then refuses.
fn refuse(harness: &Harness, number: u32, code: u32) {
    harness.twilio.reply_with(TwilioReply::Refuse(code));
    harness.confirm(number);
    harness.reaches(number, "refused");
}

fn stop(harness: &mut Harness) {
    harness.service.signal(Signal::TERM);
    assert!(harness.service.ends_within(LONG).success());
}

/// The exit code and stdout of a command on the harness's store.
fn output_of(harness: &Harness, words: &[&str]) -> (Option<i32>, String) {
    let (code, stdout, _) = run(words, &harness.store());
    (code, stdout)
}

/// The JSON lines of a command that succeeds.
fn lines(harness: &Harness, words: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = run(words, &harness.store());
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
