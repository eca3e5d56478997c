//! The database of the receivers, and its faults.

pub(crate) mod proxy;
pub(crate) mod server;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::faults::DatabaseFault;
use crate::history::History;
use crate::identities::SECRET_PREFIX;
use crate::leaks::scan;
use crate::postgres::proxy::DatabaseNetwork;
use crate::postgres::server::{DATABASE, OWNER, Server, programs};
use crate::support::random::{Random, hash};

/// Longer than any timeout of a statement.
const LONG_STALL: i64 = 6500;

/// The standby of a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Standby {
    /// There is one server.
    None,
    /// A commit waits for the standby.
    Sync,
    /// A commit does not wait for the standby.
    Async,
}

/// A primary, its standby, and the proxies in front of the primary.
pub(crate) struct Database {
    random: Random,
    history: Arc<History>,
    folder: TempDir,
    kind: Standby,
    primary: Server,
    standby: Option<Server>,
    /// Between receivers and primary.
    network: Arc<DatabaseNetwork>,
    /// Between primary and standby.
    replication: Arc<DatabaseNetwork>,
    replication_port: u16,
    /// The URL for receivers.
    pub(crate) url: String,
    /// Numbers the folders of servers.
    servers: u64,
}

impl Database {
    /// Starts the servers below `below`, which the user `postgres` must be able to reach.
    pub(crate) async fn start(
        seed: u64,
        kind: Standby,
        below: Option<&Path>,
        history: &Arc<History>,
    ) -> anyhow::Result<Self> {
        let folder = below.map_or_else(tempfile::tempdir, tempfile::tempdir_in)?;
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let (programs, first) = (programs()?, folder.path().join("server-0"));
        let primary = Server::primary(&programs, first, kind == Standby::Sync).await?;
        let (network, replication) = (DatabaseNetwork::new(), DatabaseNetwork::new());
        let proxy = proxy::start(hash(seed), &network, history).await?;
        let replication_port = proxy::start(seed, &replication, history).await?.port();
        let url = format!("postgres://{OWNER}:{SECRET_PREFIX}-of-the-database@{proxy}/{DATABASE}");
        let mut this = Self {
            random: Random::new(hash(seed ^ 0x9057)),
            history: Arc::clone(history),
            folder,
            kind,
            primary,
            standby: None,
            network,
            replication,
            replication_port,
            url,
            servers: 0,
        };
        this.follow().await?;
        this.primary.query("postgres", &format!("CREATE DATABASE {DATABASE}"))?;
        this.serve();
        Ok(this)
    }

    /// Creates the tables.
    pub(crate) fn migrate(&self, binary: &Path) -> anyhow::Result<()> {
        let mut command = Command::new(binary);
        command.args(["store", "migrate"]).env_clear().env("HEARDBACK_STORE", &self.url);
        let output = command.env("HEARDBACK_PHONE_KEY", "for the migration").output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot migrate: {said}");
        Ok(())
    }

    /// Connects the receivers to the primary.
    fn serve(&self) {
        self.network.target.send_replace(Some(self.primary.socket()));
    }

    /// Gives the primary a new standby.
    async fn follow(&mut self) -> anyhow::Result<()> {
        self.replication.target.send_replace(Some(self.primary.socket()));
        if self.kind == Standby::None {
            return Ok(());
        }
        self.servers += 1;
        let folder = self.folder.path().join(format!("server-{}", self.servers));
        let is_synchronous = self.kind == Standby::Sync;
        let standby =
            Server::standby(&self.primary, folder, self.replication_port, is_synchronous).await?;
        self.standby = Some(standby);
        self.primary.is_followed().await
    }

    /// Injects a fault, and waits until the database serves again.
    pub(crate) async fn inject(&mut self, fault: DatabaseFault) -> anyhow::Result<()> {
        match fault {
            DatabaseFault::TerminateBackend => {
                if let Some(pid) = self.random_backend()? {
                    self.primary
                        .query("postgres", &format!("SELECT pg_terminate_backend({pid})"))?;
                }
            }
            DatabaseFault::KillBackend => {
                if let Some(pid) = self.random_backend()? {
                    Server::kill_backend(pid)?;
                }
                self.primary.recovers().await?;
            }
            DatabaseFault::KillPostmaster => {
                self.primary.end_by(Signal::KILL).await?;
                self.wait_between(0, 1500).await;
                self.primary.start().await?;
            }
            DatabaseFault::RestartImmediately => {
                self.primary.end_by(Signal::QUIT).await?;
                self.primary.start().await?;
            }
            DatabaseFault::Failover => self.fail_over().await?,
            DatabaseFault::CutAll => self.network.cut(),
            DatabaseFault::CutCommits => {
                self.network.cuts_commits.store(true, Ordering::Release);
                self.wait_between(300, 2500).await;
                self.network.cuts_commits.store(false, Ordering::Release);
            }
            DatabaseFault::Stall => {
                self.network.stalled.send_replace(true);
                self.wait_between(200, 4000).await;
                self.network.stalled.send_replace(false);
            }
            DatabaseFault::StallStandby => {
                self.stall_standby(500, LONG_STALL).await;
                self.replication.stalled.send_replace(false);
            }
        }
        Ok(())
    }

    async fn wait_between(&mut self, from: i64, to: i64) {
        let wait = u64::try_from(self.random.between(from, to)).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }

    async fn stall_standby(&mut self, from: i64, to: i64) {
        self.replication.stalled.send_replace(true);
        self.wait_between(from, to).await;
    }

    fn random_backend(&mut self) -> anyhow::Result<Option<i32>> {
        let backends = self.primary.backends()?;
        Ok(self.random.one_of(&backends).copied())
    }

    /// The primary dies for good. The standby becomes the primary, and gets a standby of its own.
    async fn fail_over(&mut self) -> anyhow::Result<()> {
        let standby = self.standby.take().context("there is no standby")?;
        if self.kind == Standby::Async {
            // It lags.
            self.stall_standby(300, 1500).await;
        } else {
            self.hold_up_commits().await?;
        }
        self.network.target.send_replace(None);
        self.primary.end_by(Signal::KILL).await?;
        self.network.cut();
        self.replication.cut();
        self.replication.stalled.send_replace(false);
        standby.promote()?;
        self.scan_log()?;
        std::mem::replace(&mut self.primary, standby).remove();
        self.serve();
        self.follow().await
    }

    /// The synchronous standby gets no log for a while, so commits wait that it may never get. A timeout or a crash of the
    /// primary must not make a receiver acknowledge one of them.
    async fn hold_up_commits(&mut self) -> anyhow::Result<()> {
        match self.random.below(4) {
            0 => self.stall_standby(LONG_STALL, LONG_STALL + 1500).await,
            1 | 2 => {
                self.stall_standby(300, 1500).await;
                if let Some(pid) = self.random_backend()? {
                    Server::kill_backend(pid)?;
                }
                self.primary.recovers().await?;
                self.wait_between(1000, 4000).await;
            }
            _ => {}
        }
        Ok(())
    }

    fn scan_log(&self) -> anyhow::Result<()> {
        scan(&self.history, "the log of the database", &std::fs::read(self.primary.log())?);
        Ok(())
    }

    pub(crate) fn has_standby(&self) -> bool {
        self.kind != Standby::None
    }

    /// Scans the rows and the log of the server for markers.
    pub(crate) fn search(&self) -> anyhow::Result<()> {
        scan(&self.history, "the rows of the database", self.primary.dump()?.as_bytes());
        self.scan_log()
    }
}
