//! Several receivers on one database: an account's limits are the account's, not each receiver's.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use heardback::domain::account_block::{AccountBlock, AccountNews, BlockKind};
use heardback::domain::feedback::{Claim, OutcomeDetail, Settlement};
use heardback::domain::sid::AccountSid;
use heardback::store::{Quotas, SettleOutcome, Store};

use crate::contract::Backend as _;
use crate::given::{Hands, account, direct, registered, sid};
use crate::postgres::Postgres;

const LEASE: Duration = Duration::from_mins(1);
const CONCURRENCY: usize = 4;
/// As many messages as the account may have under way.
const MESSAGES: u32 = 4;

/// Two receivers with one clock. `None`: PostgreSQL is not installed.
struct Pair {
    hands: Hands,
    stores: [Arc<dyn Store>; 2],
    database: Postgres<'static>,
}

impl Pair {
    /// With this many confirmed messages.
    async fn with(messages: u32) -> Option<Self> {
        let (database, hands) = (Postgres::new()?, Hands::default());
        let stores = [database.usual(&hands), database.usual(&hands)];
        let pair = Self { hands, stores, database };
        for n in 0..messages {
            pair.stores[0].remember(registered(n, 0)).await.expect("remembered");
            pair.stores[0].observe(direct(n, 0)).await.expect("observed");
        }
        Some(pair)
    }

    /// A claim by one receiver.
    async fn claim(&self, which: usize) -> Vec<Claim> {
        self.stores[which].claim(CONCURRENCY, LEASE, &quotas()).await.expect("claimed")
    }

    async fn next_due(&self, which: usize) -> Option<Duration> {
        self.stores[which].next_due(&quotas()).await.expect("asked")
    }

    async fn share(&self, which: usize, news: AccountNews) {
        self.stores[which].share_news(account(), news).await.expect("shared");
    }

    async fn blocks(&self, which: usize) -> Vec<(AccountSid, AccountBlock)> {
        self.stores[which].account_blocks().await.expect("read")
    }
}

/// The worker's quotas while nothing is in flight.
fn quotas() -> Quotas {
    Quotas { account_limit: Some(CONCURRENCY), ..Quotas::default() }
}

async fn settle(store: &Arc<dyn Store>, claim: &Claim, settlement: Settlement) -> SettleOutcome {
    store.settle(claim.lease, settlement, None).await.expect("settled")
}

fn block(kind: BlockKind, seconds: u64) -> AccountBlock {
    let status = Some(if kind == BlockKind::Throttled { 429 } else { 401 });
    let why = OutcomeDetail { status, code: Some(20003), message: "Authenticate".to_owned() };
    AccountBlock { kind, wait: Duration::from_secs(seconds), why }
}

#[tokio::test]
async fn two_receivers_together_have_no_more_attempts_under_lease_than_the_account_allows() {
    let Some(pair) = Pair::with(20).await else { return };
    let first = pair.claim(0).await;
    assert_eq!(first.len(), CONCURRENCY);
    assert!(pair.claim(1).await.is_empty(), "the account has no free place");
    assert_eq!(pair.next_due(1).await, None, "no place, so no message is due");
    assert_eq!(
        settle(&pair.stores[0], &first[0], Settlement::Reported).await,
        SettleOutcome::Applied
    );
    assert_eq!(pair.claim(1).await.len(), 1, "the place is free for either receiver");
    assert!(pair.claim(0).await.is_empty() && pair.claim(1).await.is_empty());
}

#[tokio::test]
async fn claims_of_both_receivers_at_once_share_the_places() {
    let Some(pair) = Pair::with(40).await else { return };
    for _ in 0..8 {
        let both = join_all((0..8).map(|number| pair.claim(number % 2))).await;
        let claims: Vec<Claim> = both.into_iter().flatten().collect();
        assert_eq!(claims.len(), CONCURRENCY, "all places, and no place twice");
        for claim in &claims {
            let settled = settle(&pair.stores[1], claim, Settlement::Reported).await;
            assert_eq!(settled, SettleOutcome::Applied, "any receiver may settle");
        }
    }
}

#[tokio::test]
async fn the_claims_of_a_dead_receiver_come_back_when_their_leases_expire() {
    let Some(mut pair) = Pair::with(MESSAGES).await else { return };
    let dead = pair.claim(0).await;
    assert_eq!(dead.len(), CONCURRENCY);
    // A receiver that starts takes no lease of another one away.
    pair.stores[0] = pair.database.usual(&pair.hands);
    assert!(pair.claim(0).await.is_empty() && pair.claim(1).await.is_empty());
    pair.hands.set(60);
    let again = pair.claim(1).await;
    assert_eq!(again.len(), CONCURRENCY);
    assert!(again.iter().all(|claim| claim.attempts == 2), "the lost attempts count");
    for (late, current) in dead.iter().zip(&again) {
        assert_eq!(late.feedback, current.feedback);
        let settled = settle(&pair.stores[0], late, Settlement::Reported).await;
        assert_eq!(settled, SettleOutcome::LeaseLost);
        let message = pair.stores[0].show(late.feedback.message).await.expect("shown");
        let lease = message.expect("known").delivery.lease;
        assert_eq!(lease, Some(current.lease.token), "a late result changes nothing");
    }
}

