//! What a service is made of: its servers with their limits, its worker, its page. `mod.rs` puts them together.

use std::future::ready;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol};
use actix_service::{ServiceFactoryExt as _, map_config};
use actix_web::dev::{AppConfig, Extensions, Server, fn_service};
use actix_web::http::KeepAlive;
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::{App, HttpServer, web};
use anyhow::Context as _;
use jiff::Timestamp;

use crate::config::{Settings, TraceSettings};
use crate::domain::click_link::{LinkToken, TOKEN_BYTES};
use crate::domain::clock::Jump;
use crate::domain::span::nearest;
use crate::inbound::Receiver;
use crate::inbound::board::Board;
use crate::inbound::control::{BeginBackup, Control};
use crate::inbound::limits::connections::{Connections, guard_page};
use crate::inbound::ops::Operator;
use crate::inbound::page::{PageParts, PageState};
use crate::inbound::rejected_capture::RejectedCapture;
use crate::serve::fd_limit::FdBudget;
use crate::serve::observer::StoreObserver;
use crate::serve::portioned::Portioned;
use crate::store::sled::SledStore;
use crate::store::sled::backup::BackupPace;
use crate::store::{Clock, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::telemetry::traces::Traces;
use crate::upstream::Upstreams;
use crate::worker::{Observer, Worker, WorkerConfig};

/// How long requests in flight may take to drain: a body takes 5 s at most, a commit 10 s.
const DRAIN_REQUESTS_SECS: u64 = 16;
/// How long an attempt may take, its end written down. A post may try each of an account's credentials
/// in turn: at most four, of 10 s each.
const LEASE: Duration = Duration::from_mins(1);
/// The head of a connection's first request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests of a connection. Longer than Fly's proxy keeps one (about 4 s), and shorter
/// than the watchdog's patience, so that a late request still has two seconds to arrive in.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Spans are for whoever looks on: what is wrong with their export keeps nobody from being heard.
pub(super) fn start_traces(settings: &TraceSettings) -> Option<Arc<Traces>> {
    let started = Traces::start(settings.timeout);
    started
        .inspect_err(|reason| tracing::warn!(error = %reason, "no spans are exported: {reason}"))
        .ok()
}

/// A backup is the backend's own affair: no verb of the store's seam, but a way to begin one.
pub(super) fn controls(
    store: Arc<SledStore>,
    refusals: Arc<RejectedCapture>,
    readiness: &Arc<Readiness>,
) -> web::Data<Control> {
    let sled = Arc::clone(&store);
    let backup: BeginBackup = Arc::new(move || {
        let sled = Arc::clone(&sled);
        Box::pin(async move { sled.backup(BackupPace::default()).await })
    });
    web::Data::new(Control { backup, store, refusals, readiness: Arc::clone(readiness) })
}

pub(super) fn page(settings: &Settings, board: &Arc<Board>) -> anyhow::Result<PageState> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("the system has no randomness")?;
    Ok(PageState::new(PageParts {
        board: Arc::clone(board),
        token: settings.ops_token.clone(),
        random,
    }))
}

/// The file descriptors of each part. The posts to Twilio have theirs by the shared slots and the accounts.
pub(super) fn descriptors(settings: &Settings) -> anyhow::Result<FdBudget> {
    FdBudget::plan(settings.upstream_concurrency, settings.accounts.iter().count())
}

pub(super) fn worker(
    settings: &Settings,
    store: &Arc<dyn Store>,
    upstreams: &Arc<Upstreams>,
    clock: &Clock,
    (watcher, descriptors): (&Arc<StoreObserver>, FdBudget),
) -> Worker {
    let config = WorkerConfig {
        concurrency: settings.upstream_concurrency,
        own_slots: descriptors.own_slots,
        lease: LEASE,
        give_up_after: settings.give_up_after,
        probe_every: Duration::from_mins(1),
        dry_run: settings.dry_run,
    };
    let (store, upstreams) = (Arc::clone(store), Arc::clone(upstreams));
    let watcher = Arc::clone(watcher) as Arc<dyn Observer>;
    Worker::new(store, upstreams, config, Arc::clone(clock), Arc::new(jitter), watcher)
}

