//! Builders of the parts of the service: the servers with their limits, the worker and the control socket's state.

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

use crate::admin::monitor::Monitor;
use crate::admin::page::PageState;
use crate::admin::snapshot::ConfigQueries;
use crate::admin::socket::ControlState;
use crate::config::{Settings, TraceSettings};
use crate::inbound::keyring::CurrentKeyRing;
use crate::inbound::limits::connections::{Connections, guard_page};
use crate::inbound::rejected_capture::RejectedCapture;
use crate::inbound::{Receiver, routes, routes_with_send};
use crate::serve::fd_limit::FdBudget;
use crate::serve::observer::WorkerObserver;
use crate::serve::portioned::Portioned;
use crate::serve::random;
use crate::serve::store::OpenStore;
use crate::store::{Clock, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::telemetry::traces::Traces;
use crate::upstream::Upstreams;
use crate::worker::{Observer, Worker, WorkerConfig};

/// The drain time of requests in flight: a body takes 5 s at most, a commit 10 s.
const DRAIN_REQUESTS_SECS: u64 = 16;
/// See [`WorkerConfig::lease_margin`].
const LEASE_MARGIN: Duration = Duration::from_secs(10);
/// The timeout for the head of a connection's first request.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest pause between two requests of a connection. It is longer than the keep-alive of Fly's proxy (about 4 s).
/// It is two seconds shorter than the timeout of the connection watchdog, so that a late request can still arrive.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
pub(super) const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// An error of the export of spans does not stop the service.
pub(super) fn start_traces(settings: &TraceSettings) -> Option<Arc<Traces>> {
    let started = Traces::start(settings.timeout);
    started.inspect_err(|error| tracing::warn!(%error, "no spans are exported: {error}")).ok()
}

pub(super) fn config_queries(ring: &Arc<CurrentKeyRing>) -> ConfigQueries {
    let (accounts, names) = (Arc::clone(ring), Arc::clone(ring));
    ConfigQueries {
        has_account: Box::new(move |account| accounts.current().has_account(account)),
        key_names: Box::new(move || names.current().names()),
    }
}

pub(super) fn control_state(
    opened: &OpenStore,
    refusals: Arc<RejectedCapture>,
    readiness: &Arc<Readiness>,
) -> web::Data<ControlState> {
    let watched = Arc::clone(&refusals);
    web::Data::new(ControlState {
        backup: opened.begin_backup(),
        store: opened.store(),
        clear_recordings: Arc::new(move || refusals.clear()),
        watch_rejected: Arc::new(move || watched.watch()),
        readiness: Arc::clone(readiness),
    })
}

pub(super) fn page_state(
    settings: &Settings,
    monitor: &Arc<Monitor>,
) -> anyhow::Result<web::Data<PageState>> {
    let token = settings.ops_token.as_ref();
    Ok(web::Data::new(PageState::new(Arc::clone(monitor), token, random::secret()?)))
}

pub(super) fn worker(
    settings: &Settings,
    store: &Arc<dyn Store>,
    upstreams: &Arc<Upstreams>,
    clock: &Clock,
    (observer, budget): (&Arc<WorkerObserver>, FdBudget),
) -> Worker {
    let config = WorkerConfig {
        concurrency: settings.upstream_concurrency,
        own_slots: budget.own_slots,
        lease_margin: LEASE_MARGIN,
        give_up_after: settings.give_up_after,
        probe_every: Duration::from_mins(1),
        dry_run: settings.dry_run,
    };
    let (store, upstreams) = (Arc::clone(store), Arc::clone(upstreams));
    let observer = Arc::clone(observer) as Arc<dyn Observer>;
    Worker::new(store, upstreams, config, Arc::clone(clock), Arc::new(random::jitter), observer)
}

/// The connections of the public listener, the operator's listener and the control socket, each with its own limit.
pub(super) fn connections(budget: FdBudget, metrics: &Arc<Metrics>) -> [Connections; 3] {
    [
        Connections::new(budget.connections, metrics),
        Connections::of_operator(budget.ops_connections),
        Connections::of_operator(budget.control_connections),
    ]
}

pub(super) fn public_server(
    listeners: Vec<TcpListener>,
    receiver: &web::Data<Receiver>,
    connections: &Connections,
    budget: FdBudget,
) -> anyhow::Result<Server> {
    let mut server = Server::build()
        .workers(budget.workers)
        .max_concurrent_connections(budget.connections / budget.workers)
        .shutdown_timeout(DRAIN_REQUESTS_SECS)
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    let routes = if receiver.sends.is_some() { routes_with_send } else { routes };
    for listener in listeners {
        let name = format!("public {}", listener.local_addr()?);
        let (receiver, connections, stopping) =
            (receiver.clone(), connections.clone(), stopping.clone());
        server = server.listen(name, listener, move || {
            let app = App::new().app_data(receiver.clone()).configure(routes);
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
    monitor: &Arc<Monitor>,
    page: web::Data<PageState>,
    connections: Connections,
    budget: FdBudget,
) -> anyhow::Result<Server> {
    let monitor = web::Data::from(Arc::clone(monitor));
    let mut server = HttpServer::new(move || {
        let app = App::new().wrap(from_fn(guard_page));
        app.app_data(monitor.clone())
            .app_data(page.clone())
            .configure(crate::admin::listener::routes)
    })
    .on_connect(move |stream, data| connections.add(stream, data))
    .workers(1)
    .max_connections(budget.ops_connections)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .disable_signals();
    for listener in listeners {
        server = server.listen(listener)?;
    }
    Ok(server.run())
}
