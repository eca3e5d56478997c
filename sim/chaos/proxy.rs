//! The proxy between the driver and the service: a network that delays, trickles, resets, half-closes,
//! cuts and swallows. Each connection's fault is drawn when it is made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::history::{History, What};
use crate::support::random::{Random, hash};

/// How long a swallowed connection is kept.
const SWALLOWED: Duration = Duration::from_secs(6);

/// What becomes of a connection.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Each piece is held up so long.
    Delay(Duration),
    /// A few bytes at a time, for so many bytes.
    Trickle(usize),
    /// RST to both sides after so many bytes.
    Reset(usize),
    /// FIN to both sides after so many bytes.
    Cut(usize),
    /// The service is told after so many bytes that no more will come.
    HalfClose(usize),
    /// After so many bytes nothing goes through any more, and nobody is told.
    Swallow(usize),
}

/// Where the proxy leads, and whether it does harm.
pub(crate) struct Road {
    /// The service, while there is one.
    pub(crate) target: watch::Sender<Option<SocketAddr>>,
    /// Changes whenever every connection is to be cut.
    pub(crate) cuts: watch::Sender<u64>,
    /// No more faults.
    pub(crate) healed: AtomicBool,
}

impl Road {
    pub(crate) fn new() -> Arc<Self> {
        let (target, cuts) = (watch::Sender::new(None), watch::Sender::new(0));
        Arc::new(Self { target, cuts, healed: AtomicBool::new(false) })
    }
}

/// Starts it; it lasts as long as the runtime.
pub(crate) async fn start(
    seed: u64,
    road: Arc<Road>,
    history: Arc<History>,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        for number in 0_u64.. {
            let Ok((client, _)) = listener.accept().await else { continue };
            let healed = road.healed.load(Ordering::Acquire);
            let fault = if healed { Fault::None } else { drawn(seed, number) };
            let (road, history) = (Arc::clone(&road), Arc::clone(&history));
            tokio::spawn(async move {
                let mut cuts = road.cuts.subscribe();
                tokio::select! {
                    () = carry(client, &road, fault, &history) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    Ok(address)
}

fn drawn(seed: u64, number: u64) -> Fault {
    let mut random = Random::new(hash(seed) ^ hash(number));
    // A request has about 400 bytes, its answer 200, and several follow each other.
    let at = random.index(3000);
    match random.below(100) {
        0..=9 => Fault::Delay(Duration::from_millis(1 + random.below(150))),
        10..=14 => Fault::Trickle(at),
        15..=19 => Fault::Reset(at),
        20..=24 => Fault::Cut(at),
        25..=27 => Fault::HalfClose(at),
        28..=30 => Fault::Swallow(at),
        _ => Fault::None,
    }
}

async fn carry(client: TcpStream, road: &Road, fault: Fault, history: &History) {
    let target = *road.target.borrow();
    let Some(target) = target else { return };
    let Ok(server) = TcpStream::connect(target).await else { return };
    if matches!(fault, Fault::Reset(_)) {
        // From now on any end of it is an RST.
        let _ = client.set_zero_linger().and_then(|()| server.set_zero_linger());
    }
    let port = client.peer_addr().map_or(0, |peer| peer.port());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = pump(from_client, to_server, fault, || history.note(What::HalfClosed { port }));
    // An answer comes in one piece; only what may end anywhere is applied to it as well.
    let back = match fault {
        Fault::HalfClose(_) => Fault::None,
        Fault::None
        | Fault::Delay(_)
        | Fault::Trickle(_)
        | Fault::Reset(_)
        | Fault::Cut(_)
        | Fault::Swallow(_) => fault,
    };
    let back = pump(from_server, to_client, back, || {});
    tokio::pin!(there, back);
    tokio::select! {
        ended = &mut there => if ended == End::Quiet { back.await; },
        _ = &mut back => {}
    }
}

/// How one direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The other direction goes on.
    Quiet,
    /// All of it is over.
    Over,
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    fault: Fault,
    half_closed: impl Fn(),
) -> End {
    let mut buffer = vec![0; 16 << 10];
    let mut carried = 0;
    loop {
        let count = match from.read(&mut buffer).await {
            Ok(0) => {
                let _ = to.shutdown().await;
                return End::Quiet;
            }
            Ok(count) => count,
            Err(_) => return End::Over,
        };
        let piece = buffer.get(..count).unwrap_or_default();
        let (kept, end) = match fault {
            Fault::Reset(at) | Fault::Cut(at) | Fault::HalfClose(at) | Fault::Swallow(at)
                if carried + count > at =>
            {
                (piece.get(..at.saturating_sub(carried)).unwrap_or_default(), true)
            }
            Fault::Delay(wait) => {
                tokio::time::sleep(wait).await;
                (piece, false)
            }
            Fault::None
            | Fault::Trickle(_)
            | Fault::Reset(_)
            | Fault::Cut(_)
            | Fault::HalfClose(_)
            | Fault::Swallow(_) => (piece, false),
        };
        let slow = matches!(fault, Fault::Trickle(bytes) if carried < bytes);
        if write(&mut to, kept, slow).await.is_err() {
            return End::Over;
        }
        carried += count;
        if end {
            if matches!(fault, Fault::HalfClose(_)) {
                half_closed();
            }
            return finish(to, from, fault).await;
        }
    }
}

async fn finish(mut to: OwnedWriteHalf, from: OwnedReadHalf, fault: Fault) -> End {
    match fault {
        Fault::HalfClose(_) => {
            let _ = to.shutdown().await;
            End::Quiet
        }
        Fault::Swallow(_) => {
            tokio::time::sleep(SWALLOWED).await;
            drop(from);
            End::Over
        }
        Fault::None | Fault::Delay(_) | Fault::Trickle(_) | Fault::Reset(_) | Fault::Cut(_) => {
            End::Over
        }
    }
}

async fn write(to: &mut OwnedWriteHalf, piece: &[u8], slow: bool) -> std::io::Result<()> {
    if !slow {
        return to.write_all(piece).await;
    }
    for bytes in piece.chunks(7) {
        to.write_all(bytes).await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}
