//! Signals: the first SIGTERM or SIGINT drains, the second ends the process, SIGHUP reloads.
//!
//! actix handles SIGINT, which Fly sends by default, as a forced stop (docs/design.md, "HTTP"). So its own handling is
//! off.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP: a reload of the accounts and secrets.
pub struct Hangups(Signal);

impl Hangups {
    /// Begins to listen. From now on SIGHUP does not end the process.
    ///
    /// # Errors
    /// The system denies it.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self(signal(SignalKind::hangup()).context("cannot listen for signals")?))
    }

    /// Completes with the next SIGHUP.
    pub async fn next(&mut self) {
        // The stream never ends, because the runtime owns the sender.
        self.0.recv().await;
    }
}

impl Signals {
    /// Begins to listen. From now on these signals do not end the process.
    ///
    /// # Errors
    /// The system denies it.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Completes with the name of the next signal.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Begins to listen for the signals that end the process. The future completes with the first of them.
///
/// # Errors
/// The system denies it.
pub fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        signals.next().await;
    })
}
