//! The running service: built from its settings, run until a stop signal, then drained.
//!
//! A drain accepts no new connections, finishes requests and posts in flight, and closes the store. The process ends
//! with an error if the drain takes too long, or if an essential part ends.

mod build;
mod clock;
pub mod command;
mod control;
pub mod core_dump;
mod fd_limit;
mod listen;
mod observer;
mod portioned;
mod random;
pub mod reload;
mod send;
pub mod signals;
mod starts;
mod store;

pub use fd_limit::FdBudget;
pub use listen::Listeners;

use std::fmt::Debug;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::web;
use anyhow::{Context, anyhow};
use tokio::sync::watch;

use crate::admin::monitor::Monitor;
use crate::admin::snapshot::Sources;
use crate::config::Settings;
use crate::domain::findings::StartFacts;
use crate::forward::Forwarder;
use crate::inbound::Receiver;
use crate::inbound::deferred::Deferred;
use crate::inbound::keyring::CurrentKeyRing;
use crate::inbound::limits::connections::Connections;
use crate::inbound::limits::event_budget::EventBudget;
use crate::inbound::limits::first_match::FirstMatch;
use crate::inbound::limits::near_miss::NearMisses;
use crate::inbound::limits::signature_limiter::SignatureLimiter;
use crate::inbound::regions::HomeRegions;
use crate::inbound::rejected_capture::RejectedCapture;
use crate::inbound::send::credentials::SendCredentials;
use crate::inbound::send::sends::Sends;
use crate::serve::build::{
    config_queries, connections, control_state, ops_server, page_state, public_server,
    start_traces, worker,
};
use crate::serve::clock::{log_jump, now, uptime};
use crate::serve::observer::WorkerObserver;
use crate::serve::reload::Reloader;
use crate::serve::store::{check_placement, disk_of, open_store};
use crate::store::{Clock, ClockGuard, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::Readiness;
use crate::telemetry::traces::Traces;
use crate::twilio::twiml;
use crate::upstream::Upstreams;
use crate::worker::{Worker, clock::check_wall_clock, sweep};

/// The longest drain. It is below the 30 s of `fly.toml`'s `kill_timeout`, and above the 10 s of a post or a commit.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// A service that listens, but does not answer yet.
pub struct Service {
    store: Arc<dyn Store>,
    public: Server,
    ops: Server,
    /// The control socket: its path and its server.
    control: Option<(PathBuf, Server)>,
    worker: Worker,
    sends: Option<Arc<Sends>>,
    deferred: Arc<Deferred>,
    forwarder: Arc<Forwarder>,
    connections: [Connections; 3],
    readiness: Arc<Readiness>,
    monitor: Arc<Monitor>,
    traces: Option<Arc<Traces>>,
    observer: Arc<WorkerObserver>,
    /// Twilio's `Date` is requested here, also in a dry run.
    clock_source: Arc<Upstreams>,
    reloader: Option<Reloader>,
    public_addrs: Vec<SocketAddr>,
    ops_addrs: Vec<SocketAddr>,
}

impl Service {
    /// Opens the store and builds all parts.
    ///
    /// # Errors
    /// A part cannot be built.
    pub fn build(settings: &Settings, listeners: Listeners) -> anyhow::Result<Self> {
        let budget = FdBudget::plan(settings)?;
        let risk = check_placement(settings)?.and_then(|placement| placement.risk);
        let clock: Clock = Arc::new(now);
        let metrics = Metrics::new();
        let readiness = begin_readiness(settings.dry_run);
        let guard =
            ClockGuard::disciplined(Arc::clone(&clock), Arc::new(uptime), Arc::new(log_jump));
        let opened = open_store(settings, &guard, &metrics)?;
        let is_end_unverified = opened.is_end_unverified();
        let store = opened.store();
        let traces = settings.traces.as_ref().and_then(start_traces);
        let observer = WorkerObserver::new(&metrics, &readiness, traces.clone());
        let dating = Arc::clone(&guard);
        let on_date = Arc::new(move |date| guard.agree(date));
        let upstreams = Arc::new(Upstreams::new(reload::upstreams(settings), on_date)?);
        let forwarder = reload::forwarder(settings, budget.forwards.max(1))?;
        let worker = worker(settings, &store, &upstreams, &clock, (&observer, budget));
        let keyring = Arc::new(CurrentKeyRing::new(reload::keyring(settings)));
        let send_credentials = Arc::new(SendCredentials::new(send::credentials(settings)));
        let sends = send::sends(settings, &send_credentials, &upstreams);
        let refusals = open_capture(settings, &clock)?;
        let receiver = web::Data::new(Receiver {
            store: Arc::clone(&store),
            bases: settings.public_urls.iter().map(|url| url.as_str().to_owned()).collect(),
            keyring: Arc::clone(&keyring),
            home_regions: HomeRegions::default(),
            failure_limiter: SignatureLimiter::new(settings.client_ip_header.clone()),
            ignores_crawlers: settings.ignore_crawlers,
            reference_tag: settings.reference_tag.clone(),
            first_match: FirstMatch::default(),
            signatures: Arc::default(),
            near_misses: NearMisses::default(),
            rejected_capture: Arc::clone(&refusals),
            click_secret: settings.click_secret.clone(),
            call_twiml: twiml::answer_to_a_call(settings.call_redirect.as_ref()),
            links: settings.links,
            fresh_token: Arc::new(random::link_token),
            clock: Arc::new(move || dating.dated()),
            deferred: Arc::new(Deferred::new(Arc::clone(&store), Arc::clone(&metrics))),
            forwarder: Arc::clone(&forwarder),
            has_fallback_url: settings.forward.has_fallback_url,
            forward_failures: Arc::default(),
            event_budget: EventBudget::default(),
            sends: sends.clone(),
            metrics: Arc::clone(&metrics),
            traces: traces.clone(),
        });
        let deferred = Arc::clone(&receiver.deferred);
        let started_at = clock();
        metrics.started(started_at.as_second(), settings.dry_run, settings.max_messages);
        let start = StartFacts {
            started_at,
            earlier_starts: starts::note(settings.control_folder(), started_at),
            unsafe_file_system: risk.map(|risk| risk.name.to_owned()),
            fd_limit: budget.shortage(),
            is_end_unverified,
        };
        let monitor = Arc::new(Monitor::new(Sources {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
            signatures: Arc::clone(&receiver.signatures),
            forward_failures: Arc::clone(&receiver.forward_failures),
            readiness: Arc::clone(&readiness),
            config: config_queries(&keyring),
            clock,
            disk: disk_of(settings),
            max_messages: settings.max_messages,
            start,
        }));
        let outgoing = (Arc::clone(&upstreams), Arc::clone(&forwarder));
        let shared = (send_credentials, Arc::clone(&metrics));
        let reloader = Reloader::new(settings.clone(), keyring, outgoing, shared);
        let (public_addrs, ops_addrs) = (addresses(&listeners.public)?, addresses(&listeners.ops)?);
        let connections = connections(budget, &metrics);
        let [of_public, of_ops, of_control] = connections.clone();
        let control = control_state(&opened, refusals, &readiness);
        let control = control::open(settings, control, of_control, budget);
        let public = public_server(listeners.public, &receiver, &of_public, budget)?;
        let page = page_state(settings, &monitor)?;
        let ops = ops_server(listeners.ops, &monitor, page, of_ops, budget)?;
        settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(Self {
            store,
            public,
            ops,
            control,
            worker,
            sends,
            deferred,
            forwarder,
            connections,
            readiness,
            monitor,
            traces,
            observer,
            clock_source: upstreams,
            reloader: Some(reloader),
            public_addrs,
            ops_addrs,
        })
    }

    /// The reloader of accounts and secrets. `None` if it was taken before.
    pub fn take_reloader(&mut self) -> Option<Reloader> {
        self.reloader.take()
    }

    /// The addresses of the public listeners; at least one.
    pub fn public_addrs(&self) -> &[SocketAddr] {
        &self.public_addrs
    }

    /// Runs until `stop` completes, then drains. Must be called on actix's system.
    ///
    /// # Errors
    /// An essential part ends, or the drain takes too long.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let traces = self.traces.take();
        let deferred = Arc::clone(&self.deferred);
        let end = self.run_parts(stop).await;
        deferred.abandon();
        // Also after an error, whose cause the last spans may show.
        if let Some(traces) = traces {
            traces.close().await;
        }
        end
    }

    async fn run_parts(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (public_addr, ops_addr) = (joined(&self.public_addrs), joined(&self.ops_addrs));
        tracing::info!(
            %public_addr,
            %ops_addr,
            "listening on {public_addr}, for the operator on {ops_addr}"
        );
        let (stop_worker, mut stopped) = watch::channel(false);
        let public = self.public.handle();
        let ops = self.ops.handle();
        let mut public_task = actix_web::rt::spawn(self.public);
        let mut ops_task = actix_web::rt::spawn(self.ops);
        let control = self.control.map(|(path, server)| {
            let handle = server.handle();
            // Not essential: if it ends, the service continues.
            actix_web::rt::spawn(server);
            (path, handle)
        });
        let watches = self.connections.map(Connections::watch);
        let mut watching = actix_web::rt::spawn(futures_util::future::join_all(watches));
        let mut sweeping = actix_web::rt::spawn(sweep::run(Arc::clone(&self.store), self.observer));
        let checking =
            actix_web::rt::spawn(check_wall_clock(Arc::clone(&self.store), self.clock_source));
        let monitor = self.monitor;
        let sampling = actix_web::rt::spawn(async move { monitor.run().await });
        let mut working = actix_web::rt::spawn(self.worker.run(async move {
            // A dropped sender is a stop, too.
            let _ = stopped.wait_for(|stop| *stop).await;
        }));
        let (stop_deferred, mut deferred_stopped) = watch::channel(false);
        let deferred = Arc::clone(&self.deferred);
        let mut deferring = actix_web::rt::spawn(async move {
            let stop = async {
                let _ = deferred_stopped.wait_for(|stop| *stop).await;
            };
            deferred.run(stop).await
        });
        tokio::select! {
            () = stop => {}
            end = &mut public_task => return Err(ended("public listener", &end)),
            end = &mut ops_task => return Err(ended("operator's listener", &end)),
            end = &mut working => return Err(ended("worker", &end)),
            end = &mut watching => return Err(ended("connection watchdog", &end)),
            end = &mut sweeping => return Err(ended("sweep", &end)),
            end = &mut deferring => return Err(ended("task that writes deferred evidence", &end)),
        }
        tracing::info!("draining: no new connections, finishing requests and posts in flight");
        self.readiness.drain();
        sweeping.abort();
        checking.abort();
        sampling.abort();
        let drained = async {
            // If the worker has ended, there is no receiver.
            let _ = stop_worker.send(true);
            public.stop(true).await;
            // A send goes on without its client.
            if let Some(sends) = self.sends {
                sends.drain().await;
            }
            // A listener's thread ends with its last connection, and with it a webhook whose client has hung up.
            self.forwarder.drain().await;
            // From here on no request can defer further evidence.
            let _ = stop_deferred.send(true);
            let lost = deferring.await.unwrap_or_default();
            working.await.map_err(|error| anyhow!("the worker panicked: {error}"))?;
            ops.stop(false).await;
            if let Some((path, handle)) = control {
                control::remove(&path);
                handle.stop(false).await;
            }
            self.store.close().await;
            anyhow::Ok(lost)
        };
        let lost = tokio::time::timeout(DRAIN_TIMEOUT, drained).await.map_err(|_| {
            anyhow!(
                "the drain took longer than {} s: ending now, and requests in flight get no answer",
                DRAIN_TIMEOUT.as_secs()
            )
        })??;
        watching.abort();
        // A loss of deferred evidence has its own log line.
        if lost == 0 {
            tracing::info!("drained; everything acknowledged is stored");
        }
        Ok(())
    }
}

/// The error of a part that must not end before the service.
fn ended(part: &str, end: &dyn Debug) -> anyhow::Error {
    anyhow!(
        "the {part} ended unexpectedly ({end:?}): start the service again, and report this with the log"
    )
}

fn addresses(listeners: &[TcpListener]) -> std::io::Result<Vec<SocketAddr>> {
    listeners.iter().map(TcpListener::local_addr).collect()
}

fn joined(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn begin_readiness(dry_run: bool) -> Arc<Readiness> {
    let readiness = Readiness::new();
    readiness.set_dry_run(dry_run);
    Arc::new(readiness)
}

fn open_capture(settings: &Settings, clock: &Clock) -> anyhow::Result<Arc<RejectedCapture>> {
    let capture = RejectedCapture::open(settings.record_refused.as_deref(), clock);
    Ok(Arc::new(capture.context("HEARDBACK_RECORD_REFUSED cannot be used")?))
}
