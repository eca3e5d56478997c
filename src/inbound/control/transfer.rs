//! Export and import over the control socket. Recipients are keyed hashes, so a store identifies its key by that key's
//! check.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::hex::hex;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::inbound::control::Question;
use crate::store::{Counts, ImportOutcome, Reconsidered, Record, Records, Store, StoreError};

/// Asks whose records these are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identify {}

/// Whose they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The check of the key that hashes persons, in hexadecimal: never the key.
    pub persons: String,
    /// Whether there is no message, no evidence and no link.
    pub is_empty: bool,
}

impl Identity {
    fn of(store: &dyn Store) -> Self {
        let persons = hex(&store.person_key().check());
        Self { persons, is_empty: store.counts() == Counts::default() }
    }
}

#[async_trait]
impl Question for Identify {
    const ROUTE: &'static str = "/identity";
    type Answer = Identity;

    async fn answer(self, store: &dyn Store) -> Result<Identity, StoreError> {
        Ok(Identity::of(store))
    }
}

/// Asks for a page of all records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HandOver {
    /// Where the page before ended.
    pub cursor: Option<Vec<u8>>,
    /// At most so many.
    pub limit: usize,
}

#[async_trait]
impl Question for HandOver {
    const ROUTE: &'static str = "/records";
    type Answer = Records;

    async fn answer(self, store: &dyn Store) -> Result<Records, StoreError> {
        store.records(self.cursor, self.limit).await
    }
}

/// Imports some records: all of them or none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Import {
    /// The check of the key that hashed the recipients in them. Another service may answer than the one whose key was
    /// compared.
    pub persons: String,
    /// The records.
    pub records: Vec<Record>,
}

#[async_trait]
impl Question for Import {
    const ROUTE: &'static str = "/import";
    type Answer = ImportOutcome;

    async fn answer(self, store: &dyn Store) -> Result<ImportOutcome, StoreError> {
        if Identity::of(store).persons != self.persons {
            let reason = "the store's persons are hashed with another key by now".to_owned();
            return Err(StoreError::Unavailable { reason, label: "person_key" });
        }
        let outcome = store.import(self.records).await?;
        log_confirmed(&outcome.confirmed);
        for account_sid in &outcome.holds {
            tracing::warn!(
                %account_sid,
                "account {account_sid} is on hold, as it was where an import comes from: nothing of it is reported"
            );
        }
        Ok(outcome)
    }
}

/// Ends an import: judges parked evidence anew.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reconsider {
    /// Where the step before ended.
    pub cursor: Option<Vec<u8>>,
    /// The most rows of one step.
    pub limit: usize,
}

#[async_trait]
impl Question for Reconsider {
    const ROUTE: &'static str = "/reconsider";
    type Answer = Reconsidered;

    async fn answer(self, store: &dyn Store) -> Result<Reconsidered, StoreError> {
        let reconsidered = store.reconsider(self.cursor, self.limit).await?;
        log_confirmed(&reconsidered.confirmed);
        Ok(reconsidered)
    }
}

fn log_confirmed(confirmed: &[(MessageSid, AccountSid)]) {
    for (sid, account_sid) in confirmed {
        tracing::info!(
            message_sid = %sid, %account_sid, source = "import", "confirmed {sid} by import"
        );
    }
}
