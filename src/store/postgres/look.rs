//! Answers a question of the engine without locks. The rows may change between two statements, so this suits only a
//! question whose answer is out of date at once.

use crate::store::postgres::cache::RowCache;
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::load::load;
use crate::store::postgres::transaction::Database;
use crate::store::{RecordCounts, StoreError};

/// The most times that missing rows are loaded.
const MAX_ROUNDS: usize = 16;

impl Database {
    pub(super) async fn look<T>(
        &self,
        question: impl Fn(&mut RowCache) -> T,
    ) -> Result<T, StoreError> {
        let mut transaction = self.begin_read().await?;
        let now = self.now(&mut transaction).await?;
        let mut cache = RowCache::new(self.config, now, RecordCounts::default(), 0);
        for _ in 0..MAX_ROUNDS {
            let answer = question(&mut cache);
            let missing = std::mem::take(cache.missing.get_mut());
            if missing.is_empty() {
                return Ok(answer);
            }
            load(&mut transaction, &mut cache.loaded, missing).await?;
        }
        let cause = format!("a question needed more than {MAX_ROUNDS} rounds of rows");
        Err(TransactionError::Conflict(cause).into())
    }
}
