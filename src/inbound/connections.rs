//! The watchdog over connections: one that completes no request for ten seconds is shut, and of those
//! that nobody has vouched for with a good signature, there are only so many at a time.
//!
//! actix times the head of a connection's first request only, and one byte of a second request
//! cancels its keep-alive timer; 200 such connections starve everybody (docs/design.md, "HTTP").
//! So each connection leaves us a second handle on its socket, and whoever idles is cut off: at once
//! where newcomers need the room, so that ten thousand idle strangers keep nobody waiting.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, error};

use crate::inbound::eviction_pool::{EvictionPool, PoolSlot, shut_down};
use crate::telemetry::metrics::Metrics;

/// How long a connection may go without completing a request.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that was told `Connection: close` may stay. actix would read what remains of a
/// chunked body for as long as it comes.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Connections without a good signature yet, at a time. An honest one is among them for as long as its
/// request is under way; each may hold 128 KiB of a head that never ends.
const STRANGERS: usize = 1024;
/// Bodies over [`LARGE_BODY`] that are read at a time.
const LARGE_BODIES: usize = 32;
/// In bytes: what every stranger may send us. Only batches of events are larger, up to 1 MiB.
pub(super) const LARGE_BODY: usize = 64 << 10;
/// How long the body of a request to the operator's listener or the control socket may take.
const OPERATOR_BODY: Duration = Duration::from_secs(5);
/// The end of a connection that has none.
const NEVER: u64 = u64::MAX;
/// How often it is said that strangers are shut for want of room.
const SAY_EVERY: Duration = Duration::from_mins(1);

/// One connection, as its requests see it.
pub struct Connection {
    socket: Arc<OwnedFd>,
    strangers: Arc<EvictionPool>,
    /// Its place among the strangers, until somebody has vouched for it.
    stranger: Mutex<Option<Arc<PoolSlot>>>,
    large_bodies: Arc<EvictionPool>,
    began: Instant,
    /// When it is to be shut, in milliseconds from `began`.
    due: AtomicU64,
    /// Whether its last answer is given.
    is_over: AtomicBool,
}

impl Connection {
    /// A signature on it was good: it is no stranger's any more.
    pub(super) fn mark_authenticated(&self) {
        *self.stranger.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A place for a large body, to be held while it is read. Whoever has read one for longest loses
    /// theirs, and the connection with it, where there is none left.
    pub(super) fn place_for_a_large_body(&self) -> Arc<PoolSlot> {
        self.large_bodies.admit(&self.socket).0
    }

    /// A request on this connection has come to its end, or to the point where it is ours to answer.
    pub fn reset_deadline(&self) {
        self.shut_in(PATIENCE);
    }

    /// Its last answer is given: only this has still to get through.
    pub fn close_soon(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.shut_in(FAREWELL);
    }

    /// Shuts it at once. Its last answer may be lost.
    pub(super) fn shut(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        shut_down(&self.socket);
    }

    /// Its request is complete, and is being answered: it may not be evicted, and has no deadline.
    fn begin_answer(&self) {
        self.mark_authenticated();
        self.due.store(NEVER, Ordering::Relaxed);
    }

    /// It waits for a request, or streams an answer: it may be evicted for a newer connection.
    fn may_be_evicted(&self) {
        let (place, _) = self.strangers.admit(&self.socket);
        *self.stranger.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
    }

    /// Whether an answer on it said that it ends. What was sent behind that request has no effect, or a
    /// refusal might hide another request (RFC 9112, 9.6); actix would go on with what it has read.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn shut_in(&self, wait: Duration) {
        let due = u64::try_from((self.began.elapsed() + wait).as_millis()).unwrap_or(u64::MAX);
        self.due.store(due, Ordering::Relaxed);
    }

    fn is_overdue(&self) -> bool {
        self.began.elapsed() >= Duration::from_millis(self.due.load(Ordering::Relaxed))
    }
}

/// All connections of a listener.
#[derive(Clone)]
pub struct Connections {
    known: Arc<Mutex<Vec<Weak<Connection>>>>,
    strangers: Arc<EvictionPool>,
    large_bodies: Arc<EvictionPool>,
    /// `None`: not counted. The metrics are of the public listener.
    metrics: Option<Arc<Metrics>>,
    /// How many were shut for want of room since it was last said.
    crowded_out: Arc<AtomicU64>,
}

