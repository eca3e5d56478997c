//! The promises of export and import that each backend keeps.

use std::sync::Arc;
use std::time::Duration;

use heardback::domain::click_link::Link;
use heardback::domain::code::CodeKey;
use heardback::domain::feedback::{Claim, Settlement};
use heardback::domain::matching::{ObserveOutcome, Parked, Reason, RegisterOutcome};
use heardback::domain::message::{Message, Reference, Refusal, State};
use heardback::domain::sid::CallSid;
use heardback::domain::signal::{DedupId, EvidenceTarget, MessageUpdate, Signal};
use heardback::domain::trace::TraceParent;
use heardback::store::{ExportRecord, ImportOutcome, Quotas, Store, StoreError};
use jiff::Timestamp;

use crate::contract::{Backend, backends};
use crate::given::{
    DAY, HOUR, Hands, SENDER, account, acted, at, clicked, direct, link, person, policy, reference,
    registered, reply, service, shared, sid, signal, status, token,
};
use crate::overview::seen;
use crate::transfer::{all, import, import_all, lines, reconsider};

const LEASE: Duration = Duration::from_secs(30);

async fn claim(store: &Arc<dyn Store>) -> Vec<Claim> {
    store.claim(10, LEASE, &Quotas::default()).await.expect("claimed")
}

async fn remember(store: &Arc<dyn Store>, sighting: MessageUpdate) -> RegisterOutcome {
    store.remember(sighting).await.expect("remembered")
}

async fn observe(store: &Arc<dyn Store>, signal: Signal) -> ObserveOutcome {
    store.observe(signal).await.expect("observed")
}

/// The result if all records existed already.
fn skipped(many: u64) -> ImportOutcome {
    ImportOutcome { skipped: many, ..ImportOutcome::default() }
}

async fn state(store: &Arc<dyn Store>, n: u32) -> Option<State> {
    store.show(sid(n)).await.expect("looked up").map(|message| message.state)
}

/// The place of a store, and the store.
type Place = (Box<dyn Backend>, Arc<dyn Store>);

/// Two stores with the same key; the test moves both clocks together.
fn pair(hands: &Hands) -> [Place; 2] {
    let place = || {
        let backend = backends().remove(0);
        let store = backend.usual(hands);
        (backend, store)
    };
    [place(), place()]
}

/// Records of every kind, in every state.
async fn fill(store: &Arc<dyn Store>, hands: &Hands) {
    for n in 1..=4 {
        remember(store, MessageUpdate { reference: Some(reference("a")), ..registered(n, 0) })
            .await;
    }
    let code = Some(CodeKey::new(b"app key").hmac(sid(5), "123456"));
    let fifth =
        MessageUpdate { code, service: Some(service(1)), by_twilio: true, ..registered(5, 1) };
    remember(store, fifth).await;
    remember(store, status(6, "sent", 1)).await;
    remember(store, status(7, "undelivered", 1)).await;
    remember(
        store,
        MessageUpdate { status: status(7, "undelivered", 1).status, ..registered(8, 1) },
    )
    .await;
    hands.set(2);
    for n in [1, 2, 4] {
        let trace = TraceParent::new([7; 16], [9; 8], 1);
        observe(store, Signal { trace, ..direct(n, 2) }).await;
    }
    for claim in claim(store).await {
        let n = claim.feedback.message;
        let refusal = Refusal { status: Some(400), code: Some(21_609), message: "no".to_owned() };
        if n == sid(1) {
            store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
        } else if n == sid(2) {
            let refused = Settlement::Refused(refusal);
            store.settle(claim.lease, refused, None).await.expect("settled");
        }
    }
    observe(store, direct(0x99, 2)).await;
    observe(store, shared("nobody", 2)).await;
    observe(store, reply(1, 2)).await;
    let call = CallSid::parse("CA0123456789abcdef0123456789abcdef").expect("valid");
    let once = vec![DedupId::Call(call), DedupId::Event("an-event".to_owned())];
    observe(store, Signal { dedup_ids: once, ..acted(person(2), Some(SENDER), 2) }).await;
    store.keep_link(token(1).id(), link(Some("b"), 2)).await.expect("kept");
    let bound = Link { message: Some(sid(3)), ..link(None, 2) };
    store.keep_link(token(2).id(), bound).await.expect("kept");
    observe(store, clicked(3, 2)).await;
    store.hold(account()).await.expect("on hold");
}

