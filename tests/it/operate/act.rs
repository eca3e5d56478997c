//! `hold`, `resume` and `requeue`.

use serde_json::json;

use crate::backup::binary::{about, run};
use crate::harness::running::{Running, command};
use crate::harness::twilio::TwilioReply;
use crate::harness::{ACCOUNT, OTHER_ACCOUNT, RECIPIENT, sid};
use crate::operate::{filled, lines, output_of, refuse, register, stop};

#[test]
fn an_account_on_hold_reports_nothing_until_it_is_resumed_even_after_a_restart() {
    let mut harness = filled();
    let (code, text) = output_of(&harness, &["hold", ACCOUNT]);
    assert_eq!(
        (code, text.contains("is on hold: none of its messages are reported")),
        (Some(0), true),
        "{text}"
    );
    let posts = harness.twilio.posts().len();
    harness.confirm(4);
    assert_eq!(harness.state(4).as_deref(), Some("confirmed"));
    let (_, text) = output_of(&harness, &["hold", ACCOUNT]);
    assert!(text.contains("on hold already, since 20"), "{text}");
    let (_, text) = output_of(&harness, &["stats"]);
    assert!(text.starts_with(&format!("{ACCOUNT} has been on hold for ")), "{text}");

    stop(&mut harness);
    assert_eq!(harness.twilio.posts().len(), posts, "nothing was reported");
    let again = lines(&harness, &["hold", "--json", ACCOUNT]).remove(0);
    // The output of the command has the change. stderr has no log line.
    for turn in ["resume", "hold"] {
        let (code, _, stderr) = run(&[turn, ACCOUNT], &harness.store());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{turn}");
    }
    assert_eq!((&again["changed"], &again["has_messages"]), (&json!(false), &json!(true)));
    let mut command = about(&["resume"], &harness.store());
    let output = command.env("TWILIO_ACCOUNT_SID", ACCOUNT).output().expect("it ran");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("is resumed; it was on hold since 20"), "{text}");
    let (code, text) = output_of(&harness, &["resume", ACCOUNT]);
    assert_eq!((code, text.contains("was not on hold")), (Some(0), true), "{text}");
    let (_, _, stderr) = run(&["resume", OTHER_ACCOUNT], &harness.store());
    assert!(stderr.contains("has no message of that account"), "{stderr}");
}

#[test]
fn a_running_service_reports_the_messages_of_a_resumed_account_without_a_restart() {
    let harness = filled();
    assert_eq!(output_of(&harness, &["hold", ACCOUNT]).0, Some(0));
    harness.confirm(4);
    assert_eq!(output_of(&harness, &["resume", ACCOUNT]).0, Some(0));
    harness.reaches(4, "reported");
    let logs = harness.service.logs();
    assert!(logs.contains("is on hold") && logs.contains("is no longer on hold"), "{logs}");
}

#[test]
fn a_refused_message_is_requeued_and_other_messages_are_listed_with_a_reason() {
    let harness = filled();
    let words = ["requeue", &sid(2), &sid(4), &sid(99)];
    let (code, text) = output_of(&harness, &words);
    assert_eq!(code, Some(1));
    let expected = [
        format!("{} requeued", sid(2)),
        format!("{} not requeued: it is pending; only a refused message can be requeued", sid(4)),
        format!("{} not requeued: it is unknown; only a refused message can be requeued", sid(99)),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    harness.reaches(2, "reported");
    let again = lines(&harness, &["requeue", "--json", "--all"]);
    assert_eq!(again, [json!({ "message_sid": sid(3), "requeued": true, "reason": null })]);
    harness.reaches(3, "reported");
    assert!(lines(&harness, &["requeue", "--json", "--all"]).is_empty());
}

#[test]
fn all_messages_of_one_code_are_requeued_on_a_stopped_store_and_posted_when_it_serves() {
    let mut harness = filled();
    for number in 11..=13 {
        register(&harness, number, RECIPIENT, "login-of-many");
        refuse(&harness, number, 20429);
    }
    stop(&mut harness);
    let (code, text, stderr) = run(&["requeue", "--all", "--code", "20429"], &harness.store());
    assert_eq!((code, text.lines().count()), (Some(0), 3), "{text}{stderr}");
    assert!(stderr.contains("requeued 3"), "{stderr}");
    let left = lines(&harness, &["list", "--json", "--state", "refused"]);
    assert_eq!(left.len(), 2);
    harness.twilio.reply_with(TwilioReply::Status(200));
    harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
    for number in 11..=13 {
        harness.reaches(number, "reported");
    }
}
