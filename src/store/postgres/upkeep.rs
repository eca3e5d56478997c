//! Sweeps, erasures and judgements after an import: they page through rows, and change them in small steps.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use futures_util::future::try_join_all;
use jiff::Timestamp;

use crate::domain::address::{Address, RecipientHash};
use crate::domain::erasure::Erasure;
use crate::domain::message::Reference;
use crate::domain::sid::AccountSid;
use crate::store::engine;
use crate::store::engine::{Backend as _, PersonalRow, StoredRow, imported_evidence, personal_row};
use crate::store::postgres::cache::RowCache;
use crate::store::postgres::pages::{Cursor, RowKind};
use crate::store::postgres::store::{PostgresStore, outcome};
use crate::store::{Forgotten, Reconsidered, StoreError, Swept};

/// The rows that an erasure removes in one transaction.
const ERASED_AT_ONCE: usize = 64;
/// The rows that a sweep changes in one transaction, together with other commands.
const SWEPT_AT_ONCE: usize = 32;

impl PostgresStore {
    pub(super) async fn sweep_rows(&self, limit: usize) -> Result<Swept, StoreError> {
        const KINDS: [RowKind; 6] = [
            RowKind::Counted,
            RowKind::Automatic,
            RowKind::Parked,
            RowKind::Link,
            RowKind::Message,
            RowKind::Names,
        ];
        let now = self.now().await?;
        let mut all = Swept::default();
        let mut left = limit.max(1);
        while left > 0 && !all.complete {
            let cursor = self.sweep.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let at = cursor.unwrap_or_else(|| Cursor::start(RowKind::Counted));
            let kind = at.kind;
            let (rows, next) = self.page(at, left).await?;
            left = left.saturating_sub(rows.len());
            let rows: Vec<StoredRow> =
                rows.into_iter().filter(|row| self.needs_sweep(row.clone(), now)).collect();
            for rows in rows.chunks(SWEPT_AT_ONCE) {
                for step in try_join_all(rows.iter().map(|row| self.sweep_row(row.clone()))).await?
                {
                    all += Swept { complete: false, ..step };
                }
            }
            let following = KINDS.iter().skip_while(|other| **other != kind).nth(1);
            let cursor = next.or_else(|| following.copied().map(Cursor::start));
            all.complete = cursor.is_none();
            // After each page, so that the sweep after an error goes on from there.
            *self.sweep.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
        }
        all.evicted = self.database.evicted.swap(0, Ordering::Relaxed);
        Ok(all)
    }

    async fn sweep_row(&self, row: StoredRow) -> Result<Swept, StoreError> {
        self.run(move |rows| {
            let mut swept = Swept::default();
            if let Some(row) = current(rows, row.clone()) {
                let Ok(()) = engine::sweep(rows, row, &mut swept);
            }
            Ok(swept)
        })
        .await
    }

    pub(super) async fn erase_rows(
        &self,
        addresses: Vec<Address>,
    ) -> Result<Forgotten, StoreError> {
        let mut erasure = Erasure::of(addresses, self.recipient_hash_key.clone());
        let groups = self.each_row(&[RowKind::Names, RowKind::Message], names_of).await?;
        erasure.add_names(&groups);
        // Messages come before links: a link of one of their messages concerns them, too.
        let kinds =
            [RowKind::Names, RowKind::Message, RowKind::Link, RowKind::Parked, RowKind::Automatic];
        let mut rows = self.each_row(&kinds, |row| personal_row(row, &mut erasure)).await?;
        let references: Vec<(AccountSid, Reference)> =
            erasure.references().map(|(account, reference)| (account, reference.clone())).collect();
        for (account, reference) in references {
            let statement = "SELECT body::text FROM message WHERE reference = $2 LIMIT $1";
            let name = Some(reference.as_str().to_owned());
            let messages = self.messages(statement, name, usize::MAX).await?;
            let messages = messages.into_iter().filter(|message| message.account == account);
            rows.extend(messages.map(|message| PersonalRow::SharedReference(message.sid)));
        }
        let (erasure, rows) = (Arc::new(erasure), Arc::new(rows));
        let mut forgotten = Forgotten::default();
        for from in (0..rows.len()).step_by(ERASED_AT_ONCE) {
            let (erasure, rows) = (Arc::clone(&erasure), Arc::clone(&rows));
            let group = self
                .run_alone(move |cache| {
                    let to = rows.len().min(from + ERASED_AT_ONCE);
                    let group = rows.get(from..to).unwrap_or_default();
                    outcome(engine::erase(cache, &erasure, group))
                })
                .await?;
            forgotten += group;
        }
        Ok(forgotten)
    }

