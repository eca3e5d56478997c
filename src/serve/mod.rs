//! `serve`: builds the service from its settings, then runs it until it is told to stop.
//!
//! Two stages of stopping: first it drains (no new connections, requests and posts in flight come
//! to their end, the store is closed), and if that takes too long, or it is told again, it ends at
//! once. If a part that the others rely on dies, the process ends, non-zero.

mod control;
mod handles;
mod observe;
mod parts;
pub mod reload;
pub mod signals;
mod store;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web;
use anyhow::{Context, anyhow, bail};
use tokio::sync::watch;

use crate::config::{Settings, StoreUrl};
use crate::domain::twiml;
use crate::inbound::Receiver;
use crate::inbound::connections::Connections;
use crate::inbound::forgers::Forgers;
use crate::inbound::ops::Operator;
use crate::inbound::refused::Refusals;
use crate::inbound::regions::HomeRegions;
use crate::inbound::trust::Trusted;
use crate::serve::control::ControlSocket;
use crate::serve::observe::Watcher;
use crate::serve::parts::{
    controls, fresh_token, now, ops_server, page, public_server, start_traces, worker,
};
use crate::serve::reload::Reloader;
use crate::serve::store::{disk_of, open_store};
use crate::store::{Clock, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::telemetry::traces::Traces;
use crate::upstream::Upstreams;
use crate::worker::{Worker, sweep};

/// How long draining may take: below the 30 s of `fly.toml`'s `kill_timeout`, above the 10 s that a
/// post or a commit may take.
const DRAIN: Duration = Duration::from_secs(20);

/// Connections that wait to be accepted. Whoever finds the queue full connects a second or three
/// later, and Twilio gives a connection five.
const BACKLOG: i32 = 2048;

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
            reference_tag: settings.reference_tag.clone(),
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
