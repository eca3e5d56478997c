//! Picking the one message that evidence may prove, among those that it may be about.

use std::collections::BTreeMap;

use crate::domain::address::{Person, is_alphanumeric};
use crate::domain::code::{Code, Probe};
use crate::domain::matching::{CLOCK_SKEW, Policy, Reason, Resend, later};
use crate::domain::message::{Basis, Message, Reference, State, Status};
use crate::domain::sid::{MessageSid, ServiceSid};
use crate::domain::signal::{Evidence, Named, SenderHint};

/// What a piece of evidence comes to, with the messages known so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pick {
    /// It proves that these messages arrived, the newest first. More than one only where the settings
    /// say so.
    Confirms(Vec<MessageSid>, Basis),
    /// The message that it is about was confirmed before.
    Already(MessageSid),
    /// It proves nothing, and never will.
    Nothing(Reason),
    /// It may prove something once more is known.
    Wait(Reason),
}

/// The messages at hand, by SID.
pub(super) type Known = BTreeMap<MessageSid, Message>;

/// What there is to pick from, and how.
pub(super) struct Choice<'a> {
    pub(super) known: &'a Known,
    pub(super) services: &'a BTreeMap<String, ServiceSid>,
    pub(super) policy: &'a Policy,
    pub(super) typed: Typed<'a>,
}

/// What was typed, as far as it may be a code.
#[derive(Clone, Copy)]
pub(super) enum Typed<'a> {
    /// Nothing that may be one.
    Nothing,
    /// These words.
    Words(&'a Probe),
    /// Some number. It was not kept when the evidence had to wait.
    Number,
}

impl Typed<'_> {
    pub(super) fn has_number(self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Words(probe) => probe.has_number(),
            Self::Number => true,
        }
    }

    /// Whether it is the code of that message; surely where chance is out of the question.
    fn is_code_of(self, message: &Message, surely: bool) -> bool {
        let (Self::Words(probe), Some(Code::Known(hmac))) = (self, &message.code) else {
            return false;
        };
        if surely {
            probe.proves_surely(message.sid, hmac)
        } else {
            probe.proves(message.sid, hmac)
        }
    }
}