#[tokio::test]
async fn an_import_into_an_empty_store_gives_the_same_export_and_survives_a_restart() {
    let hands = Hands::default();
    let [(_from, source), (to, target)] = pair(&hands);
    fill(&source, &hands).await;
    let records = all(&source, 1000).await;
    for kind in ["message", "parked", "link", "counted", "sender", "hold"] {
        let kind = format!("{{\"type\":\"{kind}\"");
        assert!(lines(&records).iter().any(|line| line.starts_with(&kind)), "{kind}");
    }
    for page_of in [1, 2, 7] {
        assert_eq!(all(&source, page_of).await, records, "pages of {page_of}");
    }

    let many = records.len() as u64;
    let new = ImportOutcome { added: many, holds: vec![account()], ..ImportOutcome::default() };
    assert_eq!(import(&target, &records).await, new);
    assert_eq!(import(&target, &records).await, skipped(many));
    assert_eq!(lines(&all(&target, 1000).await), lines(&records));
    assert_eq!(target.counts(), source.counts());
    let stats = target.stats().await.expect("counted");
    assert_eq!(seen(&stats), seen(&source.stats().await.expect("counted")));
    assert_eq!(stats.since_start().count(), 0, "imported events are not counted as new");
    assert_eq!(target.on_hold().await.expect("known"), source.on_hold().await.expect("known"));
    let bearing = target.messages_with_reference(reference("a"), 10).await.expect("found");
    assert_eq!(bearing.len(), 4);

    let counts = target.counts();
    target.close().await;
    let target = to.usual(&hands);
    assert_eq!(
        (target.counts(), seen(&target.stats().await.expect("counted"))),
        (counts, seen(&stats))
    );
    assert_eq!(lines(&all(&target, 3).await), lines(&records));
}

#[tokio::test]
async fn an_imported_confirmation_is_due_and_an_imported_report_is_not() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    for n in 1..=3 {
        remember(&source, registered(n, 0)).await;
        observe(&source, direct(n, 0)).await;
    }
    let claims = source.claim(2, LEASE, &Quotas::default()).await.expect("claimed");
    source.settle(claims[0].lease, Settlement::Reported, None).await.expect("settled");
    let under_way = claims[1].feedback.message;

    import(&target, &all(&source, 1000).await).await;
    // The worker is woken, because a message may be due now.
    tokio::time::timeout(LEASE, target.changed()).await.expect("it is woken");
    let first = claim(&target).await;
    assert_eq!(first.len(), 1);
    assert_ne!(first[0].feedback.message, under_way);
    hands.set(31);
    let second: Vec<_> = claim(&target).await.into_iter().map(|c| c.feedback.message).collect();
    assert!(second.contains(&under_way), "its attempt ended with the source");
    assert!(!second.contains(&claims[0].feedback.message), "reported already");
}

#[tokio::test]
async fn an_imported_message_has_no_lease_and_only_a_confirmed_one_is_due() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    remember(&source, registered(1, 0)).await;
    observe(&source, direct(1, 0)).await;
    remember(&source, registered(2, 0)).await;
    let mut records = all(&source, 1000).await;
    for record in &mut records {
        let ExportRecord::Message(message) = record else { continue };
        message.delivery.lease = Some(17);
        message.delivery.due_at = (message.state == State::Pending).then(|| at(0));
    }
    import(&target, &records).await;
    assert_eq!(claim(&target).await.len(), 1, "the confirmed one");
    let pending = target.show(sid(2)).await.expect("looked up").expect("there");
    assert_eq!((pending.delivery.lease, pending.delivery.due_at), (None, None));
}

#[tokio::test]
async fn an_existing_record_that_differs_is_kept_and_counted() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    for store in [&source, &target] {
        remember(store, registered(1, 0)).await;
        store.keep_link(token(1).id(), link(None, 0)).await.expect("kept");
        remember(store, MessageUpdate { service: Some(service(1)), ..registered(2, 0) }).await;
    }
    observe(&target, direct(1, 1)).await;
    hands.set(5);
    source.hold(account()).await.expect("on hold");
    hands.set(3);
    target.hold(account()).await.expect("on hold");
    let before = lines(&all(&target, 1000).await);
    let outcome = import_all(&target, &all(&source, 1000).await).await;
    // The confirmed message and the earlier hold.
    let kept_messages = vec![sid(1)];
    let expected = ImportOutcome { skipped: 2, kept: 2, kept_messages, ..ImportOutcome::default() };
    assert_eq!(outcome, expected);
    assert_eq!(lines(&all(&target, 1000).await), before);
    assert_eq!(target.on_hold().await.expect("known").get(&account()), Some(&at(3)));
}