/// The connections of the public listener, of the operator's listener and of the control socket, each with its own limit.
pub(super) fn guards(descriptors: FdBudget, metrics: &Arc<Metrics>) -> [Connections; 3] {
    [
        Connections::new(descriptors.connections, metrics),
        Connections::of_operator(descriptors.ops_connections),
        Connections::of_operator(descriptors.control_connections),
    ]
}

pub(super) fn public_server(
    listeners: Vec<TcpListener>,
    receiver: &web::Data<Receiver>,
    connections: &Connections,
    descriptors: FdBudget,
) -> anyhow::Result<Server> {
    let mut server = Server::build()
        .workers(descriptors.workers)
        .max_concurrent_connections(descriptors.connections / descriptors.workers)
        .shutdown_timeout(DRAIN_REQUESTS_SECS)
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    for listener in listeners {
        let name = format!("public {}", listener.local_addr()?);
        let (receiver, connections, stopping) =
            (receiver.clone(), connections.clone(), stopping.clone());
        server = server.listen(name, listener, move || {
            let app = App::new().app_data(receiver.clone()).configure(crate::inbound::routes);
            let (connections, stopping) = (connections.clone(), stopping.clone());
            let http = HttpService::build()
                .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .on_connect_ext(move |stream: &Portioned<TcpStream>, data: &mut Extensions| {
                    connections.add(stream.get_ref(), data);
                })
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .finish(map_config(app, |()| AppConfig::default()));
            fn_service(|stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                ready(Ok::<_, DispatchError>((Portioned::new(stream), Protocol::Http1, peer)))
            })
            .and_then(http)
        })?;
    }
    Ok(server.run())
}

pub(super) fn ops_server(
    listeners: Vec<TcpListener>,
    operator: web::Data<Operator>,
    connections: Connections,
    descriptors: FdBudget,
) -> anyhow::Result<Server> {
    let mut server = HttpServer::new(move || {
        let app = App::new().wrap(from_fn(guard_page)).app_data(operator.clone());
        app.configure(crate::inbound::ops::routes)
    })
    .on_connect(move |stream, data| connections.add(stream, data))
    .workers(1)
    .max_connections(descriptors.ops_connections)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .disable_signals();
    for listener in listeners {
        server = server.listen(listener)?;
    }
    Ok(server.run())
}

#[expect(clippy::disallowed_methods, reason = "the one clock, injected from here")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// A clock without jumps. On Linux it also runs while the machine sleeps.
pub(super) fn uptime() -> Duration {
    let time = rustix::time::clock_gettime(STEADY);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(target_os = "linux")]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const STEADY: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// Logs a line when the clock jumps, and one when the jump is over.
pub(super) fn log_jump(jump: Option<Jump>) {
    let Some(jump) = jump else {
        return tracing::info!("clock confirmed: records expire and are removed by it again");
    };
    let (by, seconds) = (nearest(jump.ahead.abs()), jump.ahead.as_secs());
    if jump.holds_back() {
        tracing::warn!(
            ahead_s = seconds,
            "clock jumped {by} ahead; no record expires or is removed by it until Twilio's Date agrees; \
             if it is right, run `heardback clock --confirm`, else correct it"
        );
    } else {
        tracing::warn!(
            ahead_s = seconds,
            "clock jumped {by} back; records expire and are removed later until it is right; \
             compare it with a time server"
        );
    }
}

pub(super) fn fresh_token() -> Option<LinkToken> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(LinkToken::from_random(bytes))
}

/// Uniform in [0, 1). Without randomness (which does not happen) retries are merely less spread.
fn jitter() -> f64 {
    let bits = getrandom::u32().unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
