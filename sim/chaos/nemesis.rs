//! The nemesis: kills and stops the service, fills the disk, rotates secrets, cuts every connection, and starts the
//! service again after each end. Each fault concerns one receiver, which is drawn, or the database of all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::sync::watch;

use crate::app::RunningApp;
use crate::bursts::Bursts;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::faults::{
    DATABASE_DECK, DECK, DENY_EVERY, FAILOVER, Fault, GAPS, HANG_EVERY, JUMPS, Jump, KILLS,
    KILLS_OF_A_SHORT_RUN, KILLS_OF_RECEIVERS, STALLED_STANDBY,
};
use crate::flood::flood;
use crate::history::{EventKind, History};
use crate::identities::{ACCOUNTS, Identities};
use crate::leaks::scan_folder;
use crate::postgres::Database;
use crate::proxy::Network;
use crate::sampler::RunningProcess;
use crate::search;
use crate::service::{Service, ServiceConfig};
use crate::support::fake_twilio::FakeTwilio;
use crate::support::random::Random;
use crate::upstream::Upstream;

/// A drain may take twenty seconds.
const DRAINED: Duration = Duration::from_secs(25);
/// A longer start is an error of the run.
const STARTED: Duration = Duration::from_secs(30);
/// Longer than a lease, which is half a minute with one credential.
const LONG_STOP: Duration = Duration::from_secs(33);
/// The account whose key is rejected for a while.
const DENIED: usize = 2;
/// The account whose posts hang for a while.
const HANGING: usize = 3;
/// The time without other faults before posts hang or unknown SIDs arrive, so that no earlier fault explains a wait.
const CALM: Duration = Duration::from_secs(2);
const HANGS_FOR: Duration = Duration::from_secs(9);
/// Longer than a message may wait for its first post.
const UNKNOWN_FOR: Duration = Duration::from_millis(4500);
const FLOODS_FOR: Duration = Duration::from_millis(2500);

/// The end of the run.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    Time(Duration),
    Kills(u64),
    /// Each receiver is replaced this many times, and nothing fails.
    Replacements(u64),
}

/// One receiver: its current process, the fake Twilio that this process posts to, and the view of the sampler.
#[derive(Default)]
pub(crate) struct Receiver {
    pub(crate) running: watch::Sender<Option<RunningProcess>>,
    pub(crate) service: Option<Service>,
    twilio: Option<FakeTwilio>,
}

/// The deck of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deck {
    /// One receiver on a disk.
    Sled,
    Database {
        has_standby: bool,
    },
}

pub(crate) struct Nemesis {
    pub(crate) random: Random,
    pub(crate) history: Arc<History>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) config: ServiceConfig,
    pub(crate) disk: Disk,
    pub(crate) network: Arc<Network>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) receivers: Vec<Receiver>,
    /// The receiver of the current fault.
    pub(crate) victim: usize,
    /// A part of the name of each fault.
    pub(crate) only: String,
    pub(crate) database: Option<Database>,
    pub(crate) driver: Option<Arc<Driver>>,
    pub(crate) bursts: Bursts,
    pub(crate) app: RunningApp,
    pub(crate) run: u64,
    pub(crate) faults_begun: u64,
    pub(crate) kills: u64,
}

impl Nemesis {
    /// Injects faults until the limit.
    pub(crate) async fn inject_faults(&mut self, limit: Limit) -> anyhow::Result<()> {
        if let Limit::Replacements(rounds) = limit {
            return self.replace_receivers(rounds).await;
        }
        let began = Instant::now();
        for deck in 0_u64.. {
            for fault in self.draw_deck(deck, limit) {
                let enough = match limit {
                    Limit::Time(time) => began.elapsed() >= time,
                    Limit::Kills(kills) => self.kills >= kills,
                    Limit::Replacements(_) => true,
                };
                if enough {
                    return Ok(());
                }
                self.pause().await?;
                self.victim = self.random.index(self.receivers.len());
                self.inject_noted(fault).await?;
            }
        }
        Ok(())
    }

    /// Injects a fault, which the history records.
    async fn inject_noted(&mut self, fault: Fault) -> anyhow::Result<()> {
        let id = self.faults_begun;
        self.history.note(EventKind::FaultBegan { id, name: fault.name().to_owned() });
        self.inject(fault).await.with_context(|| fault.name())?;
        self.history.note(EventKind::FaultEnded { id });
        self.faults_begun += 1;
        Ok(())
    }

