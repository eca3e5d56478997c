//! The generator of a world: messages, their arrival, and the acts of recipients.
//!
//! `logins` and `conversations` generate acts. This file sends messages, delays requests, and sets the proportions.

use crate::brands::{BRANDS, Brand, Registration};
use crate::carriers::{CARRIERS, Carrier, NETWORK_DELAYS, WHATSAPP};
use crate::support::random::Random;
use crate::world::{
    Act, Cause, DAY, Event, EvidenceKind, HOUR, Line, MINUTE, Message, Purpose, SECOND, World,
};

/// When people without a code ask for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum People {
    /// After 25 seconds to 2 minutes, while the first message may still be on its way.
    Impatient,
    /// After 2 to 10 minutes.
    Patient,
}

impl People {
    /// The shortest and the longest wait, in milliseconds.
    pub(crate) fn wait(self) -> (i64, i64) {
        match self {
            Self::Impatient => (25 * SECOND, 2 * MINUTE),
            Self::Patient => (2 * MINUTE, 10 * MINUTE),
        }
    }
}

/// Properties of a world besides its brands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WorldOptions {
    /// The days on which messages are sent.
    pub(crate) days: i64,
    /// Apps that name a login by its reference also register their messages late, from a queue.
    pub(crate) registers_late: bool,
    pub(crate) people: People,
}

/// A world that is being generated.
pub(crate) struct Generator {
    pub(crate) random: Random,
    pub(crate) world: World,
    pub(crate) logins: u32,
    pub(crate) options: WorldOptions,
    dedup_number: u64,
}

impl Generator {
    /// Generates a world of about this many tracked messages.
    pub(crate) fn generate(seed: u64, messages: usize, options: WorldOptions) -> World {
        let mut random = Random::new(seed);
        let lines = (messages / 7).max(20);
        let lines = (0..lines).map(|_| line(&mut random)).collect();
        let world = World { seed, lines, ..World::default() };
        let mut generator = Self { random, world, logins: 0, options, dedup_number: 0 };
        while generator.world.messages.len() < messages {
            generator.add_interaction();
        }
        generator.add_attacks();
        for day in [3, 7, 9].into_iter().filter(|day| *day <= options.days) {
            generator.schedule(day * DAY + HOUR, Event::Sweep);
        }
        generator.schedule(options.days * DAY + 5 * HOUR, Event::Sweep);
        // Each start reads the whole store.
        for _ in 0..options.days.min(3) {
            let at = generator.random.between(HOUR, options.days * DAY);
            generator.schedule(at, Event::Restart);
        }
        generator.world.timeline.sort_by_key(|(at, _)| *at);
        generator.world
    }

    fn add_interaction(&mut self) {
        let line = self.random_line();
        let brand = self.random.index(BRANDS.len());
        let at = self.random.between(0, self.options.days * DAY);
        match self.random.below(100) {
            0..66 => self.login(line, brand, at),
            66..84 => self.question(line, brand, at),
            84..94 => self.link(line, brand, at),
            94..97 => self.conversation(line, brand, at),
            97..99 => self.support_call(line, brand, at),
            _ => self.unrelated_reply(line, brand, at),
        }
    }

    /// Some people get far more messages than others.
    fn random_line(&mut self) -> usize {
        let lines = self.world.lines.len() as u64;
        let bound = self.random.below(lines) + 1;
        usize::try_from(self.random.below(bound)).unwrap_or_default()
    }

