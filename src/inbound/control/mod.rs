//! The control socket: what a command at the terminal asks of a service that runs, for a store has one
//! process and cannot be opened beside it.
//!
//! It lies in the store's folder, for its owner alone: whoever may read the store may ask. So nothing
//! here asks for a signature, and nothing here is reachable over a network. Answers are JSON, errors
//! `{"error": …}`.

mod backup;
mod forget;

pub use forget::{Erased, Forget};

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use futures_util::future::BoxFuture;
use serde_json::json;

use crate::inbound::refused::Refusals;
use crate::store::{Pieces, Store, StoreError};

/// The socket's name in the store's folder.
pub const SOCKET: &str = "control.sock";
/// Asks for a backup: `POST`, answered with its file.
pub const BACKUP: &str = "/backup";

/// Asks to forget people: `POST` with [`Forget`], answered with [`Erased`].
pub const FORGET: &str = "/forget";

/// Begins a backup in the backend's own way.
pub type BeginBackup =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Pieces, StoreError>> + Send + Sync>;

/// What the control routes work with.
pub struct Control {
    /// The backend's own way to make a backup.
    pub backup: BeginBackup,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Where refused requests are recorded, if they are.
    pub refusals: Option<Arc<Refusals>>,
}

/// The control routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route(BACKUP, web::post().to(backup::make))
        .route(FORGET, web::post().to(forget::forget))
        .default_service(web::to(unknown));
}

/// A command of another release may ask for more than this one knows.
async fn unknown() -> HttpResponse {
    let error = "the service does not know this command; restart it with this release";
    HttpResponse::NotFound().json(json!({ "error": error }))
}

/// Something else did not.
fn failed(error: &dyn std::error::Error) -> HttpResponse {
    HttpResponse::InternalServerError().json(json!({ "error": error.to_string() }))
}

/// The store did not do it.
fn refused(error: &StoreError) -> HttpResponse {
    HttpResponse::ServiceUnavailable().json(json!({ "error": error.to_string() }))
}
