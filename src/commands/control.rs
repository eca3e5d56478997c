//! Asking the service that has a store open, over the control socket in the store's folder.
//!
//! Whether one runs shows by itself: somebody answers there, or nobody does.

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

/// How long the service may stay silent in the midst of an answer.
const SILENCE: Duration = Duration::from_mins(2);

/// The wait between two attempts to connect to a service.
const RETRY: Duration = Duration::from_millis(100);
/// Attempts while a service reads its store: a minute. Ten million messages take 39 s (docs/performance.md).
const STARTING: u32 = 600;
/// Attempts while any other process holds the lock: two seconds, for a service that is about to listen.
const HELD: u32 = 20;

/// Whether a service has the store open, and answers. A service that starts is awaited.
pub(super) fn is_open(store: &Path) -> anyhow::Result<bool> {
    let socket = store.join(SOCKET);
    for attempt in 0.. {
        match UnixStream::connect(&socket) {
            Ok(_) => return Ok(true),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!(
                    "{} is for the store's owner; run this as that user, or as root",
                    socket.display()
                )
            }
            // No service runs, or it does not listen: it is starting, or its socket's path is too long.
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

/// A service that has the store open, and answers.
pub struct RunningService(Client);

impl RunningService {
    /// `None` if none has.
    pub(super) fn find(store: &Path) -> anyhow::Result<Option<Self>> {
        if !is_open(store)? {
            return Ok(None);
        }
        let socket = store.join(SOCKET);
        let client = Client::builder().unix_socket(socket).read_timeout(SILENCE).build()?;
        Ok(Some(Self(client)))
    }

    pub(super) async fn request<T: DeserializeOwned>(
        &self,
        request: AdminRequest,
    ) -> anyhow::Result<T> {
        let answer = self.post(ADMIN, &request).await?;
        answer.json().await.context(
            "the service's answer cannot be read; if it is of another release, restart it with this one",
        )
    }

    async fn post(&self, route: &str, words: &impl Serialize) -> anyhow::Result<Response> {
        let asked = self.0.post(format!("http://heardback{route}")).json(words).send().await;
        let response = asked.context("the service that has the store open does not answer")?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let answer: serde_json::Value = response.json().await.unwrap_or_default();
        let why = answer.get("error").and_then(serde_json::Value::as_str);
        bail!("the service refuses: {}", why.unwrap_or(status.as_str()))
    }
}

/// What the service answers; `None` if none has the store open.
pub(super) async fn post_to_service(
    store: &Path,
    route: &str,
    words: &impl Serialize,
) -> anyhow::Result<Option<Response>> {
    match RunningService::find(store)? {
        Some(service) => Ok(Some(service.post(route, words).await?)),
        None => Ok(None),
    }
}
