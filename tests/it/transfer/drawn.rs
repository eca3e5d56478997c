//! Whatever a store holds: handed over, taken over and handed over again it is the same, also where taking it
//! over was cut short and begun anew.

use std::sync::Arc;
use std::time::Duration;

use heardback::domain::feedback::Settlement;
use heardback::domain::link::Link;
use heardback::domain::matching::Reason;
use heardback::domain::message::Refusal;
use heardback::domain::signal::{Sighting, Signal};
use heardback::store::{Quotas, Record, Store};
use proptest::prelude::*;

use crate::contract::backends;
use crate::given::{
    Hands, account, acted, clicked, direct, link, person, reference, registered, reply, service,
    shared, status, token,
};
use crate::overview::seen;
use crate::transfer::{adopt, all, lines};

/// Something that happens to a store.
#[derive(Debug, Clone)]
enum Step {
    Registered { n: u32, to: u32, name: Option<u8>, by: bool, link: Option<u8> },
    Status(u32, &'static str),
    Direct(u32),
    Shared(u8),
    Acted(u32),
    Reply(u32),
    Clicked(u8),
    Link(u8, Option<u8>),
    Worked(u8),
    Paused,
    Swept,
    Later(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let some = || prop::option::of(0..3_u8);
    prop_oneof![
        4 => (0..12_u32, 0..3_u32, some(), any::<bool>(), some())
            .prop_map(|(n, to, name, by, link)| Step::Registered { n, to, name, by, link }),
        2 => (0..12_u32, prop::sample::select(&["sent", "delivered", "undelivered"][..]))
            .prop_map(|(n, word)| Step::Status(n, word)),
        2 => (0..12_u32).prop_map(Step::Direct),
        2 => (0..3_u8).prop_map(Step::Shared),
        2 => (0..3_u32).prop_map(Step::Acted),
        2 => (0..9_u32).prop_map(Step::Reply),
        1 => (0..3_u8).prop_map(Step::Clicked),
        2 => (0..3_u8, some()).prop_map(|(n, name)| Step::Link(n, name)),
        2 => (0..4_u8).prop_map(Step::Worked),
        1 => Just(Step::Paused),
        1 => Just(Step::Swept),
        3 => (1..40_000_i64).prop_map(Step::Later),
    ]
}

fn name(n: u8) -> String {
    format!("login-{n}")
}

async fn take(store: &Arc<dyn Store>, hands: &Hands, now: &mut i64, step: &Step) {
    match *step {
        Step::Registered { n, to, name: of, by, link } => {
            let sighting = Sighting {
                recipient: (to > 0).then(|| person(to)),
                reference: of.map(|of| reference(&name(of))),
                service: by.then(|| service(1)),
                link: link.map(|link| token(link).id()),
                ..registered(n, *now)
            };
            // What contradicts what is known is refused, and so is a link that is not there.
            let _ = store.remember(sighting).await;
        }
        Step::Status(n, word) => {
            store.remember(status(n, word, *now)).await.expect("remembered");
        }
        Step::Direct(n) => observe(store, direct(n, *now)).await,
        Step::Shared(n) => observe(store, shared(&name(n), *now)).await,
        Step::Acted(n) => observe(store, acted(person(n), None, *now)).await,
        Step::Reply(n) => observe(store, reply(n, *now)).await,
        Step::Clicked(n) => observe(store, clicked(n, *now)).await,
        Step::Link(n, of) => {
            let of = of.map(name);
            let made = Link { ..link(of.as_deref(), *now) };
            if store.link(token(n).id()).await.expect("looked up").is_none() {
                store.keep_link(token(n).id(), made).await.expect("kept");
            }
        }
        Step::Worked(how) => {
            let lease = Duration::from_secs(30);
            for claim in store.claim(1, lease, &Quotas::default()).await.expect("claimed") {
                let refusal = Refusal { status: Some(400), code: None, message: "no".to_owned() };
                let settlement = match how {
                    0 => Settlement::Reported,
                    1 => Settlement::Refused(refusal),
                    2 => Settlement::Retry { after: lease, spent: lease },
                    // It is under way.
                    _ => continue,
                };
                store.settle(claim.lease, settlement, None).await.expect("settled");
            }
        }
        Step::Paused => {
            store.pause(account()).await.expect("on hold");
        }
        Step::Swept => {
            store.expire(1000).await.expect("swept");
        }
        Step::Later(by) => {
            *now += by;
            hands.set(*now);
        }
    }
}

async fn observe(store: &Arc<dyn Store>, signal: Signal) {
    store.observe(signal).await.expect("observed");
}

async fn goes_over(steps: Vec<Step>, at_once: usize, cut: prop::sample::Index) {
    let hands = Hands::default();
    let (from, to) = (backends().remove(0), backends().remove(0));
    let (source, mut target) = (from.usual(&hands), to.usual(&hands));
    let mut now = 0;
    for step in &steps {
        // Nobody does the same thing twice in one moment: that would be taken for one.
        now += 1;
        hands.set(now);
        take(&source, &hands, &mut now, step).await;
    }
    let mut records = all(&source, at_once).await;
    let is_parked = |record: &Record| matches!(record, Record::Parked(_));
    // As it is written: evidence last.
    records.sort_by_key(is_parked);
    let chunks: Vec<_> = records.chunks(at_once).collect();
    for chunk in chunks.iter().take(cut.index(chunks.len() + 1)) {
        adopt(&target, chunk).await;
    }
    target.close().await;
    target = to.usual(&hands);
    for chunk in &chunks {
        adopt(&target, chunk).await;
    }
    let (mine, theirs) = (lines(&all(&target, 5).await), lines(&records));
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    assert_eq!((only(&mine, &theirs), only(&theirs, &mine)), (Vec::new(), Vec::new()));
    assert_eq!(target.counts(), source.counts());
    let (mine, theirs) = (target.census().await, source.census().await);
    assert_eq!(seen(&mine.expect("counted")), seen(&theirs.expect("counted")));
    // And it goes on as the other does.
    hands.set(now + 31);
    let due = |store: Arc<dyn Store>| async move {
        let lease = Duration::from_secs(30);
        let claims = store.claim(100, lease, &Quotas::default()).await.expect("claimed");
        let mut due: Vec<_> = claims.iter().map(|claim| claim.feedback.message).collect();
        due.sort();
        due
    };
    assert_eq!(due(target).await, due(source).await);
}

/// A source that is exported twice as it grows, one export imported after the other, comes to the same as its
/// second alone. But for what is not there any more in the second: that cannot be known.
async fn grows(before: Vec<Step>, after: Vec<Step>) {
    let hands = Hands::default();
    let places: Vec<_> = (0..3).map(|_| backends().remove(0)).collect();
    let [source, twice, once] = [0, 1, 2].map(|n: usize| places[n].usual(&hands));
    let mut now = 0;
    for (steps, last) in [(&before, false), (&after, true)] {
        // Messages of an account on hold are not claimed. The source may drop evidence whose time is over.
        let left_out = |step: &Step| {
            matches!(step, Step::Paused) || last && matches!(step, Step::Swept | Step::Later(_))
        };
        let taken = |step: &&Step| !left_out(step);
        for step in steps.iter().filter(taken) {
            now += 1;
            hands.set(now);
            take(&source, &hands, &mut now, step).await;
        }
        // The source may undo a confirmation that was not claimed yet; an import never undoes one. So all are claimed.
        let none = Duration::from_secs(1);
        source.claim(100, none, &Quotas::default()).await.expect("claimed");
        now += 1;
        let mut records = all(&source, 100).await;
        records.sort_by_key(|record: &Record| matches!(record, Record::Parked(_)));
        for store in [&twice, &once].into_iter().take(if last { 2 } else { 1 }) {
            for chunk in records.chunks(7) {
                assert_eq!(adopt(store, chunk).await.differs, 0);
            }
        }
    }
    let stays = |records: Vec<Record>| {
        let is_parked = |record: &Record| matches!(record, Record::Parked(_));
        let (waits, stays): (Vec<_>, Vec<_>) = records.into_iter().partition(is_parked);
        // Parked evidence that only a further message could need may differ by the order of reading: leave it out.
        let is_waiting = |record: &Record| match record {
            Record::Parked(parked) => parked.is_waiting(),
            Record::Message(_)
            | Record::Link { .. }
            | Record::Counted { .. }
            | Record::Sender { .. }
            | Record::Automatic { .. }
            | Record::Names { .. }
            | Record::Hold { .. } => true,
        };
        // The reason may be that of either export: which of the two is newer is not in the record.
        let without_reason = |mut record: Record| {
            if let Record::Parked(parked) = &mut record {
                parked.reason = Reason::NoMessage;
            }
            record
        };
        let waits = waits.into_iter().filter(is_waiting).map(without_reason);
        // A source that confirmed and withdrew in between has lost its note of which message was confirmed instead.
        let without_note = |mut record: Record| {
            if let Record::Message(message) = &mut record {
                message.converted_by = None;
            }
            record
        };
        let stays = stays.into_iter().map(without_note);
        (lines(&waits.collect::<Vec<_>>()), lines(&stays.collect::<Vec<_>>()))
    };
    let (mine, theirs) = (stays(all(&twice, 100).await), stays(all(&once, 100).await));
    let missing: Vec<_> = theirs.1.iter().filter(|line| !mine.1.contains(line)).collect();
    let spare: Vec<_> = mine.1.iter().filter(|line| !theirs.1.contains(line)).collect();
    assert_eq!((missing, spare), (Vec::new(), Vec::new()));
    assert!(theirs.0.iter().all(|line| mine.0.contains(line)), "{:?} {:?}", theirs.0, mine.0);
    assert_eq!(twice.counts().messages, once.counts().messages);
    assert_eq!(twice.counts().links, once.counts().links);
    hands.set(now + 31);
    let lease = Duration::from_secs(30);
    let mut due = Vec::new();
    for store in [&twice, &once] {
        let claims = store.claim(100, lease, &Quotas::default()).await.expect("claimed");
        let mut sids: Vec<_> = claims.iter().map(|claim| claim.feedback.message).collect();
        sids.sort();
        due.push(sids);
    }
    assert_eq!(due[0], due[1]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_store_holds_goes_over_and_comes_back_the_same(
        steps in prop::collection::vec(step(), 1..60),
        at_once in 1..20_usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(goes_over(steps, at_once, cut));
    }

    #[test]
    fn two_exports_of_a_growing_source_come_to_the_same_as_the_second(
        before in prop::collection::vec(step(), 1..40),
        after in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(grows(before, after));
    }
}
