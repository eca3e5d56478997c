//! The cost of the store's commands with 64 concurrent callers, each group synced, on the disk below `TMPDIR`.
//! `cargo bench --bench store`
//!
//! Each figure is for one command. `remember, alone` has a single caller, so each command waits for a sync.

#![expect(clippy::disallowed_methods, reason = "a benchmark uses the real clock")]

#[expect(dead_code, reason = "each root uses a part of it")]
#[path = "../sim/support/store.rs"]
mod store_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use heardback::domain::feedback::Settlement;
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Quotas, SettleOutcome, Store};
use jiff::Timestamp;
use tokio::runtime::Runtime;

use crate::store_support::{code_entered, default_policy, sent_message};

const AT_ONCE: u32 = 64;
const LEASE: Duration = Duration::from_hours(1);
const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A store, and the number of the next message.
struct Bench {
    runtime: Runtime,
    store: SledStore,
    next: u32,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = Options::new(folder.path(), default_policy(), Arc::new(|| NOW));
        options.max_messages = u64::MAX;
        let store = SledStore::open(options).expect("it opens");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { runtime: runtime.expect("a runtime"), store, next: 0, _folder: folder }
    }

    /// Stores so many new messages in groups, and returns the time.
    fn remember(&mut self, count: u32, at_once: u32) -> Duration {
        let (from, to) = (self.next, self.next + count);
        self.next = to;
        let began = Instant::now();
        for group in (from..to).step_by(at_once as usize) {
            let commands = (group..to.min(group + at_once))
                .map(|n| self.store.remember(sent_message(sid(n), account(), NOW)));
            for remembered in self.runtime.block_on(join_all(commands)) {
                remembered.expect("remembered");
            }
        }
        began.elapsed()
    }

    /// Confirms the newest messages.
    fn observe(&self, count: u32) -> Duration {
        let began = Instant::now();
        for group in (self.next - count..self.next).step_by(AT_ONCE as usize) {
            let commands = (group..self.next.min(group + AT_ONCE))
                .map(|n| self.store.observe(code_entered(sid(n), account(), NOW)));
            for observed in self.runtime.block_on(join_all(commands)) {
                assert!(matches!(observed, Ok(ObserveOutcome::Confirmed(_))), "{observed:?}");
            }
        }
        began.elapsed()
    }

    /// Claims and reports all due messages.
    fn report(&self) -> Duration {
        let began = Instant::now();
        self.runtime.block_on(async {
            loop {
                let claimed = self.store.claim(AT_ONCE as usize, LEASE, &Quotas::default()).await;
                let claims = claimed.expect("claimed");
                if claims.is_empty() {
                    break;
                }
                let settle = |lease| self.store.settle(lease, Settlement::Reported, None);
                for settled in join_all(claims.into_iter().map(|claim| settle(claim.lease))).await {
                    assert!(matches!(settled, Ok(SettleOutcome::Applied)), "{settled:?}");
                }
            }
        });
        began.elapsed()
    }
}

fn sid(n: u32) -> MessageSid {
    let mixed = u64::from(n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    MessageSid::parse(&format!("SM{mixed:016x}{:016x}", mixed.rotate_left(29))).expect("a SID")
}

fn account() -> AccountSid {
    AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("an account")
}

fn verbs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(1)).sample_size(10);
    let count = |iterations: u64| u32::try_from(iterations).expect("few");
    let mut bench = Bench::new();
    group.bench_function("remember, alone", |each| {
        each.iter_custom(|iterations| bench.remember(count(iterations), 1));
    });
    let mut bench = Bench::new();
    group.bench_function("remember", |each| {
        each.iter_custom(|iterations| bench.remember(count(iterations), AT_ONCE));
    });
    let mut bench = Bench::new();
    group.bench_function("observe", |each| {
        each.iter_custom(|iterations| {
            bench.remember(count(iterations), AT_ONCE);
            bench.observe(count(iterations))
        });
    });
    let mut bench = Bench::new();
    group.bench_function("claim and settle", |each| {
        each.iter_custom(|iterations| {
            bench.remember(count(iterations), AT_ONCE);
            bench.observe(count(iterations));
            bench.report()
        });
    });
    let mut bench = Bench::new();
    bench.remember(10_000, AT_ONCE);
    group.bench_function("show", |each| {
        let mut n = 0;
        each.iter(|| {
            n = (n + 1) % 10_000;
            bench.runtime.block_on(bench.store.show(sid(n))).expect("shown").expect("known")
        });
    });
    group.finish();
}

criterion_group!(benches, verbs);
criterion_main!(benches);
