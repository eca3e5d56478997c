//! The state of the page's handlers, and the content of a page.

use std::sync::Arc;

use actix_web::HttpRequest;
use maud::Markup;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::admin::monitor::Monitor;
use crate::admin::page::auth::{Authenticator, DenialReason, Session};
use crate::admin::page::overview::overview;
use crate::admin::page::search;

/// The most `/live` streams at a time.
const MAX_STREAMS: usize = 32;

pub struct PageState {
    pub(super) monitor: Arc<Monitor>,
    pub(super) auth: Authenticator,
    pub(super) streams: Arc<Semaphore>,
}

#[derive(Deserialize)]
pub(super) struct SearchQuery {
    pub(super) q: Option<String>,
}

impl PageState {
    /// Without `token` only this machine has access. `random` is a new key of this process.
    pub fn new(monitor: Arc<Monitor>, token: Option<&SecretString>, random: [u8; 32]) -> Self {
        let auth = Authenticator::new(token, random);
        Self { monitor, auth, streams: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    pub(super) fn authenticate(&self, request: &HttpRequest) -> Result<Session, DenialReason> {
        self.auth.authenticate(request, (self.monitor.sources.clock)())
    }

    /// The present content of a page: the results of a search, or the overview.
    pub(super) async fn content(&self, query: Option<&str>, session: &Session) -> Markup {
        match query {
            Some(query) => search::results(&self.monitor.sources, query, session).await,
            None => overview(&*self.monitor.snapshot().await, session),
        }
    }
}
