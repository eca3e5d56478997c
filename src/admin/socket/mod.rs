//! The control socket: commands send their requests to a running service, because only one process can open a store.
//!
//! The socket lies in the folder of the store, and only its owner has access. So the routes need no authentication, and
//! no network reaches them. Answers are JSON, errors `{"error": …}`.

#![expect(clippy::disallowed_types, reason = "the socket authenticates the operator")]

mod backup;
mod state;
mod watch;

pub use state::{BeginBackup, ControlState};
pub use watch::{WATCH_REFUSED, WatchEnd, WatchLine, WatchRequest};

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::admin;
use crate::admin::AdminContext;
use crate::admin::socket::state::failed;

/// The name of the socket in the folder of the store.
pub const SOCKET: &str = "control.sock";
/// The route of an [`AdminRequest`](admin::AdminRequest): `POST`.
pub const ADMIN: &str = "/admin";
/// The route of a backup: `POST`, answered with its file.
pub const BACKUP: &str = "/backup";

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route(BACKUP, web::post().to(backup::backup))
        .route(ADMIN, web::post().to(answer))
        .route(WATCH_REFUSED, web::post().to(watch::watch))
        .default_service(web::to(unknown));
}

async fn answer(control: web::Data<ControlState>, body: web::Bytes) -> HttpResponse {
    let Ok(request) = serde_json::from_slice(&body) else { return unknown().await };
    let context = AdminContext {
        store: &*control.store,
        service: Some(&control.readiness),
        clear_recordings: &*control.clear_recordings,
    };
    match admin::answer(&context, request).await {
        Ok(answer) => HttpResponse::Ok().content_type("application/json").body(answer),
        Err(error) => failed(&error),
    }
}

/// A command of another release may send a request that this release does not have.
async fn unknown() -> HttpResponse {
    let error = "the service does not know this command; restart it with this release";
    HttpResponse::NotFound().json(json!({ "error": error }))
}