    /// Sends a message: its arrival, its receipts, its registration.
    pub(crate) fn send(&mut self, mut message: Message) -> usize {
        let number = self.world.messages.len();
        let line = self.line(message.line);
        let carrier = if message.whatsapp { WHATSAPP } else { line.carrier };
        let [first, ..] = &CARRIERS;
        let carrier: &Carrier = CARRIERS.get(carrier).unwrap_or(first);
        let (takes, receipts) = carrier.deliver(line.landline, &mut self.random);
        message.arrived = takes.map(|takes| message.created + takes);
        self.world.messages.push(message);
        // Agents send with another program, whose callbacks often go elsewhere.
        let has_callback = message.is_tracked() || self.random.chance(6_000);
        if has_callback {
            for (after, word) in receipts {
                self.schedule(message.created + after, Event::Status(number, word));
            }
        }
        if message.has_own_link() {
            let before = message.created - self.random.between(50, SECOND);
            self.schedule(before, Event::Link(number));
        }
        if message.is_tracked() {
            self.register(number, &message);
        }
        if message.whatsapp && message.arrived.is_some() && self.random.chance(6_000) {
            let read = self.random.between(2 * SECOND, HOUR) + message.arrived.unwrap_or_default();
            self.schedule(read, Event::Status(number, "read"));
        }
        self.automatic_replies(number, &message, line);
        number
    }

    fn register(&mut self, number: usize, message: &Message) {
        let brand = message.brand();
        let registers_late = self.options.registers_late;
        let late = match brand.registers {
            Registration::ByCallback => {
                // Twilio's first status arrives soon after the creation.
                let soon = self.random.between(SECOND / 5, 2 * SECOND);
                return self.schedule(message.created + soon, Event::Status(number, "queued"));
            }
            Registration::AtOnce if !registers_late => self.random.between(SECOND / 10, SECOND / 2),
            Registration::AtOnce | Registration::Answer => self.random.weighted(&[
                (95, SECOND / 10, SECOND),
                (3, SECOND, 20 * SECOND),
                (1, 20 * SECOND, 5 * MINUTE),
                (1, 5 * MINUTE, 10 * HOUR),
            ]),
        };
        // Some messages are never registered, because the app failed in between.
        if brand.registers == Registration::Answer && self.random.chance(100) {
            return;
        }
        self.schedule(message.created + late, Event::Register(number));
        if self.random.chance(100) {
            let again = message.created + late + self.random.between(50, SECOND);
            self.schedule(again, Event::Register(number));
        }
    }

    /// An automatic reply. A handset's reply proves the arrival; a carrier's reply for a landline does not.
    fn automatic_replies(&mut self, number: usize, message: &Message, line: Line) {
        let by_itself = match message.arrived {
            Some(arrived) if self.random.chance(60) => Some((
                arrived + self.random.between(SECOND, 4 * SECOND),
                EvidenceKind::ReplyByHandset,
                Cause::Message(number),
            )),
            None if line.landline && !message.whatsapp && self.random.chance(2_000) => {
                let at = message.created + self.random.between(SECOND / 2, 2 * SECOND);
                Some((at, EvidenceKind::ReplyByHandset, Cause::Carrier(number)))
            }
            Some(_) | None => None,
        };
        if let Some((at, evidence, cause)) = by_itself {
            self.reply(number, message, at, evidence, cause);
        }
    }

    /// A reply to the sender of a message.
    pub(crate) fn reply(
        &mut self,
        number: usize,
        to: &Message,
        at: i64,
        evidence: EvidenceKind,
        cause: Cause,
    ) {
        let brand = to.brand();
        if brand.senders.iter().any(|sender| sender.starts_with(char::is_alphabetic)) {
            return;
        }
        let mut sender = to.sender;
        // Without a sticky sender, people reply to any sender of the brand.
        if !brand.sticky && self.random.chance(3_000) {
            sender = self.random_sender(brand);
        }
        let names = matches!(evidence, EvidenceKind::ReplyQuoted | EvidenceKind::ReplyWithCode)
            .then_some(number);
        let (line, brand, whatsapp) = (to.line, to.brand, to.whatsapp);
        self.add_delayed_act(Act {
            sender,
            names,
            ..Act::of(evidence, cause, (line, brand, whatsapp), at)
        });
    }

