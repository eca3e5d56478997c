//! Life: the world as it comes about. Messages are sent, arrive or do not, and people act upon them.
//!
//! `logins` and `talk` say what people do; here is how a message is sent, how word of an act gets on
//! its way, and how much of everything there is.

use crate::brands::{BRANDS, Brand, Registers};
use crate::carriers::{CARRIERS, Carrier, WHATSAPP, WIRE};
use crate::support::random::Random;
use crate::world::{
    Act, Cause, DAY, HOUR, Line, MINUTE, Message, Purpose, Road, SECOND, Word, World,
};

/// What a world is like, beyond what its brands say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Habits {
    /// For how many days messages are sent.
    pub(crate) days: i64,
    /// Apps that name a login by its reference register their messages from a queue, too.
    pub(crate) careless: bool,
}

/// A world that is coming about.
pub(crate) struct Life {
    pub(crate) random: Random,
    pub(crate) world: World,
    pub(crate) logins: u32,
    habits: Habits,
    once: u64,
}

impl Life {
    /// A world of about so many tracked messages.
    pub(crate) fn lived(seed: u64, messages: usize, habits: Habits) -> World {
        let mut random = Random::new(seed);
        let lines = (messages / 7).max(20);
        let lines = (0..lines).map(|_| line(&mut random)).collect();
        let world = World { seed, lines, ..World::default() };
        let mut life = Self { random, world, logins: 0, habits, once: 0 };
        while life.world.messages.len() < messages {
            life.something();
        }
        life.mischief();
        for day in [3, 7, 9].into_iter().filter(|day| *day <= habits.days) {
            life.tell(day * DAY + HOUR, Word::Sweep);
        }
        life.tell(habits.days * DAY + 5 * HOUR, Word::Sweep);
        // Each start reads the whole store.
        for _ in 0..habits.days.min(3) {
            let at = life.random.between(HOUR, habits.days * DAY);
            life.tell(at, Word::Restart);
        }
        life.world.timeline.sort_by_key(|(at, _)| *at);
        life.world
    }

    fn something(&mut self) {
        let line = self.some_line();
        let brand = self.random.index(BRANDS.len());
        let at = self.random.between(0, self.habits.days * DAY);
        match self.random.below(100) {
            0..66 => self.login(line, brand, at),
            66..84 => self.question(line, brand, at),
            84..94 => self.link(line, brand, at),
            94..97 => self.conversation(line, brand, at),
            97..99 => self.support_call(line, brand, at),
            _ => self.stray(line, brand, at),
        }
    }

    /// Some people get far more messages than others.
    fn some_line(&mut self) -> usize {
        let lines = self.world.lines.len() as u64;
        let bound = self.random.below(lines) + 1;
        usize::try_from(self.random.below(bound)).unwrap_or_default()
    }

    /// Sends a message: whether it arrives, what the receipts say, and who registers it how.
    pub(crate) fn send(&mut self, mut message: Message) -> usize {
        let number = self.world.messages.len();
        let line = self.line(message.line);
        let carrier = if message.whatsapp { WHATSAPP } else { line.carrier };
        let [first, ..] = &CARRIERS;
        let carrier: &Carrier = CARRIERS.get(carrier).unwrap_or(first);
        let (takes, receipts) = carrier.carry(line.landline, &mut self.random);
        message.arrived = takes.map(|takes| message.created + takes);
        self.world.messages.push(message);
        // What agents write goes out by another program, whose callbacks often go elsewhere.
        let tells = message.is_tracked() || self.random.chance(6_000);
        if tells {
            for (after, word) in receipts {
                self.tell(message.created + after, Word::Status(number, word));
            }
        }
        if message.has_own_link() {
            let before = message.created - self.random.between(50, SECOND);
            self.tell(before, Word::Link(number));
        }
        if message.is_tracked() {
            self.register(number, &message);
        }
        if message.whatsapp && message.arrived.is_some() && self.random.chance(6_000) {
            let read = self.random.between(2 * SECOND, HOUR) + message.arrived.unwrap_or_default();
            self.tell(read, Word::Status(number, "read"));
        }
        self.answering_machines(number, &message, line);
        number
    }

    fn register(&mut self, number: usize, message: &Message) {
        let brand = message.brand();
        let careless = self.habits.careless;
        let late = match brand.registers {
            Registers::ByCallback => {
                // Twilio's first word of a message comes soon after it was created.
                let soon = self.random.between(SECOND / 5, 2 * SECOND);
                return self.tell(message.created + soon, Word::Status(number, "queued"));
            }
            Registers::AtOnce if !careless => self.random.between(SECOND / 10, SECOND / 2),
            Registers::AtOnce | Registers::Answer => self.random.weighted(&[
                (95, SECOND / 10, SECOND),
                (3, SECOND, 20 * SECOND),
                (1, 20 * SECOND, 5 * MINUTE),
                (1, 5 * MINUTE, 10 * HOUR),
            ]),
        };
        // Some are never registered: an exception in the app, between sending and telling.
        if brand.registers == Registers::Answer && self.random.chance(100) {
            return;
        }
        self.tell(message.created + late, Word::Register(number));
        if self.random.chance(100) {
            let again = message.created + late + self.random.between(50, SECOND);
            self.tell(again, Word::Register(number));
        }
    }

