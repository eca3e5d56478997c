//! The messages that a piece of evidence may be about: the candidates, and those that fit by time.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::address::RecipientHash;
use crate::domain::evidence::{Evidence, Reason, TimeSource};
use crate::domain::matching::automatic::AutomaticSpan;
use crate::domain::matching::people::People;
use crate::domain::matching::policy::{CLOCK_SKEW, Policy, UNSAID_FOR};
use crate::domain::matching::rows::WaitsFor;
use crate::domain::message::{Basis, Message, State};
use crate::domain::sid::{MessageSid, ServiceSid};
use crate::domain::timestamp_serde::{earlier, later};

/// The result for a piece of evidence, with the messages known so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// The evidence proves that these messages arrived, the newest first. Only one setting allows several.
    Confirms(Vec<MessageSid>, Basis),
    /// The message of the evidence was confirmed before.
    Already(MessageSid, Basis),
    /// The evidence never proves anything.
    Nothing(Reason),
    /// The evidence may prove a message after more facts arrive.
    Wait(Reason),
}

/// The loaded messages.
pub(super) type KnownMessages = BTreeMap<MessageSid, Message>;

/// The rows to select from, and the rules to select by.
pub(super) struct Candidates<'a> {
    pub(super) known: &'a KnownMessages,
    pub(super) services: &'a BTreeMap<String, ServiceSid>,
    pub(super) people: &'a People,
    pub(super) automatic: &'a BTreeMap<RecipientHash, AutomaticSpan>,
    /// The persons and references with too many messages, as in [`crate::domain::matching::Rows`].
    pub(super) cut: &'a BTreeMap<WaitsFor, Timestamp>,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    /// The later of the trusted time and the time that records are dated by.
    pub(super) latest: Timestamp,
}

/// The messages that an act may be about, newest first.
pub(super) struct Fitting<'m> {
    /// All messages of that time, including those that did not arrive.
    pub(super) all: Vec<&'m Message>,
    /// Messages that were created before the act, and messages without a known creation time that may have been.
    pub(super) older: Vec<&'m Message>,
    /// Messages that were created after the act by the app's clock, but within its allowed skew.
    pub(super) younger: Vec<&'m Message>,
}

/// Whether a message is younger than an act by no more than the app's clock may differ.
pub(super) fn is_within_skew(message: &Message, evidence: &Evidence) -> bool {
    evidence.time_source == TimeSource::App
        && message.created_at <= later(evidence.occurred_at, CLOCK_SKEW)
}

/// Whether a message was created after an act, also if the clocks differ by as much as they may.
pub(super) fn is_younger(message: &Message, evidence: &Evidence) -> bool {
    let slack = match (message.created_at_known, evidence.time_source) {
        (false, _) => UNSAID_FOR,
        (true, TimeSource::Exact) => Duration::ZERO,
        (true, TimeSource::App | TimeSource::Unknown) => CLOCK_SKEW,
    };
    message.created_at > later(evidence.occurred_at, slack)
}

impl Candidates<'_> {
    /// The messages that an act of this person may be about: created before it and within the window, whatever their
    /// state except undelivered.
    pub(super) fn fitting<'m>(&self, evidence: &Evidence, theirs: &[&'m Message]) -> Fitting<'m> {
        let at = evidence.occurred_at;
        let from = earlier(at, self.policy.window_of(evidence));
        let is_app = evidence.time_source == TimeSource::App;
        let mut fitting = Fitting { all: Vec::new(), older: Vec::new(), younger: Vec::new() };
        for message in newest_first(theirs) {
            if message.is_yet_to_go_out() || message.created_at < from {
                continue;
            }
            let is_unsaid =
                !message.created_at_known && message.created_at <= later(at, UNSAID_FOR);
            let is_older = message.created_at <= at || is_unsaid;
            let is_near = is_app && is_within_skew(message, evidence);
            if !is_older && !is_near {
                continue;
            }
            fitting.all.push(message);
            if message.may_have_arrived() {
                let list = if is_older { &mut fitting.older } else { &mut fitting.younger };
                list.push(message);
            }
        }
        fitting
    }
}

pub(super) fn newest_first<'m>(messages: &[&'m Message]) -> Vec<&'m Message> {
    let mut sorted = messages.to_vec();
    sorted.sort_by_key(|message| Reverse(age_order(message)));
    sorted
}

/// The SID breaks ties, so the order is the same in every backend and for every order of arrival.
pub(super) fn age_order(message: &Message) -> (Timestamp, MessageSid) {
    (message.created_at, message.sid)
}

/// Direct evidence confirms an undelivered or expired message too, but no message that was never sent.
pub(super) fn direct(message: Option<&Message>) -> Selection {
    let Some(message) = message else { return Selection::Wait(Reason::NoMessage) };
    match message.state {
        State::Untracked => Selection::Wait(Reason::Untracked),
        State::Pending | State::Expired | State::Undelivered if message.receipts.deny_sending() => {
            Selection::Wait(Reason::NotSent)
        }
        State::Pending | State::Expired | State::Undelivered => {
            Selection::Confirms(vec![message.sid], Basis::Direct)
        }
        State::Confirmed | State::Reported | State::Refused => {
            Selection::Already(message.sid, Basis::Direct)
        }
    }
}

/// Evidence that does not name one message confirms only a pending message.
pub(super) fn indirect(newest: Option<&Message>, basis: Basis) -> Selection {
    let Some(message) = newest else { return Selection::Wait(Reason::NoMessage) };
    match message.state {
        State::Untracked => Selection::Wait(Reason::Untracked),
        State::Pending => Selection::Confirms(vec![message.sid], basis),
        State::Confirmed | State::Reported | State::Refused => {
            Selection::Already(message.sid, basis)
        }
        State::Expired | State::Undelivered => Selection::Wait(Reason::NotPending),
    }
}
