//! The number of records in a store, by kind.

use crate::domain::message::State;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Messages by state, in the order of [`State::ALL`].
    pub messages: [u64; State::ALL.len()],
    /// Parked evidence that is not orphaned.
    pub parked: u64,
    /// Orphaned evidence.
    pub orphaned: u64,
    /// Click links, whether or not they are bound to a message.
    pub links: u64,
    /// The rows of parked evidence of the account with the most rows. They include evidence that is kept briefly.
    pub parked_fullest: u64,
    /// The share of that account, beyond which the store refuses to park its evidence. 0 if there is no parked evidence.
    pub parked_share: u64,
}

impl RecordCounts {
    /// The number of messages in a state.
    pub fn of(&self, state: State) -> u64 {
        let at = State::ALL.iter().position(|known| *known == state);
        at.and_then(|at| self.messages.get(at)).copied().unwrap_or(0)
    }

    /// The number of messages in any state.
    pub fn total(&self) -> u64 {
        self.messages.iter().sum()
    }

    /// Moves a message from one state to another. `None`: the message does not exist.
    pub(crate) fn move_message(&mut self, from: Option<State>, to: Option<State>) {
        for (count, state) in self.messages.iter_mut().zip(State::ALL) {
            *count = count.saturating_sub(u64::from(from == Some(state)));
            *count += u64::from(to == Some(state));
        }
    }
}
