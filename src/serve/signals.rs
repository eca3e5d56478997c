//! SIGTERM and SIGINT: the first drains, the second ends at once. SIGHUP reloads.
//!
//! actix would take SIGINT, which is what Fly sends unless told otherwise, for a forced stop
//! (docs/design.md, "HTTP"); so its own handling is off, and both mean the same here.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the process.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

/// SIGHUP: read the accounts and secrets again.
pub struct Hangups(Signal);

impl Hangups {
    /// Begins to listen; from now on it does not end the process.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen() -> anyhow::Result<Self> {
        Ok(Self(signal(SignalKind::hangup()).context("cannot listen for signals")?))
    }

    /// Completes with the next one.
    pub async fn next(&mut self) {
        // It never ends: the signal's sender is the runtime's own.
        self.0.recv().await;
    }
}

impl Signals {
    /// Begins to listen; from now on neither signal ends the process by itself.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Completes with the next signal's name.
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