    /// Replaces the receivers one after the other, as a deployment does. Nothing else fails.
    async fn replace_receivers(&mut self, rounds: u64) -> anyhow::Result<()> {
        self.heal();
        for _ in 0..rounds {
            for receiver in 0..self.receivers.len() {
                self.wait_between(200, 1500).await;
                self.victim = receiver;
                self.inject_noted(Fault::Replace).await?;
            }
        }
        Ok(())
    }

    /// From now on the networks, the fake Twilio and the app do not fail by themselves.
    pub(crate) fn heal(&self) {
        self.network.healed.store(true, Ordering::Release);
        self.upstream.healed.store(true, Ordering::Release);
        self.app.heal();
    }

    fn draw_deck(&mut self, deck: u64, limit: Limit) -> Vec<Fault> {
        let kind = match &self.database {
            None => Deck::Sled,
            Some(database) => Deck::Database { has_standby: database.has_standby() },
        };
        let (others, kills): (&[(Fault, usize)], usize) = match (kind, limit) {
            (Deck::Database { .. }, _) => (&DATABASE_DECK, KILLS_OF_RECEIVERS),
            (Deck::Sled, Limit::Kills(_)) => (&DECK, KILLS),
            (Deck::Sled, Limit::Time(_) | Limit::Replacements(_)) => (&DECK, KILLS_OF_A_SHORT_RUN),
        };
        let is_possible = |fault: Fault| match kind {
            Deck::Sled => self.disk.can_be_filled() || !fault.fills_the_disk(),
            Deck::Database { has_standby } => {
                has_standby || ![FAILOVER, STALLED_STANDBY].contains(&fault)
            }
        };
        let cards = others.iter().flat_map(|(fault, times)| std::iter::repeat_n(*fault, *times));
        let cards = cards.chain(std::iter::repeat_n(Fault::Kill, kills));
        let mut cards: Vec<Fault> = cards.filter(|fault| is_possible(*fault)).collect();
        if self.config.clock.is_some() {
            cards.extend(self.random.one_of(&JUMPS).map(|jump| Fault::Clock(*jump)));
        }
        self.random.shuffle(&mut cards);
        if deck.is_multiple_of(HANG_EVERY) {
            cards.insert(cards.len() / 3, Fault::Hang);
        }
        if deck.is_multiple_of(DENY_EVERY) {
            cards.insert(0, Fault::Deny);
        }
        // This fault takes longer than a short run.
        if matches!(limit, Limit::Kills(kills) if kills >= 200) && deck % 12 == 3 {
            cards.insert(0, Fault::StopLongerThanALease);
        }
        cards.retain(|fault| fault.name().contains(&self.only));
        cards
    }

