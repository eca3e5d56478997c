//! The findings of a real service appear on its page, in `/readyz` and in `doctor` with the same
//! text. The tests are outages that all three once reported as healthy.

use std::process::{Command, Stdio};

use heardback::twilio::signature::SigningKey;
use serde_json::Value;

use crate::clock::binary::Shim;
use crate::disk::Disk;
use crate::harness::running::{BINARY, Running, command, settings};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{
    ACCOUNT, BASE, Harness, LONG, code_entered, eventually, form, get, http_client, sid, signed,
    status_callback,
};
use crate::page::get as page;

/// A running service, the path of its store, and its Twilio.
struct Watched<'a> {
    service: &'a Running,
    twilio: &'a Twilio,
    store: std::path::PathBuf,
}

impl<'a> Watched<'a> {
    fn of(harness: &'a Harness) -> Self {
        Self { service: &harness.service, twilio: &harness.twilio, store: harness.store() }
    }

    fn findings(&self) -> Vec<Value> {
        let ready = self.service.operator("/readyz").json();
        ready["findings"].as_array().expect("a list").clone()
    }

    fn has(&self, id: &str, subject: Option<&str>) -> bool {
        let is_it = |finding: &Value| {
            finding["id"] == id && subject.is_none_or(|subject| finding["subject"] == subject)
        };
        self.findings().iter().any(is_it)
    }

    /// The page, `/readyz` and `doctor` show the finding with that severity, and none of them
    /// reports a healthy service.
    fn agree_on(&self, id: &str, severity: &str, words: &str) {
        eventually(id, LONG, || self.has(id, None));
        let findings = self.findings();
        let found = findings.iter().find(|finding| finding["id"] == id).expect("there");
        assert_eq!(found["severity"], severity, "{found}");
        let word =
            |name: &str| found[name].as_str().unwrap_or_else(|| unreachable!("{name}: {found}"));
        assert!(word("what").contains(words), "{found}");
        let page = page(self.service.ops, "/", &[]).text();
        assert!(page.contains(&format!("data-finding=\"{id}\"")), "{page}");
        assert!(!page.contains("All is well"), "{page}");
        let heading = if severity == "critical" { "Needs attention" } else { "Worth a look" };
        assert!(page.contains(heading), "{page}");
        let (code, said) = self.doctor();
        assert_eq!(code, i32::from(severity == "critical"), "{said}");
        let line = said.lines().find(|line| line.contains(words)).unwrap_or_default();
        let mark = if severity == "critical" { "FAIL" } else { "warn" };
        assert!(line.starts_with(mark), "{line}\n{said}");
        assert!(line.contains(word("advice")) && line.contains(word("runbook")), "{line}");
        assert!(!said.contains("All is well"), "{said}");
    }

    /// `heardback doctor` beside the running service: exit code and stdout.
    fn doctor(&self) -> (i32, String) {
        let mut command = Command::new(BINARY);
        command.arg("doctor").env_clear().stdin(Stdio::null()).stderr(Stdio::null());
        command.envs(settings(&self.store, self.twilio));
        let public = format!("http://{}", self.service.public);
        command.env("HEARDBACK_PUBLIC_URL", public);
        command.env("HEARDBACK_OPS_LISTEN", self.service.ops.to_string());
        let output = command.output().expect("it ran");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        (output.status.code().expect("no signal"), said)
    }
}

#[test]
fn a_side_whose_requests_all_fail_verification_is_critical_and_the_other_is_not() {
    let harness = Harness::new(&[]);
    let watched = Watched::of(&harness);
    let rotated = SigningKey::new(b"another token altogether");
    assert_eq!(harness.confirm(1).status, 200, "the app signs as configured");
    for number in 1..=3 {
        let request = status_callback(number, "sent").signed(&rotated, BASE);
        assert_eq!(harness.service.exchange(&http_client::bytes(&request)).status, 403);
    }
    watched.agree_on("nothing_verifies", "critical", "No request to /twilio/ has verified");
    assert!(watched.has("nothing_verifies", Some("twilio")));
    assert!(!watched.has("nothing_verifies", Some("app")));
    assert_eq!(harness.service.operator("/readyz").status, 200, "the store accepts events");
    // One verified request ends the finding.
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    eventually("no finding is left", LONG, || watched.findings().is_empty());
    let verified = harness.service.operator("/readyz").json();
    assert!(verified["last_verified"].as_str().is_some_and(|at| !at.is_empty()), "{verified}");
    let (code, said) = watched.doctor();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("a signature last verified just now"), "{said}");
}

#[test]
fn an_app_whose_requests_all_fail_verification_is_critical_though_twilios_verify() {
    let harness = Harness::new(&[]);
    let watched = Watched::of(&harness);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    let request = code_entered(1).signed(&SigningKey::new(b"no app key of ours"), BASE);
    assert_eq!(harness.service.exchange(&http_client::bytes(&request)).status, 403);
    watched.agree_on("nothing_verifies", "critical", "No request to /app/ has verified");
    assert!(!watched.has("nothing_verifies", Some("twilio")));
}

