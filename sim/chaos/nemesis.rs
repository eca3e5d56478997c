//! The nemesis: kills, stops, fills the disk, changes the secrets, cuts every connection, and starts
//! the service again each time that it is gone.

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
    Act, DECK, DENY_EVERY, GAPS, HANG_EVERY, JUMPS, Jump, KILLS, KILLS_OF_A_SHORT_RUN,
};
use crate::flood::flood;
use crate::history::{History, What};
use crate::identities::{ACCOUNTS, Cast};
use crate::leaks::listen_in;
use crate::proxy::Road;
use crate::sampler::Alive;
use crate::search;
use crate::service::{Place, Service};
use crate::support::fake_twilio::FakeTwilio;
use crate::support::random::Random;
use crate::upstream::Upstream;

/// Draining may take twenty seconds.
const DRAINED: Duration = Duration::from_secs(25);
/// A start that takes longer has failed, whatever the judge allows.
const STARTED: Duration = Duration::from_secs(30);
/// Longer than a lease, which is a minute.
const LONG_STOP: Duration = Duration::from_secs(66);
/// The account whose key is turned away for a while; the others go on meanwhile.
const DENIED: usize = 2;
/// The account whose posts hang for a while.
const HANGING: usize = 3;
/// So long nothing else is done before posts hang, or before unknown SIDs come in, so that no earlier fault explains a wait.
const CALM: Duration = Duration::from_secs(2);
const HANGS_FOR: Duration = Duration::from_secs(9);
/// Longer than a message may wait for its first post.
const UNKNOWN_FOR: Duration = Duration::from_millis(4500);
const FLOODS_FOR: Duration = Duration::from_millis(2500);

/// When it has done enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    Time(Duration),
    Kills(u64),
}

pub(crate) struct Nemesis {
    pub(crate) random: Random,
    pub(crate) history: Arc<History>,
    pub(crate) cast: Arc<Cast>,
    pub(crate) place: Place,
    pub(crate) disk: Disk,
    pub(crate) road: Arc<Road>,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) alive: watch::Sender<Option<Alive>>,
    pub(crate) service: Option<Service>,
    pub(crate) twilio: Option<FakeTwilio>,
    pub(crate) driver: Option<Arc<Driver>>,
    pub(crate) bursts: Bursts,
    pub(crate) run: u64,
    pub(crate) acts: u64,
    pub(crate) kills: u64,
}

impl Nemesis {
    /// Does what it does until that is enough.
    pub(crate) async fn rage(&mut self, limit: Limit) -> anyhow::Result<()> {
        let began = Instant::now();
        for deck in 0_u64.. {
            for act in self.shuffled(deck, limit) {
                let enough = match limit {
                    Limit::Time(time) => began.elapsed() >= time,
                    Limit::Kills(kills) => self.kills >= kills,
                };
                if enough {
                    return Ok(());
                }
                self.wait_for_a_while().await?;
                self.history.note(What::Act { id: self.acts, act: act.word().to_owned() });
                self.carry_out(act).await.with_context(|| act.word())?;
                self.history.note(What::ActEnded { id: self.acts });
                self.acts += 1;
            }
        }
        Ok(())
    }

    fn shuffled(&mut self, deck: u64, limit: Limit) -> Vec<Act> {
        let kills = match limit {
            Limit::Time(_) => KILLS_OF_A_SHORT_RUN,
            Limit::Kills(_) => KILLS,
        };
        let cards = DECK.iter().flat_map(|(act, times)| std::iter::repeat_n(*act, *times));
        let cards = cards.chain(std::iter::repeat_n(Act::Kill, kills));
        let mut cards: Vec<Act> =
            cards.filter(|act| self.disk.can_be_filled() || !act.fills_the_disk()).collect();
        if self.place.clock.is_some() {
            cards.extend(self.random.one_of(&JUMPS).map(|jump| Act::Clock(*jump)));
        }
        self.random.shuffle(&mut cards);
        if deck.is_multiple_of(HANG_EVERY) {
            cards.insert(cards.len() / 3, Act::Hang);
        }
        if deck.is_multiple_of(DENY_EVERY) {
            cards.insert(0, Act::Deny);
        }
        // It takes longer than a short run.
        if matches!(limit, Limit::Kills(kills) if kills >= 200) && deck % 12 == 3 {
            cards.insert(0, Act::StopLongerThanALease);
        }
        cards
    }