#[tokio::test]
async fn a_later_export_adds_what_happened_since_and_nothing_is_reported_twice() {
    let hands = Hands::default();
    let [(_from, source), (to, target)] = pair(&hands);
    for n in 1..=3 {
        remember(&source, registered(n, 0)).await;
    }
    remember(&source, status(4, "sent", 0)).await;
    source.keep_link(token(1).id(), link(Some("a"), 0)).await.expect("kept");
    import_all(&target, &all(&source, 1000).await).await;
    // This store confirmed message 1 itself, and its attempt is under way.
    observe(&target, direct(1, 1)).await;
    assert_eq!(claim(&target).await.len(), 1);

    hands.set(2);
    observe(&source, direct(1, 1)).await;
    let first = claim(&source).await.remove(0);
    source.settle(first.lease, Settlement::Reported, None).await.expect("settled");
    observe(&source, direct(2, 2)).await;
    remember(&source, MessageUpdate { link: Some(token(1).id()), ..registered(3, 0) }).await;
    remember(&source, registered(4, 0)).await;
    let outcome = import_all(&target, &all(&source, 1000).await).await;
    let confirmed = vec![(sid(2), account())];
    assert_eq!((outcome.updated, outcome.kept, outcome.confirmed), (5, 0, confirmed));
    for (n, at) in [(1, State::Reported), (2, State::Confirmed), (4, State::Pending)] {
        assert_eq!(state(&target, n).await, Some(at), "{n}");
    }
    let bound = target.link(token(1).id()).await.expect("looked up").expect("there");
    assert_eq!(bound.message, Some(sid(3)));
    let stats = target.stats().await.expect("counted");
    assert_eq!(seen(&stats), seen(&source.stats().await.expect("counted")));
    let news = stats.since_start().map(|(_, _, tally)| (tally.confirmed, tally.reported));
    let news = news.fold((0, 0), |all, of| (all.0 + of.0, all.1 + of.1));
    assert_eq!(news, (1, 0), "message 1 only: imported events are not counted as new");
    hands.set(40);
    let due: Vec<_> = claim(&target).await.iter().map(|claim| claim.feedback.message).collect();
    assert_eq!(due, [sid(2)]);
    let before = (target.counts(), seen(&stats));
    target.close().await;
    let target = to.usual(&hands);
    assert_eq!((target.counts(), seen(&target.stats().await.expect("counted"))), before);
}

#[tokio::test]
async fn a_message_known_from_a_callback_gets_the_other_fields_and_parked_evidence_applies() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    let code = Some(CodeKey::new(b"app key").hmac(sid(1), "123456"));
    let reference = Some(reference("a"));
    remember(&source, MessageUpdate { code, reference, ..registered(1, 0) }).await;
    hands.set(3);
    let met = MessageUpdate { recipient: None, from: None, ..status(1, "delivered", 3) };
    remember(&target, met).await;
    let parked = observe(&target, shared("a", 5)).await;
    assert!(matches!(parked, ObserveOutcome::Parked { .. }), "{parked:?}");
    let outcome = import(&target, &all(&source, 1000).await).await;
    assert_eq!((outcome.updated, outcome.kept), (1, 0));
    let learned = message(&target, 1).await;
    let registered = message(&source, 1).await;
    assert_eq!(learned.state, State::Pending);
    assert_eq!(
        (&learned.code, &learned.reference, &learned.recipient, &learned.from),
        (&registered.code, &registered.reference, &registered.recipient, &registered.from)
    );
    assert_eq!(learned.expires_at, registered.expires_at);
    assert!(learned.receipts.arrived, "the callback's status stays");
    assert_eq!(reconsider(&target).await, [sid(1)]);
    assert_eq!(target.counts().parked, 0);
}

