//! What an operator looks at and turns: what is next to be reported, what was refused, what a reference
//! names, and accounts on hold. All of it from what the ledger has in memory, so that looking costs a
//! handful of records however many there are.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::message::{Message, Reference};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::sled::keys;
use crate::store::sled::record::{Damaged, decode, encode};
use crate::store::sled::writer::engine::{Engine, EngineResult, Fatal};
use crate::store::sled::writer::load::MAX_RELATED;
use crate::store::sled::writer::mutation::Mutation;

/// The most that one look reads: meanwhile nothing is written.
const MOST: usize = 100;

impl Engine {
    pub(super) fn outbox(&self, limit: usize) -> Result<Vec<Message>, Fatal> {
        let limit = limit.min(MOST);
        let accounts = self.index.accounts_waiting();
        let due = accounts.flat_map(|account| self.index.due_of(account, limit));
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(at, _)| *at);
        self.messages(due.into_iter().take(limit).map(|(_, sid)| sid))
    }

    pub(super) fn refused(&self, limit: usize) -> Result<Vec<Message>, Fatal> {
        self.messages(self.index.refused(limit.min(MOST)))
    }

    pub(super) fn bearing_anywhere(
        &self,
        reference: &Reference,
        limit: usize,
    ) -> Result<Vec<Message>, Fatal> {
        let mut found = Vec::new();
        for account in self.census.accounts() {
            found.extend(self.messages_with_reference(account, reference, MAX_RELATED)?);
        }
        found.sort_by_key(|message| std::cmp::Reverse(message.created_at));
        found.truncate(limit);
        for message in &mut found {
            message.age(self.trusted());
        }
        Ok(found)
    }

    pub(super) fn pause(&mut self, account: AccountSid) -> EngineResult<Timestamp> {
        if let Err(full) = self.room_to_deliver() {
            return Ok(Err(full));
        }
        if let Some(since) = self.paused.get(&account) {
            return Ok(Ok(*since));
        }
        let now = self.now();
        let mut writing = Mutation::default();
        writing.put(keys::paused(account), encode(&now.as_millisecond())?);
        self.apply(writing)?;
        self.paused.insert(account, now);
        Ok(Ok(now))
    }

    pub(super) fn resume(&mut self, account: AccountSid) -> EngineResult<Option<Timestamp>> {
        if let Err(full) = self.room_to_deliver() {
            return Ok(Err(full));
        }
        let Some(since) = self.paused.remove(&account) else { return Ok(Ok(None)) };
        let mut writing = Mutation::default();
        writing.remove(keys::paused(account));
        self.apply(writing)?;
        self.stirred = true;
        Ok(Ok(Some(since)))
    }

    fn messages(&self, sids: impl Iterator<Item = MessageSid>) -> Result<Vec<Message>, Fatal> {
        let found = sids.map(|sid| self.message(sid));
        found.filter_map(Result::transpose).collect()
    }
}

/// Accounts on hold, and since when.
pub(super) type Paused = BTreeMap<AccountSid, Timestamp>;

/// The account, and since when. Damage here must not set free what somebody put on hold.
pub(super) fn read_hold(key: &[u8], value: &[u8]) -> Result<(AccountSid, Timestamp), Damaged> {
    let account = keys::read_paused(key).ok_or_else(Damaged::key)?;
    let since = Timestamp::from_millisecond(decode(value)?).map_err(|_| Damaged::key())?;
    Ok((account, since))
}