    async fn wait_for_a_while(&mut self) -> anyhow::Result<()> {
        let wait = u64::try_from(self.random.weighted(&GAPS)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(wait)).await;
        self.see_that_it_runs().await
    }

    /// An end that nobody asked for is noted, and judged.
    async fn see_that_it_runs(&mut self) -> anyhow::Result<()> {
        let service = self.service.as_mut().context("it runs")?;
        if service.has_ended(false)? { self.start(false).await.map(|_| ()) } else { Ok(()) }
    }

    /// Starts it; whether it runs then. `may_fail` on a full disk.
    pub(crate) async fn start(&mut self, may_fail: bool) -> anyhow::Result<bool> {
        self.road.target.send_replace(None);
        self.alive.send_replace(None);
        self.service = None;
        self.twilio = None;
        self.run += 1;
        let twilio = self.twilio.insert(self.upstream.listen(self.run)?);
        let starting = self.place.start(self.run, twilio.addr, may_fail);
        let started =
            tokio::time::timeout(STARTED, starting).await.context("it never listens")??;
        let Some(service) = started else {
            anyhow::ensure!(may_fail, "it does not start; see the history's last line");
            return Ok(false);
        };
        self.road.target.send_replace(Some(service.public));
        let began = Instant::now();
        while !may_fail && !service.is_ready().await {
            anyhow::ensure!(began.elapsed() < STARTED, "it is never ready:\n{}", service.tail());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !may_fail {
            self.history.note(What::Ready { run: self.run });
        }
        let (run, pid, ops) = (self.run, service.process.pid().as_raw_nonzero().get(), service.ops);
        self.alive.send_replace(Some(Alive { run, pid, ops }));
        self.service = Some(service);
        Ok(true)
    }

    /// All is well from here on: waits until nothing waits any more, then has it end in peace.
    pub(crate) async fn come_to_rest(&mut self, patience: Duration) -> anyhow::Result<()> {
        self.see_that_it_runs().await?;
        self.history.note(What::Healed);
        let began = Instant::now();
        let outbox = loop {
            let outbox = self.service()?.metric("heardback_outbox").await;
            match outbox {
                Some(0) => break 0,
                Some(outbox) if began.elapsed() > patience => break outbox,
                Some(_) | None => {}
            }
            anyhow::ensure!(began.elapsed() < 2 * patience, "its metrics are not to be had");
            self.see_that_it_runs().await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        self.history.note(What::Drained { outbox });
        self.end_with(Signal::TERM).await
    }

    fn service(&mut self) -> anyhow::Result<&mut Service> {
        self.service.as_mut().context("it runs")
    }

    async fn end_with(&mut self, signal: Signal) -> anyhow::Result<()> {
        let service = self.service()?;
        service.process.signal(signal)?;
        service.ends_within(DRAINED).await
    }

    async fn some_time(&mut self, from: i64, to: i64) {
        let wait = u64::try_from(self.random.between(from, to)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }

    async fn carry_out(&mut self, act: Act) -> anyhow::Result<()> {
        match act {
            Act::Kill => {
                self.kills += 1;
                self.end_with(Signal::KILL).await?;
                if self.kills.is_multiple_of(search::EVERY) {
                    listen_in(&self.history, "the store after a kill", &self.place.store)?;
                }
                self.start(false).await?;
            }
            Act::Terminate => {
                self.end_with(Signal::TERM).await?;
                self.start(false).await?;
            }
            Act::Stop | Act::StopLongerThanALease => {
                self.service()?.process.signal(Signal::STOP)?;
                if act == Act::StopLongerThanALease {
                    tokio::time::sleep(LONG_STOP).await;
                } else {
                    self.some_time(200, 3000).await;
                }
                self.service()?.process.signal(Signal::CONT)?;
            }
            Act::DiskLow | Act::DiskFull => self.fill(act).await?,
            Act::StartOnFullDisk => self.start_on_full_disk().await?,
            Act::Deny => {
                let denied = self.upstream.denied.get(DENIED).context("there is one")?;
                denied.store(true, Ordering::Release);
                tokio::time::sleep(Duration::from_secs(2)).await;
                denied.store(false, Ordering::Release);
            }
            Act::Rotate => self.rotate().await?,
            Act::CutAll => self.road.cuts.send_modify(|cuts| *cuts += 1),
            Act::Hang => self.hang().await?,
            Act::Burst => {
                let driver = self.driver.as_ref().context("it sends")?;
                self.bursts.large(driver, &mut self.random);
                // The next acts meet the batches.
                self.some_time(0, 800).await;
            }
            Act::BogusSids => {
                let driver = self.driver.as_ref().context("it sends")?;
                tokio::time::sleep(CALM).await;
                self.bursts.bogus(driver, &mut self.random);
                tokio::time::sleep(UNKNOWN_FOR).await;
            }
            Act::Flood => {
                let (public, ops) = (self.service()?.public, self.service()?.ops);
                flood(public, ops, FLOODS_FOR, &self.history).await;
            }
            Act::Clock(jump) => self.jump(jump).await?,
        }
        Ok(())
    }

    async fn hang(&mut self) -> anyhow::Result<()> {
        let hangs = self.upstream.hangs.get(HANGING).context("there is one")?;
        self.upstream.calm.store(true, Ordering::Release);
        tokio::time::sleep(CALM).await;
        hangs.store(true, Ordering::Release);
        self.history.note(What::Hangs { account: self.cast.account(HANGING) });
        tokio::time::sleep(HANGS_FOR).await;
        hangs.store(false, Ordering::Release);
        self.upstream.calm.store(false, Ordering::Release);
        Ok(())
    }

    /// The clock is wrong for a while, perhaps over a restart, perhaps by another time in between.
    async fn jump(&mut self, jump: Jump) -> anyhow::Result<()> {
        self.shift_days(jump.days())?;
        self.some_time(200, 1500).await;
        let restarts = self.random.chance(6000);
        if restarts {
            let signal = if self.random.chance(5000) { Signal::KILL } else { Signal::TERM };
            self.end_with(signal).await?;
            self.start(false).await?;
            self.some_time(200, 1000).await;
        }
        if self.random.chance(3000) {
            self.shift_days(jump.other().days())?;
            self.some_time(200, 1000).await;
        }
        let peacefully = self.random.chance(3000);
        if peacefully {
            self.end_with(Signal::TERM).await?;
        }
        self.shift_days(0)?;
        if peacefully {
            self.start(false).await?;
        }
        Ok(())
    }

    fn shift_days(&self, days: i64) -> anyhow::Result<()> {
        self.place.clock.as_ref().context("there is a clock")?.shift_days(days)
    }

    async fn fill(&mut self, act: Act) -> anyhow::Result<()> {
        let left = if act == Act::DiskLow { 100 << 20 } else { 0 };
        self.disk.fill(left)?;
        self.some_time(500, 2500).await;
        // Its end is no fault of its own now, if it meets the brim in the middle of a commit.
        let service = self.service()?;
        let ended = service.has_ended(act == Act::DiskFull)?;
        self.disk.free()?;
        if ended { self.start(false).await.map(|_| ()) } else { Ok(()) }
    }

    async fn start_on_full_disk(&mut self) -> anyhow::Result<()> {
        self.disk.fill(0)?;
        self.kills += 1;
        self.end_with(Signal::KILL).await?;
        let runs = self.start(true).await?;
        self.some_time(200, 800).await;
        self.disk.free()?;
        if runs {
            self.end_with(Signal::KILL).await?;
        }
        self.start(false).await.map(|_| ())
    }

    /// Twilio takes the new pair from now on; the app and the webhooks still sign with what both have.
    async fn rotate(&mut self) -> anyhow::Result<()> {
        let of = self.random.index(ACCOUNTS);
        self.write_accounts(Some(of))?;
        let name = "heardback_config_reloads_total{result=\"done\"}";
        let before = self.service()?.metric(name).await.unwrap_or_default();
        self.service()?.process.signal(Signal::HUP)?;
        let began = Instant::now();
        while self.service()?.metric(name).await.unwrap_or_default() <= before {
            anyhow::ensure!(began.elapsed() < DRAINED, "it does not read its accounts again");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.cast.rotate(of);
        Ok(())
    }

    pub(crate) fn write_accounts(&self, ahead: Option<usize>) -> anyhow::Result<()> {
        Ok(std::fs::write(&self.place.accounts, self.cast.accounts_file(ahead))?)
    }
}