#[tokio::test]
async fn a_message_of_another_recipient_and_another_link_with_the_same_token_are_kept() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    remember(&target, registered(1, 0)).await;
    target.keep_link(token(1).id(), link(Some("a"), 0)).await.expect("kept");
    remember(&source, MessageUpdate { recipient: Some(person(2)), ..registered(1, 0) }).await;
    observe(&source, direct(1, 1)).await;
    source.keep_link(token(1).id(), link(Some("b"), 0)).await.expect("kept");
    let before = lines(&all(&target, 1000).await);
    let outcome = import_all(&target, &all(&source, 1000).await).await;
    assert_eq!((outcome.kept, outcome.kept_messages), (2, vec![sid(1)]));
    assert_eq!(lines(&all(&target, 1000).await), before);
}

/// One record of a kind, from a store with parked evidence.
async fn waiting(store: &Arc<dyn Store>) -> Parked {
    let records = all(store, 1000).await;
    let parked = records.into_iter().find_map(|record| match record {
        ExportRecord::Parked(parked) => Some(*parked),
        ExportRecord::Message(_)
        | ExportRecord::Link { .. }
        | ExportRecord::DedupKey { .. }
        | ExportRecord::Sender { .. }
        | ExportRecord::Automatic { .. }
        | ExportRecord::Names { .. }
        | ExportRecord::Hold { .. } => None,
    });
    parked.expect("parked evidence")
}

async fn message(store: &Arc<dyn Store>, n: u32) -> Message {
    store.show(sid(n)).await.expect("looked up").expect("there")
}

/// Each kind of evidence is parked, then proves its message between two pages of the export, so that both are in it.
#[tokio::test]
async fn evidence_that_was_settled_during_the_export_proves_no_second_message() {
    let bearing = || MessageUpdate { reference: Some(reference("a")), ..registered(1, 0) };
    let kinds: [(Signal, MessageUpdate); 5] = [
        (direct(1, 1), registered(1, 0)),
        (shared("a", 1), bearing()),
        (clicked(1, 1), bearing()),
        (acted(person(1), Some(SENDER), 1), registered(1, 0)),
        (clicked(1, 1), MessageUpdate { link: Some(token(1).id()), ..registered(1, 0) }),
    ];
    for (evidence, sighting) in kinds {
        for evidence_first in [true, false] {
            let hands = Hands::default();
            let [(_from, source), (_to, target)] = pair(&hands);
            hands.set(1);
            let made = link(sighting.reference.as_ref().map(Reference::as_str), 0);
            source.keep_link(token(1).id(), made).await.expect("kept");
            let parked = observe(&source, evidence.clone()).await;
            assert!(matches!(parked, ObserveOutcome::Parked { .. }), "{parked:?}");
            let evidence_read = waiting(&source).await;
            hands.set(2);
            let remembered = remember(&source, sighting.clone()).await;
            assert_eq!(remembered.confirmed, [sid(1)]);
            let mut records = all(&source, 1000).await;
            let at = if evidence_first { 0 } else { records.len() };
            records.insert(at, ExportRecord::Parked(Box::new(evidence_read)));

            import_all(&target, &records).await;
            assert_eq!(target.counts().parked, 0, "{evidence:?}");
            assert_eq!(message(&target, 1).await, message(&source, 1).await);
            // Its report had begun, so its evidence is no longer kept: a newer message stays
            // pending.
            assert_eq!(claim(&target).await.len(), 1);
            let later = MessageUpdate { recipient: sighting.recipient, ..registered(2, 0) };
            let reference = sighting.reference.clone();
            remember(&target, MessageUpdate { reference, ..later }).await;
            import_all(&target, &records).await;
            assert_eq!(target.counts().parked, 0, "{evidence:?}");
            assert_eq!(state(&target, 2).await, Some(State::Pending), "{evidence:?}");
        }
    }
}

/// The two pieces have one time and one label, and name different targets.
#[tokio::test]
async fn evidence_beside_the_evidence_that_proved_a_message_is_not_dropped() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    observe(&source, direct(1, 0)).await;
    observe(&source, shared("a", 0)).await;
    // The reference was set only after the person acted.
    let late = MessageUpdate { reference: Some(reference("a")), ..registered(1, HOUR) };
    assert_eq!(remember(&source, late).await.confirmed, [sid(1)]);
    assert_eq!(source.counts().parked, 1);
    let records = all(&source, 1000).await;
    import_all(&target, &records).await;
    assert_eq!(lines(&all(&target, 1000).await), lines(&records));
}

