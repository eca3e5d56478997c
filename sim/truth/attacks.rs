//! Attacks: captured requests that are sent again, and accounts that name messages of other accounts.
//!
//! Their targets are messages that never arrived, because only there a confirmation would be false.

use std::collections::HashMap;

use crate::generator::Generator;
use crate::world::{Act, Cause, EvidenceKind, HOUR, MINUTE, Message, SECOND};

impl Generator {
    /// Adds attacks to a complete world.
    pub(crate) fn add_attacks(&mut self) {
        let captured = self.captured();
        let messages = self.world.messages.clone();
        for (number, message) in messages.iter().enumerate() {
            if !message.is_tracked() || message.arrived.is_some() {
                continue;
            }
            self.accounts(number, message);
            self.replay(message, captured.get(&(message.line, message.brand)));
        }
    }

    /// The inbound requests that an attacker can capture, by line and brand.
    fn captured(&self) -> HashMap<(usize, usize), Vec<Act>> {
        let mut captured = HashMap::<_, Vec<Act>>::new();
        for act in &self.world.acts {
            let inbound = matches!(act.evidence, EvidenceKind::Reply | EvidenceKind::Call);
            if inbound && matches!(act.cause, Cause::Message(_) | Cause::Unrelated) {
                captured.entry((act.line, act.brand)).or_default().push(*act);
            }
        }
        captured
    }

    /// Sends an old request again, minutes after a newer message that was lost.
    fn replay(&mut self, lost: &Message, captured: Option<&Vec<Act>>) {
        let at = lost.created + self.random.between(5 * SECOND, 30 * MINUTE);
        let old = captured.into_iter().flatten().find(|act| {
            let (first, again) = (act.received + 5 * HOUR, act.received + 7 * 24 * HOUR);
            act.whatsapp == lost.whatsapp && (first..again).contains(&at)
        });
        if let Some(old) = old.copied()
            && self.random.chance(5_000)
        {
            self.add_act(Act { cause: Cause::Replay, acted_at: at, received: at, ..old });
        }
    }

    /// An unknown account, or another one of ours, names a message that it does not own.
    fn accounts(&mut self, number: usize, lost: &Message) {
        if !self.random.chance(600) {
            return;
        }
        let cause =
            if self.random.chance(5_000) { Cause::UnknownAccount } else { Cause::OtherAccount };
        let parser = [EvidenceKind::ReplyQuoted, EvidenceKind::CodeBySid, EvidenceKind::Click];
        let evidence = self.random.one_of(&parser).copied().unwrap_or(EvidenceKind::ReplyQuoted);
        let at = lost.created + self.random.between(2 * SECOND, 30 * MINUTE);
        let act = Act::of(evidence, cause, (lost.line, lost.brand, lost.whatsapp), at);
        self.add_delayed_act(Act { names: Some(number), sender: lost.sender, ..act });
    }
}
