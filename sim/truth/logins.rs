//! Logins: a code is sent, and sent again if it does not come; the person types what they have.

use crate::brands::Names;
use crate::carriers::{TYPES, WIRE};
use crate::generator::Life;
use crate::world::{Act, Cause, MINUTE, Message, Purpose, Road, SECOND};

/// The most times that a code is sent for one login.
const MOST: usize = 4;

/// A login under way.
struct Login {
    line: usize,
    brand: usize,
    number: u32,
    sent: Vec<usize>,
    /// Whether the app takes any code of this login, or only the last.
    lenient: bool,
}

impl Life {
    /// Somebody logs in; in a family, now and then two of them at once.
    pub(crate) fn login(&mut self, line: usize, brand: usize, at: i64) {
        self.one_login(line, brand, at);
        if self.line(line).family > 1 && self.random.chance(400) {
            let other = at + self.random.between(SECOND, 3 * MINUTE);
            self.one_login(line, brand, other);
        }
    }

    fn one_login(&mut self, line: usize, brand: usize, at: i64) {
        self.logins += 1;
        let lenient = self.random.chance(2_500);
        let mut login = Login { line, brand, number: self.logins, sent: Vec::new(), lenient };
        self.send_code(&mut login, at);
        // Sometimes support reads the code out on the phone, and the app reports that it was entered.
        if self.random.chance(30) {
            return self.read_out(&login, at);
        }
        // Some go away, and never type anything.
        if self.random.chance(700) {
            return;
        }
        let mut now = at;
        loop {
            let patience = now + self.random.between(25 * SECOND, 2 * MINUTE);
            if let Some((number, typed)) = self.next_typed(&login, now, patience) {
                return self.entered(&login, number, typed);
            }
            if login.sent.len() >= MOST || self.random.chance(1_500) {
                break;
            }
            self.send_code(&mut login, patience);
            now = patience;
        }
        // The page stays open: whatever comes within some minutes is still typed.
        if let Some((number, typed)) = self.next_typed(&login, now, now + 9 * MINUTE) {
            self.entered(&login, number, typed);
        }
    }

    fn read_out(&mut self, login: &Login, at: i64) {
        let typed = at + self.random.between(30 * SECOND, 3 * MINUTE);
        let before = self.world.acts.len();
        if let Some(number) = login.sent.last().copied() {
            self.entered(login, number, typed);
        }
        for act in self.world.acts.iter_mut().skip(before) {
            act.errs = true;
        }
    }

    fn send_code(&mut self, login: &mut Login, at: i64) {
        let message = self.message(login.line, login.brand, Purpose::Code, at);
        let brand = message.brand();
        let fresh = 100_000 + u32::try_from(self.random.below(900_000)).unwrap_or_default();
        let before = login.sent.last().and_then(|last| self.world.messages.get(*last)).copied();
        let repeats = self.random.chance(brand.same_code);
        let code = before.filter(|_| repeats).map_or(fresh, |before| before.code);
        // First by WhatsApp where there is one, and from then on by SMS.
        let whatsapp = brand.whatsapp.is_some() && before.is_none();
        let number = self.send(Message { login: login.number, code, whatsapp, ..message });
        login.sent.push(number);
    }

    /// The first code that the app takes and that was typed before `until`: which message it was read
    /// off, and when it was typed.
    fn next_typed(&mut self, login: &Login, from: i64, until: i64) -> Option<(usize, i64)> {
        let newest = login.sent.last().and_then(|last| self.world.messages.get(*last)).copied()?;
        let mut arrived: Vec<(i64, usize)> = login
            .sent
            .iter()
            .filter_map(|number| {
                let message = self.world.messages.get(*number)?;
                let good = login.lenient || message.code == newest.code;
                message.arrived.filter(|_| good).map(|arrived| (arrived, *number))
            })
            .collect();
        arrived.sort_unstable();
        let (arrived, number) = arrived.first().copied()?;
        let typed = arrived.max(from) + self.random.weighted(&TYPES);
        (typed <= until).then_some((number, typed))
    }

    /// The code was right: the app tells so in its own way.
    fn entered(&mut self, login: &Login, number: usize, typed: i64) {
        let Some(message) = self.world.messages.get(number).copied() else { return };
        let brand = message.brand();
        let road = match brand.names {
            Names::Sid => Road::CodeBySid,
            Names::Reference => Road::CodeByReference,
            Names::Code => Road::CodeWithCode,
            Names::To => Road::CodeByTo,
            Names::CodeTo => Road::CodeWithCodeByTo,
        };
        // An app that keeps only the newest SID reports it, even if an older message was read.
        let newest = login.sent.last().copied().unwrap_or(number);
        let named = if road == Road::CodeBySid { newest } else { number };
        // Some apps say when it was, by their own clock; from a queue they must.
        let queued = self.random.chance(300);
        let stated = (queued || !self.random.chance(300)).then_some(typed + brand.clock_ahead);
        let after = if queued {
            self.random.between(SECOND, 40 * MINUTE)
        } else {
            self.random.weighted(&WIRE).min(SECOND)
        };
        let sent = (!brand.by_user).then_some(typed + after + brand.clock_ahead);
        let who = (login.line, login.brand, message.whatsapp);
        let act = Act::of(road, Cause::Message(number), who, typed);
        self.hear(Act {
            names: Some(named),
            errs: named != number,
            stated,
            sent: stated.and(sent),
            heard: typed + after,
            sender: message.sender,
            ..act
        });
        // A few answer as well: with the code, or with a word of thanks.
        if self.random.chance(250) {
            let at = typed + self.random.between(SECOND, 5 * MINUTE);
            let road = if self.random.chance(5_000) { Road::ReplyWithCode } else { Road::Reply };
            self.reply(number, &message, at, road, Cause::Message(number));
        }
    }
}
