//! Shuts connections: one that completes no request for ten seconds, and the oldest unauthenticated one if a newer one needs
//! its slot. Ten thousand idle clients thus block no other client.
//!
//! actix times only the head of a connection's first request, and one byte of a second request cancels its keep-alive timer
//! (docs/design.md, "HTTP"). Each connection therefore has a second handle to its socket here.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, error, web};

use crate::inbound::limits::eviction_pool::{EvictionPool, PoolSlot, shut_down};
use crate::telemetry::clock::monotonic;
use crate::telemetry::metrics::Metrics;

/// The longest time that a connection may take to complete a request.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// The time to send the last answer, with `Connection: close`. actix would read the rest of a chunked body without end.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);
/// The time between two searches for overdue connections.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// The most unauthenticated connections at a time. Each connection is one until its first signature is verified, and may
/// hold 128 KiB of an endless head.
const MAX_UNAUTHENTICATED: usize = 1024;
/// The most bodies over [`LARGE_BODY`] that are read at a time.
const MAX_LARGE_BODIES: usize = 32;
/// The size in bytes above which a body needs a slot. Only a batch of events may be larger, up to 1 MiB.
pub(crate) const LARGE_BODY: usize = 64 << 10;
/// The longest time for the body of a request to the operator's listener or the control socket.
const OPERATOR_BODY_DEADLINE: Duration = Duration::from_secs(5);
/// The deadline of a connection that has none.
const NO_DEADLINE: u64 = u64::MAX;
/// The shortest time between two lines about evicted connections.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// One connection. Its requests find it in their connection data.
pub struct Connection {
    socket: Arc<OwnedFd>,
    unauthenticated: Arc<EvictionPool>,
    /// The slot of an unauthenticated connection.
    slot: Mutex<Option<Arc<PoolSlot>>>,
    large_bodies: Arc<EvictionPool>,
    started_at: Instant,
    /// The deadline, in milliseconds from `started_at`.
    deadline: AtomicU64,
    /// Whether its last answer was given.
    is_over: AtomicBool,
}

impl Connection {
    /// Frees its slot among the unauthenticated connections.
    pub(crate) fn mark_authenticated(&self) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A slot for a large body, in use while the body is read. If none is free, the connection with the oldest is shut.
    pub(crate) fn slot_for_large_body(&self) -> Arc<PoolSlot> {
        self.large_bodies.admit(&self.socket).0
    }

    /// Sets the deadline anew, after a request is answered or completely received.
    pub fn reset_deadline(&self) {
        self.shut_in(REQUEST_DEADLINE);
    }

    /// Sets the deadline after the last answer.
    pub fn close_soon(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.shut_in(CLOSE_DEADLINE);
    }

    /// Shuts the connection at once. Its last answer may be lost.
    pub(crate) fn shut(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        shut_down(&self.socket);
    }

    /// The request is complete: until it is answered, the connection is not evicted and has no deadline.
    pub(crate) fn begin_answer(&self) {
        self.mark_authenticated();
        self.deadline.store(NO_DEADLINE, Ordering::Relaxed);
    }

    /// Lets a newer connection evict this one, which waits for a request or streams an answer.
    fn allow_eviction(&self) {
        let (slot, _) = self.unauthenticated.admit(&self.socket);
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
    }

    /// Whether an answer closed the connection. Requests behind that one must have no effect, so that a rejected request
    /// cannot hide another one (RFC 9112, 9.6). actix would serve them.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn shut_in(&self, wait: Duration) {
        let deadline = (self.started_at.elapsed() + wait).as_millis();
        let deadline = u64::try_from(deadline).unwrap_or(u64::MAX);
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    fn is_overdue(&self) -> bool {
        self.started_at.elapsed() >= Duration::from_millis(self.deadline.load(Ordering::Relaxed))
    }
}

/// All connections of a listener.
#[derive(Clone)]
pub struct Connections {
    known: Arc<Mutex<Vec<Weak<Connection>>>>,
    unauthenticated: Arc<EvictionPool>,
    large_bodies: Arc<EvictionPool>,
    /// `None` for the operator's listeners, which are not counted.
    metrics: Option<Arc<Metrics>>,
    /// Connections evicted since the last line about it.
    evicted: Arc<AtomicU64>,
}

