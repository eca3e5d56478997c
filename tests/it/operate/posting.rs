//! Posts of confirmed messages in the commands and on the page: the next post, attempts, ages and requeues.

use jiff::Timestamp;
use serde_json::Value;

use crate::backup::binary::run;
use crate::harness::twilio::TwilioReply;
use crate::harness::{ACCOUNT, Harness, LONG, RECIPIENT, eventually, form, sid, status_callback};
use crate::operate::{filled, lines, output_of, register, stop};

/// A page of the operator's listener, requested from this machine.
fn page(harness: &Harness, path: &str) -> String {
    let answer = crate::page::get(harness.service.ops, path, &[]);
    assert_eq!(answer.status, 200, "{path}");
    answer.text()
}

fn posts_of(harness: &Harness, number: u32) -> usize {
    harness.twilio.posts().iter().filter(|post| post.contains(&sid(number))).count()
}

#[test]
fn exactly_the_messages_reported_since_a_time_are_posted_again() {
    let harness = filled();
    let before = posts_of(&harness, 1);
    let (code, stdout, stderr) = run(&["requeue", "--reported-since", "1h"], &harness.store());
    assert_eq!((code, stdout.as_str()), (Some(0), &*format!("{} requeued\n", sid(1))), "{stderr}");
    assert!(stderr.contains("requeued 1"), "{stderr}");
    eventually("it is posted again", LONG, || posts_of(&harness, 1) == before + 1);
    harness.reaches(1, "reported");
    harness.service.says(&format!("{} requeued by the operator", sid(1)));
    let at = harness.message(1).expect("known")["reported_at"].as_str().map(str::to_owned);
    let at: Timestamp = at.expect("reported").parse().expect("a time");
    let later = (at + std::time::Duration::from_millis(1)).to_string();
    assert!(lines(&harness, &["requeue", "--json", "--reported-since", &later]).is_empty());
    let exactly = lines(&harness, &["requeue", "--json", "--reported-since", &at.to_string()]);
    assert_eq!((exactly.len(), &exactly[0]["requeued"]), (1, &Value::Bool(true)));
}

#[test]
fn reported_messages_of_a_stopped_store_are_requeued_and_show_prints_it() {
    let mut harness = filled();
    stop(&mut harness);
    let (code, _, stderr) = run(&["requeue", "--reported-since", "2d"], &harness.store());
    assert_eq!((code, stderr.contains("requeued 1")), (Some(0), true), "{stderr}");
    let life = output_of(&harness, &["show", &sid(1)]).1;
    assert!(life.starts_with(&format!("{}  confirmed\n", sid(1))), "{life}");
    assert!(life.contains("  next          when the service runs\n"), "{life}");
    let report = life.lines().find(|line| line.contains("reported, HTTP 200"));
    let again = life.lines().find(|line| line.contains("requeued by the operator"));
    assert!(report.is_some() && again.is_some(), "{life}");
    let shown = &lines(&harness, &["show", "--json", &sid(1)])[0];
    assert_eq!((&shown["reported_at"], &shown["attempts"]), (&Value::Null, &Value::from(0)));
}

#[test]
fn an_invalid_or_future_time_is_wrong_usage() {
    let harness = Harness::new(&[]);
    for words in [
        &["--reported-since", "yesterday"][..],
        &["--reported-since", "2999-01-01T00:00:00Z"],
        &["--reported-since", "2026-11-23"],
        &["--reported-since", ""],
        &["--reported-since", "1h", "--all"],
        &["--reported-since", "1h", &sid(1)],
    ] {
        let (code, stdout, stderr) = run(&[&["requeue"], words].concat(), &harness.store());
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{words:?} {stderr}");
    }
}

#[test]
fn a_dry_run_shows_posts_as_due_after_the_dry_run() {
    let mut harness = Harness::new(&[("HEARDBACK_DRY_RUN", "true")]);
    register(&harness, 1, RECIPIENT, "login-1");
    harness.confirm(1);
    harness.service.says("they are posted once HEARDBACK_DRY_RUN is switched off");
    assert!(!harness.service.logs().contains("never"), "{}", harness.service.logs());
    let next = |words: &[&str]| output_of(&harness, words).1;
    for words in [&["list"][..], &["show", &sid(1)]] {
        let stdout = next(words);
        assert!(stdout.contains("after the dry run") && !stdout.contains("  now"), "{stdout}");
    }
    let stats = next(&["stats"]);
    assert!(stats.starts_with("dry run: nothing is posted; "), "{stats}");
    assert_eq!(lines_of(&next(&["stats", "--json"]))["dry_run"], true);
    for path in ["/", &format!("/messages/{}", sid(1))] {
        // A snapshot may be a second old.
        let is_told = || page(&harness, path).contains("after the dry run");
        eventually(&format!("{path} shows it"), LONG, is_told);
    }
    stop(&mut harness);
    let stopped = output_of(&harness, &["list"]).1;
    assert!(stopped.contains("when the service runs") && !stopped.contains("  now"), "{stopped}");
}

fn lines_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_rejected_post_is_counted_on_every_page_that_shows_its_response() {
    let harness = Harness::new(&[]);
    register(&harness, 1, RECIPIENT, "login-1");
    harness.twilio.reply_with(TwilioReply::Status(401));
    harness.confirm(1);
    harness.service.says("returned to the queue: reporting for the account is paused or throttled");
    eventually("the attempt is stored", LONG, || {
        harness.message(1).is_some_and(|message| message["attempts"] == 1)
    });
    assert_eq!(lines(&harness, &["list", "--json"])[0]["attempts"], 1);
    let list = output_of(&harness, &["list"]).1;
    let heads = list.lines().next().expect("heads");
    let at = heads.find("tries").expect("a column");
    let row = list.lines().find(|line| line.starts_with(&sid(1))).expect("its row");
    assert!(row[at..].starts_with("1 "), "{list}");
    assert!(row.contains("when its lane opens") && row.contains("HTTP 401"), "{list}");
    let is_told = || page(&harness, "/").contains("data-label=\"Attempts\">1</td>");
    eventually("the page counts it", LONG, is_told);
}

