//! Reads for operators through the writer: the outbox, refused messages, and messages with a reference.
//!
//! They use the index in memory, so their cost does not depend on the number of records.

use crate::domain::message::{Message, Reference};
use crate::domain::sid::MessageSid;
use crate::store::engine::{Backend as _, MAX_RELATED};
use crate::store::sled::error::Fatal;
use crate::store::sled::writer::backend::SledBackend;

/// The most records that one query reads: meanwhile the writer writes nothing.
const MAX_READ: usize = 100;

impl SledBackend {
    pub(super) fn outbox(&self, limit: usize) -> Result<Vec<Message>, Fatal> {
        let limit = limit.min(MAX_READ);
        let accounts = self.index.accounts_with_due();
        let due = accounts.flat_map(|account| self.index.due_of(account, limit));
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(at, _)| *at);
        self.messages(due.into_iter().take(limit).map(|(_, sid)| sid))
    }

    pub(super) fn refused(&self, limit: usize) -> Result<Vec<Message>, Fatal> {
        self.messages(self.index.refused(limit.min(MAX_READ)))
    }

    pub(super) fn messages_of_all_accounts(
        &self,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<Message>, Fatal> {
        let mut sids = Vec::new();
        for account in self.stats.accounts() {
            sids.extend(self.sids_with_reference(account, reference, MAX_RELATED)?);
        }
        let mut found = self.messages(sids.into_iter())?;
        found.sort_by_key(|message| std::cmp::Reverse(message.created_at));
        found.truncate(limit);
        for message in &mut found {
            message.apply_expiry(self.trusted());
        }
        Ok(found)
    }

    fn messages(&self, sids: impl Iterator<Item = MessageSid>) -> Result<Vec<Message>, Fatal> {
        let found = sids.map(|sid| self.message(sid));
        found.filter_map(Result::transpose).collect()
    }
}
