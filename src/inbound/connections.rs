//! The watchdog over connections: one that completes no request for ten seconds is shut.
//!
//! actix times the head of a connection's first request only, and one byte of a second request
//! cancels its keep-alive timer; 200 such connections starve everybody (`facts/reliability.md` §0.2).
//! So each connection leaves us a second handle on its socket, and whoever idles is cut off.

use std::any::Any;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How long a connection may go without completing a request.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long one that was told `Connection: close` may stay. actix would read what remains of a
/// chunked body for as long as it comes.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often it is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One connection, as its requests see it.
pub struct Connection {
    socket: TcpStream,
    began: Instant,
    /// When it is to be shut, in milliseconds from `began`.
    due: AtomicU64,
}

impl Connection {
    /// A request on this connection has come to its end, or to the point where it is ours to answer.
    pub fn progress(&self) {
        self.shut_in(PATIENCE);
    }

    /// Its last answer is given: only this has still to get through.
    pub fn farewell(&self) {
        self.shut_in(FAREWELL);
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
#[derive(Clone, Default)]
pub struct Connections {
    known: Arc<Mutex<Vec<Weak<Connection>>>>,
}

impl Connections {
    /// For `HttpServer::on_connect`: notes the connection, and lets its requests find it.
    pub fn note(&self, stream: &dyn Any, data: &mut actix_web::dev::Extensions) {
        let Some(stream) = stream.downcast_ref::<actix_web::rt::net::TcpStream>() else { return };
        // Out of file handles: the connection goes unwatched, but its first head is timed by actix.
        let Ok(handle) = stream.as_fd().try_clone_to_owned() else { return };
        let connection = Arc::new(Connection {
            socket: TcpStream::from(handle),
            began: Instant::now(),
            due: AtomicU64::new(0),
        });
        connection.progress();
        self.known().push(Arc::downgrade(&connection));
        data.insert(connection);
    }

    /// Shuts every connection that has gone too long without completing a request. Returns how many.
    #[must_use]
    pub fn shut_overdue(&self) -> usize {
        let mut shut = 0;
        self.known().retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            let overdue = connection.is_overdue();
            if overdue {
                // The peer may have gone already: then there is nothing to shut.
                let _ = connection.socket.shutdown(Shutdown::Both);
                shut += 1;
            }
            !overdue
        });
        shut
    }

    /// Watches until it is dropped.
    pub async fn watch(self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            look.tick().await;
            let shut = self.shut_overdue();
            if shut > 0 {
                tracing::debug!(shut, "shut overdue connections");
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Connection>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
