//! Goes through the rows of a store in steps: the sweep, and the judgement after an import.

use std::ops::Range;

use crate::store::engine::{
    Backend as _, EngineResult, SpaceFor, StoredRow, imported_evidence, reconsider, sweep,
};
use crate::store::sled::error::Fatal;
use crate::store::sled::keys;
use crate::store::sled::rows::{counted_at, read_row};
use crate::store::sled::writer::backend::SledBackend;
use crate::store::sled::writer::overlay::RangeEnd;
use crate::store::{Reconsidered, Swept};

impl SledBackend {
    pub(crate) fn expire(&mut self, limit: usize) -> EngineResult<Swept, Fatal> {
        let mut swept = Swept { evicted: std::mem::take(&mut self.evicted), ..Swept::default() };
        // An idle store commits its last trusted time as well.
        self.written += usize::from(self.last_seen_is_stale().is_some());
        let from = std::mem::replace(&mut self.sweep_from, keys::SWEEP_FROM.to_vec());
        let next = self.each_row(from..keys::SWEEP_TO.to_vec(), limit, |backend, row| {
            sweep(backend, row, &mut swept)
        })?;
        swept.complete = next.is_none();
        if let Some(next) = next {
            self.sweep_from = next;
        }
        Ok(Ok(swept))
    }

    pub(crate) fn reconsider_rows(
        &mut self,
        cursor: Option<Vec<u8>>,
        limit: usize,
    ) -> EngineResult<Reconsidered, Fatal> {
        if let Err(full) = self.check_space(SpaceFor::Records) {
            return Ok(Err(full));
        }
        let first = vec![keys::PARKED];
        let from = cursor.map_or(first.clone(), |cursor| cursor.max(first));
        let mut confirmed = Vec::new();
        let next = self.each_row(from..vec![keys::MESSAGE + 1], limit.max(1), |backend, row| {
            if let Some(evidence) = imported_evidence(row, backend.trusted()) {
                let sids = reconsider(backend, &evidence)?;
                confirmed.extend(sids.into_iter().map(|sid| (sid, evidence.account)));
            }
            Ok(())
        })?;
        Ok(Ok(Reconsidered { confirmed, next }))
    }

    /// Gives up to `limit` rows of a range to `step`. Returns the key of the next row.
    fn each_row(
        &mut self,
        range: Range<Vec<u8>>,
        limit: usize,
        mut step: impl FnMut(&mut Self, StoredRow) -> Result<(), Fatal>,
    ) -> Result<Option<Vec<u8>>, Fatal> {
        let mut rows = self.overlay.range(range, RangeEnd::Start, limit.saturating_add(1))?;
        let next = rows.get(limit).map(|(next, _)| next.to_vec());
        rows.truncate(limit);
        for (key, _) in rows {
            // An earlier row of this step may have changed this one.
            let Some(value) = self.overlay.get(&key)? else { continue };
            if let Some(row) = read_row(&key, &value)? {
                step(self, row)?;
            }
        }
        Ok(next)
    }

    /// Proves by a durable write that the store can take a command.
    pub(crate) fn health(&mut self) -> EngineResult<(), Fatal> {
        if let Err(full) = self.check_space(SpaceFor::Records) {
            return Ok(Err(full));
        }
        self.put(keys::HEALTH.to_vec(), Some(counted_at(self.now())))?;
        Ok(Ok(()))
    }
}