#[test]
fn a_route_whose_requests_all_fail_verification_is_found_though_other_routes_verify() {
    let harness = Harness::new(&[]);
    let watched = Watched::of(&harness);
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 204);
    assert_eq!(harness.confirm(1).status, 200);
    let wrong = SigningKey::new(b"another token altogether");
    for number in 1..=6 {
        for route in ["/twilio/message", "/app/messages"] {
            let fields = [("MessageSid", &*sid(number)), ("AccountSid", ACCOUNT)];
            let request = form(route, &fields).signed(&wrong, BASE);
            assert_eq!(harness.service.exchange(&http_client::bytes(&request)).status, 403);
        }
    }
    watched.agree_on("nothing_verifies", "warning", "No request to /twilio/message has verified");
    assert!(watched.has("nothing_verifies", Some("/app/messages")));
    assert!(!watched.has("nothing_verifies", Some("/twilio/status")));
}

#[test]
fn an_account_whose_requests_all_fail_verification_is_found_though_another_account_verifies() {
    const OTHER: &str = "AC11111111111111111111111111111111";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("accounts.toml");
    let text = format!("[[account]]\nsid = \"{OTHER}\"\nauth_tokens = [\"{}\"]\n", "f".repeat(32));
    std::fs::write(&file, text).expect("written");
    let file = file.display().to_string();
    let harness = Harness::new(&[("HEARDBACK_ACCOUNTS_FILE", &file)]);
    let watched = Watched::of(&harness);
    let of = |account: &str, number| {
        let mut request = status_callback(number, "sent");
        let body = String::from_utf8(request.body).expect("ASCII");
        request.body = body.replace(ACCOUNT, account).into();
        request
    };
    let wrong = SigningKey::new("e".repeat(32).as_bytes());
    for number in 1..=9 {
        assert_eq!(harness.send(&of(ACCOUNT, number)).status, 204);
        let refused = of(OTHER, number).signed(&wrong, BASE);
        assert_eq!(harness.service.exchange(&http_client::bytes(&refused)).status, 403);
        // A scanner: unsigned, and for an account that is not configured.
        let unknown = of("AC22222222222222222222222222222222", number);
        assert_eq!(harness.service.exchange(&http_client::bytes(&unknown)).status, 403);
    }
    let subject = format!("{OTHER} /twilio/");
    eventually("the finding is shown", LONG, || watched.has("nothing_verifies", Some(&subject)));
    assert_eq!(watched.findings().len(), 1, "{:?}", watched.findings());
    let page = page(harness.service.ops, "/", &[]).text();
    assert!(page.contains("data-finding=\"nothing_verifies\"") && !page.contains("All is well"));
    harness.service.says(&format!("no key has matched on /twilio/status for {OTHER} yet"));
}

#[test]
fn confirmations_that_wait_for_a_long_429_are_late_on_the_page_as_in_the_alert() {
    let Some(shim) = Shim::build() else { return };
    let mut harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::RetryAfter(429, "Retry-After: 3600\r\n"));
    shim.restart(&mut harness, &[]);
    for number in 1..=30 {
        assert_eq!(harness.confirm(number).status, 200);
    }
    let watched = Watched::of(&harness);
    eventually("the lane is throttled", LONG, || watched.has("lane_throttled", Some(ACCOUNT)));
    shim.shift(1_800);
    watched.agree_on("outbox_old", "critical", "The oldest confirmation has waited for 30");
    let metrics = harness.service.operator("/metrics").text();
    assert!(metrics.contains("heardback_oldest_seconds{what=\"outbox\"} 18"), "{metrics}");
    let findings = watched.findings();
    let lane = findings.iter().find(|finding| finding["id"] == "lane_throttled").expect("one");
    assert_eq!(lane["severity"], "warning", "{lane}");
    assert!(!lane["advice"].as_str().expect("text").contains("posts continue"), "{lane}");
}

#[test]
fn an_old_confirmation_is_late_on_the_page_though_many_fresh_ones_are_due_before_it() {
    let Some(shim) = Shim::build() else { return };
    let mut harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::RetryAfter(503, "Retry-After: 3600\r\n"));
    shim.restart(&mut harness, &[]);
    assert_eq!(harness.confirm(1).status, 200);
    let watched = Watched::of(&harness);
    eventually("the post failed", LONG, || watched.has("upstream_failing", None));
    harness.twilio.reply_with(TwilioReply::RetryAfter(503, "Retry-After: 60\r\n"));
    shim.shift(1_500);
    for number in 2..=121 {
        assert_eq!(harness.confirm(number).status, 200);
    }
    watched.agree_on("outbox_old", "critical", "The oldest confirmation has waited for 25");
}

