//! Tied names of one person: each name has a row, and each row holds all of them.

use crate::domain::address::{LearnedNames, RecipientHash, TiedNames};
use crate::domain::sid::AccountSid;
use crate::store::Swept;
use crate::store::sled::keys;
use crate::store::sled::record::{decode, encode};
use crate::store::sled::writer::engine::{Engine, Fatal};
use crate::store::sled::writer::mutation::Mutation;

impl Engine {
    /// All names of the person with this name, if there are several.
    pub(crate) fn tied(
        &self,
        account: AccountSid,
        person: RecipientHash,
    ) -> Result<Option<TiedNames>, Fatal> {
        let key = keys::names(account, person);
        if !self.sparse.may_hold(&key) {
            return Ok(None);
        }
        let Some(value) = self.draft.get(&key)? else { return Ok(None) };
        let tied: TiedNames = decode(&value)?;
        Ok(Some(tied).filter(|tied| tied.until() > self.trusted()))
    }

    /// Ties names of an export as a webhook would. `None`: nothing is new. `Some`: whether any of them was tied here
    /// before.
    pub(crate) fn import_names(
        &mut self,
        account: AccountSid,
        tied: &TiedNames,
    ) -> Result<Option<bool>, Fatal> {
        let mut known = Vec::new();
        for person in tied.names.all() {
            known.extend(self.tied(account, person)?);
        }
        let Some(learned) = tied.learned(&known) else { return Ok(None) };
        let mut writing = Mutation::default();
        writing.names(account, &learned)?;
        self.apply(writing)?;
        Ok(Some(!known.is_empty()))
    }

    pub(crate) fn sweep_names(
        &mut self,
        key: &[u8],
        tied: &TiedNames,
        swept: &mut Swept,
    ) -> Result<(), Fatal> {
        if tied.until() <= self.removal() {
            let mut writing = Mutation::default();
            writing.remove(key.to_vec());
            self.apply(writing)?;
            swept.marks += 1;
        }
        Ok(())
    }
}

impl Mutation {
    /// Writes the rows of tied names, and removes those of dropped ones.
    pub(crate) fn names(
        &mut self,
        account: AccountSid,
        learned: &LearnedNames,
    ) -> Result<(), Fatal> {
        for person in &learned.dropped {
            self.remove(keys::names(account, *person));
        }
        for person in learned.tied.names.all() {
            self.put(keys::names(account, person), encode(&learned.tied)?);
        }
        Ok(())
    }
}
