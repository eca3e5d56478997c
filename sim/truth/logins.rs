//! Logins: a code is sent, and sent again if it does not arrive. The person types a code.

use crate::brands::CodeTarget;
use crate::carriers::{NETWORK_DELAYS, TYPING_DELAYS};
use crate::generator::Generator;
use crate::world::{Act, Cause, EvidenceKind, MINUTE, Message, Purpose, SECOND};

/// The most codes for one login.
const MOST: usize = 4;

/// A current login.
struct Login {
    line: usize,
    brand: usize,
    number: u32,
    sent: Vec<usize>,
    /// Whether the app accepts any code of this login, or only the last.
    lenient: bool,
}

impl Generator {
    /// A login; in a family, sometimes two at once.
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
        // Sometimes support reads the code out on the phone, and the app reports it as entered.
        if self.random.chance(30) {
            return self.code_read_aloud(&login, at);
        }
        // Some people leave before they type anything.
        if self.random.chance(700) {
            return;
        }
        let mut now = at;
        loop {
            let (least, most) = self.options.people.wait();
            let asks_again = now + self.random.between(least, most);
            if let Some((number, typed)) = self.next_typed(&login, now, asks_again) {
                return self.report_code(&login, number, typed);
            }
            if login.sent.len() >= MOST || self.random.chance(1_500) {
                break;
            }
            self.send_code(&mut login, asks_again);
            now = asks_again;
        }
        // The page stays open for some minutes.
        if let Some((number, typed)) = self.next_typed(&login, now, now + 9 * MINUTE) {
            self.report_code(&login, number, typed);
        }
    }

    fn code_read_aloud(&mut self, login: &Login, at: i64) {
        let typed = at + self.random.between(30 * SECOND, 3 * MINUTE);
        let before = self.world.acts.len();
        if let Some(number) = login.sent.last().copied() {
            self.report_code(login, number, typed);
        }
        for act in self.world.acts.iter_mut().skip(before) {
            act.is_wrong = true;
        }
    }

    fn send_code(&mut self, login: &mut Login, at: i64) {
        let message = self.message(login.line, login.brand, Purpose::Code, at);
        let brand = message.brand();
        let fresh = 100_000 + u32::try_from(self.random.below(900_000)).unwrap_or_default();
        let before = login.sent.last().and_then(|last| self.world.messages.get(*last)).copied();
        let repeats = self.random.chance(brand.same_code);
        let code = before.filter(|_| repeats).map_or(fresh, |before| before.code);
        // The first message goes by WhatsApp, if the brand has it.
        let whatsapp = brand.whatsapp.is_some() && before.is_none();
        let number = self.send(Message { login: login.number, code, whatsapp, ..message });
        login.sent.push(number);
    }

    /// The first accepted code that is typed before `until`: its message, and the time.
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
        let typed = arrived.max(from) + self.random.weighted(&TYPING_DELAYS);
        (typed <= until).then_some((number, typed))
    }

    /// The code was correct, and the app reports it.
    fn report_code(&mut self, login: &Login, number: usize, typed: i64) {
        let Some(message) = self.world.messages.get(number).copied() else { return };
        let brand = message.brand();
        let evidence = match brand.names {
            CodeTarget::Sid => EvidenceKind::CodeBySid,
            CodeTarget::Reference => EvidenceKind::CodeByReference,
            CodeTarget::Code => EvidenceKind::CodeWithCode,
            CodeTarget::To => EvidenceKind::CodeByTo,
            CodeTarget::CodeTo => EvidenceKind::CodeWithCodeByTo,
        };
        // An app that keeps only the newest SID reports it, even if an older message was read.
        let newest = login.sent.last().copied().unwrap_or(number);
        let named = if evidence == EvidenceKind::CodeBySid { newest } else { number };
        // Some apps state the time by their own clock. An app with a queue must.
        let queued = self.random.chance(300);
        let stated_at = (queued || !self.random.chance(300)).then_some(typed + brand.clock_ahead);
        let after = if queued {
            self.random.between(SECOND, 40 * MINUTE)
        } else {
            self.random.weighted(&NETWORK_DELAYS).min(SECOND)
        };
        let sent = (!brand.by_user).then_some(typed + after + brand.clock_ahead);
        let who = (login.line, login.brand, message.whatsapp);
        let act = Act::of(evidence, Cause::Message(number), who, typed);
        self.add_act(Act {
            names: Some(named),
            is_wrong: named != number,
            stated_at,
            sent: stated_at.and(sent),
            received: typed + after,
            sender: message.sender,
            ..act
        });
        // A few people also reply, with the code or with thanks.
        if self.random.chance(250) {
            let at = typed + self.random.between(SECOND, 5 * MINUTE);
            let evidence = if self.random.chance(5_000) {
                EvidenceKind::ReplyWithCode
            } else {
                EvidenceKind::Reply
            };
            self.reply(number, &message, at, evidence, Cause::Message(number));
        }
    }
}
