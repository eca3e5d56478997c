//! One person with several addresses: forms through the real parsers, into the reference
//! implementation and every store.

use std::sync::Arc;
use std::time::Duration;

use heardback::domain::address::{Address, RecipientHashKey};
use heardback::domain::feedback::Settlement;
use heardback::domain::matching::{ObserveOutcome, Reason};
use heardback::domain::message::{State, Status};
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{MessageUpdate, Signal};
use heardback::store::{ExportRecord, Quotas, Store};
use heardback::twilio::app;
use heardback::twilio::callback::{self, ParseContext, Relay};
use heardback::twilio::fields::{FieldSpelling, Fields};
use heardback::twilio::form;

use crate::contract::backends;
use crate::given::{DAY, Hands, at, direct, policy, reason};
use crate::reference_store::ReferenceStore;
use crate::transfer::{all, import};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const OTHER_ACCOUNT: &str = "AC1123456789abcdef0123456789abcdef";
const US: &str = "whatsapp:+15017122661";
const ANNA: &str = "whatsapp:+15551230001";
const BERT: &str = "whatsapp:+15551230002";
const ANNA_ID: &str = "US.13491208655302741918";
const BERT_ID: &str = "US.24680246802468024680";

/// Parses forms as the routes do, for one account.
#[derive(Clone, Copy)]
struct Reader<'a> {
    key: &'a RecipientHashKey,
    account: &'a str,
    relay: Relay,
}

impl<'a> Reader<'a> {
    fn of(key: &'a RecipientHashKey) -> Self {
        Self { key, account: ACCOUNT, relay: Relay::Direct }
    }

    fn context(&self, seconds: i64) -> ParseContext<'a> {
        ParseContext {
            account: AccountSid::parse(self.account).expect("valid"),
            others: &[],
            recipient_hash_key: self.key,
            code_keys: &[],
            ignores_crawlers: true,
            reference_tag: None,
            relay: self.relay,
            now: at(seconds),
            trace: None,
        }
    }

    fn fields(&self, sid: MessageSid, more: &[(&str, &str)], spelling: FieldSpelling) -> Fields {
        let sid = sid.to_string();
        let mut all = vec![("MessageSid", sid.as_str()), ("AccountSid", self.account)];
        all.extend_from_slice(more);
        let form = serde_urlencoded::to_string(all).expect("encodes");
        Fields::from_pairs(&form::pairs(form.as_bytes()), spelling).expect("UTF-8")
    }

    /// The app registers message `n`, created at that second.
    fn registered(&self, n: u32, to: &str, seconds: i64) -> MessageUpdate {
        let created = at(seconds).to_string();
        let more = [("To", to), ("From", US), ("CreatedAt", &*created)];
        let fields = self.fields(self.sid(n), &more, FieldSpelling::Any);
        let read = app::message(&fields, &self.context(seconds)).expect("read");
        read.message.expect("a message")
    }

    /// Twilio reports message `n` as delivered, with the feedback setting in the callback's URL.
    fn delivered(&self, n: u32, to: &str, more: &[(&str, &str)], seconds: i64) -> MessageUpdate {
        let usual = [("To", to), ("From", US), ("MessageStatus", "delivered")];
        let fields = self.fields(self.sid(n), &[&usual[..], more].concat(), FieldSpelling::Twilio);
        let query =
            Fields::from_pairs(&form::pairs(b"feedback=1"), FieldSpelling::Twilio).expect("UTF-8");
        callback::status(&fields, &query, &self.context(seconds)).expect("read")
    }

    fn reply(&self, n: u32, from: &str, more: &[(&str, &str)], seconds: i64) -> Signal {
        let usual = [("From", from), ("To", US), ("Body", "thanks")];
        let fields =
            self.fields(self.sid(0x100 + n), &[&usual[..], more].concat(), FieldSpelling::Twilio);
        callback::reply(&fields, &self.context(seconds)).expect("read")
    }

    /// The SID of message `n`, which differs between the accounts.
    fn sid(&self, n: u32) -> MessageSid {
        let own = u32::from(self.account == OTHER_ACCOUNT) << 16;
        crate::given::sid(own + n)
    }
}

fn id(id: &str) -> String {
    format!("whatsapp:{id}")
}

