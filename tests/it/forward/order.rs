//! Messages of one person reach the app in their order; a slow answer delays no other person, kind or account.

use std::sync::Arc;

use heardback::domain::forward::{ForwardFailure, ForwardKind};
use heardback::domain::sid::AccountSid;
use heardback::forward::{AppRequest, ForwardConfig, Forwarder, Limits};
use heardback::twilio::app_url::AppUrl;

use crate::event_budget::until;
use crate::forward::app::{App, AppReply, says, twiml};
use crate::forward::{call, forwards, message_of, service};
use crate::harness::http_client::{self, Line};
use crate::harness::{
    ACCOUNT, Harness, LONG, OTHER_ACCOUNT, eventually, key, signed, status_callback,
};

const ANN: &str = "+15550000001";
const BOB: &str = "+15550000002";

fn sent(harness: &Harness, number: u32, from: &str, body: &str) -> Line {
    let mut line = harness.service.line();
    line.send(&http_client::bytes(&signed(&message_of(number, from, body))));
    line
}

#[test]
fn messages_of_one_person_keep_their_order_and_those_of_others_do_not_wait() {
    let app = App::start(AppReply::HoldOf("Body=ann"));
    let harness = service(&app, &[]);
    let mut lines = Vec::new();
    for number in 0..4 {
        lines.push(sent(&harness, number, ANN, &format!("ann{number}")));
        // The next one comes after this one: it is at the app, or in memory.
        let stored =
            format!("heardback_evidence_total{{kind=\"reply\",outcome=\"parked\"}} {}", number + 1);
        eventually("its evidence is stored", LONG, || {
            harness.service.operator("/metrics").text().contains(&stored)
        });
    }
    app.receives(1);
    let mut other = sent(&harness, 9, BOB, "bob");
    assert_eq!(other.answer().expect("an answer").text(), twiml("not held"));
    assert!(harness.send(&call(1, "ringing", &[])).text().contains("not held"));
    assert_eq!(harness.send(&status_callback(1, "sent")).status, 200);
    assert_eq!(app.received().len(), 4, "one of Ann's, and those of the others");
    app.reply_with(says("ok"));
    for line in &mut lines {
        assert_eq!(line.answer().expect("an answer").text(), twiml("ok"));
    }
    let answered: Vec<String> =
        app.answered().into_iter().filter(|one| one.contains("Body=ann")).collect();
    let order: Vec<bool> = (0..4).map(|n| answered[n].contains(&format!("Body=ann{n}"))).collect();
    assert_eq!(order, [true; 4], "{answered:?}");
}

#[test]
fn a_message_beyond_the_bound_of_its_person_gets_an_error() {
    let app = App::start(AppReply::HoldOf("Body=ann"));
    let harness = service(&app, &[]);
    let mut lines: Vec<Line> = (0..8).map(|number| sent(&harness, number, ANN, "ann")).collect();
    eventually("all are stored", LONG, || {
        let stored = "heardback_evidence_total{kind=\"reply\",outcome=\"parked\"} 8";
        harness.service.operator("/metrics").text().contains(stored)
    });
    let given = harness.send(&message_of(8, ANN, "ann"));
    assert_eq!((given.status, given.header("Retry-After")), (502, Some("5")));
    assert_eq!(forwards(&harness, "message", "busy"), 1);
    let mut other = sent(&harness, 9, BOB, "bob");
    assert_eq!(other.answer().expect("an answer").text(), twiml("not held"));
    app.reply_with(says("ok"));
    assert!(lines.iter_mut().all(|line| line.answer().is_some_and(|answer| answer.status == 200)));
}

#[test]
fn a_message_whose_turn_does_not_come_in_time_gets_an_error_and_is_never_sent_late() {
    let app = App::start(AppReply::HoldOf("Body=ann"));
    let harness = service(&app, &[("HEARDBACK_FORWARD_TIMEOUT", "4s")]);
    let mut first = sent(&harness, 1, ANN, "ann one");
    app.receives(1);
    let mut second = sent(&harness, 2, ANN, "ann two");
    let [first, second] = [&mut first, &mut second].map(|line| line.answer().expect("an answer"));
    assert_eq!((first.status, first.text().as_str()), (200, "<Response/>"));
    // The second gets its turn in time only if it was sent a second after the first.
    match ["timeout", "waited"].map(|result| forwards(&harness, "message", result)) {
        [1, 1] => {
            assert_eq!((second.status, second.header("Retry-After")), (502, Some("5")));
            assert_eq!(app.received().len(), 1, "the second was not sent");
        }
        results => assert_eq!((results, second.status), ([2, 0], 200)),
    }
}

fn request(account: &str, kind: ForwardKind) -> AppRequest {
    AppRequest {
        account: AccountSid::parse(account).expect("an account"),
        kind,
        key: key(),
        is_get: false,
        query: String::new(),
        headers: Vec::new(),
        body: b"a=1".to_vec(),
        person: None,
    }
}

#[tokio::test]
async fn an_account_that_hangs_refuses_no_webhook_of_another_and_all_apps_together_are_bounded() {
    let (slow, quick) = (App::start(AppReply::Hold), App::start(says("ok")));
    let target = |account, kind, app: &App| {
        let account = AccountSid::parse(account).expect("an account");
        ((account, kind), AppUrl::parse(&app.url("/")).expect("a URL"))
    };
    let targets = vec![
        target(ACCOUNT, ForwardKind::Message, &slow),
        target(ACCOUNT, ForwardKind::Call, &slow),
        target(ACCOUNT, ForwardKind::Status, &slow),
        target(OTHER_ACCOUNT, ForwardKind::Message, &quick),
        target(OTHER_ACCOUNT, ForwardKind::Status, &slow),
    ];
    let limits = Limits { total: 8, of_one_person: 8 };
    let config = ForwardConfig { timeout: LONG, allows_private: true, limits };
    let forwarder = Arc::new(Forwarder::new(config, targets).expect("a client"));
    let ask = |account: &'static str, kind| {
        let forwarder = Arc::clone(&forwarder);
        async move { forwarder.forward(request(account, kind)).await }
    };
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let mut held = Vec::new();
            // All three kinds of the account hang. Each takes the half of the places that are left.
            for (kind, most) in
                [(ForwardKind::Message, 4), (ForwardKind::Call, 2), (ForwardKind::Status, 1)]
            {
                let before = forwarder.in_flight();
                held.extend((0..most).map(|_| tokio::task::spawn_local(ask(ACCOUNT, kind))));
                until("they are under way", || forwarder.in_flight() == before + most).await;
                let busy = ask(ACCOUNT, kind).await.expect_err("busy");
                assert_eq!(busy.failure, ForwardFailure::Busy, "{kind:?}");
            }
            let other = ask(OTHER_ACCOUNT, ForwardKind::Message).await.expect("answered");
            assert_eq!(other.status, 200, "one place is free for one more scope");
            held.push(tokio::task::spawn_local(ask(OTHER_ACCOUNT, ForwardKind::Status)));
            until("all places are taken", || forwarder.in_flight() == 8).await;
            let busy = ask(OTHER_ACCOUNT, ForwardKind::Message).await.expect_err("busy");
            assert_eq!(busy.failure, ForwardFailure::Busy);
            slow.reply_with(says("late"));
            for one in held {
                assert_eq!(one.await.expect("joined").expect("answered").status, 200);
            }
            forwarder.drain().await;
            assert_eq!(ask(ACCOUNT, ForwardKind::Message).await.expect("answered").status, 200);
        })
        .await;
}