#[tokio::test]
async fn parked_evidence_of_either_store_confirms_a_message_of_the_other() {
    for evidence in [direct(1, 1), acted(person(1), Some(SENDER), 1)] {
        for evidence_is_here in [true, false] {
            let hands = Hands::default();
            let [(_from, source), (_to, target)] = pair(&hands);
            let (its, other) =
                if evidence_is_here { (&target, &source) } else { (&source, &target) };
            observe(its, evidence.clone()).await;
            hands.set(2);
            remember(other, registered(1, 0)).await;
            let records = all(&source, 1000).await;
            assert_eq!(import(&target, &records).await.added, 1);
            assert_eq!(reconsider(&target).await, [sid(1)]);
            let found = message(&target, 1).await;
            assert_eq!((found.state, found.parked_at), (State::Confirmed, Some(at(0))));
            assert_eq!(target.counts().parked, 0);
            assert_eq!(claim(&target).await.len(), 1);
            import_all(&target, &records).await;
            assert_eq!((target.counts().parked, claim(&target).await.len()), (0, 0));
        }
    }
}

/// A reply proves the newest matching message, which may come last in the export.
#[tokio::test]
async fn evidence_by_person_confirms_nothing_before_all_messages_are_imported() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    remember(&source, registered(1, 10)).await;
    remember(&source, status(1, "delivered", 11)).await;
    remember(&source, registered(2, 50)).await;
    remember(&source, status(2, "delivered", 51)).await;
    let records = all(&source, 1000).await;
    hands.set(60);
    // The receiver got the reply before it knew either message.
    let parked = observe(&target, acted(person(1), Some(SENDER), 60)).await;
    assert!(
        matches!(parked, ObserveOutcome::Parked { reason: Reason::NoMessage, .. }),
        "{parked:?}"
    );
    for n in [1, 2] {
        let is_it = |record: &&ExportRecord| matches!(record, ExportRecord::Message(it) if it.sid == sid(n));
        let one: Vec<ExportRecord> = records.iter().filter(is_it).cloned().collect();
        assert_eq!(import(&target, &one).await.added, 1);
        assert_eq!(claim(&target).await, [], "nothing is posted after {n}");
    }
    assert_eq!(reconsider(&target).await, [sid(2)]);
    assert_eq!(state(&target, 1).await, Some(State::Pending));
}

/// The export has the evidence before the messages, and the messages not in order of age.
#[tokio::test]
async fn a_sweep_during_an_import_judges_no_evidence_with_part_of_the_messages() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    let named =
        |n, seconds| MessageUpdate { reference: Some(reference("r")), ..registered(n, seconds) };
    remember(&source, named(1, 0)).await;
    remember(&source, status(1, "delivered", 1)).await;
    hands.set(2 * HOUR);
    remember(&source, named(2, 2 * HOUR)).await;
    remember(&source, status(2, "delivered", 2 * HOUR)).await;
    hands.set(3 * HOUR);
    let parked = observe(&source, shared("r", 3 * HOUR)).await;
    assert!(
        matches!(parked, ObserveOutcome::Parked { reason: Reason::NewerMayCome, .. }),
        "{parked:?}"
    );
    let records = all(&source, 1000).await;
    hands.set(3 * HOUR + 660);
    let is_second =
        |record: &ExportRecord| matches!(record, ExportRecord::Message(it) if it.sid == sid(2));
    let (second, others): (Vec<_>, Vec<_>) = records.iter().cloned().partition(is_second);
    import(&target, &others).await;
    target.expire(1000).await.expect("swept");
    assert_eq!(claim(&target).await, []);
    import(&target, &second).await;
    assert_eq!(reconsider(&target).await, [sid(2)]);
    assert_eq!(state(&target, 1).await, Some(State::Pending));
}

/// Traffic during an import may judge evidence with only some of the messages.
#[tokio::test]
async fn a_provisional_confirmation_of_an_unfinished_import_is_corrected_at_its_end() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    remember(&source, registered(2, 50)).await;
    remember(&source, status(2, "delivered", 51)).await;
    hands.set(60);
    remember(&target, registered(1, 10)).await;
    let observed = observe(&target, acted(person(1), Some(SENDER), 60)).await;
    assert_eq!(observed, ObserveOutcome::Confirmed(sid(1)));
    import(&target, &all(&source, 1000).await).await;
    assert_eq!(reconsider(&target).await, [sid(2)]);
    assert_eq!(state(&target, 1).await, Some(State::Pending));
}

