//! The nemesis: kills and stops the service, fills the disk, rotates secrets, cuts every connection, and starts the
//! service again after each end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::Signal;
use tokio::sync::watch;

use crate::bursts::Bursts;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::faults::{
    DECK, DENY_EVERY, Fault, GAPS, HANG_EVERY, JUMPS, Jump, KILLS, KILLS_OF_A_SHORT_RUN,
};
use crate::flood::flood;
use crate::history::{EventKind, History};
use crate::identities::{ACCOUNTS, Identities};
use crate::leaks::scan_folder;
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
/// Longer than a lease, which is a minute.
const LONG_STOP: Duration = Duration::from_secs(66);
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
}

pub(crate) struct Nemesis {
    pub(crate) random: Random,
    pub(crate) history: Arc<History>,
    pub(crate) identities: Arc<Identities>,
    pub(crate) config: ServiceConfig,
    pub(crate) disk: Disk,
    pub(crate) network: Arc<Network>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) running: watch::Sender<Option<RunningProcess>>,
    pub(crate) service: Option<Service>,
    pub(crate) twilio: Option<FakeTwilio>,
    pub(crate) driver: Option<Arc<Driver>>,
    pub(crate) bursts: Bursts,
    pub(crate) run: u64,
    pub(crate) faults_begun: u64,
    pub(crate) kills: u64,
}

impl Nemesis {
    /// Injects faults until the limit.
    pub(crate) async fn inject_faults(&mut self, limit: Limit) -> anyhow::Result<()> {
        let began = Instant::now();
        for deck in 0_u64.. {
            for fault in self.draw_deck(deck, limit) {
                let enough = match limit {
                    Limit::Time(time) => began.elapsed() >= time,
                    Limit::Kills(kills) => self.kills >= kills,
                };
                if enough {
                    return Ok(());
                }
                self.pause().await?;
                self.history.note(EventKind::FaultBegan {
                    id: self.faults_begun,
                    name: fault.name().to_owned(),
                });
                self.inject(fault).await.with_context(|| fault.name())?;
                self.history.note(EventKind::FaultEnded { id: self.faults_begun });
                self.faults_begun += 1;
            }
        }
        Ok(())
    }

    fn draw_deck(&mut self, deck: u64, limit: Limit) -> Vec<Fault> {
        let kills = match limit {
            Limit::Time(_) => KILLS_OF_A_SHORT_RUN,
            Limit::Kills(_) => KILLS,
        };
        let cards = DECK.iter().flat_map(|(fault, times)| std::iter::repeat_n(*fault, *times));
        let cards = cards.chain(std::iter::repeat_n(Fault::Kill, kills));
        let mut cards: Vec<Fault> =
            cards.filter(|fault| self.disk.can_be_filled() || !fault.fills_the_disk()).collect();
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
        cards
    }

    async fn pause(&mut self) -> anyhow::Result<()> {
        let wait = u64::try_from(self.random.weighted(&GAPS)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        self.restart_if_ended().await
    }

    /// Restarts the service after an unexpected end, which is recorded and judged.
    async fn restart_if_ended(&mut self) -> anyhow::Result<()> {
        let service = self.service.as_mut().context("the service is not running")?;
        if service.has_ended(false)? { self.start(false).await.map(|_| ()) } else { Ok(()) }
    }

    /// Starts the service. Returns whether it runs; `may_fail` on a full disk.
    pub(crate) async fn start(&mut self, may_fail: bool) -> anyhow::Result<bool> {
        self.network.target.send_replace(None);
        self.running.send_replace(None);
        self.service = None;
        self.twilio = None;
        self.run += 1;
        let twilio = self.twilio.insert(self.upstream.listen(self.run)?);
        let starting = self.config.start(self.run, twilio.addr, may_fail);
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
        self.network.target.send_replace(Some(service.public));
        let began = Instant::now();
        while !may_fail && !service.is_ready().await {
            anyhow::ensure!(
                began.elapsed() < STARTED,
                "the service is not ready:\n{}",
                service.tail()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !may_fail {
            self.history.note(EventKind::Ready { run: self.run });
        }
        let (run, pid, ops) = (self.run, service.process.pid().as_raw_nonzero().get(), service.ops);
        self.running.send_replace(Some(RunningProcess { run, pid, ops }));
        self.service = Some(service);
        Ok(true)
    }

    /// Waits until the outbox is empty, then stops the service. There are no more faults.
    pub(crate) async fn drain_and_stop(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.restart_if_ended().await?;
        self.history.note(EventKind::Healed);
        let began = Instant::now();
        let outbox = loop {
            let outbox = self.service()?.metric("heardback_outbox").await;
            match outbox {
                Some(0) => break 0,
                Some(outbox) if began.elapsed() > patience => break outbox,
                Some(_) | None => {}
            }
            anyhow::ensure!(began.elapsed() < 2 * patience, "the metrics are unavailable");
            self.restart_if_ended().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        self.history.note(EventKind::Drained { outbox });
        self.end_by(Signal::TERM).await
    }

    fn service(&mut self) -> anyhow::Result<&mut Service> {
        self.service.as_mut().context("the service is not running")
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
                if self.kills.is_multiple_of(search::EVERY) {
                    scan_folder(&self.history, "the store after a kill", &self.config.store)?;
                }
                self.start(false).await?;
            }
            Fault::Terminate => {
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
        self.config.clock.as_ref().context("no clock library")?.shift_days(days)
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
        let name = "heardback_config_reloads_total{result=\"done\"}";
        let before = self.service()?.metric(name).await.unwrap_or_default();
        self.service()?.process.signal(Signal::HUP)?;
        let began = Instant::now();
        while self.service()?.metric(name).await.unwrap_or_default() <= before {
            anyhow::ensure!(began.elapsed() < DRAINED, "the service does not reload its accounts");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.identities.rotate(of);
        Ok(())
    }

    pub(crate) fn write_accounts(&self, ahead: Option<usize>) -> anyhow::Result<()> {
        Ok(std::fs::write(&self.config.accounts, self.identities.accounts_file(ahead))?)
    }
}
