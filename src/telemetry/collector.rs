//! The way to the collector: one HTTP client, and what is said of it in the log.
//!
//! Promises one line when the collector cannot be reached, and one when it takes spans again, whatever lies
//! between; the SDK, which tells of each batch, is not heard (`logs.rs`). Goes where the settings say and
//! nowhere else: the headers may hold a key, so no redirect is followed and no proxy is asked.

#![expect(clippy::disallowed_types, reason = "the body of a request to the collector")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// How long a connection may take to come about, if a request's whole time is not shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The client. Its requests run on the runtime that it was made on; who asks for one waits on a thread
/// that does nothing else.
#[derive(Debug)]
pub(super) struct Collector {
    client: reqwest::Client,
    runtime: Handle,
    is_failing: AtomicBool,
}

impl Collector {
    pub(super) fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .user_agent(concat!("heardback/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, runtime: Handle::current(), is_failing: AtomicBool::new(false) })
    }

    /// Tells the log what has changed.
    fn log_result(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let trouble = match sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(root_of(error.as_ref())),
        };
        let was_failing = self.is_failing.swap(trouble.is_some(), Ordering::Relaxed);
        match trouble {
            Some(error) if !was_failing => tracing::warn!(
                error,
                "spans not accepted by the collector: {error}. Those that find no room in the queue are lost, \
                 and nothing else is; it is said when it takes them again"
            ),
            None if was_failing => tracing::info!("spans are accepted by the collector again"),
            Some(_) | None => {}
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move { client.send_bytes(request).await });
        let sent = sending.await.unwrap_or_else(|error| Err(error.into()));
        self.log_result(&sent);
        sent
    }
}

/// The root of it, which names no address.
fn root_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}
