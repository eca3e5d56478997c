//! Recounts the rows of a database, and compares its counters with the result.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use sqlx::PgPool;

use crate::store::RecordCounts;
use crate::store::engine::Mutation;
use crate::store::postgres::error::TransactionError;
use crate::store::postgres::tally::add;

/// One snapshot for all statements, so that receivers may write meanwhile.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// The rows of a database, and the counters that differ from them.
#[derive(Debug, Default)]
pub struct Recount {
    pub counts: RecordCounts,
    /// The number of counters that were compared.
    pub counters: usize,
    pub wrong: Vec<WrongCounter>,
}

/// A counter that differs from its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongCounter {
    pub key: String,
    pub stored: i64,
    pub counted: i64,
}

/// Reads all messages, all parked evidence and the number of links.
pub(super) async fn recount(pool: &PgPool) -> Result<Recount, TransactionError> {
    let mut transaction = pool.begin_with(BEGIN).await?;
    let stored: Vec<(String, i64)> =
        sqlx::query_as("SELECT key, sum(n)::bigint FROM tally WHERE key <> 'health' GROUP BY key")
            .fetch_all(&mut *transaction)
            .await?;
    let (mut sums, mut counts) = (BTreeMap::new(), RecordCounts::default());
    let mut count = |mutation: &Mutation| {
        add(&mut sums, mutation);
        mutation.count(&mut counts);
    };
    {
        let mut rows = sqlx::query_as("SELECT body::text FROM message").fetch(&mut *transaction);
        while let Some((body,)) = rows.try_next().await? {
            let body: String = body;
            count(&Mutation::of_message(None, Some(serde_json::from_str(&body)?)));
        }
    }
    {
        let mut rows = sqlx::query_as("SELECT body::text FROM parked").fetch(&mut *transaction);
        while let Some((body,)) = rows.try_next().await? {
            let body: String = body;
            count(&Mutation::of_parked(None, Some(serde_json::from_str(&body)?)));
        }
    }
    let (links,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM link").fetch_one(&mut *transaction).await?;
    transaction.rollback().await?;
    counts.links = u64::try_from(links).unwrap_or_default();
    sums.insert("links".to_owned(), links);
    let (counters, wrong) = differences(&stored.into_iter().collect(), &sums);
    Ok(Recount { counts, counters, wrong })
}

/// The number of counters, and those that differ. A counter of zero may have no row.
fn differences(
    stored: &BTreeMap<String, i64>,
    counted: &BTreeMap<String, i64>,
) -> (usize, Vec<WrongCounter>) {
    let value = |of: &BTreeMap<String, i64>, key: &str| of.get(key).copied().unwrap_or_default();
    let keys: BTreeSet<&String> = stored.keys().chain(counted.keys()).collect();
    let wrong = keys.iter().filter_map(|key| {
        let (stored, counted) = (value(stored, key), value(counted, key));
        (stored != counted).then(|| WrongCounter { key: (*key).clone(), stored, counted })
    });
    let wrong = wrong.collect();
    (keys.len(), wrong)
}