#[test]
fn the_oldest_record_of_each_state_has_its_own_age() {
    let harness = Harness::new(&[]);
    let before = now().as_second();
    register(&harness, 1, RECIPIENT, "login-1");
    harness.twilio.reply_with(TwilioReply::Status(503));
    register(&harness, 2, RECIPIENT, "login-2");
    harness.confirm(2);
    let stats = lines_of(&output_of(&harness, &["stats", "--json"]).1);
    for kind in ["pending", "confirmed"] {
        let oldest = stats["waiting"][kind]["oldest"].as_str().expect("a time");
        let oldest: Timestamp = oldest.parse().expect("a time");
        assert!((before..=now().as_second()).contains(&oldest.as_second()), "{kind} {oldest}");
    }
    let metrics = harness.service.operator("/metrics").text();
    let age = |what: &str| {
        let name = format!("heardback_oldest_seconds{{what=\"{what}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("there");
        value.parse::<f64>().expect("a number")
    };
    #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
    let most = (now().as_second() - before + 1) as f64;
    assert!(age("pending") <= most && age("outbox") <= most, "{metrics}");
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[test]
fn a_response_from_another_server_is_shown_everywhere_until_twilio_responds() {
    let harness = Harness::new(&[]);
    register(&harness, 1, RECIPIENT, "login-1");
    harness.twilio.reply_with(TwilioReply::Html);
    harness.confirm(1);
    harness.service.says("not reported: 200 with HTML, which is not Twilio's answer");
    assert_eq!(harness.state(1).as_deref(), Some("confirmed"));
    let metric = |name: &str| harness.service.metric(name);
    assert!(metric("heardback_upstream_mismatch_total") >= 1);
    assert!(metric("heardback_upstream_attempts_total{result=\"uncertain\"}") >= 1);
    assert_eq!(metric("heardback_upstream_attempts_total{result=\"done\"}"), 0);
    assert_eq!(harness.service.operator("/readyz").status, 200, "webhooks are accepted");
    let why =
        || harness.service.operator("/readyz").json()["foreign_answers"][ACCOUNT]["why"].clone();
    eventually("/readyz names it", LONG, || why() == "200 with HTML");
    let stats = output_of(&harness, &["stats"]).1;
    assert!(stats.contains(&format!("another server has answered {ACCOUNT}'s posts")), "{stats}");
    let first = page(&harness, "/");
    assert!(first.contains(&format!("Another server than Twilio answers the posts of {ACCOUNT}")));
    assert!(first.contains("200 with HTML"), "{first}");
    assert!(!first.contains("All is well"), "{first}");
    // Any response of Twilio ends the finding, also a refusal.
    harness.twilio.reply_with(TwilioReply::Refuse(20001));
    harness.reaches(1, "refused");
    eventually("the finding is gone", LONG, || {
        harness.service.operator("/readyz").json()["foreign_answers"] == serde_json::json!({})
    });
}

#[test]
fn a_message_given_up_over_foreign_responses_is_refused_with_their_kind() {
    let harness = Harness::new(&[("HEARDBACK_GIVE_UP_AFTER", "1s")]);
    register(&harness, 1, RECIPIENT, "login-1");
    harness.twilio.reply_with(TwilioReply::Body(200, ""));
    harness.confirm(1);
    harness.reaches(1, "refused");
    let refusal = &harness.message(1).expect("known")["refusal"];
    assert_eq!(refusal["message"], "given up after 1s: 200 with an empty body", "{refusal}");
    assert_eq!(refusal["status"], 200, "{refusal}");
    harness.twilio.reply_with(TwilioReply::Status(200));
    assert_eq!(run(&["requeue", "--all"], &harness.store()).0, Some(0));
    harness.reaches(1, "reported");
}

/// Twilio responds with 404 in both cases; only its callbacks distinguish them.
#[test]
fn a_pause_by_404s_names_its_cause_in_log_finding_page_stats_and_show() {
    for (is_named, cause, advice, of_one) in [
        (
            false,
            "no status callback of Twilio names any of these SIDs",
            "check which MessageSid your app reports",
            "no status callback of Twilio names this SID",
        ),
        (
            true,
            "a status callback of Twilio names 20 of these SIDs",
            "it named some of them itself",
            "a status callback of Twilio names this SID",
        ),
    ] {
        let harness = Harness::new(&[]);
        harness.twilio.reply_with(TwilioReply::Status(404));
        for number in 1..=20 {
            if is_named {
                assert_eq!(harness.send(&status_callback(number, "sent")).status, 204);
            }
            let fields = [("MessageSid", &*sid(number)), ("CreatedAt", "2026-01-01T00:00:00Z")];
            assert_eq!(harness.send(&form("/app/events", &fields)).status, 200);
        }
        harness.service.says(cause);
        assert!(harness.service.logs().contains(advice), "{}", harness.service.logs());
        let stats = output_of(&harness, &["stats"]).1;
        assert!(stats.contains(cause) && stats.contains(advice), "{stats}");
        for path in ["/readyz", "/"] {
            eventually(path, LONG, || {
                let text = page(&harness, path);
                text.contains(cause) && text.contains(advice)
            });
        }
        let life = output_of(&harness, &["show", &sid(1)]).1;
        assert!(life.contains(of_one) && !life.contains("when its lane opens"), "{life}");
        assert_eq!(harness.state(1).as_deref(), Some("confirmed"));
    }
}
