//! The state of the socket's handlers, and the answer to a failed request.

use std::io;
use std::sync::Arc;

use actix_web::HttpResponse;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::mpsc;

use crate::recording::Recording;
use crate::store::{BackupFrames, Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// Begins a backup of the store, by the method of its backend.
pub type BeginBackup =
    Arc<dyn Fn() -> BoxFuture<'static, Result<BackupFrames, StoreError>> + Send + Sync>;

pub struct ControlState {
    pub store: Arc<dyn Store>,
    pub readiness: Arc<Readiness>,
    pub backup: BeginBackup,
    /// Removes all recordings of rejected requests.
    pub clear_recordings: Arc<dyn Fn() -> io::Result<u64> + Send + Sync>,
    /// Begins a watch of rejected requests. An earlier watch ends.
    pub watch_rejected: Arc<dyn Fn() -> mpsc::Receiver<Recording> + Send + Sync>,
}

pub(super) fn failed(error: &dyn std::error::Error) -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(json!({ "error": error.to_string() }))
}
