//! Mischief: captured requests sent again, and accounts that name messages which are not theirs.
//!
//! It is aimed where it would do harm: at messages that never arrived.

use std::collections::HashMap;

use crate::generator::Life;
use crate::world::{Act, Cause, HOUR, MINUTE, Message, Road, SECOND};

impl Life {
    /// Goes over the world once it has come about.
    pub(crate) fn mischief(&mut self) {
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

    /// What inbound requests there are to be captured, by who turned to whom.
    fn captured(&self) -> HashMap<(usize, usize), Vec<Act>> {
        let mut captured = HashMap::<_, Vec<Act>>::new();
        for act in &self.world.acts {
            let inbound = matches!(act.road, Road::Reply | Road::Call);
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
            let (first, again) = (act.heard + 5 * HOUR, act.heard + 7 * 24 * HOUR);
            act.whatsapp == lost.whatsapp && (first..again).contains(&at)
        });
        if let Some(old) = old.copied()
            && self.random.chance(5_000)
        {
            self.hear(Act { cause: Cause::Replay, did: at, heard: at, ..old });
        }
    }

    /// A stranger, or another account of ours, names a message that is not theirs.
    fn accounts(&mut self, number: usize, lost: &Message) {
        if !self.random.chance(600) {
            return;
        }
        let cause = if self.random.chance(5_000) { Cause::Stranger } else { Cause::Sibling };
        let roads = [Road::ReplyQuoted, Road::CodeBySid, Road::Click];
        let road = self.random.one_of(&roads).copied().unwrap_or(Road::ReplyQuoted);
        let at = lost.created + self.random.between(2 * SECOND, 30 * MINUTE);
        let act = Act::of(road, cause, (lost.line, lost.brand, lost.whatsapp), at);
        self.act(Act { names: Some(number), sender: lost.sender, ..act });
    }
}