impl Connections {
    /// No connections yet. `most` is the limit of the listener. Unauthenticated connections get half of
    /// it, so that the newest is accepted while the oldest is shut.
    #[must_use]
    pub fn new(most: usize, metrics: &Arc<Metrics>) -> Self {
        Self {
            known: Arc::default(),
            strangers: Arc::new(EvictionPool::new(STRANGERS.min(most.div_ceil(2)))),
            large_bodies: Arc::new(EvictionPool::new(LARGE_BODIES)),
            metrics: Some(Arc::clone(metrics)),
            crowded_out: Arc::default(),
        }
    }

    /// Those of the operator's listener or the control socket, at most `most`. An idle or half-open one is shut for a newer
    /// one; one whose request is being answered is not (see `guard`).
    #[must_use]
    pub fn of_operator(most: usize) -> Self {
        Self {
            known: Arc::default(),
            // One below the limit, so that the newest is accepted while the oldest is shut.
            strangers: Arc::new(EvictionPool::new(most.saturating_sub(1))),
            large_bodies: Arc::new(EvictionPool::new(LARGE_BODIES)),
            metrics: None,
            crowded_out: Arc::default(),
        }
    }

    /// For `HttpServer::on_connect`: notes the connection, and lets its requests find it.
    pub fn note(&self, stream: &dyn Any, data: &mut actix_web::dev::Extensions) {
        let Some(socket) = duplicate_handle(stream) else { return };
        let (place, shut) = self.strangers.admit(&socket);
        self.count("crowded_out", shut);
        self.crowded_out.fetch_add(shut, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            socket,
            strangers: Arc::clone(&self.strangers),
            stranger: Mutex::new(Some(place)),
            large_bodies: Arc::clone(&self.large_bodies),
            began: crate::telemetry::clock::monotonic(),
            due: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        connection.reset_deadline();
        self.known().push(Arc::downgrade(&connection));
        data.insert(connection);
    }

    /// Shuts every connection that has gone too long without completing a request. Returns how many.
    #[must_use]
    pub fn shut_overdue(&self) -> u64 {
        let mut shut = 0;
        self.known().retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            let overdue = connection.is_overdue();
            if overdue {
                shut_down(&connection.socket);
                shut += 1;
            }
            !overdue
        });
        shut
    }

    /// Watches until it is dropped.
    pub async fn watch(self) {
        let mut said: Option<Instant> = None;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let shut = self.shut_overdue();
            self.count("overdue", shut);
            if shut > 0 {
                tracing::debug!(shut, "shut overdue connections");
            }
            if self.metrics.is_some() && said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                let shut = self.crowded_out.swap(0, Ordering::Relaxed);
                if shut > 0 {
                    said = Some(crate::telemetry::clock::monotonic());
                    tracing::warn!(
                        shut,
                        "too many strangers: shut {shut} connections to make room"
                    );
                }
            }
        }
    }

    fn count(&self, reason: &'static str, shut: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.connections_shut(reason, shut);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Connection>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Middleware of the operator's listener: reads each body within a deadline, and lets its connection be evicted unless its
/// request is being answered. A stream, such as the live page, may be evicted.
///
/// # Errors
/// Those of the body and of the route.
pub async fn guard_page(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    guard(request, next, true).await
}

/// The same for the control socket: a stream, such as a backup, is an operator's command and is not evicted.
///
/// # Errors
/// The same.
pub async fn guard_control(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    guard(request, next, false).await
}

async fn guard<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
    evicts_streams: bool,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let body = tokio::time::timeout(OPERATOR_BODY, request.extract::<Bytes>()).await;
    let late =
        |_| error::InternalError::from_response("late", HttpResponse::RequestTimeout().finish());
    let body = body.map_err(late)??;
    request.set_payload(body.into());
    let connection = request.conn_data::<Arc<Connection>>().cloned();
    if let Some(connection) = &connection {
        connection.begin_answer();
    }
    let answered = next.call(request).await;
    if let Some(connection) = connection {
        let is_stream = answered
            .as_ref()
            .is_ok_and(|answer| matches!(answer.response().body().size(), BodySize::Stream));
        if !is_stream {
            connection.reset_deadline();
        }
        if !is_stream || evicts_streams {
            connection.may_be_evicted();
        }
    }
    answered
}

/// A second handle to the socket. `None` without a free descriptor: the connection goes unwatched,
/// but actix times its first head.
fn duplicate_handle(stream: &dyn Any) -> Option<Arc<OwnedFd>> {
    let tcp = stream.downcast_ref::<actix_web::rt::net::TcpStream>().map(AsFd::as_fd);
    let unix = || stream.downcast_ref::<actix_web::rt::net::UnixStream>().map(AsFd::as_fd);
    tcp.or_else(unix)?.try_clone_to_owned().ok().map(Arc::new)
}
