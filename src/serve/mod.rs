//! `serve`: builds the service from its settings, then runs it until it is told to stop.
//!
//! Two stages of stopping: first it drains (no new connections, requests and posts in flight come
//! to their end, the store is closed), and if that takes too long, or it is told again, it ends at
//! once. If a part that the others rely on dies, the process ends, non-zero.

mod control;
mod handles;
mod observe;
pub mod reload;
pub mod signals;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::KeepAlive;
use actix_web::{App, HttpServer, web};
use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::config::{Settings, StoreUrl, TraceSettings};
use crate::domain::link::{LinkToken, TOKEN_BYTES};
use crate::domain::twiml;
use crate::inbound::Receiver;
use crate::inbound::connections::Connections;
use crate::inbound::control::{BeginBackup, Control};
use crate::inbound::forgers::Forgers;
use crate::inbound::ops::Operator;
use crate::inbound::page::{Page, Parts};
use crate::inbound::refused::Refusals;
use crate::inbound::regions::HomeRegions;
use crate::inbound::trust::Trusted;
use crate::serve::control::ControlSocket;
use crate::serve::observe::Watcher;
use crate::serve::reload::Reloader;
use crate::serve::store::{disk_of, open_store};
use crate::store::sled::SledStore;
use crate::store::sled::backup::Pace;
use crate::store::{Clock, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::telemetry::traces::Traces;
use crate::upstream::Upstreams;
use crate::worker::{Worker, WorkerConfig, sweep};

/// How long draining may take: below the 30 s of `fly.toml`'s `kill_timeout`, above the 10 s that a
/// post or a commit may take.
const DRAIN: Duration = Duration::from_secs(20);
/// The same for requests in flight: a body takes 5 s at most, a commit 10 s.
const DRAIN_REQUESTS_SECS: u64 = 16;
/// How long an attempt may take, its end written down. A post may try each of an account's credentials
/// in turn: at most four, of 10 s each.
const LEASE: Duration = Duration::from_mins(1);
/// The head of a connection's first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests of a connection. Longer than Fly's proxy keeps one (about 4 s), and shorter
/// than the watchdog's patience, so that a late request still has two seconds to arrive in.
const KEEP_ALIVE: Duration = Duration::from_secs(8);
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that each HTTP worker holds; each takes two file handles.
const MAX_CONNECTIONS: usize = 4096;
/// Connections that wait to be accepted. Whoever finds the queue full connects a second or three
/// later, and Twilio gives a connection five.
const BACKLOG: i32 = 2048;
/// HTTP workers: more would only wait for the one thread that writes.
const MAX_WORKERS: usize = 4;

/// The sockets to listen on, bound already.
pub struct Listeners {
    /// For Twilio and the app.
    pub public: TcpListener,
    /// For the operator.
    pub ops: TcpListener,
}

impl Listeners {
    /// Binds both.
    ///
    /// # Errors
    /// Where an address is taken, or not ours.
    pub fn bind(settings: &Settings) -> anyhow::Result<Self> {
        let listen = |address| -> std::io::Result<TcpListener> {
            let listener = TcpListener::bind(address)?;
            // std asks for 128; on a socket that listens already this only makes the queue longer.
            rustix::net::listen(&listener, BACKLOG)?;
            Ok(listener)
        };
        let bind = |name: &str, address: SocketAddr| {
            listen(address).with_context(|| format!("cannot listen on {address} ({name})"))
        };
        Ok(Self {
            public: bind("HEARDBACK_LISTEN", settings.listen)?,
            ops: bind("HEARDBACK_OPS_LISTEN", settings.ops_listen)?,
        })
    }
}

/// A service that is built and listens, but does not answer yet.
pub struct Service {
    store: Arc<dyn Store>,
    public: Server,
    ops: Server,
    control: Option<ControlSocket>,
    worker: Worker,
    connections: Connections,
    readiness: Arc<Readiness>,
    traces: Option<Arc<Traces>>,
    reloader: Option<Reloader>,
    public_addr: SocketAddr,
    ops_addr: SocketAddr,
}

impl Service {
    /// Opens the store and puts everything together.
    ///
    /// # Errors
    /// Whatever keeps the service from starting, in words for whoever starts it.
    pub fn build(settings: &Settings, listeners: Listeners) -> anyhow::Result<Self> {
        let handles = handles::ask_for_more();
        let clock: Clock = Arc::new(now);
        let metrics = Metrics::new();
        let readiness = Arc::new(Readiness::new());
        let sled = open_store(settings, &clock, &metrics)?;
        let store: Arc<dyn Store> = Arc::clone(&sled) as Arc<dyn Store>;
        let traces = settings.traces.as_ref().and_then(start_traces);
        let watcher = Watcher {
            metrics: Arc::clone(&metrics),
            readiness: Arc::clone(&readiness),
            traces: traces.clone(),
        };
        let upstreams = Arc::new(Upstreams::new(reload::upstreams(settings))?);
        let worker = worker(settings, &store, Arc::clone(&upstreams), &clock, Arc::new(watcher));
        let trust = Arc::new(Trusted::new(reload::trust(settings)));
        let refusals = settings.record_refused.as_deref().map(|path| Refusals::open(path, &clock));
        let refusals = refusals.transpose().context("HEARDBACK_RECORD_REFUSED cannot be used")?;
        let refusals = refusals.map(Arc::new);
        let receiver = web::Data::new(Receiver {
            store: Arc::clone(&store),
            bases: settings.public_urls.iter().map(|url| url.as_str().to_owned()).collect(),
            trust: Arc::clone(&trust),
            home_regions: HomeRegions::default(),
            forgers: Forgers::new(settings.client_ip_header.clone()),
            ignores_crawlers: settings.ignore_crawlers,
            refusals: refusals.clone(),
            click_secret: settings.click_secret.clone(),
            call_twiml: twiml::answer_to_a_call(settings.call_redirect.as_ref()),
            links: settings.links,
            fresh_token: Arc::new(fresh_token),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            traces: traces.clone(),
        });
        let connections = Connections::new(handles, &metrics);
        let reloader = Reloader::new(settings.clone(), trust, upstreams, Arc::clone(&metrics));
        metrics.started(clock().as_second(), settings.dry_run, settings.max_messages);
        let page = page(settings, &store, &readiness)?;
        let operator = web::Data::new(Operator {
            store: Arc::clone(&store),
            metrics,
            readiness: Arc::clone(&readiness),
            clock,
            disk: disk_of(settings),
            page,
        });
        let public_addr = listeners.public.local_addr()?;
        let ops_addr = listeners.ops.local_addr()?;
        let StoreUrl::Sled(folder) = &settings.store;
        let control = ControlSocket::open(folder, controls(sled, refusals, &readiness));
        let public = public_server(listeners.public, receiver, connections.clone())?;
        let ops = ops_server(listeners.ops, operator)?;
        for warning in &settings.warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            store,
            public,
            ops,
            control,
            worker,
            connections,
            readiness,
            traces,
            reloader: Some(reloader),
            public_addr,
            ops_addr,
        })
    }

    /// What puts new accounts and secrets in place while this runs. `None` if it was taken before.
    pub fn take_reloader(&mut self) -> Option<Reloader> {
        self.reloader.take()
    }

    /// Where Twilio and the app are listened to.
    #[must_use]
    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// Runs until `stop` completes, then drains. Has to be called on actix's system.
    ///
    /// # Errors
    /// Where a part dies, or draining takes too long.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let traces = self.traces.take();
        let end = self.live(stop).await;
        // However it ends: what led there is what somebody will look for.
        if let Some(traces) = traces {
            traces.close().await;
        }
        end
    }

    async fn live(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (public_addr, ops_addr) = (self.public_addr, self.ops_addr);
        tracing::info!(%public_addr, %ops_addr, "listening on {public_addr}, for the operator on {ops_addr}");
        let (stop_worker, mut stopped) = watch::channel(false);
        let public = self.public.handle();
        let ops = self.ops.handle();
        let mut public_task = actix_web::rt::spawn(self.public);
        let mut ops_task = actix_web::rt::spawn(self.ops);
        let control = self.control.map(|control| {
            let (path, server) = control.into_parts();
            let handle = server.handle();
            // Nobody relies on it: if it dies, the service goes on.
            actix_web::rt::spawn(server);
            (path, handle)
        });
        let mut watching = actix_web::rt::spawn(self.connections.watch());
        let mut sweeping = actix_web::rt::spawn(sweep::run(Arc::clone(&self.store)));
        let mut working = actix_web::rt::spawn(self.worker.run(async move {
            // The sender gone is a stop as well.
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
        tokio::select! {
            () = stop => {}
            end = &mut public_task => bail!("the public listener died: {end:?}"),
            end = &mut ops_task => bail!("the operator's listener died: {end:?}"),
            end = &mut working => bail!("the worker died: {end:?}"),
            end = &mut watching => bail!("the watchdog over connections died: {end:?}"),
            end = &mut sweeping => bail!("the sweep died: {end:?}"),
        }
        tracing::info!("draining: no new connections, finishing requests and posts in flight");
        self.readiness.drain();
        sweeping.abort();
        let drained = async {
            // The receiver lives in the worker's task; gone or not, it stops.
            let _ = stop_worker.send(true);
            public.stop(true).await;
            working.await.map_err(|error| anyhow!("the worker died: {error}"))?;
            ops.stop(false).await;
            if let Some((path, handle)) = control {
                ControlSocket::remove(&path);
                handle.stop(false).await;
            }
            self.store.close().await;
            anyhow::Ok(())
        };
        tokio::time::timeout(DRAIN, drained)
            .await
            .map_err(|_| anyhow!("draining took longer than {} s; ending", DRAIN.as_secs()))??;
        watching.abort();
        tracing::info!("drained; everything acknowledged is on disk");
        Ok(())
    }
}

/// Spans are for whoever looks on: what is wrong with their export keeps nobody from being heard.
fn start_traces(settings: &TraceSettings) -> Option<Arc<Traces>> {
    let started = Traces::start(settings.timeout);
    started
        .inspect_err(|reason| tracing::warn!(error = %reason, "no spans are exported: {reason}"))
        .ok()
}

/// A backup is the backend's own affair: no verb of the store's seam, but a way to begin one.
fn controls(
    store: Arc<SledStore>,
    refusals: Option<Arc<Refusals>>,
    readiness: &Arc<Readiness>,
) -> web::Data<Control> {
    let sled = Arc::clone(&store);
    let backup: BeginBackup = Arc::new(move || {
        let sled = Arc::clone(&sled);
        Box::pin(async move { sled.backup(Pace::default()).await })
    });
    web::Data::new(Control { backup, store, refusals, readiness: Arc::clone(readiness) })
}

fn page(
    settings: &Settings,
    store: &Arc<dyn Store>,
    readiness: &Arc<Readiness>,
) -> anyhow::Result<Page> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("the system has no randomness")?;
    Ok(Page::new(Parts {
        store: Arc::clone(store),
        readiness: Arc::clone(readiness),
        clock: Arc::new(now),
        is_dry_run: settings.dry_run,
        token: settings.ops_token.clone(),
        random,
    }))
}

fn worker(
    settings: &Settings,
    store: &Arc<dyn Store>,
    upstreams: Arc<Upstreams>,
    clock: &Clock,
    watcher: Arc<Watcher>,
) -> Worker {
    let config = WorkerConfig {
        concurrency: settings.upstream_concurrency,
        lease: LEASE,
        give_up_after: settings.give_up_after,
        probe_every: Duration::from_mins(1),
        dry_run: settings.dry_run,
    };
    let store = Arc::clone(store);
    Worker::new(store, upstreams, config, Arc::clone(clock), Arc::new(jitter), watcher)
}

fn public_server(
    listener: TcpListener,
    receiver: web::Data<Receiver>,
    connections: Connections,
) -> anyhow::Result<Server> {
    let server = HttpServer::new(move || {
        App::new().app_data(receiver.clone()).configure(crate::inbound::routes)
    })
    .on_connect(move |stream, data| connections.note(stream, data))
    .workers(std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS))
    .max_connections(MAX_CONNECTIONS)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .keep_alive(KeepAlive::Timeout(KEEP_ALIVE))
    .shutdown_timeout(DRAIN_REQUESTS_SECS)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

fn ops_server(listener: TcpListener, operator: web::Data<Operator>) -> anyhow::Result<Server> {
    let server = HttpServer::new(move || {
        App::new().app_data(operator.clone()).configure(crate::inbound::ops::routes)
    })
    .workers(1)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .disable_signals()
    .listen(listener)?;
    Ok(server.run())
}

#[expect(clippy::disallowed_methods, reason = "the one clock, injected from here")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn fresh_token() -> Option<LinkToken> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes).ok()?;
    Some(LinkToken::from_random(bytes))
}

/// Uniform in [0, 1). Without randomness (which does not happen) retries are merely less spread.
fn jitter() -> f64 {
    let bits = getrandom::u32().unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}
