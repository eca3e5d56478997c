//! Claims due messages. If the outcome of a claim is unknown, its leases are given back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::feedback::{Claim, Lease, Settlement};
use crate::store::engine;
use crate::store::postgres::cache::RowCache;
use crate::store::postgres::store::{PostgresStore, outcome};
use crate::store::{Quotas, StoreError};

/// The time between two tries to end the leases of a failed claim.
const GIVE_BACK_INTERVAL: Duration = Duration::from_millis(500);

impl PostgresStore {
    pub(super) async fn claim_due(
        &self,
        limit: usize,
        lease: Duration,
        quotas: Quotas,
    ) -> Result<Vec<Claim>, StoreError> {
        let database = Arc::clone(&self.database);
        let leases = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&leases);
        let command = move |rows: &mut RowCache| {
            let claims = outcome(engine::claim(rows, limit, lease, &quotas))?;
            let taken = claims.iter().map(|claim| claim.lease).collect();
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = taken;
            Ok(claims)
        };
        let claims = self.on_runtime(async move { database.run(true, command).await }).await;
        if claims.is_err() {
            let leases =
                std::mem::take(&mut *leases.lock().unwrap_or_else(PoisonError::into_inner));
            self.give_back(leases, lease);
        }
        claims
    }

    /// Ends leases that a failed claim may have committed: until they expire, they take the places of their accounts.
    #[expect(clippy::disallowed_methods, reason = "bounds a wait, by a clock without jumps")]
    fn give_back(&self, leases: Vec<Lease>, expire_after: Duration) {
        let (queue, max_wait) = (Arc::clone(&self.queue), self.database.max_wait);
        let until = Instant::now() + expire_after;
        self.runtime.spawn(async move {
            while !leases.is_empty() && Instant::now() < until {
                let leases = leases.clone();
                let release = move |rows: &mut RowCache| {
                    leases.iter().try_for_each(|lease| {
                        let now = Settlement::Release { after: Duration::ZERO };
                        outcome(engine::settle(rows, *lease, now, None)).map(drop)
                    })
                };
                match queue.submit(max_wait, release).await {
                    Ok(()) => return,
                    Err(_) => tokio::time::sleep(GIVE_BACK_INTERVAL).await,
                }
            }
        });
    }
}