/// A message update or a signal, which may come at any time.
#[derive(Debug, Clone)]
enum Fact {
    Seen(Box<MessageUpdate>),
    Did(Box<Signal>),
}

fn every_order(facts: &[Fact]) -> Vec<Vec<Fact>> {
    if facts.len() < 2 {
        return vec![facts.to_vec()];
    }
    let mut orders = Vec::new();
    for first in 0..facts.len() {
        let mut rest = facts.to_vec();
        let first = rest.remove(first);
        for mut order in every_order(&rest) {
            order.insert(0, first.clone());
            orders.push(order);
        }
    }
    orders
}

fn book() -> ReferenceStore {
    let mut book = ReferenceStore::default();
    book.now = 300;
    book
}

fn told(facts: Vec<Fact>) -> ReferenceStore {
    let mut book = book();
    for fact in facts {
        match fact {
            Fact::Seen(sighting) => drop(book.remember(&sighting)),
            Fact::Did(signal) => drop(book.observe(&signal)),
        }
    }
    book
}

#[test]
fn whichever_webhook_has_both_addresses_and_in_any_order_the_newest_message_is_confirmed() {
    let key = RecipientHashKey::new(b"key");
    let by = Reader::of(&key);
    let tied = [("ExternalUserId", ANNA_ID)];
    let both = [("ExternalUserId", ANNA_ID), ("ParentExternalUserId", "US.ENT.118157992128868")];
    let older = Fact::Seen(Box::new(by.registered(1, ANNA, 0)));
    let newer = |more| Fact::Seen(Box::new(by.delivered(2, &id(ANNA_ID), more, 60)));
    let reply = |more| Fact::Did(Box::new(by.reply(1, ANNA, more, 120)));
    let receipt = Fact::Seen(Box::new(by.delivered(1, ANNA, &tied, 30)));
    for facts in [
        vec![older.clone(), newer(&tied), reply(&tied)],
        vec![older.clone(), newer(&tied), receipt.clone(), reply(&[])],
        vec![older, newer(&both), receipt, reply(&both)],
    ] {
        for order in every_order(&facts) {
            let words = format!("{order:?}");
            let book = told(order);
            let states = [book.state(by.sid(1)), book.state(by.sid(2))];
            assert_eq!(states, [State::Pending, State::Confirmed], "{words}");
        }
    }
}

/// An id without a known number shields.
#[test]
fn a_newer_message_to_an_unlinked_address_shields_the_older_one() {
    let key = RecipientHashKey::new(b"key");
    let by = Reader::of(&key);
    let (anna_id, bert_id) = (id(ANNA_ID), id(BERT_ID));
    // Message 1 to one kind of name, message 2 to the other, and a reply from the first.
    for (first, second) in
        [(ANNA, &*anna_id), (&*anna_id, ANNA), (ANNA, &*bert_id), (&*bert_id, ANNA)]
    {
        let mut book = book();
        book.remember(&by.registered(1, first, 0));
        book.remember(&by.delivered(2, second, &[], 60));
        let observed = book.observe(&by.reply(1, first, &[], 120));
        assert_eq!(reason(&observed), Some(Reason::RecipientUnknown), "{first} {second}");
        assert!(book.confirmed().is_empty());
    }
}

