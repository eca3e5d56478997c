//! Questions that are answered by message or call, links, agents who use the same numbers, and unrelated messages.

use crate::carriers::REPLY_DELAYS;
use crate::generator::Generator;
use crate::world::{Act, Cause, EvidenceKind, HOUR, MINUTE, Message, Purpose, SECOND};

impl Generator {
    /// A question and its answer.
    pub(crate) fn question(&mut self, line: usize, brand: usize, at: i64) {
        let mut message = self.message(line, brand, Purpose::Question, at);
        message.whatsapp = message.brand().whatsapp.is_some() && self.random.chance(6_000);
        let number = self.send(message);
        let Some(sent) = self.world.messages.get(number).copied() else { return };
        let Some(arrived) = sent.arrived else { return };
        let at = arrived + self.random.weighted(&REPLY_DELAYS);
        match self.random.below(100) {
            0..40 => {
                let quotes = sent.whatsapp && self.random.chance(4_000);
                let evidence = if quotes { EvidenceKind::ReplyQuoted } else { EvidenceKind::Reply };
                self.reply(number, &sent, at, evidence, Cause::Message(number));
            }
            40..46 => self.reply(number, &sent, at, EvidenceKind::Reply, Cause::OptOut),
            46..58 => self.call(&sent, at, at, Cause::Message(number)),
            _ => {}
        }
    }

    /// A message with a link. Scanners open the link even if the message never arrives.
    pub(crate) fn link(&mut self, line: usize, brand: usize, at: i64) {
        let message = self.message(line, brand, Purpose::Link, at);
        let evidence = if message.brand().service.is_some() {
            EvidenceKind::Click
        } else {
            EvidenceKind::Link
        };
        let number = self.send(message);
        let Some(sent) = self.world.messages.get(number).copied() else { return };
        let who = (line, brand, false);
        let opens = |cause, at| Act {
            names: Some(number),
            sender: sent.sender,
            ..Act::of(evidence, cause, who, at)
        };
        if self.random.chance(3_000) {
            let at = sent.created + self.random.between(SECOND / 2, 20 * SECOND);
            self.add_delayed_act(opens(Cause::Scanner, at));
        }
        if let Some(arrived) = sent.arrived
            && self.random.chance(4_500)
        {
            let at = arrived + self.random.weighted(&REPLY_DELAYS);
            self.add_delayed_act(opens(Cause::Message(number), at));
        }
    }

    /// An agent and a person exchange messages, on a number that also sends codes.
    pub(crate) fn conversation(&mut self, line: usize, brand: usize, at: i64) {
        let first = self.message(line, brand, Purpose::Agent, at);
        if !first.brand().agents {
            return self.unrelated_reply(line, brand, at);
        }
        let mut now = at;
        for _ in 0..=self.random.below(4) {
            let number = self.send(Message { created: now, ..first });
            let Some(sent) = self.world.messages.get(number).copied() else { return };
            let Some(arrived) = sent.arrived else { return };
            now = arrived + self.random.between(5 * SECOND, 20 * MINUTE);
            self.reply(number, &sent, now, EvidenceKind::Reply, Cause::Message(number));
            now += self.random.between(10 * SECOND, 10 * MINUTE);
        }
    }

    /// A person calls, and the agent sends a code during the call. The status callback of the call arrives at its end.
    pub(crate) fn support_call(&mut self, line: usize, brand: usize, at: i64) {
        let sent = at + self.random.between(30 * SECOND, 4 * MINUTE);
        let message = self.message(line, brand, Purpose::Code, sent);
        let ends = message.created + self.random.between(MINUTE, 10 * MINUTE);
        self.call(&message, at, ends, Cause::Unrelated);
        if message.brand().agents {
            self.login(line, brand, message.created);
        }
    }

    /// An inbound message that answers no message.
    pub(crate) fn unrelated_reply(&mut self, line: usize, brand: usize, at: i64) {
        let message = self.message(line, brand, Purpose::Agent, at);
        self.reply(0, &message, at, EvidenceKind::Reply, Cause::Unrelated);
    }

    /// A call to the sender's number, reported at its begin or at its end.
    fn call(&mut self, to: &Message, began: i64, ended: i64, cause: Cause) {
        let brand = to.brand();
        if brand.senders.iter().any(|sender| sender.starts_with(char::is_alphabetic)) {
            return;
        }
        let act = Act::of(EvidenceKind::Call, cause, (to.line, to.brand, false), began);
        let act = Act { sender: to.sender, ..act };
        let dedup_number = if self.random.chance(6_000) {
            let rings = began + self.random.between(SECOND / 5, SECOND);
            let number = self.add_act(Act { received: rings, ..act });
            self.world.acts.get(number).map_or(0, |act| act.dedup_number)
        } else {
            0
        };
        if dedup_number == 0 || self.random.chance(2_000) {
            let ended = ended.max(began + self.random.between(20 * SECOND, HOUR / 4));
            let received = ended + self.random.between(SECOND / 5, 5 * SECOND);
            self.add_act(Act { received, dedup_number, ..act });
        }
    }
}