    pub(super) async fn reconsider_rows(
        &self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> Result<Reconsidered, StoreError> {
        let now = self.now().await?;
        let start = || Cursor::start(RowKind::Parked);
        let cursor = cursor.as_deref().and_then(Cursor::from_bytes);
        let cursor = cursor
            .filter(|cursor| matches!(cursor.kind, RowKind::Parked | RowKind::Message))
            .unwrap_or_else(start);
        let kind = cursor.kind;
        let (rows, next) = self.page(cursor, limit.max(1)).await?;
        let following = (kind == RowKind::Parked).then(|| Cursor::start(RowKind::Message));
        let next = next.or(following).map(|cursor| cursor.to_bytes());
        let mut done = Reconsidered { confirmed: Vec::new(), next };
        for row in rows {
            if imported_evidence(row.clone(), now).is_none() {
                continue;
            }
            let confirmed = self.run(move |rows| {
                let row = current(rows, row.clone());
                let Some(evidence) = row.and_then(|row| imported_evidence(row, rows.trusted()))
                else {
                    return Ok(Vec::new());
                };
                let Ok(sids) = engine::reconsider(rows, &evidence);
                Ok(sids.into_iter().map(|sid| (sid, evidence.account)).collect())
            });
            done.confirmed.extend(confirmed.await?);
        }
        Ok(done)
    }

    /// Whether the sweep would change a row. Only then it needs a transaction.
    fn needs_sweep(&self, row: StoredRow, now: Timestamp) -> bool {
        let database = &self.database;
        let mut cache = RowCache::new(database.config, now, database.totals.counts(), 0);
        let Ok(()) = engine::sweep(&mut cache, row, &mut Swept::default());
        !cache.changed.is_empty() || !cache.missing.borrow().is_empty()
    }
}

/// The names of one person, from a row that has several.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other rows have one name or none")]
fn names_of(row: StoredRow) -> Option<(AccountSid, Vec<RecipientHash>)> {
    match row {
        StoredRow::Names(account, _, tied) => Some((account, tied.names.everywhere().collect())),
        StoredRow::Message(message) if message.alias.is_some() => {
            Some((message.account, message.names().collect()))
        }
        _ => None,
    }
}

/// A row as it is in this transaction. `None`: it was removed.
fn current(rows: &RowCache, row: StoredRow) -> Option<StoredRow> {
    Some(match row {
        StoredRow::Message(message) => {
            let Ok(message) = rows.message(message.sid);
            StoredRow::Message(Box::new(message?))
        }
        StoredRow::Parked(parked) => {
            let Ok(parked) = rows.parked_row(&parked);
            StoredRow::Parked(Box::new(parked?))
        }
        StoredRow::Link(id, _) => {
            let Ok(link) = rows.link(id);
            StoredRow::Link(id, link?)
        }
        StoredRow::Counted(key, _) => {
            let Ok(at) = rows.counted_at(&key);
            StoredRow::Counted(key, at?)
        }
        StoredRow::Names(account, person, _) => {
            let Ok(tied) = rows.tied_names(account, person);
            StoredRow::Names(account, person, tied?)
        }
        StoredRow::Automatic(person, _) => {
            let Ok(automatic) = rows.automatic(person);
            StoredRow::Automatic(person, automatic?)
        }
        StoredRow::Sender(..) | StoredRow::Hold(..) => return None,
    })
}
