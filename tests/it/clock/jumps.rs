//! A table of clock jumps: once the clock is right again, the store is the same as if it had always been right.

use heardback::domain::code::{CodeKey, Probe};
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::message::State;
use heardback::domain::signal::Signal;

use super::{Bench, NOTHING, filled};
use crate::given::{DAY, HOUR, MINUTE, acted, at, link, person, reply, sid, status, token};

/// One step of a case: this many seconds pass, then the wall clock is this many seconds ahead of
/// the true time.
#[derive(Debug, Clone, Copy)]
enum Step {
    Passes(i64, i64),
    /// The service is off for these seconds.
    Restarts(i64, i64),
    /// The operator confirms the wall clock.
    Confirms,
}

use Step::{Confirms, Passes, Restarts};

/// Runs the steps with a sweep after each. Returns the store and the true time.
async fn after(begin: i64, steps: &[Step]) -> (Bench, i64) {
    let mut bench = filled().await;
    bench.store().keep_link(token(1).id(), link(Some("l"), 0)).await.expect("kept");
    let mut truth = begin;
    bench.passes(begin.unsigned_abs(), begin);
    bench.sweep().await;
    for step in steps {
        match *step {
            Passes(seconds, ahead) => {
                truth += seconds;
                bench.passes(seconds.unsigned_abs(), truth + ahead);
            }
            Restarts(seconds, ahead) => {
                truth += seconds;
                bench.start_at(truth + ahead);
            }
            Confirms => bench.store().clock_guard().confirm(),
        }
        bench.sweep().await;
    }
    (bench, truth)
}

/// Every record, as it would be exported.
async fn records(bench: &Bench) -> String {
    let page = bench.store().records(None, 1000).await.expect("read");
    assert!(page.next.is_none(), "all of them");
    format!("{:#?}", page.records)
}

/// The table: jumps of this many seconds, in each way in which a clock can jump, stay wrong and
/// return.
fn cases(ahead: i64, stay: i64) -> Vec<Vec<Step>> {
    let ways = [
        vec![Passes(60, ahead), Passes(75, ahead), Passes(60, 0)],
        vec![Passes(60, ahead), Passes(stay, ahead), Restarts(30, 0)],
        vec![Restarts(30, ahead), Passes(stay, ahead), Restarts(30, ahead), Passes(60, 0)],
        vec![Passes(60, ahead), Restarts(30, ahead), Restarts(30, 0), Passes(60, 0)],
        vec![Passes(60, ahead), Passes(60, 0), Passes(60, ahead), Passes(60, 0)],
    ];
    let confirmed = ways.iter().map(|steps| {
        let (first, rest) = steps.split_first().expect("a step");
        [&[*first, Confirms], rest].concat()
    });
    let confirmed: Vec<_> = confirmed.collect();
    ways.into_iter().chain(confirmed).collect()
}

/// The same steps with a clock that is always right.
fn without_jumps(steps: &[Step]) -> Vec<Step> {
    let right = |step: &Step| match *step {
        Passes(seconds, _) => Some(Passes(seconds, 0)),
        Restarts(seconds, _) => Some(Restarts(seconds, 0)),
        Confirms => None,
    };
    steps.iter().filter_map(right).collect()
}

#[tokio::test]
async fn after_any_jump_and_its_correction_the_store_is_as_if_the_clock_had_always_been_right() {
    let mut cases_tried = 0;
    for (begin, stay, jumps) in [
        (0, 3600, &[2 * DAY, 9 * DAY, 60 * DAY, 400 * DAY, -2 * DAY, -9 * DAY, 2 * HOUR, 30][..]),
        // Just before the end of the records of an untracked message, and of a pending one.
        (22 * HOUR - 600, 120, &[9 * DAY, -2 * DAY, 50 * MINUTE, 30, -30]),
        (7 * DAY - 600, 120, &[9 * DAY, -2 * DAY, 50 * MINUTE, 30, -30]),
    ] {
        for ahead in jumps {
            for steps in cases(*ahead, stay) {
                let (bench, truth) = after(begin, &steps).await;
                if *ahead < 0 {
                    // Nothing is removed early, so Twilio or the operator has to agree that the clock is right again.
                    bench.store().clock_guard().agree(at(truth));
                    bench.sweep().await;
                }
                let (right, _) = after(begin, &without_jumps(&steps)).await;
                let (found, expected) = (records(&bench).await, records(&right).await);
                assert_eq!(found, expected, "from {begin}: {steps:?}");
                let count = |bench: &Bench| bench.store().counts();
                assert_eq!(count(&bench), count(&right), "from {begin}: {steps:?}");
                cases_tried += 1;
            }
        }
    }
    assert_eq!(cases_tried, 180);
}

#[tokio::test]
async fn a_code_and_a_counted_reply_survive_a_jump_of_sixty_days_that_was_confirmed_by_mistake() {
    for restarts in [false, true] {
        let jump = [Passes(60, 60 * DAY), Confirms, Passes(75, 60 * DAY)];
        let (mut bench, mut now) = after(0, &jump).await;
        // A callback updates the message while its code does not count.
        bench.store().remember(status(1, "delivered", 100)).await.expect("remembered");
        now += 60;
        if restarts {
            bench.start_at(now);
        } else {
            bench.passes(60, now);
        }
        bench.sweep().await;
        let replayed = bench.store().observe(reply(7, now)).await.expect("observed");
        assert!(
            matches!(replayed, ObserveOutcome::NotConfirmed(_)),
            "it was counted: {replayed:?}"
        );
        let typed = |code, at| {
            let code = Probe::entered(code, &[CodeKey::new(b"the app's key")]);
            Signal { code, ..acted(person(1), None, at) }
        };
        let other = bench.store().observe(typed("222222", now)).await.expect("observed");
        assert!(!matches!(other, ObserveOutcome::Confirmed(_)), "not its code: {other:?}");
        let own = bench.store().observe(typed("111111", now + 1)).await.expect("observed");
        assert_eq!(own, ObserveOutcome::Confirmed(sid(1)), "{restarts}");
    }
}

#[tokio::test]
async fn a_jump_that_only_the_operator_confirmed_removes_no_record_for_a_day() {
    let jump = [Passes(60, 60 * DAY), Confirms, Restarts(60, 60 * DAY)];
    let (bench, now) = after(0, &jump).await;
    let kept = bench.store().counts();
    assert!(kept.of(State::Expired) == 1 && kept.orphaned == 2 && kept.links == 1, "{kept:?}");
    bench.passes(20 * 3600, now + 60 * DAY + 20 * HOUR);
    assert_eq!(bench.sweep().await, NOTHING);
    bench.passes(5 * 3600, now + 60 * DAY + 25 * HOUR);
    let swept = bench.sweep().await;
    assert!(swept.messages == 3 && swept.links == 1 && swept.marks == 1, "{swept:?}");

    // Twilio's agreement ends the wait at once.
    let (bench, now) = after(0, &jump).await;
    bench.store().clock_guard().agree(at(now + 60 * DAY));
    let swept = bench.sweep().await;
    assert!(swept.messages == 3 && swept.links == 1 && swept.marks == 1, "{swept:?}");
}
