//! The rows of one command while it judges them, and the evidence that it judges.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::address::RecipientHash;
use crate::domain::click_link::{Link, LinkId};
use crate::domain::code::CodeHmac;
use crate::domain::evidence::{Parked, Reason};
use crate::domain::matching::automatic::AutomaticSpan;
use crate::domain::matching::candidates::{KnownMessages, Selection};
use crate::domain::matching::people::People;
use crate::domain::matching::policy::{Now, Policy};
use crate::domain::matching::rows::{Changes, Rows, WaitsFor};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid};

/// Where a piece of evidence comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EvidenceOrigin {
    /// Evidence of the present command.
    New,
    Parked,
    /// Evidence that confirmed a message.
    Held,
    /// Evidence derived from a message's status, and derived again at the next update.
    Status,
}

/// A piece of evidence, and its result.
#[derive(Debug)]
pub(super) struct JudgedEvidence {
    pub(super) parked: Parked,
    pub(super) origin: EvidenceOrigin,
    pub(super) selection: Selection,
}

impl JudgedEvidence {
    pub(super) fn new(parked: Parked, origin: EvidenceOrigin) -> Self {
        Self { parked, origin, selection: Selection::Wait(Reason::NoMessage) }
    }
}

/// The loaded rows, and their changes.
pub(super) struct WorkingRows<'a> {
    /// The account of the command.
    pub(super) account: Option<AccountSid>,
    /// The messages as they were loaded.
    pub(super) loaded: KnownMessages,
    /// The stored codes. An expired code stays in the store until the sweep removes it: the clock may be ahead.
    codes: BTreeMap<MessageSid, CodeHmac>,
    pub(super) known: KnownMessages,
    pub(super) pieces: Vec<JudgedEvidence>,
    /// The known evidence that the new evidence repeats.
    pub(super) repeated: Option<Parked>,
    pub(super) services: BTreeMap<String, ServiceSid>,
    pub(super) people: People,
    pub(super) automatic: BTreeMap<RecipientHash, AutomaticSpan>,
    automatic_before: BTreeMap<RecipientHash, AutomaticSpan>,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) changes: Changes,
    pub(super) is_cut: bool,
    pub(super) cut: BTreeMap<WaitsFor, Timestamp>,
    pub(super) policy: &'a Policy,
    /// The wall clock, to date the written rows.
    pub(super) now: Timestamp,
    /// The trusted time, to judge which deadlines have passed.
    pub(super) trusted: Timestamp,
}

/// The rows that a command changes, and the outcome for the messages.
pub(super) struct CommandResult {
    pub(super) changes: Changes,
    /// The messages that the command confirmed.
    pub(super) confirmed: Vec<MessageSid>,
    /// The messages that are not confirmed any more.
    pub(super) withdrawn: Vec<MessageSid>,
}

impl<'a> WorkingRows<'a> {
    pub(super) fn open(rows: Rows, policy: &'a Policy, now: Now) -> Self {
        let Rows {
            account,
            messages,
            links,
            mut parked,
            services,
            people,
            automatic,
            is_cut,
            cut,
            seen: _,
        } = rows;
        let codes = messages.values().filter_map(|message| Some((message.sid, message.code?)));
        let codes = codes.collect();
        let mut known = messages;
        for message in known.values_mut() {
            message.apply_expiry(now.trusted);
        }
        for parked in &mut parked {
            parked.apply_expiry(now.trusted);
        }
        parked.retain(|parked| !parked.orphaned && parked.may_prove_until() > now.trusted);
        let pieces = parked
            .into_iter()
            .map(|parked| JudgedEvidence::new(parked, EvidenceOrigin::Parked))
            .collect();
        Self {
            account,
            loaded: known.clone(),
            codes,
            known,
            pieces,
            repeated: None,
            services,
            people,
            automatic_before: automatic.clone(),
            automatic,
            links,
            changes: Changes::default(),
            is_cut,
            cut,
            policy,
            now: now.wall,
            trusted: now.trusted,
        }
    }

    pub(super) fn close(mut self) -> CommandResult {
        let (mut confirmed, mut withdrawn) = (Vec::new(), Vec::new());
        for (sid, mut message) in self.known {
            let before = self.loaded.get(&sid);
            if before == Some(&message) {
                continue;
            }
            let code = message.code.or(self.codes.get(&sid).copied());
            message.apply_expiry(self.trusted);
            message.code = code;
            let was_proven = before.is_some_and(|before| before.proof.is_some());
            match (was_proven, message.proof.is_some()) {
                (false, true) => confirmed.push(sid),
                (true, false) => withdrawn.push(sid),
                (true, true) | (false, false) => {}
            }
            self.changes.messages.push(message);
        }
        let is_new = |(person, span): &(RecipientHash, AutomaticSpan)| {
            self.automatic_before.get(person) != Some(span)
        };
        self.changes.automatic.extend(self.automatic.into_iter().filter(is_new));
        CommandResult { changes: self.changes, confirmed, withdrawn }
    }
}
