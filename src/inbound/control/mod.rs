//! The control socket: what a command at the terminal asks of a service that runs, for a store has one
//! process and cannot be opened beside it.
//!
//! It lies in the store's folder, for its owner alone: a user who can read the store can query it. So nothing
//! here asks for a signature, and nothing here is reachable over a network. Answers are JSON, errors
//! `{"error": …}`.

#![expect(clippy::disallowed_types, reason = "the socket authenticates the operator")]

mod backup;
mod watch;

pub use watch::{WATCH_REFUSED, WatchEnd, WatchLine, WatchRequest};

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::admin;
use crate::admin::Target;
use crate::inbound::rejected_capture::RejectedCapture;
use crate::store::{BackupPieces, Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// The socket's name in the store's folder.
pub const SOCKET: &str = "control.sock";
/// The route of an [`AdminRequest`](admin::AdminRequest): `POST`.
pub const ADMIN: &str = "/admin";
/// The route of a backup: `POST`, answered with its file.
pub const BACKUP: &str = "/backup";

/// Begins a backup in the backend's own way.
pub type BeginBackup =
    Arc<dyn Fn() -> BoxFuture<'static, Result<BackupPieces, StoreError>> + Send + Sync>;

/// What the control routes work with.
pub struct Control {
    /// The backend's own way to make a backup.
    pub backup: BeginBackup,
    pub store: Arc<dyn Store>,
    /// Records refused requests.
    pub refusals: Arc<RejectedCapture>,
    /// How the lanes are.
    pub readiness: Arc<Readiness>,
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route(BACKUP, web::post().to(backup::make))
        .route(ADMIN, web::post().to(answer))
        .route(WATCH_REFUSED, web::post().to(watch::watch))
        .default_service(web::to(unknown));
}

async fn answer(control: web::Data<Control>, body: web::Bytes) -> HttpResponse {
    let Ok(request) = serde_json::from_slice(&body) else { return unknown().await };
    let target = Target {
        store: &*control.store,
        service: Some(&control.readiness),
        clear_recordings: &|| control.refusals.clear(),
    };
    match admin::answer(&target, request).await {
        Ok(answer) => HttpResponse::Ok().content_type("application/json").body(answer),
        Err(error) => failed(&error),
    }
}

/// A command of another release may send a request that this release does not have.
async fn unknown() -> HttpResponse {
    let error = "the service does not know this command; restart it with this release";
    HttpResponse::NotFound().json(json!({ "error": error }))
}

fn failed(error: &dyn std::error::Error) -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(json!({ "error": error.to_string() }))
}
