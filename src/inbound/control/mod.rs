//! The control socket: what a command at the terminal asks of a service that runs, for a store has one
//! process and cannot be opened beside it.
//!
//! It lies in the store's folder, for its owner alone: a user who can read the store can query it. So nothing
//! here asks for a signature, and nothing here is reachable over a network. Answers are JSON, errors
//! `{"error": …}`.

mod act;
mod backup;
mod clock;
mod forget;
mod look;
mod past;
mod stats;
mod traced;
mod transfer;
mod watch;

pub use act::{
    Hold, Requeue, RequeueRefused, RequeueReported, RequeuedSome, Resume, ToHold, Verdict,
};
pub use clock::{CheckClock, ClockState};
pub use forget::{Erased, Forget};
pub use look::{Found, Known, List, Newest, Show, Span};
pub use past::{Arrived, CameTo};
pub use stats::{Share, Stats, Summary, Waiting};
pub use traced::{Came, Traced};
pub use transfer::{HandOver, Identify, Identity, Import, Reconsider};
pub use watch::{WATCH_REFUSED, WatchEnd, WatchLine, WatchRefused};

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::inbound::refused::Refusals;
use crate::store::{Pieces, Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// The socket's name in the store's folder.
pub const SOCKET: &str = "control.sock";
/// Asks for a backup: `POST`, answered with its file.
pub const BACKUP: &str = "/backup";

/// Asks to forget people: `POST` with [`Forget`], answered with [`Erased`].
pub const FORGET: &str = "/forget";

/// What a command asks of the store. The one answer to it is given by a service over this socket, or by
/// the command itself where none runs.
#[async_trait]
pub trait Question: Serialize + DeserializeOwned + Send + 'static {
    /// Where it is asked: `POST`.
    const ROUTE: &'static str;
    /// What comes of it.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Answers it.
    async fn answer(self, store: &dyn Store) -> Result<Self::Answer, StoreError>;

    /// Adds the facts to an answer that only a running service knows.
    fn served(_answer: &mut Self::Answer, _readiness: &Readiness) {}
}

/// Begins a backup in the backend's own way.
pub type BeginBackup =
    Arc<dyn Fn() -> BoxFuture<'static, Result<Pieces, StoreError>> + Send + Sync>;

/// What the control routes work with.
pub struct Control {
    /// The backend's own way to make a backup.
    pub backup: BeginBackup,
    /// The store.
    pub store: Arc<dyn Store>,
    /// Records refused requests.
    pub refusals: Arc<Refusals>,
    /// How the lanes are.
    pub readiness: Arc<Readiness>,
}

/// The control routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route(BACKUP, web::post().to(backup::make))
        .route(FORGET, web::post().to(forget::forget))
        .route(WATCH_REFUSED, web::post().to(watch::watch))
        .route(List::ROUTE, web::post().to(answer::<List>))
        .route(Newest::ROUTE, web::post().to(answer::<Newest>))
        .route(Show::ROUTE, web::post().to(answer::<Show>))
        .route(Stats::ROUTE, web::post().to(answer::<Stats>))
        .route(Hold::ROUTE, web::post().to(answer::<Hold>))
        .route(Resume::ROUTE, web::post().to(answer::<Resume>))
        .route(Requeue::ROUTE, web::post().to(answer::<Requeue>))
        .route(RequeueRefused::ROUTE, web::post().to(answer::<RequeueRefused>))
        .route(RequeueReported::ROUTE, web::post().to(answer::<RequeueReported>))
        .route(Identify::ROUTE, web::post().to(answer::<Identify>))
        .route(HandOver::ROUTE, web::post().to(answer::<HandOver>))
        .route(Import::ROUTE, web::post().to(answer::<Import>))
        .route(Reconsider::ROUTE, web::post().to(answer::<Reconsider>))
        .route(Arrived::ROUTE, web::post().to(answer::<Arrived>))
        .route(CheckClock::ROUTE, web::post().to(answer::<CheckClock>))
        .route(Traced::ROUTE, web::post().to(answer::<Traced>))
        .default_service(web::to(unknown));
}

async fn answer<Q: Question>(control: web::Data<Control>, question: web::Json<Q>) -> HttpResponse {
    match question.into_inner().answer(&*control.store).await {
        Ok(mut answer) => {
            Q::served(&mut answer, &control.readiness);
            HttpResponse::Ok().json(answer)
        }
        Err(error) => refused(&error),
    }
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
