//! Messages of one person reach the app in their order; a slow answer delays no other person, kind or account.

use crate::forward::app::{App, AppReply, says, twiml};
use crate::forward::{call, forwards, message_of, service};
use crate::harness::http_client::{self, Line};
use crate::harness::{Harness, LONG, eventually, signed, status_callback};

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
fn a_message_beyond_the_bound_of_its_person_gets_an_honest_503() {
    let app = App::start(AppReply::HoldOf("Body=ann"));
    let harness = service(&app, &[]);
    let mut lines: Vec<Line> = (0..8).map(|number| sent(&harness, number, ANN, "ann")).collect();
    eventually("all are stored", LONG, || {
        let stored = "heardback_evidence_total{kind=\"reply\",outcome=\"parked\"} 8";
        harness.service.operator("/metrics").text().contains(stored)
    });
    let given = harness.send(&message_of(8, ANN, "ann"));
    assert_eq!((given.status, given.header("Retry-After")), (503, Some("5")));
    assert_eq!(forwards(&harness, "message", "busy"), 1);
    let mut other = sent(&harness, 9, BOB, "bob");
    assert_eq!(other.answer().expect("an answer").text(), twiml("not held"));
    app.reply_with(says("ok"));
    assert!(lines.iter_mut().all(|line| line.answer().is_some_and(|answer| answer.status == 200)));
}

#[test]
fn a_message_whose_turn_does_not_come_in_time_is_counted_apart_and_never_sent_late() {
    let app = App::start(AppReply::HoldOf("Body=ann"));
    let harness = service(&app, &[("HEARDBACK_FORWARD_TIMEOUT", "2s")]);
    let mut first = sent(&harness, 1, ANN, "ann one");
    app.receives(1);
    let mut second = sent(&harness, 2, ANN, "ann two");
    let texts = [&mut first, &mut second].map(|line| line.answer().expect("an answer").text());
    assert_eq!(texts, ["<Response/>"; 2]);
    let results = ["timeout", "waited"].map(|result| forwards(&harness, "message", result));
    assert!(results == [1, 1] || results == [2, 0], "{results:?}");
}