    /// Adds an act, whose request arrives after a random delay.
    pub(crate) fn add_delayed_act(&mut self, mut act: Act) -> usize {
        act.received = act.acted_at + self.random.weighted(&NETWORK_DELAYS);
        let passes_on = BRANDS.get(act.brand).filter(|brand| brand.passes_on);
        if let (
            Some(brand),
            EvidenceKind::Reply | EvidenceKind::ReplyByHandset | EvidenceKind::ReplyWithCode,
        ) = (passes_on, act.evidence)
        {
            act.received += self.random.weighted(&[(85, 0, SECOND), (15, SECOND, 20 * MINUTE)]);
            act.stated_at = (!self.random.chance(500)).then_some(act.acted_at + brand.clock_ahead);
            act.sent = Some(act.received + brand.clock_ahead);
        }
        self.add_act(act)
    }

    /// Adds an act, whose request arrives at its own time.
    pub(crate) fn add_act(&mut self, mut act: Act) -> usize {
        let number = self.world.acts.len();
        if act.dedup_number == 0 {
            self.dedup_number += 1;
            act.dedup_number = self.dedup_number;
        }
        self.world.acts.push(act);
        let streams = BRANDS.get(act.brand).is_some_and(|brand| brand.streams);
        let inbound = matches!(act.evidence, EvidenceKind::Reply | EvidenceKind::Click);
        if streams && inbound && act.cause != Cause::Replay {
            let late = self.random.weighted(&[(80, SECOND, MINUTE), (20, MINUTE, 4 * HOUR)]);
            self.schedule(act.received + late, Event::Streamed(number));
            // The webhook is missing, because the service was down.
            if self.random.chance(2_000) {
                return number;
            }
        }
        self.schedule(act.received, Event::Act(number));
        // Twilio and apps repeat a request whose response was lost.
        if self.random.chance(150) {
            let again = act.received + self.random.between(SECOND / 5, 15 * SECOND);
            self.schedule(again, Event::Act(number));
        }
        number
    }

    pub(crate) fn schedule(&mut self, at: i64, word: Event) {
        self.world.timeline.push((at, word));
    }

    pub(crate) fn line(&self, number: usize) -> Line {
        let unknown = Line { carrier: 0, family: 1, landline: false };
        self.world.lines.get(number).copied().unwrap_or(unknown)
    }

    pub(crate) fn random_sender(&mut self, brand: &Brand) -> usize {
        self.random.index(brand.senders.len())
    }

    /// A message before it is sent.
    pub(crate) fn message(
        &mut self,
        line: usize,
        brand: usize,
        purpose: Purpose,
        at: i64,
    ) -> Message {
        let of = Message {
            brand,
            sender: 0,
            line,
            purpose,
            whatsapp: false,
            login: 0,
            code: 0,
            created: at,
            arrived: None,
        };
        let senders = of.brand().senders.len();
        let sticky = of.brand().sticky;
        let sender = if sticky { line % senders.max(1) } else { self.random_sender(of.brand()) };
        Message { sender, ..of }
    }
}

impl Act {
    /// An act of a line toward a brand, by WhatsApp or not.
    pub(crate) fn of(
        evidence: EvidenceKind,
        cause: Cause,
        who: (usize, usize, bool),
        acted_at: i64,
    ) -> Self {
        let (line, brand, whatsapp) = who;
        Self {
            evidence,
            cause,
            line,
            brand,
            sender: 0,
            whatsapp,
            names: None,
            acted_at,
            received: acted_at,
            stated_at: None,
            sent: None,
            is_wrong: false,
            dedup_number: 0,
        }
    }
}

fn line(random: &mut Random) -> Line {
    let family = [1, 1, 1, 1, 1, 1, 2, 2, 3, 4];
    Line {
        carrier: Carrier::of(random),
        family: random.one_of(&family).copied().unwrap_or(1),
        landline: random.chance(60),
    }
}
