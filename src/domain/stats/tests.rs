//! The statistics, on messages of every state.

use proptest::prelude::*;

use super::*;
use crate::domain::address::{Address, RecipientHashKey};
use crate::domain::matching::{Policy, Resend, Rows, remember};
use crate::domain::message::{Basis, Message, Proof, State};
use crate::domain::signal::MessageUpdate;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + seconds).expect("a time")
}

/// A message to one of three countries, from one of many senders.
fn message(n: u8, created: i64, state: State) -> Message {
    let account = "AC0123456789abcdef0123456789abcdef".parse().expect("valid");
    let to = ["+15558675310", "+4915112345678", "BRAND"][usize::from(n) % 3];
    let to = Address::parse(to).expect("valid");
    let sighting = MessageUpdate {
        sid: format!("SM{n:032x}").parse().expect("valid"),
        account,
        tracked: state != State::Untracked,
        strict: false,
        by_twilio: false,
        recipient: Some(RecipientHashKey::new(b"key").recipient(account, &to)),
        number: None,
        names: None,
        from: (!n.is_multiple_of(7)).then(|| format!("+1501712{n:04}")),
        service: None,
        reference: None,
        status: None,
        error_code: None,
        code: None,
        link: None,
        created_at: Some(at(created)),
        seen_at: at(created),
        trace: None,
    };
    let policy = Policy {
        pending_ttl: std::time::Duration::from_secs(1_000_000),
        reply_window: std::time::Duration::from_secs(1_000),
        event_window: std::time::Duration::from_mins(15),
        retention: std::time::Duration::from_secs(1_000_000),
        read_confirms: false,
        resend: Resend::Newest,
    };
    let judged = remember(Rows::default(), &sighting, &policy, at(created)).expect("nothing known");
    let mut message = judged.1.message;
    message.state = state;
    if matches!(state, State::Confirmed | State::Reported | State::Refused) {
        message.proof = Some(Proof {
            label: "code_entered".to_owned(),
            basis: Basis::Direct,
            occurred_at: at(created + i64::from(n)),
            confirmed_at: at(created + i64::from(n) + 1),
        });
    }
    message
}

#[test]
fn a_day_is_twenty_four_hours_of_which_this_one_has_only_begun() {
    let (now, mut stats) = (at(0), MessageStats::default());
    let this = now.as_second().div_euclid(HOUR) * HOUR;
    let from = whole_hours(now, 24);
    assert_eq!(from.as_second(), this - 23 * HOUR);
    for n in 0..30 {
        let created = this - i64::from(n) * HOUR - now.as_second();
        stats.insert(&CountedRecord::of_message(&message(n, created, State::Pending)));
    }
    assert_eq!(stats.created(from, now).sent, 24);
}

/// All visible statistics except the counters since the start.
fn seen(stats: &MessageStats) -> String {
    let days: Vec<_> = (-1..4).map(|day| at(day * DAY)).collect();
    let by_day = days.iter().map(|day| (stats.by_calling_code(*day), stats.by_sender(*day)));
    let by_day: Vec<_> = by_day.collect();
    let hours: Vec<_> = stats.by_hour(Timestamp::MIN, Timestamp::MAX).collect();
    let oldest = State::ALL.map(|state| stats.oldest(StatusBucket::Message(state)));
    let accounts: Vec<_> = stats.accounts().collect();
    format!("{by_day:?} {hours:?} {oldest:?} {accounts:?}")
}

proptest! {
    /// After any creations, changes and removals, the statistics equal a new count of all records, and
    /// the counters since the start never decrease.
    #[test]
    fn the_statistics_always_equal_a_new_count_of_all_records(
        steps in prop::collection::vec((0_u8..12, 0_i64..200_000, prop::option::of(0_usize..7)), 0..60),
    ) {
        let mut stats = MessageStats::default();
        let mut all = BTreeMap::<u8, Message>::new();
        let mut before = 0;
        for (n, created, state) in steps {
            let next = state.map(|state| message(n, created, State::ALL[state]));
            let entry = next.as_ref().map(CountedRecord::of_message);
            let known = all.remove(&n);
            stats.update(known.as_ref().map(CountedRecord::of_message).as_ref(), entry.as_ref());
            all.extend(next.map(|next| (n, next)));
            let counted = stats.since_start().map(|(_, _, tally)| tally.sent + tally.confirmed).sum();
            prop_assert!(counted >= before);
            before = counted;
        }
        let mut anew = MessageStats::default();
        for message in all.values() {
            anew.insert(&CountedRecord::of_message(message));
        }
        prop_assert_eq!(seen(&stats), seen(&anew));
        prop_assert_eq!(anew.since_start().count(), 0, "what is found is no news");
    }
}

#[test]
fn a_message_is_counted_when_feedback_is_asked_for_and_once_more_when_it_is_proven() {
    let mut stats = MessageStats::default();
    let steps = [State::Untracked, State::Pending, State::Confirmed, State::Reported];
    let mut before = None;
    for state in steps {
        let next = CountedRecord::of_message(&message(1, 0, state));
        stats.update(before.as_ref(), Some(&next));
        before = Some(next);
    }
    let counted: Vec<_> = stats.since_start().collect();
    let [(code, sender, tally)] = counted[..] else { panic!("{counted:?}") };
    assert_eq!((code, sender), (Some(49), "+15017120001"));
    assert_eq!((tally.sent, tally.confirmed, tally.reported), (1, 1, 1));
    assert_eq!((tally.waits[0], tally.waited_ms), (1, 1_000), "within five seconds");
    let today = stats.created(at(0), at(0));
    assert_eq!(today.conversion(), Some(1.0));
    assert_eq!(stats.created(at(HOUR), at(2 * HOUR)).conversion(), None, "nothing was sent");
}