/// The shield must not affect evidence of other persons.
#[test]
fn only_a_newer_message_from_the_same_sender_to_an_unlinked_address_of_the_other_kind_shields() {
    let key = RecipientHashKey::new(b"key");
    let by = Reader::of(&key);
    let with = |between: &[MessageUpdate], more: &[(&str, &str)]| {
        let mut book = book();
        book.remember(&by.registered(1, ANNA, 0));
        for sighting in between {
            book.remember(sighting);
        }
        book.observe(&by.reply(1, ANNA, more, 120))
    };
    let confirmed = ObserveOutcome::Confirmed(by.sid(1));
    let bert = id(BERT_ID);
    let own = [("ExternalUserId", ANNA_ID)];
    let untied = by.delivered(2, &bert, &[], 60);
    // The webhook has this person's id, so another id is another person.
    assert_eq!(with(std::slice::from_ref(&untied), &own), confirmed);
    assert_eq!(with(&[by.delivered(1, ANNA, &own, 30), untied.clone()], &[]), confirmed);
    // The other id is linked to another number, before or after.
    let elsewhere = by.delivered(3, BERT, &[("ExternalUserId", BERT_ID)], 40);
    assert_eq!(with(&[elsewhere, untied.clone()], &[]), confirmed);
    let other_sender =
        MessageUpdate { from: Some("whatsapp:+15017122662".to_owned()), ..untied.clone() };
    let older = by.registered(2, &bert, -60);
    let younger = by.registered(2, &bert, 180);
    let failed = MessageUpdate { status: Status::parse("undelivered"), ..untied.clone() };
    let sms = by.delivered(2, "+15551230009", &[], 60);
    let a_number = by.delivered(2, BERT, &[], 60);
    for between in [other_sender, older, younger, failed, sms, a_number] {
        assert_eq!(with(std::slice::from_ref(&between), &[]), confirmed, "{between:?}");
    }
    let of_other = Reader { account: OTHER_ACCOUNT, ..by }.delivered(2, &bert, &[], 60);
    assert_eq!(with(&[of_other], &[]), confirmed);
}

/// A quote or a code names its own message, so a message to another address does not shield it.
#[test]
fn a_quote_selects_its_message_despite_a_newer_one_to_another_address() {
    let key = RecipientHashKey::new(b"key");
    let by = Reader::of(&key);
    let mut book = book();
    book.remember(&by.registered(1, ANNA, 0));
    book.remember(&by.delivered(2, &id(BERT_ID), &[], 60));
    let quoted = by.sid(1).to_string();
    let more = [("OriginalRepliedMessageSid", &*quoted)];
    assert_eq!(book.observe(&by.reply(1, ANNA, &more, 120)), ObserveOutcome::Confirmed(by.sid(1)));
}

#[test]
fn a_reply_from_an_id_confirms_the_message_to_the_number_once_they_are_linked() {
    let key = RecipientHashKey::new(b"key");
    let by = Reader::of(&key);
    let tied = [("ExternalUserId", ANNA_ID)];
    let sent = Fact::Seen(Box::new(by.registered(1, ANNA, 0)));
    let receipt = Fact::Seen(Box::new(by.delivered(1, ANNA, &tied, 30)));
    let reply = Fact::Did(Box::new(by.reply(1, &id(ANNA_ID), &tied, 60)));
    for order in every_order(&[sent.clone(), receipt, reply]) {
        assert_eq!(told(order).state(by.sid(1)), State::Confirmed);
    }
    // If the user does not hide the number, the reply itself has both.
    let reply = Fact::Did(Box::new(by.reply(1, &id(ANNA_ID), &[("WaId", "15551230001")], 60)));
    for order in every_order(&[sent, reply]) {
        assert_eq!(told(order).state(by.sid(1)), State::Confirmed);
    }
}

#[test]
fn addresses_are_linked_only_by_requests_that_twilio_signed_and_within_their_account() {
    let key = RecipientHashKey::new(b"key");
    let by = Reader::of(&key);
    let tied = [("ExternalUserId", ANNA_ID)];
    let passed_on = Reader { relay: Relay::ViaApp, ..by };
    let of_other = Reader { account: OTHER_ACCOUNT, ..by };
    assert!(by.reply(1, ANNA, &tied, 0).names.is_some());
    assert!(passed_on.reply(1, ANNA, &tied, 0).names.is_none());
    assert!(passed_on.delivered(1, ANNA, &tied, 0).names.is_none());
    assert!(by.reply(1, "+15551230001", &tied, 0).names.is_none(), "not on WhatsApp");
    assert!(by.reply(1, ANNA, &[("ExternalUserId", "unknown")], 0).names.is_none());
    let mut book = book();
    book.remember(&by.registered(1, ANNA, 0));
    book.remember(&of_other.registered(1, ANNA, 0));
    book.remember(&of_other.delivered(1, ANNA, &tied, 30));
    let observed = book.observe(&by.reply(1, &id(ANNA_ID), &[], 60));
    assert_eq!(reason(&observed), Some(Reason::NoMessage), "another account linked them");
    let observed = book.observe(&of_other.reply(2, &id(ANNA_ID), &[], 60));
    assert_eq!(observed, ObserveOutcome::Confirmed(of_other.sid(1)));
}