#[test]
fn a_service_without_a_verified_request_is_not_called_healthy() {
    let harness = Harness::new(&[]);
    Watched::of(&harness).agree_on("no_verified_request", "warning", "No request has verified");
}

#[test]
fn a_store_at_its_message_limit_is_critical_while_readyz_answers_200() {
    let harness = Harness::new(&[("HEARDBACK_MAX_MESSAGES", "10")]);
    let watched = Watched::of(&harness);
    for number in 1..=9 {
        assert_eq!(harness.send(&status_callback(number, "sent")).status, 204);
    }
    eventually("there is no finding below nine tenths", LONG, || watched.findings().is_empty());
    assert_eq!(harness.send(&status_callback(10, "sent")).status, 204);
    assert_eq!(harness.send(&status_callback(11, "sent")).status, 503);
    watched.agree_on("too_many_messages", "critical", "new ones are rejected with HTTP 503");
    watched.agree_on("server_errors", "critical", "answered with 5xx");
    assert_eq!(harness.service.operator("/readyz").status, 200);
}

#[test]
fn a_volume_below_the_critical_mark_is_reported_before_it_is_full() {
    let Some(disk) = Disk::mount("400m") else { return };
    let twilio = Twilio::start();
    let service = Running::start(command(&disk.store(), &twilio, &[]));
    let watched = Watched { service: &service, twilio: &twilio, store: disk.store() };
    let sent = service.exchange(&http_client::bytes(&signed(&status_callback(1, "sent"))));
    assert_eq!(sent.status, 204);
    eventually("there is room", LONG, || !watched.has("store_nearly_full", None));
    disk.resize("180m");
    watched.agree_on(
        "store_nearly_full",
        "critical",
        "below 128 MiB new events are rejected with HTTP 503",
    );
    assert_eq!(service.operator("/readyz").status, 200, "the service still accepts events");
    disk.resize("120m");
    watched.agree_on("store_nearly_full", "critical", "less than the required 128 MiB");
    assert!(watched.has("store_silent", None));
    assert_eq!(service.operator("/readyz").status, 503);
    disk.resize("400m");
    eventually("there is room again", LONG, || !watched.has("store_nearly_full", None));
}

#[test]
fn a_host_that_answers_200_instead_of_twilio_is_critical() {
    let harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::Html);
    let watched = Watched::of(&harness);
    harness.confirm(1);
    // `doctor` also checks the credentials at that host, so `agree_on` does not fit here.
    eventually("the finding is shown", LONG, || watched.has("upstream_mismatch", None));
    let findings = watched.findings();
    let found = findings.iter().find(|finding| finding["id"] == "upstream_mismatch").expect("one");
    assert_eq!(found["severity"], "critical", "{found}");
    let page = page(harness.service.ops, "/", &[]).text();
    assert!(
        page.contains("data-finding=\"upstream_mismatch\"") && page.contains("Needs attention")
    );
    let (code, said) = watched.doctor();
    assert_eq!(code, 1, "{said}");
    assert!(
        said.lines()
            .any(|line| line.starts_with("FAIL  finding")
                && line.contains("Another server than Twilio")),
        "{said}"
    );
}

#[test]
fn a_paused_lane_is_critical_with_advice_that_matches_the_cause() {
    let harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::Status(401));
    let watched = Watched::of(&harness);
    harness.confirm(1);
    watched.agree_on("lane_paused", "critical", &format!("rejects the posts of {ACCOUNT}"));
    assert!(harness.service.logs().contains("Twilio does not accept the credentials"));
    let page = page(harness.service.ops, "/", &[]).text();
    assert!(!page.contains("Twilio took all"), "{page}");
    assert_eq!(harness.service.operator("/readyz").status, 200);
}

#[test]
fn no_message_and_no_number_is_in_a_finding() {
    let harness = Harness::new(&[]);
    harness.twilio.reply_with(TwilioReply::Status(503));
    harness.confirm(1);
    let watched = Watched::of(&harness);
    eventually("a failure is found", LONG, || watched.has("upstream_failing", None));
    let said = harness.service.operator("/readyz").text();
    assert!(!said.contains(&sid(1)) && !said.contains("15551234567"), "{said}");
    let shown = harness.send(&get(&format!("/app/messages/{}", sid(1))));
    assert_eq!(shown.status, 200);
}

#[test]
fn a_service_that_restarts_repeatedly_reports_it() {
    let mut harness = Harness::new(&[]);
    for _ in 0..3 {
        harness.service.signal(rustix::process::Signal::TERM);
        assert!(harness.service.ends_within(LONG).success());
        harness.service = Running::start(command(&harness.store(), &harness.twilio, &[]));
    }
    let watched = Watched::of(&harness);
    watched.agree_on("restarting", "critical", "The process started 4 times within an hour");
}
