//! Event Streams and webhooks over real HTTP, while the store's writer is blocked: batches share
//! one budget, and the rest of the queue is for webhooks.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use heardback::inbound::limits::event_budget::EventBudget;
use heardback::recording::Recording;
use heardback::store::{QUEUE, Store};
use heardback::twilio::signature::SigningKey;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::fixtures::{ACCOUNT, BASE, Desk, TOKEN, read};
use crate::harness::{LONG, http_client, json as json_post, sid};

/// The most places that one batch may have in the queue.
const EVENTS: u32 = 300;
/// The share of all batches.
const SHARE: usize = QUEUE / 4;

/// The batch of that number: statuses of messages that no other batch names.
fn batch(number: u32) -> Recording {
    let event = |number: u32| {
        let data = json!({
            "messageSid": sid(number), "accountSid": ACCOUNT, "messageStatus": "SENT",
            "from": "+15017122661", "to": "+15558675310",
        });
        json!({
            "specversion": "1.0", "type": "com.twilio.messaging.message.sent", "data": data,
            "id": format!("EZ{number}"), "source": "/x", "datacontenttype": "application/json",
        })
    };
    let events: Vec<_> = (number * EVENTS..(number + 1) * EVENTS).map(event).collect();
    json_post("/twilio/events", &json!(events))
}

/// A status callback for a message that no batch names.
fn webhook(number: u32) -> Recording {
    let sid = sid(1_000_000 + number);
    let fields = [
        ("MessageSid", sid.as_str()),
        ("MessageStatus", "sent"),
        ("AccountSid", ACCOUNT),
        ("To", "+15558675310"),
        ("From", "+15017122661"),
    ];
    crate::harness::form("/twilio/status", &fields)
}

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < LONG, "not within {LONG:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Closes the gate and submits a command, so that the writer waits at the gate. Returns the answer
/// to the command.
async fn held(desk: &Desk, then: impl Future<Output = ()>) -> String {
    desk.gate.close();
    let first = read("app-message").0;
    let entered = async {
        until("the writer waits", || desk.gate.waiting() > 0).await;
        then.await;
    };
    tokio::join!(desk.play(&first), entered).0
}

#[test]
fn nine_batches_share_a_quarter_of_the_queue_and_no_webhook_is_refused_meanwhile() {
    actix_web::rt::System::new().block_on(async {
        let desk = Desk::with(EventBudget::new(LONG), 4);
        let batches: Vec<_> = (0..9).map(batch).collect();
        let webhooks: Vec<_> = (0..200).map(webhook).collect();
        let first = held(&desk, async {
            let batches = join_all(batches.iter().map(|batch| desk.play(batch)));
            let beside = async {
                until("the first batch fills the share", || desk.store.queued() == SHARE).await;
                let all = SHARE + webhooks.len();
                let webhooks = join_all(webhooks.iter().map(|webhook| desk.play(webhook)));
                let opened = async {
                    until("all webhooks are in the queue", || desk.store.queued() == all).await;
                    desk.gate.open();
                };
                tokio::join!(webhooks, opened).0
            };
            let (batches, webhooks) = tokio::join!(batches, beside);
            for answer in batches.iter().chain(&webhooks) {
                assert!(answer.starts_with("204"), "{answer}");
            }
        })
        .await;
        assert!(first.starts_with("201"), "{first}");
        assert!(!desk.counted().contains("heardback_refusals"), "{}", desk.counted());
        assert_eq!(desk.store.counts().total(), u64::from(9 * EVENTS) + 200 + 1);
        desk.close().await;
    });
}

#[test]
fn a_batch_without_places_in_time_is_503_before_any_of_its_events_is_stored() {
    actix_web::rt::System::new().block_on(async {
        let desk = Desk::with(EventBudget::new(Duration::ZERO), 4);
        let (first, second) = (batch(1), batch(2));
        held(&desk, async {
            let refused = async {
                until("the first batch fills the share", || desk.store.queued() == SHARE).await;
                let refused = desk.play(&second).await;
                desk.gate.open();
                refused
            };
            let (taken, refused) = tokio::join!(desk.play(&first), refused);
            assert!(taken.starts_with("204"), "{taken}");
            assert!(refused.starts_with("503"), "{refused}");
        })
        .await;
        let counted = "heardback_refusals_total{reason=\"streams_busy\"} 1";
        assert!(desk.counted().contains(counted), "{}", desk.counted());
        assert_eq!(desk.store.counts().total(), u64::from(EVENTS) + 1, "none of the second");
        assert!(desk.play(&second).await.starts_with("204"), "the repeat");
        desk.close().await;
    });
}

#[test]
fn a_batch_whose_client_has_disconnected_is_finished_and_frees_its_places() {
    actix_web::rt::System::new().block_on(async {
        let desk = Desk::with(EventBudget::new(LONG), 4);
        held(&desk, async {
            let signed = batch(1).signed(&SigningKey::new(TOKEN), BASE);
            let mut line = tokio::net::TcpStream::connect(desk.addr).await.expect("connects");
            line.write_all(&http_client::bytes(&signed)).await.expect("sent");
            until("its events are in the queue", || desk.store.queued() == SHARE).await;
            drop(line);
            desk.gate.open();
        })
        .await;
        let all = u64::from(EVENTS) + 1;
        until("all its events are stored", || desk.store.counts().total() == all).await;
        let answers = join_all([batch(2), batch(3)].iter().map(|batch| desk.play(batch))).await;
        assert!(answers.iter().all(|answer| answer.starts_with("204")), "{answers:?}");
        desk.close().await;
    });
}