#[tokio::test]
async fn a_hold_that_one_receiver_learned_holds_the_other_back_until_it_is_over() {
    let Some(pair) = Pair::with(8).await else { return };
    pair.share(0, AccountNews::Blocked(block(BlockKind::Throttled, 30))).await;
    for which in [0, 1] {
        assert_eq!(pair.blocks(which).await, [(account(), block(BlockKind::Throttled, 30))]);
        assert!(pair.claim(which).await.is_empty());
        assert_eq!(pair.next_due(which).await, None);
    }
    // A shorter hold does not end a longer one.
    pair.hands.set(10);
    pair.share(1, AccountNews::Blocked(block(BlockKind::Throttled, 1))).await;
    assert_eq!(pair.blocks(0).await, [(account(), block(BlockKind::Throttled, 20))]);
    pair.hands.set(29);
    assert!(pair.claim(1).await.is_empty());
    pair.hands.set(30);
    assert_eq!(pair.blocks(1).await, []);
    assert_eq!(pair.claim(1).await.len(), CONCURRENCY);
}

#[tokio::test]
async fn a_pause_leaves_one_probe_at_a_time_to_all_receivers_until_one_is_accepted() {
    let Some(pair) = Pair::with(8).await else { return };
    pair.share(0, AccountNews::Blocked(block(BlockKind::Paused, 60))).await;
    assert!(pair.claim(0).await.is_empty() && pair.claim(1).await.is_empty());
    pair.hands.set(60);
    assert_eq!(pair.blocks(1).await, [(account(), block(BlockKind::Paused, 0))]);
    let probe = pair.claim(1).await;
    assert_eq!(probe.len(), 1);
    assert!(pair.claim(0).await.is_empty(), "one probe, of whichever receiver");
    // The news is shared before the settlement frees the place.
    pair.share(1, AccountNews::StillPaused { wait: Duration::from_secs(55) }).await;
    let back = Settlement::Release { after: Duration::ZERO };
    assert_eq!(settle(&pair.stores[1], &probe[0], back).await, SettleOutcome::Applied);
    assert!(pair.claim(0).await.is_empty() && pair.claim(1).await.is_empty());
    pair.hands.set(115);
    assert_eq!(pair.claim(0).await.len(), 1);
    // A post that began before the pause proves nothing.
    pair.share(0, AccountNews::Accepted { began: Duration::from_secs(116) }).await;
    assert_eq!(pair.blocks(1).await.len(), 1);
    pair.share(0, AccountNews::Accepted { began: Duration::from_secs(2) }).await;
    assert_eq!(pair.blocks(1).await, []);
    assert_eq!(pair.claim(1).await.len(), CONCURRENCY - 1);
}

#[tokio::test]
async fn a_receiver_with_wrong_credentials_of_its_own_pauses_the_others_once_only() {
    let Some(pair) = Pair::with(8).await else { return };
    pair.share(0, AccountNews::Blocked(block(BlockKind::Paused, 60))).await;
    pair.hands.set(61);
    pair.share(1, AccountNews::Accepted { began: Duration::from_secs(1) }).await;
    pair.share(0, AccountNews::StillPaused { wait: Duration::from_mins(1) }).await;
    assert_eq!(pair.blocks(1).await, [], "the other receiver's post was accepted");
    assert_eq!(pair.claim(1).await.len(), CONCURRENCY);
}

#[tokio::test]
async fn a_pause_without_a_probe_for_a_day_is_forgotten() {
    let Some(pair) = Pair::with(2).await else { return };
    pair.share(0, AccountNews::Blocked(block(BlockKind::Paused, 60))).await;
    pair.hands.set(60 + 86_399);
    assert_eq!(pair.blocks(1).await.len(), 1);
    pair.hands.set(60 + 86_400);
    assert_eq!(pair.blocks(1).await, []);
    assert_eq!(pair.claim(1).await.len(), 2);
}

#[tokio::test]
async fn a_block_holds_one_account_only() {
    let Some(pair) = Pair::with(2).await else { return };
    let other = AccountSid::parse("AC1123456789abcdef0123456789abcdef").expect("valid");
    let news = AccountNews::Blocked(block(BlockKind::Paused, 60));
    pair.stores[0].share_news(other, news).await.expect("shared");
    let claims = pair.claim(1).await;
    assert_eq!(claims.len(), 2);
    assert!(claims.iter().any(|claim| claim.feedback.message == sid(1)));
}
