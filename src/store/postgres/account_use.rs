//! Loads the accounts as all receivers use them: attempts under lease and blocks.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::account_block::BlockKind;
use crate::domain::sid::AccountSid;
use crate::store::engine::AccountUse;
use crate::store::postgres::cache::Loaded;
use crate::store::postgres::error::TransactionError;

/// A pause that no receiver has probed for this long says nothing any more: its account may have left the settings.
pub(super) const UNPROBED_FOR: Duration = Duration::from_hours(24);

/// Loads the attempts under lease and the blocks of accounts.
pub(super) async fn load_use(
    connection: &mut PgConnection,
    loaded: &mut Loaded,
    accounts: &[(AccountSid, Timestamp)],
) -> Result<(), TransactionError> {
    let time = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    if accounts.is_empty() {
        return Ok(());
    }
    let (names, times): (Vec<&str>, Vec<i64>) =
        accounts.iter().map(|(account, now)| (account.as_str(), now.as_millisecond())).unzip();
    let rows: Vec<(String, i64, Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT k.account,
                (SELECT count(*) FROM message m
                 WHERE m.account = k.account AND m.leased AND m.due_at IS NOT NULL AND m.due_at > k.now),
                (SELECT opens_at FROM account_block b WHERE b.account = k.account AND b.kind = $3),
                (SELECT opens_at FROM account_block b
                 WHERE b.account = k.account AND b.kind = $4 AND b.opens_at > k.now - $5)
         FROM unnest($1::text[], $2::bigint[]) AS k(account, now)",
    )
    .bind(names)
    .bind(times)
    .bind(BlockKind::Throttled.as_str())
    .bind(BlockKind::Paused.as_str())
    .bind(i64::try_from(UNPROBED_FOR.as_millis()).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    for (account, under_lease, held_until, probe_from) in rows {
        let Ok(account) = account.parse() else { continue };
        let known = AccountUse {
            under_lease: usize::try_from(under_lease).unwrap_or_default(),
            held_until: held_until.map(time),
            probe_from: probe_from.map(time),
        };
        loaded.account_use.insert(account, known);
    }
    Ok(())
}
