//! Ringing calls and pressed links while the store cannot write: the caller and the visitor are
//! served. The evidence is written later, or its loss is counted.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use heardback::inbound::limits::event_budget::EventBudget;
use heardback::recording::Recording;
use heardback::store::Store;
use rustix::process::Signal;
use serde_json::json;

use crate::disk::Disk;
use crate::event_budget::until;
use crate::fixtures::{Desk, read};
use crate::harness::running::{Running, command};
use crate::harness::twilio::Twilio;
use crate::harness::{
    ACCOUNT, BASE, LONG, RECIPIENT, SENDER, eventually, form, get, http_client, json as json_post,
    sid, signed,
};

const ROOM: u64 = 1 << 40;

fn count(desk: &Desk, kind: &str, outcome: &str, count: u32) {
    let line =
        format!("heardback_evidence_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} {count}\n");
    assert!(desk.counted().contains(&line), "{line} is not in {}", desk.counted());
}

/// The same call with another SID.
fn another_call(ringing: &Recording) -> Recording {
    let body = String::from_utf8(ringing.body.clone()).expect("ASCII");
    let body = body.replace("CA780cbb564fa0a5cb0b9be6005d550be8", &format!("CA{:032x}", 7));
    Recording { body: body.into_bytes(), ..ringing.clone() }
}

/// A receiver that knows the called message and the message of the link.
async fn desk(capacity: usize) -> Desk {
    let desk = Desk::with(EventBudget::default(), capacity);
    desk.play(&read("app-message-called").0).await;
    desk.play(&read("app-message-link").0).await;
    desk
}

/// Sends the ringing call and the press of the link: both are served.
async fn acts(desk: &Desk) {
    let answer = desk.play(&read("call-ringing").0).await;
    assert!(answer.starts_with("200") && answer.contains("<Reject/>"), "{answer}");
    let answer = desk.play(&read("link-pressed").0).await;
    assert!(answer.starts_with("303") && answer.contains("https://app.example.com/"), "{answer}");
}

#[test]
fn evidence_of_a_call_and_a_press_on_a_full_store_is_confirmed_once_there_is_room() {
    actix_web::rt::System::new().block_on(async {
        let desk = desk(4).await;
        let deferred = Arc::clone(&desk.deferred);
        actix_web::rt::spawn(async move { deferred.run(std::future::pending()).await });
        desk.room.store(0, Ordering::SeqCst);
        acts(&desk).await;
        // A link pressed again, or a call that Twilio repeats, takes no more room.
        acts(&desk).await;
        assert_eq!(desk.metrics.evidence_deferred(), 2);
        let records = desk.records().await;
        assert_eq!(records.matches(": pending").count(), 2, "{records}");
        assert!(desk.play(&read("app-link").0).await.starts_with("503"), "no link is created");
        desk.room.store(ROOM, Ordering::SeqCst);
        until("all is written", || desk.metrics.evidence_deferred() == 0).await;
        let records = desk.records().await;
        assert_eq!(records.matches(": confirmed").count(), 2, "{records}");
        count(&desk, "call", "confirmed", 1);
        count(&desk, "link", "confirmed", 1);
        assert!(!desk.counted().contains("lost"), "{}", desk.counted());
        desk.close().await;
    });
}

#[test]
fn a_call_and_a_press_are_served_while_the_writer_hangs_and_confirmed_afterwards() {
    actix_web::rt::System::new().block_on(async {
        let desk = desk(4).await;
        let deferred = Arc::clone(&desk.deferred);
        actix_web::rt::spawn(async move { deferred.run(std::future::pending()).await });
        desk.gate.close();
        acts(&desk).await;
        assert_eq!(desk.metrics.evidence_deferred(), 2);
        desk.gate.open();
        until("all is written", || desk.metrics.evidence_deferred() == 0).await;
        let records = desk.records().await;
        assert_eq!(records.matches(": confirmed").count(), 2, "{records}");
        count(&desk, "call", "confirmed", 1);
        count(&desk, "link", "confirmed", 1);
        desk.close().await;
    });
}

#[test]
fn only_a_ringing_call_from_twilio_is_deferred_and_any_other_gets_503() {
    actix_web::rt::System::new().block_on(async {
        let desk = desk(4).await;
        desk.room.store(0, Ordering::SeqCst);
        let mut passed_on = read("call-ringing").0;
        "/app/twilio/call".clone_into(&mut passed_on.target);
        for request in [&read("call-completed").0, &passed_on] {
            let answer = desk.play(request).await;
            assert!(answer.starts_with("503"), "{}: {answer}", request.target);
        }
        assert_eq!(desk.metrics.evidence_deferred(), 0);
        desk.close().await;
    });
}

#[test]
fn evidence_beyond_the_bound_is_counted_as_lost() {
    actix_web::rt::System::new().block_on(async {
        let desk = desk(1).await;
        desk.room.store(0, Ordering::SeqCst);
        let ringing = read("call-ringing").0;
        desk.play(&ringing).await;
        desk.play(&ringing).await;
        assert!(!desk.counted().contains("lost"), "{}", desk.counted());
        assert!(desk.play(&another_call(&ringing)).await.starts_with("200"));
        count(&desk, "call", "lost", 1);
        assert!(desk.play(&read("link-pressed").0).await.starts_with("303"));
        count(&desk, "link", "lost", 1);
        assert_eq!(desk.metrics.evidence_deferred(), 1);
        desk.close().await;
    });
}

