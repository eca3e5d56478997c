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
use crate::store::sled::{Lock, lock};

/// How long to wait for another process to release a store.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// The timeout between two parts of a response.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

/// The wait between two attempts to connect to a service.
const RETRY: Duration = Duration::from_millis(100);
/// Attempts while a service reads its store: a minute. Ten million messages take 39 s (docs/performance.md).
const STARTING: u32 = 600;
/// Attempts while another process holds the lock: two seconds, until a service listens.
const HELD: u32 = 20;

/// Whether a service has the store open, and listens. Waits for a service that starts.
pub(super) fn is_open(store: &Path) -> anyhow::Result<bool> {
    let socket = store.join(SOCKET);
    for attempt in 0.. {
        match UnixStream::connect(&socket) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!(
                    "{} belongs to the store's owner; run this as that user, or as root",
                    socket.display()
                )
            }
            // No service runs, or it starts, or the path of its socket is too long.
            Err(_) => {}
        }
        let attempts = match lock(store) {
            Lock::Free => 0,
            Lock::Starting => STARTING,
            Lock::Held => HELD,
        };
        if attempt >= attempts {
            break;
        }
        if attempt == HELD {
            note(format_args!(
                "The service is still reading its store; this command waits until it listens."
            ));
        }
        std::thread::park_timeout(RETRY);
    }
    Ok(false)
}

/// A service that has the store open, and listens.
pub(super) struct RunningService(Client);

impl RunningService {
    /// `None` if no service has the store open.
    pub(super) fn find(store: &Path) -> anyhow::Result<Option<Self>> {
        if !is_open(store)? {
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
        bail!("the service refuses: {}", why.unwrap_or(status.as_str()))
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
