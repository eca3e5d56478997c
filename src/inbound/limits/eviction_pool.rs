//! A fixed number of slots. If all are in use, a new member evicts the oldest, whose connection is shut.
//!
//! It bounds the resources of unauthenticated clients: their connections and their large bodies. A legitimate client needs a
//! slot for milliseconds, so the oldest member is an idle or a slow one.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::net::Shutdown;

/// A slot, in use until it is dropped or evicted.
pub(crate) struct PoolSlot {
    socket: Arc<OwnedFd>,
}

pub(super) struct EvictionPool {
    limit: usize,
    members: Mutex<VecDeque<Weak<PoolSlot>>>,
}

impl EvictionPool {
    /// A pool of this many free slots.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, members: Mutex::new(VecDeque::new()) }
    }

    /// Gives a slot to a connection. Returns how many others were shut for it.
    pub(super) fn admit(&self, socket: &Arc<OwnedFd>) -> (Arc<PoolSlot>, u64) {
        let slot = Arc::new(PoolSlot { socket: Arc::clone(socket) });
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if members.len() >= self.limit {
            members.retain(|member| member.strong_count() > 0);
        }
        let mut shut = 0;
        while members.len() >= self.limit.max(1) {
            if let Some(oldest) = members.pop_front().and_then(|member| member.upgrade()) {
                shut_down(&oldest.socket);
                shut += 1;
            }
        }
        members.push_back(Arc::downgrade(&slot));
        (slot, shut)
    }
}

/// Ends both directions of a connection, over TCP or a Unix socket.
pub(super) fn shut_down(socket: &OwnedFd) {
    // An error means that the peer has closed it already.
    let _ = rustix::net::shutdown(socket, Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// The two ends of a connection.
    fn connection(listener: &TcpListener) -> (Arc<OwnedFd>, TcpStream) {
        let theirs = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        theirs.set_nonblocking(true).expect("set");
        (Arc::new(listener.accept().expect("one").0.into()), theirs)
    }

    fn is_open(mut stream: &TcpStream) -> bool {
        matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    #[test]
    fn the_oldest_member_is_shut_and_a_dropped_slot_is_free() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let pool = EvictionPool::new(3);
        let lines: Vec<_> = (0..6).map(|_| connection(&listener)).collect();
        let admit = |number: usize| pool.admit(&lines[number].0);
        let open = || lines.iter().map(|(_, theirs)| is_open(theirs)).collect::<Vec<_>>();
        let (first, shut) = admit(0);
        assert_eq!(shut, 0);
        let (second, third) = (admit(1), admit(2));
        assert_eq!(second.1 + third.1, 0);
        drop(second);
        let fourth = admit(3);
        assert_eq!(fourth.1, 0, "the second was dropped");
        assert_eq!(open(), [true; 6]);
        let fifth = admit(4);
        assert_eq!(fifth.1, 1);
        assert_eq!(open(), [false, true, true, true, true, true]);
        drop((first, third));
        assert_eq!(admit(5).1, 0, "the third was dropped");
    }
}
