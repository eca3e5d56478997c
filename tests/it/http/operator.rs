//! The operator's listener: liveness, readiness and metrics.

use serde_json::json;

use crate::harness::http_client::Line;
use crate::harness::twilio::TwilioReply;
use crate::harness::{ACCOUNT, Harness, LONG, RECIPIENT, TOKEN, eventually, sid, status_callback};

#[test]
fn the_operators_listener_has_liveness_readiness_and_metrics_and_the_public_one_has_none() {
    let harness = Harness::new(&[]);
    let alive = harness.service.operator("/livez");
    assert_eq!((alive.status, alive.text().trim_end()), (200, "alive"));
    let ready = harness.service.operator("/readyz");
    assert_eq!((ready.status, ready.header("Content-Type")), (200, Some("application/json")));
    assert_eq!(ready.json()["status"], "ready");
    harness.send(&status_callback(1, "sent"));
    harness.confirm(2);
    harness.reaches(2, "reported");
    harness.service.exchange(b"GET /twilio/message HTTP/1.1\r\nHost: x\r\n\r\n");
    let metrics = harness.service.operator("/metrics");
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((metrics.status, metrics.header("Content-Type")), (200, Some(media)));
    let text = metrics.text();
    for start in [
        "heardback_build_info{version=",
        "heardback_http_requests_total{route=\"/twilio/status\",status=\"204\"} 1",
        "heardback_refusals_total{reason=\"signature_missing\"} 1",
        "heardback_evidence_total{kind=\"app\",outcome=\"confirmed\"} 1",
        "heardback_messages{state=\"untracked\"} 1",
        "heardback_messages{state=\"reported\"} 1",
        "heardback_parked 0",
        "heardback_outbox 0",
        "heardback_links 0",
        "heardback_upstream_attempts_total{result=\"done\"} 1",
        "heardback_upstream_attempt_seconds_count 1",
        "heardback_store_commits_total ",
        "heardback_store_commit_seconds_bucket",
        "heardback_lane_paused",
    ] {
        assert!(text.lines().any(|line| line.starts_with(start)), "{start} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    for (path, text) in
        [("/metrics", &text), ("/readyz", &harness.service.operator("/readyz").text())]
    {
        for hidden in [sid(1), sid(2), RECIPIENT.to_owned(), TOKEN.to_owned()] {
            assert!(
                !text.contains(hidden.trim_start_matches('+')),
                "{path} shows {hidden}:\n{text}"
            );
        }
        assert!(text.contains(ACCOUNT), "SECURITY.md says that {path} shows AccountSids");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(harness.service.exchange(request.as_bytes()).status, 404, "{path}");
    }
    for path in ["/twilio/status", "/app/messages"] {
        assert_eq!(harness.service.operator(path).status, 404, "{path} on the operator's listener");
    }
    let mut line = Line::open(harness.service.ops);
    line.send(b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(line.answer().expect("an answer").status, 404 | 405));
}

#[test]
fn a_lane_that_twilio_rejects_is_a_detail_of_readiness_and_not_a_failure() {
    let harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::Status(401));
    harness.confirm(1);
    let is_paused = || {
        let ready = harness.service.operator("/readyz");
        assert_eq!(ready.status, 200);
        ready.json()["lanes"][ACCOUNT]["state"] == json!("paused")
    };
    eventually("the lane is paused", LONG, is_paused);
    let lane = harness.service.operator("/readyz").json()["lanes"][ACCOUNT].clone();
    assert!(lane["why"].as_str().is_some_and(|why| !why.is_empty()), "{lane}");
    assert!(lane["since"].as_str().is_some_and(|since| !since.is_empty()), "{lane}");
    let gauge = format!("heardback_lane_paused{{account=\"{ACCOUNT}\"}}");
    assert_eq!(harness.service.metric(&gauge), 1);
    assert_eq!(harness.state(1).as_deref(), Some("confirmed"), "the message waits");
    assert_eq!(harness.message(1).expect("known")["attempts"], 1, "the post that was given back");
}