impl Choice<'_> {
    pub(super) fn pick(&self, evidence: &Evidence) -> Pick {
        let ours: Vec<&Message> =
            self.known.values().filter(|message| message.account == evidence.account).collect();
        match &evidence.named {
            Named::Message(sid) => {
                direct(ours.into_iter().find(|message| message.sid == *sid), Basis::Direct)
            }
            Named::Reference(reference) => self.by_reference(evidence, reference, &ours),
            Named::Person { recipient, sender } => {
                self.by_person(evidence, &[recipient.person], sender, &ours)
            }
            Named::Caller { recipient, whatsapp, sender } => {
                self.by_person(evidence, &[recipient.person, *whatsapp], sender, &ours)
            }
            Named::Link(_) => Pick::Wait(Reason::LinkUnknown),
        }
    }

    fn by_person(
        &self,
        evidence: &Evidence,
        persons: &[Person],
        sender: &SenderHint,
        ours: &[&Message],
    ) -> Pick {
        let theirs = |message: &&&Message| {
            message.recipient.is_some_and(|known| persons.contains(&known.person))
        };
        let theirs: Vec<&Message> = ours.iter().filter(theirs).copied().collect();
        let fitting = fitting(evidence, &theirs, self.policy);
        // Who typed the code has it, whatever the sender; and if it is no number like others, whatever
        // the window.
        let mut coded = self.coded(&theirs, true);
        for recent in self.coded(&fitting, false) {
            if !coded.iter().any(|known| known.sid == recent.sid) {
                coded.push(recent);
            }
        }
        if let Some(pick) = self.by_code(&coded, &theirs, Basis::Inferred) {
            return pick;
        }
        let calls = matches!(evidence.named, Named::Caller { .. });
        match sent_by(&fitting, sender, self.services, calls) {
            // Unknown time proves nothing, and nothing may be proven past it.
            Ok(Some(newest)) if newest.created_at > evidence.occurred_at => {
                Pick::Wait(Reason::TimeUnknown)
            }
            // A number that is not its code was read somewhere else.
            Ok(Some(newest)) if self.typed.has_number() && is_known(newest) => {
                Pick::Nothing(Reason::OtherCode)
            }
            Ok(newest) => indirect(newest, Basis::Inferred),
            Err(reason) => Pick::Wait(reason),
        }
    }

    /// A reference that one message bears is as good as its name. Where several bear it, the settings
    /// choose among those that were there when the person acted, undelivered ones left out. One that is
    /// known to be younger than the act is not among them: nobody acts upon what is yet to be sent. If
    /// it is the only one, and younger by no more than clocks differ, the clocks are wrong.
    fn by_reference(&self, evidence: &Evidence, reference: &Reference, ours: &[&Message]) -> Pick {
        let skewed = later(evidence.occurred_at, CLOCK_SKEW);
        let (younger, older): (Vec<&Message>, Vec<&Message>) = ours
            .iter()
            .filter(|message| message.reference.as_ref() == Some(reference))
            .filter(|message| !message.created_at_known || message.created_at <= skewed)
            .partition(|message| {
                message.created_at_known && message.created_at > evidence.occurred_at
            });
        if let ([only], _) | ([], [only]) = (older.as_slice(), younger.as_slice()) {
            return direct(Some(*only), Basis::Shared);
        }
        let coded = self.coded(&older, false);
        if let Some(pick) = self.by_code(&coded, &older, Basis::Shared) {
            return pick;
        }
        // What has another code than the one that was typed is not meant.
        let all = older.len();
        let mut candidates: Vec<&Message> =
            older.into_iter().filter(|one| !self.typed.has_number() || !is_known(one)).collect();
        if candidates.is_empty() && all > 0 {
            return Pick::Nothing(Reason::OtherCode);
        }
        candidates.retain(|message| {
            message.created_at <= evidence.occurred_at && may_have_arrived(message)
        });
        candidates.sort_by_key(|message| std::cmp::Reverse(age_order(message)));
        self.resent(&candidates)
    }

    /// What a code proves, if one was typed. It names one message where no other can have had the same;
    /// else the policy chooses among those that may.
    fn by_code(&self, coded: &[&Message], among: &[&Message], basis: Basis) -> Option<Pick> {
        let forgotten = |one: &&&Message| {
            let alike = |it: &&Message| may_be_of_one_login(it, one);
            one.code == Some(Code::Forgotten) && coded.iter().any(alike)
        };
        let forgotten: Vec<&Message> = among.iter().filter(forgotten).copied().collect();
        match (coded, forgotten.as_slice()) {
            ([], _) => None,
            ([only], []) => Some(direct(Some(*only), Basis::Direct)),
            (_, _) => {
                let mut candidates: Vec<&Message> =
                    coded.iter().copied().chain(forgotten).collect();
                candidates.sort_by_key(|message| std::cmp::Reverse(age_order(message)));
                Some(match basis {
                    Basis::Shared => self.resent(&candidates),
                    Basis::Direct | Basis::Inferred => indirect(candidates.first().copied(), basis),
                })
            }
        }
    }

    /// Which of several messages under one reference is confirmed, newest first.
    fn resent(&self, candidates: &[&Message]) -> Pick {
        match (self.policy.resend, candidates) {
            (Resend::Newest, _) | (Resend::OnlyDeliverable, [] | [_]) => {
                indirect(candidates.first().copied(), Basis::Shared)
            }
            // A receipt may still tell which of them did not arrive.
            (Resend::OnlyDeliverable, _) => Pick::Wait(Reason::Ambiguous),
            (Resend::All, _) => {
                let pending = candidates.iter().filter(|message| message.state == State::Pending);
                let pending: Vec<MessageSid> = pending.map(|message| message.sid).collect();
                if pending.is_empty() {
                    indirect(candidates.first().copied(), Basis::Shared)
                } else {
                    Pick::Confirms(pending, Basis::Shared)
                }
            }
            (Resend::Code, _) => Pick::Nothing(Reason::Ambiguous),
        }
    }

    fn coded<'m>(&self, messages: &[&'m Message], surely: bool) -> Vec<&'m Message> {
        messages.iter().filter(|one| self.typed.is_code_of(one, surely)).copied().collect()
    }
}

/// Whether the same code may have been sent in both: what the app sent for two things it named
/// differently has two codes.
fn may_be_of_one_login(one: &Message, other: &Message) -> bool {
    one.reference.is_none() || other.reference.is_none() || one.reference == other.reference
}

/// Whether its code is known. Where a number was typed and this is asked, it was another.
fn is_known(message: &Message) -> bool {
    message.code.is_some_and(|code| code.hmac().is_some())
}

/// "Direct evidence beats everything: it confirms an undelivered or expired message too."
fn direct(message: Option<&Message>, basis: Basis) -> Pick {
    let Some(message) = message else { return Pick::Wait(Reason::NoMessage) };
    match message.state {
        State::Untracked => Pick::Wait(Reason::Untracked),
        State::Pending | State::Expired | State::Undelivered => {
            Pick::Confirms(vec![message.sid], basis)
        }
        State::Confirmed | State::Reported | State::Refused => Pick::Already(message.sid),
    }
}

