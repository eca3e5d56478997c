//! The operator's listener: alive? ready? the metrics, what the app's routes take and answer, and the page.
//! What is open to whoever reaches it names no person and no message; the page (`page/`) keeps its own door.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::admin::page;
use crate::admin::page::PageState;
use crate::admin::scrape::{self, ReadDisk};
use crate::admin::snapshot::{Board, HealthProbe};
use crate::store::{Clock, Store};
use crate::telemetry::metrics::{CONTENT_TYPE, Metrics};

/// `docs/openapi.yaml` as JSON, so that no YAML is read here. `tests/it/openapi` makes it and keeps the two the same.
const OPENAPI: &str = include_str!("openapi.json");

/// What the operator's routes work with.
pub struct Operator {
    /// The store, asked for its health and its counts.
    pub store: Arc<dyn Store>,
    pub metrics: Arc<Metrics>,
    /// Takes snapshots with their findings.
    pub board: Arc<Board>,
    /// Tells how old something is.
    pub clock: Clock,
    /// Tells how full the disk is.
    pub disk: ReadDisk,
    /// What is shown to people.
    pub page: PageState,
}

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics))
        .route("/app/openapi.json", web::get().to(openapi))
        .configure(page::routes);
}

/// The process answers. No I/O: a slow disk is no reason to be killed.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("alive\n")
}

/// Whether the store can take an event, shown by a test write. Findings are details and change no
/// status: a deploy must not stop because Twilio has an outage, or because the store is full.
async fn readyz(operator: web::Data<Operator>) -> HttpResponse {
    let HealthProbe { sick, is_draining, snapshot: now, age } = operator.board.probe().await;
    let trouble = if is_draining { Some("shutting down".to_owned()) } else { sick };
    let mut detail = json!({
        "status": if trouble.is_none() { "ready" } else { "unavailable" },
        "lanes": now.lanes,
        "foreign_answers": now.foreign,
        "findings": now.findings,
        "last_verified": now.last_verified,
    });
    if let (Some(age), Some(members)) = (age, detail.as_object_mut()) {
        members.insert("snapshot_age_s".to_owned(), age.as_secs().into());
    }
    let Some(reason) = trouble else { return HttpResponse::Ok().json(detail) };
    if let Some(members) = detail.as_object_mut() {
        members.insert("reason".to_owned(), reason.into());
    }
    HttpResponse::ServiceUnavailable().json(detail)
}

async fn metrics(operator: web::Data<Operator>) -> HttpResponse {
    let Operator { store, clock, disk, metrics, .. } = operator.get_ref();
    metrics.set_stock(scrape::read_gauges(store, clock, disk).await);
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(metrics.render())
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}
