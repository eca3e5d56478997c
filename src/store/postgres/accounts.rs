//! The blocks of accounts that one receiver learned from Twilio, for all receivers.

use std::time::Duration;

use crate::domain::account_block::{AccountBlock, AccountNews, BlockKind};
use crate::domain::feedback::OutcomeDetail;
use crate::domain::matching::later;
use crate::domain::sid::AccountSid;
use crate::store::StoreError;
use crate::store::postgres::account_use::UNPROBED_FOR;
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::load::timestamp;
use crate::store::postgres::transaction::Database;

fn milliseconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

/// Account, kind, opening, status, code and reason.
type BlockRow = (String, String, i64, Option<i32>, Option<i64>, String);

impl Database {
    /// Writes the news of a post for all receivers. The times are the database's.
    pub(super) async fn share_news(
        &self,
        account: AccountSid,
        news: AccountNews,
    ) -> Result<(), StoreError> {
        let begin = self.beginnings.write;
        let transaction = self.pool.begin_with(begin).await;
        let mut transaction = transaction.map_err(TransactionError::from)?;
        let now = self.now(&mut transaction).await?;
        let query = match &news {
            AccountNews::Blocked(AccountBlock { kind, wait, why }) => sqlx::query(
                "INSERT INTO account_block AS known (account, kind, since, opens_at, status, code, why)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT (account, kind) DO UPDATE SET
                     since = excluded.since, opens_at = greatest(known.opens_at, excluded.opens_at),
                     status = excluded.status, code = excluded.code, why = excluded.why",
            )
            .bind(account.as_str())
            .bind(kind.as_str())
            .bind(now.as_millisecond())
            .bind(later(now, *wait).as_millisecond())
            .bind(why.status.map(i32::from))
            .bind(why.code.map(i64::from))
            .bind(&why.message),
            AccountNews::StillPaused { wait } => sqlx::query(
                "UPDATE account_block SET opens_at = greatest(opens_at, $3) WHERE account = $1 AND kind = $2",
            )
            .bind(account.as_str())
            .bind(BlockKind::Paused.as_str())
            .bind(later(now, *wait).as_millisecond()),
            AccountNews::Accepted { began } => sqlx::query(
                "DELETE FROM account_block WHERE account = $1 AND kind = $2 AND since <= $3",
            )
            .bind(account.as_str())
            .bind(BlockKind::Paused.as_str())
            .bind(now.as_millisecond().saturating_sub(milliseconds(*began))),
        };
        query.execute(&mut *transaction).await.map_err(TransactionError::from)?;
        Ok(transaction.commit().await.map_err(TransactionError::from)?)
    }

    /// The blocks that are not over, and the pauses whose probe is due.
    pub(super) async fn account_blocks(
        &self,
    ) -> Result<Vec<(AccountSid, AccountBlock)>, StoreError> {
        let mut transaction = self.begin_read().await?;
        let rows: Vec<BlockRow> =
            sqlx::query_as("SELECT account, kind, opens_at, status, code, why FROM account_block")
                .fetch_all(&mut *transaction)
                .await
                .map_err(TransactionError::from)?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now(&mut transaction).await?;
        let blocks = rows.into_iter().filter_map(|(account, kind, opens_at, status, code, why)| {
            let kind = BlockKind::ALL.into_iter().find(|known| known.as_str() == kind)?;
            let wait = timestamp(opens_at).duration_since(now);
            let is_known = match kind {
                BlockKind::Throttled => wait.is_positive(),
                BlockKind::Paused => later(timestamp(opens_at), UNPROBED_FOR) > now,
            };
            let status = status.and_then(|status| u16::try_from(status).ok());
            let code = code.and_then(|code| u32::try_from(code).ok());
            let why = OutcomeDetail { status, code, message: why };
            let wait = Duration::try_from(wait).unwrap_or_default();
            is_known.then_some((account.parse().ok()?, AccountBlock { kind, wait, why }))
        });
        Ok(blocks.collect())
    }
}