#[test]
fn a_message_named_by_an_id_and_by_a_number_went_to_both() {
    let key = RecipientHashKey::new(b"key");
    let by = Reader::of(&key);
    let by_number = Fact::Seen(Box::new(by.registered(1, ANNA, 0)));
    let by_id = Fact::Seen(Box::new(by.delivered(1, &id(ANNA_ID), &[], 30)));
    for from in [ANNA, &*id(ANNA_ID)] {
        let reply = Fact::Did(Box::new(by.reply(1, from, &[], 60)));
        for order in every_order(&[by_number.clone(), by_id.clone(), reply]) {
            let book = told(order);
            assert_eq!(book.state(by.sid(1)), State::Confirmed, "{from}");
            assert_eq!(book.messages[&by.sid(1)].recipient, by.registered(1, ANNA, 0).recipient);
        }
    }
    let mut book = book();
    book.remember(&by.registered(1, ANNA, 0));
    assert!(book.try_remember(&by.registered(1, BERT, 0)).is_err(), "two numbers are two people");
}

async fn remember(store: &Arc<dyn Store>, sighting: MessageUpdate) {
    store.remember(sighting).await.expect("remembered");
}

async fn forget(store: &Arc<dyn Store>, text: &str) -> u64 {
    let address = Address::parse_recipient(text).expect("an address");
    store.forget(vec![address]).await.expect("forgotten").messages
}

fn names(records: &[ExportRecord]) -> usize {
    records.iter().filter(|record| matches!(record, ExportRecord::Names { .. })).count()
}

#[tokio::test]
async fn linked_addresses_survive_a_restart_and_a_transfer() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let key = store.recipient_hash_key().clone();
        let by = Reader::of(&key);
        let tied = by.reply(9, ANNA, &[("ExternalUserId", ANNA_ID)], -60);
        store.observe(tied).await.expect("observed");
        store.close().await;
        drop(store);
        let store = backend.usual(&hands);
        let exported = all(&store, 1000).await;
        assert_eq!(names(&exported), 1);
        remember(&store, by.registered(1, ANNA, 0)).await;
        let observed = store.observe(by.reply(1, &id(ANNA_ID), &[], 60)).await;
        assert_eq!(observed, Ok(ObserveOutcome::Confirmed(by.sid(1))));
        store.close().await;

        let elsewhere = backends().remove(0);
        let store = elsewhere.usual(&hands);
        let imported = import(&store, &exported).await;
        assert_eq!(imported.added, exported.len() as u64);
        let imported = import(&store, &exported).await;
        assert_eq!(imported.skipped, exported.len() as u64);
        assert_eq!(names(&all(&store, 1).await), 1);
    }
}

#[tokio::test]
async fn erasure_by_any_address_of_a_person_removes_the_records_of_all() {
    for name in [ANNA, "+15551230001", &*id(ANNA_ID), "US.ENT.118157992128868"] {
        let backend = backends().remove(0);
        let store = backend.usual(&Hands::default());
        let key = store.recipient_hash_key().clone();
        let by = Reader::of(&key);
        let tied =
            [("ExternalUserId", ANNA_ID), ("ParentExternalUserId", "US.ENT.118157992128868")];
        remember(&store, by.delivered(1, ANNA, &tied, 0)).await;
        remember(&store, by.registered(2, &id(ANNA_ID), 0)).await;
        remember(&store, by.registered(3, "+15551230001", 0)).await;
        remember(&store, by.delivered(4, BERT, &[("ExternalUserId", BERT_ID)], 0)).await;
        assert_eq!(forget(&store, name).await, 3, "{name}");
        let left = all(&store, 1000).await;
        assert_eq!((left.len(), names(&left)), (2, 1), "{name}: {left:?}");
    }
    // Two addresses that only a message links.
    for name in [ANNA, &*id(ANNA_ID)] {
        let backend = backends().remove(0);
        let store = backend.usual(&Hands::default());
        let key = store.recipient_hash_key().clone();
        let by = Reader::of(&key);
        remember(&store, by.delivered(1, &id(ANNA_ID), &[], 0)).await;
        remember(&store, by.registered(1, ANNA, 0)).await;
        remember(&store, by.registered(2, &id(ANNA_ID), 0)).await;
        remember(&store, by.registered(3, ANNA, 0)).await;
        assert_eq!(forget(&store, name).await, 3, "{name}");
        assert!(all(&store, 1000).await.is_empty());
    }
}