impl Connections {
    /// No connections yet. `max` is the limit of the public listener. Unauthenticated connections get half of it, so that
    /// the newest is accepted while the oldest is shut.
    pub fn new(max: usize, metrics: &Arc<Metrics>) -> Self {
        Self::with(MAX_UNAUTHENTICATED.min(max.div_ceil(2)), Some(Arc::clone(metrics)))
    }

    /// No connections yet. `max` is the limit of the operator's listener or the control socket. A new connection evicts an
    /// idle or half-open one, and none whose request is being answered (see `guard`).
    pub fn of_operator(max: usize) -> Self {
        // One below the limit, so that the newest is accepted while the oldest is shut.
        Self::with(max.saturating_sub(1), None)
    }

    fn with(unauthenticated: usize, metrics: Option<Arc<Metrics>>) -> Self {
        Self {
            known: Arc::default(),
            unauthenticated: Arc::new(EvictionPool::new(unauthenticated)),
            large_bodies: Arc::new(EvictionPool::new(MAX_LARGE_BODIES)),
            metrics,
            evicted: Arc::default(),
        }
    }

    /// Adds a connection, and puts it into its connection data. For `HttpServer::on_connect`.
    pub fn add(&self, stream: &dyn Any, data: &mut actix_web::dev::Extensions) {
        let Some(socket) = duplicate_handle(stream) else { return };
        let (slot, shut) = self.unauthenticated.admit(&socket);
        self.count("crowded_out", shut);
        self.evicted.fetch_add(shut, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            socket,
            unauthenticated: Arc::clone(&self.unauthenticated),
            slot: Mutex::new(Some(slot)),
            large_bodies: Arc::clone(&self.large_bodies),
            started_at: monotonic(),
            deadline: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        connection.reset_deadline();
        self.known().push(Arc::downgrade(&connection));
        data.insert(connection);
    }

    /// Shuts every connection whose deadline has passed. Returns their number.
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

    /// Shuts overdue connections until the future is dropped.
    pub async fn watch(self) {
        let mut logged: Option<Instant> = None;
        let mut ticks = tokio::time::interval(SEARCH_INTERVAL);
        loop {
            ticks.tick().await;
            let shut = self.shut_overdue();
            self.count("overdue", shut);
            if shut > 0 {
                tracing::debug!(shut, "shut overdue connections");
            }
            if self.metrics.is_some()
                && logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL)
            {
                let shut = self.evicted.swap(0, Ordering::Relaxed);
                if shut > 0 {
                    logged = Some(monotonic());
                    tracing::warn!(
                        shut,
                        "too many unauthenticated connections: shut the oldest {shut} for newer ones; verified clients are not \
                         affected. A higher limit of open files allows more (`ulimit -n`)"
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

/// Middleware of the operator's listener: reads each body within a deadline, and prevents the eviction of a connection
/// whose request is being answered. A stream, such as the live page, may be evicted.
///
/// # Errors
/// The errors of the body and of the route.
pub async fn guard_page(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    guard(request, next, true).await
}

/// Middleware of the control socket, like [`guard_page`]. A stream, such as a backup, is not evicted.
///
/// # Errors
/// The errors of the body and of the route.
pub async fn guard_control(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    guard(request, next, false).await
}

#[expect(
    clippy::disallowed_types,
    reason = "the operator's listeners authenticate in their routes"
)]
async fn guard<B: MessageBody>(
    mut request: ServiceRequest,
    next: Next<B>,
    evicts_streams: bool,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let body = tokio::time::timeout(OPERATOR_BODY_DEADLINE, request.extract::<web::Bytes>()).await;
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
            connection.allow_eviction();
        }
    }
    answered
}

/// A second handle to the socket. `None` without a free descriptor: only actix's own timeouts apply to the connection then.
fn duplicate_handle(stream: &dyn Any) -> Option<Arc<OwnedFd>> {
    let tcp = stream.downcast_ref::<actix_web::rt::net::TcpStream>().map(AsFd::as_fd);
    let unix = || stream.downcast_ref::<actix_web::rt::net::UnixStream>().map(AsFd::as_fd);
    tcp.or_else(unix)?.try_clone_to_owned().ok().map(Arc::new)
}
