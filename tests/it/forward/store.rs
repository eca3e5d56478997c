//! A person is served while the store takes no evidence, and the evidence is written later: on both stores.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use heardback::domain::forward::ForwardKind;
use heardback::domain::sid::AccountSid;
use heardback::forward::{ForwardConfig, Forwarder, Limits};
use heardback::inbound::limits::event_budget::EventBudget;
use heardback::twilio::app_url::AppUrl;

use crate::event_budget::until;
use crate::fixtures::{self, Desk, read};
use crate::forward::app::{App, answer, says, twiml};
use crate::forward::{forwards, message, register};
use crate::harness::running::{Running, command};
use crate::harness::twilio::Twilio;
use crate::harness::{LONG, eventually, get, http_client, sid, signed, status_callback};
use crate::postgres::{Postgres, psql};

/// A receiver in this process whose store has no room on request.
fn desk(app: &App) -> Desk {
    let account = AccountSid::parse(fixtures::ACCOUNT).expect("an account");
    let url = |path: &str| AppUrl::parse(&app.url(path)).expect("a URL");
    let targets =
        ForwardKind::ALL.map(|kind| ((account, kind), url(&format!("/{}", kind.as_str()))));
    let config = ForwardConfig {
        timeout: Duration::from_secs(10),
        allows_private: true,
        limits: Limits::default(),
    };
    let forwarder = Forwarder::new(config, targets.to_vec()).expect("a client");
    Desk::forwarding(EventBudget::default(), 4, forwarder)
}

#[test]
fn a_person_is_served_while_the_store_is_full_and_the_evidence_is_written_later() {
    let app = App::start(says("served"));
    actix_web::rt::System::new().block_on(async {
        let desk = desk(&app);
        desk.play(&read("app-message-called").0).await;
        let deferred = Arc::clone(&desk.deferred);
        actix_web::rt::spawn(async move { deferred.run(std::future::pending()).await });
        desk.room.store(0, Ordering::SeqCst);
        for name in ["reply-sms", "call-ringing"] {
            let given = desk.play(&read(name).0).await;
            assert!(given.starts_with("200") && given.contains("served"), "{name}: {given}");
        }
        assert_eq!(desk.metrics.evidence_deferred(), 2);
        // No person waits for a status callback: its answer is an error, although the app has it.
        let given = desk.play(&read("status-delivered").0).await;
        assert!(given.starts_with("503"), "{given}");
        assert_eq!(app.received().len(), 3);
        desk.room.store(1 << 40, Ordering::SeqCst);
        until("all is written", || desk.metrics.evidence_deferred() == 0).await;
        let records = desk.records().await;
        assert!(records.contains(": confirmed"), "{records}");
        desk.close().await;
    });
}

#[test]
fn a_person_is_served_while_the_database_takes_no_rows() {
    let Some(postgres) = Postgres::new() else { return };
    let app = App::start(says("served"));
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (url, run) = (postgres.url(), folder.path().join("run").display().to_string());
    let service = Running::start(command(
        folder.path(),
        &twilio,
        &[
            ("HEARDBACK_STORE", url.as_str()),
            ("HEARDBACK_PHONE_KEY", "a key for phone numbers"),
            ("HEARDBACK_RUN_DIR", run.as_str()),
            ("HEARDBACK_FORWARD_MESSAGE_URL", &app.url("/sms")),
            ("HEARDBACK_FORWARD_STATUS_URL", &app.url("/status")),
            ("HEARDBACK_FORWARD_PRIVATE", "true"),
        ],
    ));
    let harness = crate::harness::Harness::over(service, twilio, folder);
    register(&harness, 1);
    let rename = |from: &str, to: &str| {
        let schema = postgres.schema();
        let sql = format!("SET search_path TO {schema}; ALTER TABLE {from} RENAME TO {to}");
        assert!(psql("postgres").args(["-c", &sql]).status().expect("psql").success());
    };
    rename("message", "message_away");
    assert_eq!(harness.send(&message(1)).text(), twiml("served"));
    app.reply_with(answer("204 No Content", "", ""));
    assert_eq!(harness.send(&status_callback(2, "sent")).status, 503);
    rename("message_away", "message");
    harness.reaches(1, "reported");
    // Twilio repeats the callback, and the app gets it again.
    assert_eq!(harness.send(&status_callback(2, "sent")).status, 204);
    assert_eq!((forwards(&harness, "status", "answered"), app.received().len()), (2, 3));
    let answer = harness
        .service
        .exchange(&http_client::bytes(&signed(&get(&format!("/app/messages/{}", sid(2))))));
    assert_eq!(answer.status, 200);
    eventually("nothing is deferred", LONG, || {
        harness.service.metric("heardback_evidence_deferred") == 0
    });
}
