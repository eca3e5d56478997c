//! The routes of the operator's listener: liveness, readiness, metrics, the description of the app's routes, and the
//! page. Without authentication they show no recipient and no message; the page authenticates its clients.

use actix_web::{HttpResponse, web};
use serde_json::json;

use crate::admin::monitor::{Monitor, ProbeResult};
use crate::admin::page;
use crate::admin::scrape::read_gauges;
use crate::telemetry::metrics::CONTENT_TYPE;

/// `docs/openapi.yaml` as JSON. `tests/it/openapi` generates it and compares the two.
const OPENAPI: &str = include_str!("openapi.json");

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics))
        .route("/app/openapi.json", web::get().to(openapi))
        .configure(page::routes);
}

/// Whether the process answers. Without I/O, so that a slow disk does not restart the process.
async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("alive\n")
}

/// Whether a test write to the store succeeds. Findings are details and do not change the status: an outage of Twilio or
/// a full store must not stop a deployment.
async fn readyz(monitor: web::Data<Monitor>) -> HttpResponse {
    let ProbeResult { store_error, snapshot: now, age } = monitor.probe().await;
    let is_draining = monitor.is_draining();
    let error = if is_draining { Some("shutting down".to_owned()) } else { store_error };
    let mut body = json!({
        "status": if error.is_none() { "ready" } else { "unavailable" },
        "lanes": now.lanes,
        "foreign_answers": now.foreign_answers,
        "findings": now.findings,
        "last_verified": now.last_verified,
    });
    let reason = error.map(|error| ("reason", error.into()));
    let age = age.map(|age| ("snapshot_age_s", age.as_secs().into()));
    let is_ready = reason.is_none();
    if let Some(members) = body.as_object_mut() {
        members.extend(reason.into_iter().chain(age).map(|(name, value)| (name.to_owned(), value)));
    }
    let mut response =
        if is_ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(body)
}

async fn metrics(monitor: web::Data<Monitor>) -> HttpResponse {
    let sources = &monitor.sources;
    let gauges = read_gauges(&sources.store, &sources.clock, &sources.disk).await;
    let page = sources.metrics.render_with(Box::new(gauges));
    HttpResponse::Ok().content_type(CONTENT_TYPE).body(page)
}

async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(OPENAPI)
}