/// Until then the evidence was kept briefly, because other evidence seemed to have confirmed its
/// message.
#[tokio::test]
async fn evidence_with_a_longer_lifetime_in_the_export_replaces_the_same_evidence_here() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    observe(&source, shared("a", 1)).await;
    let waiting = waiting(&source).await;
    let known = Parked { reason: Reason::Known, ..waiting.clone() };
    import(&target, &[ExportRecord::Parked(Box::new(known.clone()))]).await;
    let outcome = import(&target, &[ExportRecord::Parked(Box::new(waiting.clone()))]).await;
    assert_eq!((outcome.updated, target.counts().parked), (1, 1));
    let outcome = import(&target, &[ExportRecord::Parked(Box::new(known))]).await;
    assert_eq!((outcome.kept, target.counts().parked), (1, 1));
}

/// The source judged the evidence as used up, because direct evidence confirmed the first message. It removed the
/// evidence at once, or kept it for a newer message that did not come in time.
#[tokio::test]
async fn evidence_that_the_source_used_up_between_two_exports_confirms_no_second_message() {
    for acted_at in [1000, 1700] {
        let hands = Hands::default();
        let [(_from, source), (_to, target)] = pair(&hands);
        let named = |n| MessageUpdate { reference: Some(reference("a")), ..registered(n, 0) };
        remember(&source, named(1)).await;
        remember(&source, status(2, "sent", 1)).await;
        hands.set(1000);
        observe(&source, shared("a", 1000)).await;
        let before = all(&source, 1000).await;
        import_all(&target, &before).await;
        assert_eq!(target.counts().parked, 1);
        hands.set(acted_at);
        observe(&source, direct(1, acted_at)).await;
        hands.set(1800);
        remember(&source, MessageUpdate { seen_at: at(1800), ..named(2) }).await;
        assert_eq!(state(&source, 2).await, Some(State::Pending));
        let after = all(&source, 1000).await;
        for records in [&after, &before] {
            let (evidence, others): (Vec<_>, Vec<_>) =
                records.iter().cloned().partition(|it| matches!(it, ExportRecord::Parked(_)));
            import(&target, &others).await;
            import_all(&target, &evidence).await;
            assert_eq!(state(&target, 1).await, Some(State::Confirmed), "{acted_at}");
            assert_eq!(state(&target, 2).await, Some(State::Pending), "{acted_at}");
        }
    }
}

#[tokio::test]
async fn an_imported_orphan_proves_nothing() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    observe(&source, direct(1, 0)).await;
    hands.set(8 * DAY);
    source.expire(100).await.expect("swept");
    assert_eq!(source.counts().orphaned, 1);
    remember(&target, registered(1, 8 * DAY)).await;
    import_all(&target, &all(&source, 1000).await).await;
    assert_eq!((target.counts().orphaned, state(&target, 1).await), (1, Some(State::Pending)));
}

#[tokio::test]
async fn an_act_that_the_source_counted_is_a_duplicate_here() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    let call = CallSid::parse("CA0123456789abcdef0123456789abcdef").expect("valid");
    let kinds =
        [DedupId::Call(call), DedupId::Event("an-event".to_owned()), DedupId::Message(sid(9))];
    for (n, once) in (0..).zip(&kinds) {
        observe(&source, Signal { dedup_ids: vec![once.clone()], ..shared("x", n) }).await;
    }
    import(&target, &all(&source, 1000).await).await;
    for once in kinds {
        let again = Signal { dedup_ids: vec![once.clone()], ..direct(1, 1) };
        assert_eq!(
            observe(&target, again).await,
            ObserveOutcome::NotConfirmed(Reason::Duplicate),
            "{once:?}"
        );
    }
}