    async fn pause(&mut self) -> anyhow::Result<()> {
        let wait = u64::try_from(self.random.weighted(&GAPS)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        self.restart_if_ended().await
    }

    /// Restarts each receiver after an unexpected end, which is recorded and judged.
    async fn restart_if_ended(&mut self) -> anyhow::Result<()> {
        let victim = self.victim;
        for receiver in 0..self.receivers.len() {
            self.victim = receiver;
            if self.service()?.has_ended(false)? {
                self.start(false).await?;
            }
        }
        self.victim = victim;
        Ok(())
    }

    /// Starts all receivers.
    pub(crate) async fn start_all(&mut self) -> anyhow::Result<()> {
        for receiver in 0..self.receivers.len() {
            self.victim = receiver;
            self.start(false).await?;
        }
        Ok(())
    }

    fn receiver(&mut self) -> anyhow::Result<&mut Receiver> {
        self.receivers.get_mut(self.victim).context("no such receiver")
    }

    /// Directs traffic to the receivers that run.
    fn direct(&self) {
        let services = self.receivers.iter().filter_map(|receiver| receiver.service.as_ref());
        self.network.targets.send_replace(services.map(|service| service.public).collect());
    }

    /// Starts the service. Returns whether it runs; `may_fail` on a full disk.
    pub(crate) async fn start(&mut self, may_fail: bool) -> anyhow::Result<bool> {
        let (victim, upstream) = (self.victim, Arc::clone(&self.upstream));
        self.run += 1;
        let run = self.run;
        let receiver = self.receiver()?;
        receiver.running.send_replace(None);
        receiver.service = None;
        receiver.twilio = None;
        let twilio = receiver.twilio.insert(upstream.listen(run)?).addr;
        self.direct();
        let starting = self.config.start((victim, run), twilio, may_fail);
        let started = tokio::time::timeout(STARTED, starting)
            .await
            .context("the service does not listen")??;
        let Some(service) = started else {
            anyhow::ensure!(
                may_fail,
                "the service does not start; see the last line of the history"
            );
            return Ok(false);
        };
        let (pid, ops) = (service.process.pid().as_raw_nonzero().get(), service.ops);
        self.receiver()?.service = Some(service);
        self.direct();
        let (service, began) = (self.service()?, Instant::now());
        while !may_fail && !service.is_ready().await {
            anyhow::ensure!(
                began.elapsed() < STARTED,
                "the service is not ready:\n{}",
                service.tail()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !may_fail {
            self.history.note(EventKind::Ready { run });
        }
        self.receiver()?.running.send_replace(Some(RunningProcess { run, pid, ops }));
        Ok(true)
    }

    /// Waits until the outbox is empty, then stops all receivers. There are no more faults.
    pub(crate) async fn drain_and_stop(&mut self, timeout: Duration) -> anyhow::Result<()> {
        self.restart_if_ended().await?;
        self.history.note(EventKind::Healed);
        let began = Instant::now();
        let outbox = loop {
            let outbox = self.outbox().await?;
            match outbox {
                Some(0) => break 0,
                Some(outbox) if began.elapsed() >= timeout => break outbox,
                Some(_) | None => {}
            }
            anyhow::ensure!(
                began.elapsed() < 2 * timeout.max(STARTED),
                "the metrics are unavailable"
            );
            self.restart_if_ended().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        self.history.note(EventKind::Drained { outbox });
        for receiver in 0..self.receivers.len() {
            self.victim = receiver;
            self.end_by(Signal::TERM).await?;
        }
        Ok(())
    }

    /// The outbox that the receivers report. `None`: one of them cannot read it.
    async fn outbox(&mut self) -> anyhow::Result<Option<u64>> {
        let mut most = Some(0);
        for receiver in &self.receivers {
            let service = receiver.service.as_ref().context("the service is not running")?;
            let outbox = if service.is_ready().await {
                service.metric("heardback_outbox").await
            } else {
                None
            };
            most = most.zip(outbox).map(|(most, outbox)| most.max(outbox));
        }
        Ok(most)
    }

    fn service(&mut self) -> anyhow::Result<&mut Service> {
        self.receiver()?.service.as_mut().context("the service is not running")
    }

    async fn end_by(&mut self, signal: Signal) -> anyhow::Result<()> {
        let service = self.service()?;
        service.process.signal(signal)?;
        service.ends_within(DRAINED).await
    }

    async fn wait_between(&mut self, from: i64, to: i64) {
        let wait = u64::try_from(self.random.between(from, to)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }

    async fn inject(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill => {
                self.kills += 1;
                self.end_by(Signal::KILL).await?;
                if self.database.is_none() && self.kills.is_multiple_of(search::EVERY) {
                    scan_folder(&self.history, "the store after a kill", &self.config.store)?;
                }
                self.start(false).await?;
            }
            Fault::Terminate | Fault::Replace => {
                self.end_by(Signal::TERM).await?;
                self.start(false).await?;
            }
            Fault::Stop | Fault::StopLongerThanALease => {
                self.service()?.process.signal(Signal::STOP)?;
                if fault == Fault::StopLongerThanALease {
                    tokio::time::sleep(LONG_STOP).await;
                } else {
                    self.wait_between(200, 3000).await;
                }
                self.service()?.process.signal(Signal::CONT)?;
            }
            Fault::DiskLow | Fault::DiskFull => self.fill(fault).await?,
            Fault::StartOnFullDisk => self.start_on_full_disk().await?,
            Fault::Deny => {
                let denied = self.upstream.denied.get(DENIED).context("no such account")?;
                denied.store(true, Ordering::Release);
                tokio::time::sleep(Duration::from_secs(2)).await;
                denied.store(false, Ordering::Release);
            }
            Fault::Rotate => self.rotate().await?,
            Fault::CutAll => self.network.cuts.send_modify(|cuts| *cuts += 1),
            Fault::Hang => self.hang().await?,
            Fault::Burst => {
                let driver = self.driver.as_ref().context("the driver has not started")?;
                self.bursts.large(driver, &mut self.random);
                // The next faults coincide with the batches.
                self.wait_between(0, 800).await;
            }
            Fault::BogusSids => {
                let driver = self.driver.as_ref().context("the driver has not started")?;
                tokio::time::sleep(CALM).await;
                self.bursts.bogus(driver, &mut self.random);
                tokio::time::sleep(UNKNOWN_FOR).await;
            }
            Fault::Flood => {
                let (public, ops) = (self.service()?.public, self.service()?.ops);
                flood(public, ops, FLOODS_FOR, &self.history).await;
            }
            Fault::Clock(jump) => self.jump(jump).await?,
            Fault::Database(fault) => {
                self.kills += u64::from(fault.kills());
                self.database.as_mut().context("there is no database")?.inject(fault).await?;
            }
        }
        Ok(())
    }

    async fn hang(&mut self) -> anyhow::Result<()> {
        let hangs = self.upstream.hangs.get(HANGING).context("no such account")?;
        self.upstream.calm.store(true, Ordering::Release);
        tokio::time::sleep(CALM).await;
        hangs.store(true, Ordering::Release);
        self.history.note(EventKind::AccountHangs { account: self.identities.account(HANGING) });
        tokio::time::sleep(HANGS_FOR).await;
        hangs.store(false, Ordering::Release);
        self.upstream.calm.store(false, Ordering::Release);
        Ok(())
    }

    /// The clock is wrong for a while, possibly across a restart, possibly with a second jump.
    async fn jump(&mut self, jump: Jump) -> anyhow::Result<()> {
        self.shift_days(jump.days())?;
        self.wait_between(200, 1500).await;
        let restarts = self.random.chance(6000);
        if restarts {
            let signal = if self.random.chance(5000) { Signal::KILL } else { Signal::TERM };
            self.end_by(signal).await?;
            self.start(false).await?;
            self.wait_between(200, 1000).await;
        }
        if self.random.chance(3000) {
            self.shift_days(jump.other().days())?;
            self.wait_between(200, 1000).await;
        }
        let peacefully = self.random.chance(3000);
        if peacefully {
            self.end_by(Signal::TERM).await?;
        }
        self.shift_days(0)?;
        if peacefully {
            self.start(false).await?;
        }
        Ok(())
    }

    fn shift_days(&self, days: i64) -> anyhow::Result<()> {
        self.config.clock.as_ref().context("no clock library")?.shift_days(self.victim, days)
    }

    async fn fill(&mut self, fault: Fault) -> anyhow::Result<()> {
        let left = if fault == Fault::DiskLow { 100 << 20 } else { 0 };
        self.disk.fill(left)?;
        self.wait_between(500, 2500).await;
        // An end is allowed on a full disk, because a sync may have failed.
        let service = self.service()?;
        let ended = service.has_ended(fault == Fault::DiskFull)?;
        self.disk.free()?;
        if ended { self.start(false).await.map(|_| ()) } else { Ok(()) }
    }

    async fn start_on_full_disk(&mut self) -> anyhow::Result<()> {
        self.disk.fill(0)?;
        self.kills += 1;
        self.end_by(Signal::KILL).await?;
        let runs = self.start(true).await?;
        self.wait_between(200, 800).await;
        self.disk.free()?;
        if runs {
            self.end_by(Signal::KILL).await?;
        }
        self.start(false).await.map(|_| ())
    }

    /// From now on Twilio accepts the new pair. The app and the webhooks sign with the secret that both pairs contain.
    async fn rotate(&mut self) -> anyhow::Result<()> {
        let of = self.random.index(ACCOUNTS);
        self.write_accounts(Some(of))?;
        for receiver in 0..self.receivers.len() {
            self.victim = receiver;
            self.reload().await?;
        }
        self.identities.rotate(of);
        Ok(())
    }

    /// The receiver reads the accounts again.
    async fn reload(&mut self) -> anyhow::Result<()> {
        let name = "heardback_config_reloads_total{result=\"done\"}";
        let before = self.service()?.metric(name).await.unwrap_or_default();
        self.service()?.process.signal(Signal::HUP)?;
        let began = Instant::now();
        while self.service()?.metric(name).await.unwrap_or_default() <= before {
            anyhow::ensure!(began.elapsed() < DRAINED, "the service does not reload its accounts");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    pub(crate) fn write_accounts(&self, ahead: Option<usize>) -> anyhow::Result<()> {
        Ok(std::fs::write(&self.config.accounts, self.identities.accounts_file(ahead))?)
    }
}
