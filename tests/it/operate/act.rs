//! `pause`, `resume` and `requeue`.

use serde_json::json;

use crate::backup::binary::{about, run};
use crate::harness::running::{Running, command};
use crate::harness::twilio::Manner;
use crate::harness::{ACCOUNT, OTHER_ACCOUNT, RECIPIENT, sid};
use crate::operate::{filled, lines, refuse, register, stop, told};

#[test]
fn an_account_on_hold_reports_nothing_until_it_is_resumed_though_the_service_was_stopped() {
    let mut scene = filled();
    let (code, text) = told(&scene, &["pause", ACCOUNT]);
    assert_eq!(
        (code, text.contains("is on hold: none of its messages are reported")),
        (Some(0), true),
        "{text}"
    );
    let posts = scene.twilio.posts().len();
    scene.confirm(4);
    assert_eq!(scene.state(4).as_deref(), Some("confirmed"));
    let (_, text) = told(&scene, &["pause", ACCOUNT]);
    assert!(text.contains("on hold already, since 20"), "{text}");
    let (_, text) = told(&scene, &["stats"]);
    assert!(text.starts_with(&format!("{ACCOUNT} has been on hold for ")), "{text}");

    stop(&mut scene);
    assert_eq!(scene.twilio.posts().len(), posts, "nothing was reported");
    let again = lines(&scene, &["pause", "--json", ACCOUNT]).remove(0);
    // What was done is the command's answer, and no line of a log beside it.
    for turn in ["resume", "pause"] {
        let (code, _, talk) = run(&[turn, ACCOUNT], &scene.store());
        assert_eq!((code, talk.as_str()), (Some(0), ""), "{turn}");
    }
    assert_eq!((&again["changed"], &again["has_messages"]), (&json!(false), &json!(true)));
    let mut command = about(&["resume"], &scene.store());
    let output = command.env("TWILIO_ACCOUNT_SID", ACCOUNT).output().expect("it ran");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("is resumed; it was on hold since 20"), "{text}");
    let (code, text) = told(&scene, &["resume", ACCOUNT]);
    assert_eq!((code, text.contains("was not on hold")), (Some(0), true), "{text}");
    let (_, _, talk) = run(&["resume", OTHER_ACCOUNT], &scene.store());
    assert!(talk.contains("has no message of that account"), "{talk}");
}

#[test]
fn a_running_service_goes_on_at_once_with_what_waited() {
    let scene = filled();
    assert_eq!(told(&scene, &["pause", ACCOUNT]).0, Some(0));
    scene.confirm(4);
    assert_eq!(told(&scene, &["resume", ACCOUNT]).0, Some(0));
    scene.reaches(4, "reported");
    let logs = scene.service.logs();
    assert!(logs.contains("is on hold") && logs.contains("is no longer on hold"), "{logs}");
}

#[test]
fn what_was_refused_is_reported_again_and_what_was_not_is_said() {
    let scene = filled();
    let words = ["requeue", &sid(2), &sid(4), &sid(99)];
    let (code, text) = told(&scene, &words);
    assert_eq!(code, Some(1));
    let expected = [
        format!("{} requeued", sid(2)),
        format!("{} not requeued: it is pending, and only a refused one can be", sid(4)),
        format!("{} not requeued: it is not known, and only a refused one can be", sid(99)),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    scene.reaches(2, "reported");
    let again = lines(&scene, &["requeue", "--json", "--all"]);
    assert_eq!(again, [json!({ "message_sid": sid(3), "requeued": true, "reason": null })]);
    scene.reaches(3, "reported");
    assert!(lines(&scene, &["requeue", "--json", "--all"]).is_empty());
}

#[test]
fn all_of_one_code_are_requeued_on_a_stopped_store_and_go_out_when_it_serves() {
    let mut scene = filled();
    for number in 11..=13 {
        register(&scene, number, RECIPIENT, "login-of-many");
        refuse(&scene, number, 20429);
    }
    stop(&mut scene);
    let (code, text, talk) = run(&["requeue", "--all", "--code", "20429"], &scene.store());
    assert_eq!((code, text.lines().count()), (Some(0), 3), "{text}{talk}");
    assert!(talk.contains("requeued 3"), "{talk}");
    let left = lines(&scene, &["list", "--json", "--state", "refused"]);
    assert_eq!(left.len(), 2);
    scene.twilio.behave(Manner::Status(200));
    scene.service = Running::start(command(&scene.store(), &scene.twilio, &[]));
    for number in 11..=13 {
        scene.reaches(number, "reported");
    }
}