/// Evidence that had to choose confirms what is pending, and only that.
fn indirect(newest: Option<&Message>, basis: Basis) -> Pick {
    let Some(message) = newest else { return Pick::Wait(Reason::NoMessage) };
    match message.state {
        State::Untracked => Pick::Wait(Reason::Untracked),
        State::Pending => Pick::Confirms(vec![message.sid], basis),
        State::Confirmed | State::Reported | State::Refused => Pick::Already(message.sid),
        State::Expired | State::Undelivered => Pick::Nothing(Reason::NotPending),
    }
}

/// The messages that an act of this person may be about, newest first: "created before
/// `occurred_at` and inside the reply window, whatever its state except undelivered"; and those
/// that may have been, for all that anybody said.
fn fitting<'a>(evidence: &Evidence, theirs: &[&'a Message], policy: &Policy) -> Vec<&'a Message> {
    let (window, span) = (policy.window(evidence.occurred_at), policy.span(evidence.occurred_at));
    let mut fitting: Vec<&Message> = theirs
        .iter()
        .filter(|message| {
            let in_time = window.contains(&message.created_at)
                || (!message.created_at_known && span.contains(&message.created_at));
            in_time && may_have_arrived(message)
        })
        .copied()
        .collect();
    fitting.sort_by_key(|message| std::cmp::Reverse(age_order(message)));
    fitting
}

/// Nobody acts upon what they did not get. One that nobody asked feedback for has no state of its
/// own for that, only Twilio's status.
fn may_have_arrived(message: &Message) -> bool {
    match message.state {
        State::Undelivered => false,
        State::Untracked => !message.status.is_some_and(Status::is_undelivered),
        State::Pending | State::Expired | State::Confirmed | State::Reported | State::Refused => {
            true
        }
    }
}

/// The SID breaks a tie, so that every backend and every order of arrival breaks it alike.
fn age_order(message: &Message) -> (jiff::Timestamp, MessageSid) {
    (message.created_at, message.sid)
}

/// The newest message from the sender that the person turned to. It never slides past one of which
/// it cannot be told whether it came from there.
fn sent_by<'a>(
    fitting: &[&'a Message],
    hint: &SenderHint,
    services: &BTreeMap<String, ServiceSid>,
    calls: bool,
) -> Result<Option<&'a Message>, Reason> {
    if *hint == SenderHint::default() {
        return only_sender(fitting);
    }
    let learned = hint.address.as_ref().and_then(|address| services.get(address)).copied();
    let service = hint.service.or(learned);
    for message in fitting {
        match is_from(message, hint.address.as_deref(), service, calls) {
            Some(true) => return Ok(Some(message)),
            Some(false) => {}
            None => return Err(Reason::SenderUnknown),
        }
    }
    Ok(None)
}

/// The app named only the person: their messages must all have come from one sender, or it cannot be
/// told which one the person acted upon.
fn only_sender<'a>(fitting: &[&'a Message]) -> Result<Option<&'a Message>, Reason> {
    fn all_alike<T: PartialEq>(mut of: impl Iterator<Item = Option<T>>) -> bool {
        let first = of.next().flatten();
        first.is_some() && of.all(|other| other == first)
    }
    let one_sender = fitting.len() < 2
        || all_alike(fitting.iter().map(|message| message.from.as_ref()))
        || all_alike(fitting.iter().map(|message| message.service));
    if !one_sender {
        return Err(Reason::SenderUnknown);
    }
    Ok(fitting.first().copied())
}

/// Whether a message came from that sender or its service. `None` where that cannot be told.
fn is_from(
    message: &Message,
    address: Option<&str>,
    service: Option<ServiceSid>,
    calls: bool,
) -> Option<bool> {
    // A call is made to the number, whatever channel it also is a sender on.
    let from_number = |from: &str| {
        let number = from.strip_prefix("whatsapp:").unwrap_or(from);
        address.is_some_and(|address| address == from || (calls && address == number))
    };
    // "Alphanumeric senders cannot be replied to": whoever turned to a number did not answer a name.
    if let (Some(from), Some(address)) = (message.from.as_deref(), address)
        && is_alphanumeric(from)
        && from != address
    {
        return Some(false);
    }
    let same_address = message.from.as_deref().zip(address).map(|(from, _)| from_number(from));
    let same_service = message.service.zip(service).map(|(of, asked)| of == asked);
    match (same_address, same_service) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (Some(false), _) | (_, Some(false)) => Some(false),
        (None, None) => None,
    }
}
