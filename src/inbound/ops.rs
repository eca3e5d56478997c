//! The operator's listener: alive? ready? the metrics, and what the app's routes take and answer. Nothing here
//! names a person or a message.

use std::io;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::inbound::stocktaking;
use crate::store::{Clock, Store};
use crate::telemetry::metrics::{CONTENT_TYPE, Metrics};
use crate::telemetry::readiness::Readiness;
use crate::telemetry::stock::Disk;

/// `docs/openapi.yaml` as JSON, so that no YAML is read here. `tests/it/openapi` makes it and keeps the two the same.
const OPENAPI: &str = include_str!("openapi.json");

/// Asks how much room the store takes up, and how much is left. May wait for the file system.
pub type AskDisk = Arc<dyn Fn() -> io::Result<Disk> + Send + Sync>;

/// What the operator's routes work with.
pub struct Operator {
    /// The store, asked for its health and its counts.
    pub store: Arc<dyn Store>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// Whether we are leaving, and how the lanes are.
    pub readiness: Arc<Readiness>,
    /// Tells how old something is.
    pub clock: Clock,
    /// Tells how full the disk is.
    pub disk: AskDisk,
}

/// The operator's routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics))
        .route("/app/openapi.json", web::get().to(openapi));
}

/// The process answers. No I/O: a slow disk is no reason to be killed.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("alive\n")
}

/// The store can take an event: shown by letting it take one. Twilio's trouble is a detail.
async fn readyz(operator: web::Data<Operator>) -> HttpResponse {
    let lanes = operator.readiness.lanes();
    let trouble = if operator.readiness.is_draining() {
        Some("shutting down".to_owned())
    } else {
        operator.store.health().await.err().map(|error| error.to_string())
    };
    match trouble {
        None => HttpResponse::Ok().json(json!({ "status": "ready", "lanes": lanes })),
        Some(reason) => HttpResponse::ServiceUnavailable().json(json!({
            "status": "unavailable",
            "reason": reason,
            "lanes": lanes,
        })),
    }
}

async fn metrics(operator: web::Data<Operator>) -> HttpResponse {
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(scraped(&operator).await)
}

/// What `/metrics` answers: what was counted, and what there is now.
pub async fn scraped(operator: &Operator) -> String {
    operator.metrics.set_stock(stocktaking::take(operator).await);
    operator.metrics.render()
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}
