//! Signals: the first SIGTERM or SIGINT drains, the second ends the process, SIGHUP reloads.
//!
//! actix handles SIGINT, which Fly sends by default, as a forced stop (docs/design.md, "HTTP"). So its own handling is
//! off.

use anyhow::Context;
use futures_util::future::LocalBoxFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen. From now on these signals do not end the process.
    ///
    /// # Errors
    /// The system denies it.
    pub fn listen() -> anyhow::Result<Self> {
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { terminate: listen(terminate)?, interrupt: listen(interrupt)? })
    }

    /// Completes with the name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Begins to listen for SIGHUP. From now on it does not end the process.
pub(super) fn hangups() -> anyhow::Result<Signal> {
    listen(SignalKind::hangup())
}

/// Begins to listen for the signals that stop the process. The future completes with the first of them.
///
/// # Errors
/// The system denies it.
pub fn stop() -> anyhow::Result<LocalBoxFuture<'static, ()>> {
    let mut signals = Signals::listen()?;
    Ok(Box::pin(async move {
        signals.next().await;
    }))
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot listen for signals")
}
