//! Twilio's own helper libraries send through Heardback, with another base URL and no other change.

use std::path::Path;
use std::process::Command;

use heardback::config::process_env;
use serde_json::{Value, json};

use crate::harness::{ACCOUNT, RECIPIENT, SENDER, TOKEN};
use crate::send::Desk;
use crate::send::api::Reply;
use crate::skip::skipped_unless_ci;

/// Runs a script that sends one message, and returns its output.
fn run(program: &str, script: &str, arguments: &[&str]) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/send").join(script);
    let Ok(output) = Command::new(program).arg(script).args(arguments).output() else {
        skipped_unless_ci(&format!("there is no `{program}`"));
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("No module named") || errors.contains("Cannot find module") {
        skipped_unless_ci(&format!("`{program}` has no package `twilio`"));
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// Sends by the library: once well, once with a wrong token, and once without an answer of Twilio's.
fn sends(program: &str, script: &str, agent: &str) {
    let desk = Desk::new(&[]);
    let base = format!("http://{}", desk.harness.service.public);
    let run_as = |token: &str| {
        run(program, script, &[&base, ACCOUNT, token, RECIPIENT, SENDER, "Your code is 471108 ✓"])
    };
    let Some(sent) = run_as(TOKEN) else { return };
    let first = crate::harness::sid(1);
    assert_eq!(sent, json!({ "sid": first, "status": "queued", "body": "Your code is 471108 ✓" }));
    assert_eq!(desk.harness.state(1).as_deref(), Some("pending"));
    let request = &desk.api.requests()[0];
    assert!(request.header("User-Agent").expect("one").starts_with(agent), "{}", request.head);
    for part in
        ["To=%2B15551234567", "From=%2B15017122661", "&ProvideFeedback=true&StatusCallback="]
    {
        assert!(request.body.contains(part), "{}", request.body);
    }
    let wrong = run_as("f00dbabe98765432100123456789caff").expect("run before");
    assert_eq!(wrong["status"], 401, "{wrong}");
    assert_eq!(wrong["code"], 20003, "{wrong}");
    assert_eq!(desk.api.requests().len(), 1);
    desk.api.reply_with(Reply::Close);
    let lost = run_as(TOKEN).expect("run before");
    assert_eq!((&lost["status"], &lost["code"]), (&json!(502), &json!(20502)), "{lost}");
    assert!(lost["message"].as_str().expect("a text").contains("may have been sent"), "{lost}");
    assert_eq!(desk.api.requests().len(), 2, "the library sends it once, too");
    assert_eq!(desk.harness.confirm(1).status, 200);
    desk.harness.reaches(1, "reported");
}

#[test]
fn twilios_python_library_sends_through() {
    let python = process_env("HEARDBACK_PYTHON").unwrap_or("python3".to_owned());
    sends(&python, "send.py", "twilio-python/");
}

#[test]
fn twilios_node_library_sends_through() {
    sends("node", "send.cjs", "twilio-node/");
}