#[tokio::test]
async fn address_links_that_no_webhook_repeats_expire() {
    for backend in backends() {
        let hands = Hands::default();
        let store = backend.usual(&hands);
        let key = store.recipient_hash_key().clone();
        let by = Reader::of(&key);
        remember(&store, by.delivered(1, ANNA, &[("ExternalUserId", ANNA_ID)], 0)).await;
        hands.set(399 * DAY);
        while !store.expire(100).await.expect("swept").complete {}
        assert_eq!(names(&all(&store, 1000).await), 1);
        hands.set(401 * DAY);
        while !store.expire(100).await.expect("swept").complete {}
        assert_eq!(names(&all(&store, 1000).await), 0);
    }
}

#[tokio::test]
async fn a_full_store_evicts_no_message_that_shields_one_to_another_address_of_the_person() {
    // The newer message went to a user id: of the same person by linked addresses, of a person
    // without links, or of another person by linked addresses. Only the last one can be evicted.
    for (tied, newer, shields) in [
        (Some((ANNA, ANNA_ID)), ANNA_ID, true),
        (None, ANNA_ID, true),
        (Some((BERT, BERT_ID)), BERT_ID, false),
    ] {
        for backend in backends() {
            let hands = Hands::default();
            let store = backend.open(&hands, policy(), 2);
            let key = store.recipient_hash_key().clone();
            let by = Reader::of(&key);
            let since = DAY / 8;
            hands.set(since);
            if let Some((number, id)) = tied {
                let both = by.reply(9, number, &[("ExternalUserId", id)], -60);
                store.observe(both).await.expect("observed");
            }
            remember(&store, by.registered(1, ANNA, 0)).await;
            remember(&store, by.registered(2, &id(newer), 600)).await;
            store.observe(direct(2, since)).await.expect("observed");
            let lease = Duration::from_mins(1);
            for claim in store.claim(10, lease, &Quotas::default()).await.expect("claimed") {
                store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
            }
            let other = by.registered(3, "whatsapp:+15551230009", since);
            let taken = store.remember(other).await;
            assert_eq!(taken.is_err(), shields, "{tied:?} {newer}: {taken:?}");
            let late = store.observe(by.reply(3, ANNA, &[], 900)).await.expect("observed");
            let expected = if shields { State::Pending } else { State::Confirmed };
            let older = store.show(by.sid(1)).await.expect("shown").map(|message| message.state);
            assert_eq!(older, Some(expected), "{tied:?} {newer}: {late:?}");
        }
    }
}

/// More messages to user ids than are loaded: only a message newer than the oldest loaded one is
/// certainly the newest to its person.
#[tokio::test]
async fn many_messages_to_user_ids_block_evidence_about_an_older_message_and_not_about_a_newer_one()
{
    for (created, expected) in [(0, None), (1000, Some(State::Confirmed))] {
        for backend in backends() {
            let hands = Hands::default();
            let store = backend.usual(&hands);
            let key = store.recipient_hash_key().clone();
            let by = Reader::of(&key);
            for n in 0..300 {
                let to = id(&format!("US.{}", 10_000_000_000_000_000_u64 + u64::from(n)));
                let mut update = by.registered(0x1000 + n, &to, i64::from(n) + 1);
                // The loaded ones are from another sender. A message that is not loaded may be the
                // person's newest.
                if n >= 30 {
                    update.from = Some("whatsapp:+15017122999".to_owned());
                }
                remember(&store, update).await;
            }
            hands.set(created.max(301));
            remember(&store, by.registered(1, ANNA, created)).await;
            hands.set(1100);
            let outcome = store.observe(by.reply(1, ANNA, &[], 1100)).await.expect("observed");
            let state = store.show(by.sid(1)).await.expect("shown").map(|message| message.state);
            assert_eq!(state, Some(expected.unwrap_or(State::Pending)), "{outcome:?}");
            if expected.is_none() {
                assert_eq!(reason(&outcome), Some(Reason::RecipientUnknown), "{outcome:?}");
            }
        }
    }
}
