//! Everything that a store holds over the control socket: handed over page by page, and taken over. Persons
//! are keyed hashes, so a store says which key it has, by that key's check.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::hex::hex;
use crate::inbound::control::Question;
use crate::store::{Adopted, Counts, Record, Records, Store, StoreError};

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

/// Has some records taken over: all of them or none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TakeOver {
    /// The check of the key that hashed the persons in them: another service may answer than the one that
    /// was asked for its own.
    pub persons: String,
    /// The records.
    pub records: Vec<Record>,
}

#[async_trait]
impl Question for TakeOver {
    const ROUTE: &'static str = "/adopt";
    type Answer = Adopted;

    async fn answer(self, store: &dyn Store) -> Result<Adopted, StoreError> {
        if Identity::of(store).persons != self.persons {
            let reason = "the store's persons are hashed with another key by now".to_owned();
            return Err(StoreError::Unavailable { reason, label: "person_key" });
        }
        let adopted = store.adopt(self.records).await?;
        for (sid, account_sid) in &adopted.confirmed {
            tracing::info!(
                message_sid = %sid, %account_sid, source = "import", "confirmed {sid} by import"
            );
        }
        for account_sid in &adopted.holds {
            tracing::warn!(
                %account_sid,
                "account {account_sid} is on hold, as it was where an import comes from: nothing of it is reported"
            );
        }
        Ok(adopted)
    }
}
