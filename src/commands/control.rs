//! The client of the control socket in the store's folder, on which the service that has the store open listens.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::admin::AdminRequest;
use crate::admin::socket::{ADMIN, SOCKET};
use crate::commands::pipe_tolerant_stdout::note;
use crate::store::sled::{LockState, lock_state};

/// How long a command waits for another process to release the store.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
/// The timeout between two parts of a response.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

/// The wait between two attempts to connect to a service.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// Attempts while a service reads its store: a minute. Ten million messages take 39 s (docs/performance.md).
const MAX_ATTEMPTS_STARTING: u32 = 600;
/// Attempts while another process holds the lock: two seconds, until a service listens.
const MAX_ATTEMPTS_LOCKED: u32 = 20;
/// Attempts after which the command says that it waits for a service: two seconds.
const SILENT_ATTEMPTS: u32 = 20;

/// Waits for a service that starts. Returns whether one has the store open, and listens.
pub(super) fn wait_for_service(store: &Path) -> anyhow::Result<bool> {
    let socket = store.join(SOCKET);
    let mut attempts = Attempts::default();
    loop {
        match UnixStream::connect(&socket) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!(
                    "cannot connect to {}: permission denied; run this as the store's owner, or as root",
                    socket.display()
                )
            }
            // No service runs, or it starts, or the path of its socket is too long.
            Err(_) => {}
        }
        if !attempts.may_repeat(lock_state(store)) {
            return Ok(false);
        }
        if attempts.starting == SILENT_ATTEMPTS + 1 {
            note(format_args!(
                "The service is still reading its store; this command waits until it listens."
            ));
        }
        std::thread::park_timeout(RETRY_INTERVAL);
    }
}

/// Failed attempts to connect to a service, by the state of the store's lock after them. Each state has its own limit,
/// because a service that read its store for long still needs time until it listens.
#[derive(Default)]
struct Attempts {
    starting: u32,
    locked: u32,
}

impl Attempts {
    /// Counts a failed attempt. Returns whether another one may succeed.
    fn may_repeat(&mut self, lock: LockState) -> bool {
        match lock {
            LockState::Free => false,
            LockState::Starting => {
                self.starting += 1;
                self.starting <= MAX_ATTEMPTS_STARTING
            }
            LockState::Held => {
                self.locked += 1;
                self.locked <= MAX_ATTEMPTS_LOCKED
            }
        }
    }
}

/// A service that has the store open, and listens.
pub(super) struct RunningService(Client);

impl RunningService {
    /// `None` if no service has the store open.
    pub(super) fn find(store: &Path) -> anyhow::Result<Option<Self>> {
        if !wait_for_service(store)? {
            return Ok(None);
        }
        let socket = store.join(SOCKET);
        let client = Client::builder().unix_socket(socket).read_timeout(READ_TIMEOUT).build()?;
        Ok(Some(Self(client)))
    }

    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        request: AdminRequest,
    ) -> anyhow::Result<T> {
        let response = self.post(ADMIN, &request).await?;
        response.json().await.context(
            "cannot read the response of the service; if it runs another release, restart it with this one",
        )
    }

    async fn post(&self, route: &str, body: &impl Serialize) -> anyhow::Result<Response> {
        let sent = self.0.post(format!("http://heardback{route}")).json(body).send().await;
        let response = sent.context("the service that has the store open does not respond")?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body: serde_json::Value = response.json().await.unwrap_or_default();
        let why = body.get("error").and_then(serde_json::Value::as_str);
        bail!("the service rejected the request: {}", why.unwrap_or(status.as_str()))
    }
}

/// The response of the service; `None` if no service has the store open.
pub(super) async fn post_to_service(
    store: &Path,
    route: &str,
    body: &impl Serialize,
) -> anyhow::Result<Option<Response>> {
    match RunningService::find(store)? {
        Some(service) => Ok(Some(service.post(route, body).await?)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_has_read_its_store_for_long_still_has_time_to_listen() {
        let mut attempts = Attempts::default();
        for (state, limit) in
            [(LockState::Starting, MAX_ATTEMPTS_STARTING), (LockState::Held, MAX_ATTEMPTS_LOCKED)]
        {
            for _ in 0..limit {
                assert!(attempts.may_repeat(state));
            }
        }
        assert!(!attempts.may_repeat(LockState::Held) && !attempts.may_repeat(LockState::Starting));
        assert!(!Attempts::default().may_repeat(LockState::Free));
    }
}
