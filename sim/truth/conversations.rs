//! Talk: questions answered by message or call, links opened, agents who write and call from the same
//! numbers, and people who write for reasons of their own.

use crate::carriers::ANSWERS;
use crate::generator::Life;
use crate::world::{Act, Cause, HOUR, MINUTE, Message, Purpose, Road, SECOND};

impl Life {
    /// A question, and the answer to it.
    pub(crate) fn question(&mut self, line: usize, brand: usize, at: i64) {
        let mut message = self.message(line, brand, Purpose::Question, at);
        message.whatsapp = message.brand().whatsapp.is_some() && self.random.chance(6_000);
        let number = self.send(message);
        let Some(sent) = self.world.messages.get(number).copied() else { return };
        let Some(arrived) = sent.arrived else { return };
        let at = arrived + self.random.weighted(&ANSWERS);
        match self.random.below(100) {
            0..40 => {
                let quotes = sent.whatsapp && self.random.chance(4_000);
                let road = if quotes { Road::ReplyQuoted } else { Road::Reply };
                self.reply(number, &sent, at, road, Cause::Message(number));
            }
            40..46 => self.reply(number, &sent, at, Road::Reply, Cause::OptOut),
            46..58 => self.call(&sent, at, at, Cause::Message(number)),
            _ => {}
        }
    }

    /// A message with a link. Scanners open it on its way, whether or not it arrives.
    pub(crate) fn link(&mut self, line: usize, brand: usize, at: i64) {
        let message = self.message(line, brand, Purpose::Link, at);
        let road = if message.brand().service.is_some() { Road::Click } else { Road::Link };
        let number = self.send(message);
        let Some(sent) = self.world.messages.get(number).copied() else { return };
        let who = (line, brand, false);
        let opens = |cause, at| Act {
            names: Some(number),
            sender: sent.sender,
            ..Act::of(road, cause, who, at)
        };
        if self.random.chance(3_000) {
            let at = sent.created + self.random.between(SECOND / 2, 20 * SECOND);
            self.act(opens(Cause::Scanner, at));
        }
        if let Some(arrived) = sent.arrived
            && self.random.chance(4_500)
        {
            let at = arrived + self.random.weighted(&ANSWERS);
            self.act(opens(Cause::Message(number), at));
        }
    }

    /// An agent and a person write to each other, from a number that sends codes as well.
    pub(crate) fn conversation(&mut self, line: usize, brand: usize, at: i64) {
        let first = self.message(line, brand, Purpose::Agent, at);
        if !first.brand().agents {
            return self.stray(line, brand, at);
        }
        let mut now = at;
        for _ in 0..=self.random.below(4) {
            let number = self.send(Message { created: now, ..first });
            let Some(sent) = self.world.messages.get(number).copied() else { return };
            let Some(arrived) = sent.arrived else { return };
            now = arrived + self.random.between(5 * SECOND, 20 * MINUTE);
            self.reply(number, &sent, now, Road::Reply, Cause::Message(number));
            now += self.random.between(10 * SECOND, 10 * MINUTE);
        }
    }

    /// A person calls, and while they talk the agent has a code sent. The call ends, and only then its
    /// status callback comes.
    pub(crate) fn support_call(&mut self, line: usize, brand: usize, at: i64) {
        let sent = at + self.random.between(30 * SECOND, 4 * MINUTE);
        let message = self.message(line, brand, Purpose::Code, sent);
        let ends = message.created + self.random.between(MINUTE, 10 * MINUTE);
        self.call(&message, at, ends, Cause::Unrelated);
        if message.brand().agents {
            self.login(line, brand, message.created);
        }
    }

    /// Somebody writes to a number for reasons of their own.
    pub(crate) fn stray(&mut self, line: usize, brand: usize, at: i64) {
        let message = self.message(line, brand, Purpose::Agent, at);
        self.reply(0, &message, at, Road::Reply, Cause::Unrelated);
    }

    /// A call to the number that a message came from, told of when it begins, or when it has ended.
    fn call(&mut self, to: &Message, began: i64, ended: i64, cause: Cause) {
        let brand = to.brand();
        if brand.senders.iter().any(|sender| sender.starts_with(char::is_alphabetic)) {
            return;
        }
        let act = Act::of(Road::Call, cause, (to.line, to.brand, false), began);
        let act = Act { sender: to.sender, ..act };
        let once = if self.random.chance(6_000) {
            let rings = began + self.random.between(SECOND / 5, SECOND);
            let told = self.hear(Act { heard: rings, ..act });
            self.world.acts.get(told).map_or(0, |act| act.once)
        } else {
            0
        };
        if once == 0 || self.random.chance(2_000) {
            let ended = ended.max(began + self.random.between(20 * SECOND, HOUR / 4));
            let heard = ended + self.random.between(SECOND / 5, 5 * SECOND);
            self.hear(Act { heard, once, ..act });
        }
    }
}