#[tokio::test]
async fn a_confirmed_message_without_its_proof_is_refused_with_the_whole_import() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    remember(&source, registered(1, 0)).await;
    remember(&source, registered(2, 0)).await;
    for state in [State::Confirmed, State::Reported, State::Refused] {
        let mut records = all(&source, 1000).await;
        if let Some(ExportRecord::Message(message)) = records.last_mut() {
            message.state = state;
        }
        let refused = target.import(records).await.expect_err("refused");
        assert!(refused.to_string().contains("nothing is said to prove it"), "{refused}");
        assert_eq!(target.counts().total(), 0);
    }
}

/// jiff cannot parse the last representable second with milliseconds.
#[tokio::test]
async fn a_time_that_could_not_be_parsed_again_is_refused_and_the_store_stays_valid() {
    let hands = Hands::default();
    let [(_from, source), (to, target)] = pair(&hands);
    fill(&source, &hands).await;
    let beyond = Timestamp::MAX;
    let records = all(&source, 1000).await;
    let spoilt = records.iter().filter_map(|record| {
        let mut record = record.clone();
        match &mut record {
            ExportRecord::Message(message) => message.created_at = beyond,
            ExportRecord::Parked(parked) => parked.until = beyond,
            ExportRecord::Link { link, .. } => link.created_at = beyond,
            ExportRecord::DedupKey { at, .. } => *at = beyond,
            ExportRecord::Hold { since, .. } => *since = beyond,
            ExportRecord::Automatic { automatic, .. } => automatic.until = beyond,
            ExportRecord::Names { tied, .. } => tied.seen_at = beyond,
            ExportRecord::Sender { .. } => return None,
        }
        Some(record)
    });
    for record in spoilt {
        // As a file has it, and as the store's method gets it.
        let text = serde_json::to_string(&record).expect("JSON");
        assert!(
            text.contains(".999Z") && serde_json::from_str::<ExportRecord>(&text).is_err(),
            "{text}"
        );
        let refused = target.import(vec![record]).await.expect_err("refused");
        assert!(refused.to_string().contains("read again"), "{refused}");
    }
    assert_eq!(all(&target, 1000).await, []);
    target.close().await;
    import(&to.usual(&hands), &records).await;
}

#[tokio::test]
async fn more_records_than_the_limit_are_refused_as_a_whole() {
    let hands = Hands::default();
    let [(_from, source), (_, _)] = pair(&hands);
    for n in 1..=3 {
        remember(&source, registered(n, 0)).await;
        let id = token(u8::try_from(n).expect("small")).id();
        source.keep_link(id, link(None, 0)).await.expect("kept");
    }
    let records = all(&source, 1000).await;
    let is_link = |record: &&ExportRecord| matches!(record, ExportRecord::Link { .. });
    let (links, messages): (Vec<_>, Vec<_>) = records.iter().partition(is_link);
    for (some, of) in [(links, "links"), (messages, "messages")] {
        let some: Vec<ExportRecord> = some.into_iter().cloned().collect();
        let to = backends().remove(0);
        let target = to.open(&hands, policy(), 2);
        let refused = target.import(some.clone()).await.expect_err("refused");
        let StoreError::Unavailable { reason, .. } = refused else { panic!("{refused:?}") };
        assert!(
            reason.contains(&format!("the limit of 2 {of} (HEARDBACK_MAX_MESSAGES)")),
            "{reason}"
        );
        assert_eq!(all(&target, 1000).await, []);
        import(&target, &some[..2]).await;
        assert_eq!(import(&target, &some[..2]).await.skipped, 2, "equal records need no room");
    }
}

#[tokio::test]
async fn imported_messages_are_confirmed_by_codes_replies_and_late_events() {
    let hands = Hands::default();
    let [(_from, source), (_to, target)] = pair(&hands);
    let code = Some(CodeKey::new(b"app key").hmac(sid(1), "123456"));
    remember(&source, MessageUpdate { code, ..registered(1, 0) }).await;
    remember(&source, registered(2, 5)).await;
    import(&target, &all(&source, 1000).await).await;
    assert_eq!(message(&target, 1).await.code, code);
    remember(&target, status(2, "delivered", 6)).await;
    hands.set(HOUR / 2);
    // Found by the person, who is known by a hash only.
    assert_eq!(observe(&target, reply(1, 10)).await, ObserveOutcome::Confirmed(sid(2)));
    let named = signal(EvidenceTarget::Message(sid(1)), HOUR / 2);
    assert_eq!(observe(&target, named).await, ObserveOutcome::Confirmed(sid(1)));
}