    /// A handset that answers by itself has the message; a carrier that answers for a number at which
    /// nothing can be read proves nothing.
    fn answering_machines(&mut self, number: usize, message: &Message, line: Line) {
        let by_itself = match message.arrived {
            Some(arrived) if self.random.chance(60) => Some((
                arrived + self.random.between(SECOND, 4 * SECOND),
                Road::ReplyByHandset,
                Cause::Message(number),
            )),
            None if line.landline && !message.whatsapp && self.random.chance(2_000) => {
                let at = message.created + self.random.between(SECOND / 2, 2 * SECOND);
                Some((at, Road::ReplyByHandset, Cause::Carrier(number)))
            }
            Some(_) | None => None,
        };
        if let Some((at, road, cause)) = by_itself {
            self.reply(number, message, at, road, cause);
        }
    }

    /// A person, a handset or a carrier answers the number that a message came from.
    pub(crate) fn reply(&mut self, number: usize, to: &Message, at: i64, road: Road, cause: Cause) {
        let brand = to.brand();
        if brand.senders.iter().any(|sender| sender.starts_with(char::is_alphabetic)) {
            return;
        }
        let mut sender = to.sender;
        // Without a sticky sender, people answer where they have written with the brand before.
        if !brand.sticky && self.random.chance(3_000) {
            sender = self.some_sender(brand);
        }
        let names = matches!(road, Road::ReplyQuoted | Road::ReplyWithCode).then_some(number);
        let (line, brand, whatsapp) = (to.line, to.brand, to.whatsapp);
        self.act(Act { sender, names, ..Act::of(road, cause, (line, brand, whatsapp), at) });
    }

    /// Puts word of an act on its way.
    pub(crate) fn act(&mut self, mut act: Act) -> usize {
        act.heard = act.did + self.random.weighted(&WIRE);
        let passes_on = BRANDS.get(act.brand).filter(|brand| brand.passes_on);
        if let (Some(brand), Road::Reply | Road::ReplyByHandset | Road::ReplyWithCode) =
            (passes_on, act.road)
        {
            act.heard += self.random.weighted(&[(85, 0, SECOND), (15, SECOND, 20 * MINUTE)]);
            act.stated = (!self.random.chance(500)).then_some(act.did + brand.clock_ahead);
            act.sent = Some(act.heard + brand.clock_ahead);
        }
        self.hear(act)
    }

    /// The same, for what is heard of at a time of its own.
    pub(crate) fn hear(&mut self, mut act: Act) -> usize {
        let number = self.world.acts.len();
        if act.once == 0 {
            self.once += 1;
            act.once = self.once;
        }
        self.world.acts.push(act);
        let streams = BRANDS.get(act.brand).is_some_and(|brand| brand.streams);
        let inbound = matches!(act.road, Road::Reply | Road::Click);
        if streams && inbound && act.cause != Cause::Replay {
            let late = self.random.weighted(&[(80, SECOND, MINUTE), (20, MINUTE, 4 * HOUR)]);
            self.tell(act.heard + late, Word::Streamed(number));
            // What no webhook told, because the service was down.
            if self.random.chance(2_000) {
                return number;
            }
        }
        self.tell(act.heard, Word::Act(number));
        // Twilio and apps try again when the first answer was lost.
        if self.random.chance(150) {
            let again = act.heard + self.random.between(SECOND / 5, 15 * SECOND);
            self.tell(again, Word::Act(number));
        }
        number
    }

    pub(crate) fn tell(&mut self, at: i64, word: Word) {
        self.world.timeline.push((at, word));
    }

    pub(crate) fn line(&self, number: usize) -> Line {
        let nobody = Line { carrier: 0, family: 1, landline: false };
        self.world.lines.get(number).copied().unwrap_or(nobody)
    }

    pub(crate) fn some_sender(&mut self, brand: &Brand) -> usize {
        self.random.index(brand.senders.len())
    }

    /// A message that is about to be sent.
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
        let sender = if sticky { line % senders.max(1) } else { self.some_sender(of.brand()) };
        Message { sender, ..of }
    }
}

impl Act {
    /// An act of a line, toward a brand, by WhatsApp or not.
    pub(crate) fn of(road: Road, cause: Cause, who: (usize, usize, bool), did: i64) -> Self {
        let (line, brand, whatsapp) = who;
        Self {
            road,
            cause,
            line,
            brand,
            sender: 0,
            whatsapp,
            names: None,
            did,
            heard: did,
            stated: None,
            sent: None,
            errs: false,
            once: 0,
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
