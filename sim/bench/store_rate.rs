//! The rate of a PostgreSQL store without HTTP: callers register a message and confirm it, in turn. Beside it the rate of
//! one autocommitted `INSERT` for each command, as a simple server does it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use heardback::domain::address::Address;
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::message::Reference;
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::{EvidenceTarget, Signal};
use heardback::store::Store;
use heardback::store::postgres::{PostgresOptions, PostgresStore};
use jiff::Timestamp;
use sqlx::Executor as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::task::JoinSet;

use crate::support::store::{code_entered, default_policy, sent_message};
use crate::traffic::ACCOUNT;

#[derive(clap::Args)]
pub(crate) struct StoreRate {
    /// A database; the measurement makes a schema of its own in it
    #[arg(long)]
    url: String,
    /// Concurrent callers
    #[arg(long, value_delimiter = ',', default_value = "1,32,256")]
    callers: Vec<u32>,
    /// The duration of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Writers
    #[arg(long, value_delimiter = ',', default_value = "2")]
    writers: Vec<u32>,
    /// The most commands of a transaction
    #[arg(long, value_delimiter = ',', default_value = "64")]
    group: Vec<usize>,
    /// Connections of the store
    #[arg(long, default_value_t = 8)]
    connections: u32,
}

const HEADER: &str = "\
| callers | commands | a second | p50, ms | p99, ms |
| ---: | --- | ---: | ---: | ---: |";
/// The default of the store.
const CONNECTIONS: u32 = 8;
const INSERT: &str = "INSERT INTO hook (sid, path, at, body) VALUES ($1, $2, now(), $3::jsonb)";

impl StoreRate {
    pub(crate) fn measure(&self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let schema = format!("bench_{}", std::process::id());
        let connect: PgConnectOptions = self.url.parse()?;
        let connect = connect.options([("search_path", &schema)]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).connect_with(connect.clone());
        let pool = runtime.block_on(pool)?;
        let statements = format!(
            "CREATE SCHEMA {schema};
             CREATE TABLE hook (id bigserial PRIMARY KEY, sid text, path text, at timestamptz, body jsonb)"
        );
        runtime.block_on(pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements))))?;
        let options = |writers, group| PostgresOptions {
            max_messages: u64::MAX,
            max_parked: u64::MAX,
            max_connections: self.connections,
            writers,
            group,
            ..PostgresOptions::new(connect.clone(), b"bench".to_vec(), default_policy())
        };
        PostgresStore::migrate(options(1, 1))?;
        let next = Arc::new(AtomicU32::new(0));
        println!("{HEADER}");
        for _ in 0..self.rounds {
            for callers in &self.callers {
                let insert = {
                    let pool = pool.clone();
                    move |number| insert(pool.clone(), number)
                };
                let latencies = runtime.block_on(self.run(*callers, &next, insert))?;
                self.report(*callers, "one INSERT each", latencies);
                for (writers, group) in self
                    .writers
                    .iter()
                    .flat_map(|writers| self.group.iter().map(move |group| (*writers, *group)))
                {
                    let store: Arc<dyn Store> =
                        Arc::new(PostgresStore::open(options(writers, group))?);
                    let confirm = {
                        let store = Arc::clone(&store);
                        move |number| confirm(Arc::clone(&store), number)
                    };
                    let latencies = runtime.block_on(self.run(*callers, &next, confirm))?;
                    let name =
                        format!("remember and observe, {writers} writers, groups of {group}");
                    self.report(*callers, &name, latencies);
                    runtime.block_on(store.close());
                }
            }
        }
        let statement = format!("DROP SCHEMA {schema} CASCADE");
        runtime.block_on(pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement))))?;
        Ok(())
    }

    /// The latencies of all commands of concurrent callers.
    async fn run<F: Future<Output = anyhow::Result<Vec<Duration>>> + Send + 'static>(
        &self,
        callers: u32,
        next: &Arc<AtomicU32>,
        commands: impl Fn(u32) -> F + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<Vec<Duration>> {
        let until = Instant::now() + Duration::from_secs(self.seconds);
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let (next, commands) = (Arc::clone(next), commands.clone());
            tasks.spawn(async move {
                let mut all = Vec::new();
                while Instant::now() < until {
                    all.extend(commands(next.fetch_add(1, Ordering::Relaxed)).await?);
                }
                anyhow::Ok(all)
            });
        }
        let mut all = Vec::new();
        while let Some(task) = tasks.join_next().await {
            all.extend(task??);
        }
        Ok(all)
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn report(&self, callers: u32, commands: &str, mut latencies: Vec<Duration>) {
        latencies.sort();
        let quantile = |percent: usize| {
            let at = latencies.get(latencies.len() * percent / 100);
            at.copied().unwrap_or_default().as_secs_f64() * 1e3
        };
        let rate = latencies.len() as f64 / self.seconds as f64;
        println!(
            "| {callers} | {commands} | {rate:.0} | {:.2} | {:.2} |",
            quantile(50),
            quantile(99)
        );
    }
}

async fn insert(pool: PgPool, number: u32) -> anyhow::Result<Vec<Duration>> {
    let began = Instant::now();
    sqlx::query(INSERT)
        .bind(sid(number).to_string())
        .bind("/twilio/status")
        .bind("{\"MessageStatus\": \"sent\", \"To\": \"+14155550123\"}")
        .execute(&pool)
        .await?;
    Ok(vec![began.elapsed()])
}

/// Registers a message and confirms it, by its SID or by its reference.
async fn confirm(store: Arc<dyn Store>, number: u32) -> anyhow::Result<Vec<Duration>> {
    let now = Timestamp::now();
    let account = AccountSid::parse(ACCOUNT).expect("valid");
    let sid = sid(number);
    let to = Address::parse(&format!("+1199{number:08}")).expect("valid");
    let reference = Reference::parse(&format!("user-{number}")).expect("valid");
    let mut message = sent_message(sid, account, now);
    message.recipient = Some(store.recipient_hash_key().recipient(account, &to));
    message.reference = Some(reference.clone());
    let mut signal: Signal = code_entered(sid, account, now);
    if let Ok(evidence) = &mut signal.evidence
        && number.is_multiple_of(2)
    {
        evidence.target = EvidenceTarget::Reference(reference);
    }
    let began = Instant::now();
    store.remember(message).await?;
    let remembered = began.elapsed();
    let began = Instant::now();
    let observed = store.observe(signal).await?;
    ensure!(observed == ObserveOutcome::Confirmed(sid), "{observed:?}");
    Ok(vec![remembered, began.elapsed()])
}

fn sid(number: u32) -> MessageSid {
    let mixed = (u64::from(number) + (1 << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    MessageSid::parse(&format!("SM{mixed:016x}{:016x}", mixed.rotate_left(29))).expect("valid")
}