#[test]
fn at_shutdown_deferred_evidence_is_tried_once_more_and_then_counted_as_lost() {
    actix_web::rt::System::new().block_on(async {
        let desk = desk(4).await;
        desk.room.store(0, Ordering::SeqCst);
        desk.play(&read("call-ringing").0).await;
        desk.room.store(ROOM, Ordering::SeqCst);
        desk.deferred.run(ready(())).await;
        count(&desk, "call", "confirmed", 1);
        desk.room.store(0, Ordering::SeqCst);
        desk.play(&read("link-pressed").0).await;
        desk.deferred.run(ready(())).await;
        count(&desk, "link", "lost", 1);
        assert_eq!(desk.metrics.evidence_deferred(), 0);
        desk.close().await;
    });
}

#[test]
fn a_link_cannot_be_followed_while_the_store_cannot_be_read() {
    actix_web::rt::System::new().block_on(async {
        let desk = desk(4).await;
        desk.store.close().await;
        for name in ["link-opened", "link-pressed"] {
            let answer = desk.play(&read(name).0).await;
            assert!(
                answer.starts_with("503  text/html") && answer.contains("Try again"),
                "{answer}"
            );
        }
        desk.close().await;
    });
}

/// The real service on a small disk, and the requests of its callers.
struct Small {
    disk: Disk,
    twilio: Twilio,
    service: Running,
}

impl Small {
    fn send(&self, request: &Recording) -> http_client::Answer {
        self.service.exchange(&http_client::bytes(&signed(request)))
    }

    fn rings(&self, number: u32) {
        let call = format!("CA{number:032x}");
        let (recipient, sender) = (recipient(number), SENDER);
        let fields = [
            ("CallSid", call.as_str()),
            ("AccountSid", ACCOUNT),
            ("From", &recipient),
            ("To", sender),
            ("Direction", "inbound"),
            ("CallStatus", "ringing"),
        ];
        assert_eq!(self.send(&form("/twilio/call", &fields)).status, 200);
    }

    fn registered(&self, number: u32) {
        let message = json!({ "MessageSid": sid(number), "To": recipient(number), "From": SENDER });
        let answer = self.send(&json_post("/app/messages", &message));
        assert_eq!(answer.status, 201, "{}", answer.text());
    }

    fn presses(&self, number: u32) {
        let message = json!({ "Link": "https://app.example.com/", "MessageSid": sid(number) });
        let link = self.send(&json_post("/app/messages", &message)).json();
        let link = link["link"].as_str().and_then(|link| link.strip_prefix(BASE)).expect("a link");
        self.disk.resize("120m");
        let press = Recording {
            method: "POST".to_owned(),
            target: link.to_owned(),
            headers: vec![("User-Agent".to_owned(), "Mozilla/5.0 Safari/604.1".to_owned())],
            ..Recording::default()
        };
        assert_eq!(self.service.exchange(&http_client::bytes(&press)).status, 303);
    }

    fn state(&self, number: u32) -> String {
        let shown = self.send(&get(&format!("/app/messages/{}", sid(number)))).json();
        shown["state"].as_str().expect("a state").to_owned()
    }

    fn has_finding(&self, id: &str) -> bool {
        let ready = self.service.operator("/readyz").json();
        let findings = ready["findings"].as_array().expect("a list");
        findings.iter().any(|finding| finding["id"] == id)
    }

    /// Restarts the service.
    fn restarts(&mut self) -> String {
        self.service.signal(Signal::TERM);
        assert!(self.service.ends_within(LONG).success(), "{}", self.service.logs());
        let logs = self.service.logs();
        self.disk.resize("400m");
        self.service = Running::start(command(&self.disk.store(), &self.twilio, &[]));
        logs
    }
}

/// Each message has a recipient of its own.
fn recipient(number: u32) -> String {
    format!("{}{number}", &RECIPIENT[..RECIPIENT.len() - 1])
}

#[test]
fn a_service_on_a_full_disk_reports_deferred_evidence_writes_it_with_room_and_counts_losses() {
    let Some(disk) = Disk::mount("400m") else { return };
    let twilio = Twilio::start();
    let service = Running::start(command(&disk.store(), &twilio, &[]));
    let mut small = Small { disk, twilio, service };
    for number in 1..=5 {
        small.registered(number);
    }
    small.presses(1);
    small.rings(2);
    assert_eq!(small.service.metric("heardback_evidence_deferred"), 2);
    assert!(small.has_finding("evidence_deferred"));
    let page = crate::page::get(small.service.ops, "/", &[]).text();
    assert!(page.contains("data-finding=\"evidence_deferred\""), "{page}");
    small.disk.resize("400m");
    for number in [1, 2] {
        let reported = || small.state(number) == "reported";
        eventually("deferred evidence is reported", LONG, reported);
    }
    eventually("the finding is gone", LONG, || !small.has_finding("evidence_deferred"));
    // The disk has room again when the process ends.
    small.disk.resize("120m");
    small.rings(3);
    small.disk.resize("400m");
    let logs = small.restarts();
    assert!(!logs.contains("evidence lost"), "{logs}");
    eventually("the evidence was written at shutdown", LONG, || small.state(3) == "reported");
    // The disk has no room.
    small.disk.resize("120m");
    small.rings(4);
    let logs = small.restarts();
    assert!(logs.contains("evidence lost: the store did not write it"), "{logs}");
    assert_eq!(small.state(4), "pending");
}
