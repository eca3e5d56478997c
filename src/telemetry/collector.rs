//! The HTTP client of the collector of spans.
//!
//! It logs one line when the collector fails and one when it recovers; the SDK's line for each batch is off
//! (`logs.rs`). The headers may hold a key, so redirects are not followed and proxies are not used.

#![expect(clippy::disallowed_types, reason = "the body of a request to the collector")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

use crate::domain::root_cause::root_cause;

/// Unless the timeout of a request is shorter.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Its requests run on the runtime on which it was built; the SDK's own thread awaits them.
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

    /// Logs a change from success to failure or back.
    fn log_result(&self, sent: &Result<Response<Bytes>, HttpError>) {
        let failure = match sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(format!("it answered {}", response.status())),
            Err(error) => Some(root_cause(error.as_ref()).to_string()),
        };
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => tracing::warn!(
                error,
                "spans not accepted by the collector: {error}. Spans beyond the queue's limit are lost; the recovery \
                 is logged"
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