#[test]
fn senders_and_pairs_beyond_the_bound_are_counted_together() {
    let mut stats = MessageStats::default();
    for n in 0..700_u64 {
        let mut message = message(1, 0, State::Pending);
        message.from = Some(format!("+1{n}"));
        stats.update(None, Some(&CountedRecord::of_message(&message)));
    }
    let by_sender = stats.by_sender(at(0));
    assert_eq!(by_sender.len(), 101);
    assert_eq!(by_sender.get(MessageStats::OTHER).map(|tally| tally.sent), Some(600));
    assert!(stats.since_start().count() <= MAX_PAIRS + 1);
    assert_eq!(stats.since_start().map(|(_, _, tally)| tally.sent).sum::<u64>(), 700);
}

/// A message to a number that begins so, from one of so many senders.
fn to_code(digits: u16, sender: u64, state: State) -> CountedRecord {
    let mut message = message(1, 0, state);
    let account = message.account;
    let to = Address::parse(&format!("+{digits}5550123456")).expect("valid");
    message.recipient = Some(RecipientHashKey::new(b"key").recipient(account, &to));
    message.from = Some(format!("+1{sender}"));
    CountedRecord::of_message(&message)
}

#[test]
fn however_many_pairs_there_are_each_message_is_counted_under_its_country() {
    let mut stats = MessageStats::default();
    // All that a number can begin with, from two senders, which are too many pairs; some from more. Each is proven once.
    for sender in 0..60 {
        for digits in 100..1000 {
            if sender < 2 || digits < 110 {
                stats.update(None, Some(&to_code(digits, sender, State::Pending)));
            }
        }
    }
    for digits in 100..1000 {
        let (sent, proven) =
            (to_code(digits, 1, State::Pending), to_code(digits, 1, State::Confirmed));
        stats.update(Some(&sent), Some(&proven));
    }
    let mut counted = BTreeMap::<_, u64>::new();
    for (code, _, tally) in stats.since_start() {
        assert!(tally.confirmed <= tally.sent, "no pair has only the proofs");
        *counted.entry(code).or_default() += tally.sent;
    }
    let there = stats.by_calling_code(at(0));
    assert_eq!(there.len(), MAX_CODES, "as many as there can be");
    assert!(there.iter().map(|(code, tally)| (*code, tally.sent)).eq(counted));
    let others = stats.since_start().filter(|(_, sender, _)| *sender == MessageStats::OTHER);
    assert!(others.count() > 100, "there were too many");
    assert!(stats.since_start().count() <= MAX_PAIRS + MAX_CODES + 1);
}

#[test]
fn the_oldest_record_of_each_kind_is_known_to_the_second_and_so_it_is_in_a_summary() {
    let mut stats = MessageStats::default();
    let mut confirmed = message(4, 90, State::Confirmed);
    stats.insert(&CountedRecord::of_message(&message(5, 97, State::Confirmed)));
    stats.insert(&CountedRecord::of_message(&confirmed));
    let oldest = |stats: &MessageStats, state| stats.oldest(StatusBucket::Message(state));
    let since = oldest(&stats, State::Confirmed).expect("there");
    assert_eq!(since, confirmed.proof.as_ref().expect("proven").confirmed_at);
    let known = CountedRecord::of_message(&confirmed);
    confirmed.state = State::Refused;
    stats.update(Some(&known), Some(&CountedRecord::of_message(&confirmed)));
    assert!(oldest(&stats, State::Confirmed).expect("there") > since, "the other one");
    assert_eq!(oldest(&stats, State::Refused), Some(confirmed.since));
    let summary = stats.summary();
    assert_eq!(summary.standing.len(), 2);
    for state in State::ALL {
        assert_eq!(oldest(&summary, state), oldest(&stats, state));
    }
}

#[test]
fn a_message_is_counted_on_where_it_was_counted_first() {
    let mut stats = MessageStats::default();
    let mut sent = message(1, 0, State::Pending);
    (sent.service, sent.from) = ("MG0123456789abcdef0123456789abcdef".parse().ok(), None);
    let first = CountedRecord::of_message(&sent);
    stats.update(None, Some(&first));
    let mut proven = message(1, 0, State::Confirmed);
    // Only now it is known which number it was sent from, and that it was created earlier.
    (proven.service, proven.recipient) = (sent.service, None);
    let second = CountedRecord::of_message(&proven);
    stats.update(Some(&first), Some(&second));
    proven.created_at = at(-100);
    stats.update(Some(&second), Some(&CountedRecord::of_message(&proven)));
    let counted: Vec<_> = stats.since_start().collect();
    let [(code, sender, tally)] = counted[..] else { panic!("{counted:?}") };
    assert_eq!((code, sender), (Some(49), "MG0123456789abcdef0123456789abcdef"));
    assert_eq!((tally.sent, tally.confirmed), (1, 1));
    assert_eq!(tally.waits.iter().sum::<u64>(), 1, "one wait, though it grew");
}
