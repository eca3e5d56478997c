//! The proxy between the driver and the receivers, as a load balancer. Each connection gets a random fault: a delay, a trickle, a reset, a
//! half-close, a cut, or silence.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::history::{EventKind, History};
use crate::support::random::{Random, hash};

/// How long a silent connection stays open.
const SWALLOWED: Duration = Duration::from_secs(6);

/// The fault of a connection.
#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    /// Each piece is delayed.
    Delay(Duration),
    /// The first bytes arrive a few at a time.
    Trickle(usize),
    /// RST to both sides after this many bytes.
    Reset(usize),
    /// FIN to both sides after this many bytes.
    Cut(usize),
    /// FIN to the service after this many bytes.
    HalfClose(usize),
    /// After this many bytes nothing is forwarded, and no side is notified.
    Swallow(usize),
}

impl Fault {
    /// The number of bytes before it.
    fn limit(self) -> Option<usize> {
        match self {
            Self::Reset(at) | Self::Cut(at) | Self::HalfClose(at) | Self::Swallow(at) => Some(at),
            Self::None | Self::Delay(_) | Self::Trickle(_) => None,
        }
    }
}

/// The state of the proxy, which the nemesis changes.
pub(crate) struct Network {
    /// The addresses of the receivers that run.
    pub(crate) targets: watch::Sender<Vec<SocketAddr>>,
    /// Each change cuts every connection.
    pub(crate) cuts: watch::Sender<u64>,
    /// No more faults.
    pub(crate) healed: AtomicBool,
}

impl Network {
    pub(crate) fn new() -> Arc<Self> {
        let (targets, cuts) = (watch::Sender::default(), watch::Sender::new(0));
        Arc::new(Self { targets, cuts, healed: AtomicBool::new(false) })
    }
}

/// Starts the proxy, which lasts as long as the runtime.
pub(crate) async fn start(
    seed: u64,
    network: Arc<Network>,
    history: Arc<History>,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        for number in 0_u64.. {
            let Ok((client, _)) = listener.accept().await else { continue };
            let healed = network.healed.load(Ordering::Acquire);
            let fault = if healed { Fault::None } else { draw_fault(seed, number) };
            let (network, history) = (Arc::clone(&network), Arc::clone(&history));
            tokio::spawn(async move {
                let mut cuts = network.cuts.subscribe();
                tokio::select! {
                    () = relay(client, &network, (number, fault), &history) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    Ok(address)
}

fn draw_fault(seed: u64, number: u64) -> Fault {
    let mut random = Random::new(hash(seed) ^ hash(number));
    // A request has about 400 bytes, its response 200, and a connection carries several.
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

/// Connects to the receivers in turn, as a load balancer does: to the next one if one refuses.
async fn connect(network: &Network, number: u64) -> Option<TcpStream> {
    let mut targets = network.targets.borrow().clone();
    let first = usize::try_from(number).unwrap_or_default() % targets.len().max(1);
    targets.rotate_left(first);
    for target in targets {
        if let Ok(server) = TcpStream::connect(target).await {
            return Some(server);
        }
    }
    None
}

async fn relay(
    client: TcpStream,
    network: &Network,
    (number, fault): (u64, Fault),
    history: &History,
) {
    let Some(server) = connect(network, number).await else { return };
    if matches!(fault, Fault::Reset(_)) {
        // From now on, each close is an RST.
        let _ = client.set_zero_linger().and_then(|()| server.set_zero_linger());
    }
    let port = client.peer_addr().map_or(0, |peer| peer.port());
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there =
        pump(from_client, to_server, fault, || history.note(EventKind::HalfClosed { port }));
    // A half-close applies to the request only.
    let back = if matches!(fault, Fault::HalfClose(_)) { Fault::None } else { fault };
    let back = pump(from_server, to_client, back, || {});
    tokio::pin!(there, back);
    tokio::select! {
        ended = &mut there => if ended == End::HalfClosed { back.await; },
        _ = &mut back => {}
    }
}

/// The end of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The other direction continues.
    HalfClosed,
    /// Both directions end.
    Closed,
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
                return End::HalfClosed;
            }
            Ok(count) => count,
            Err(_) => return End::Closed,
        };
        if let Fault::Delay(wait) = fault {
            tokio::time::sleep(wait).await;
        }
        let limit = fault.limit().filter(|limit| carried + count > *limit);
        let kept = limit.map_or(count, |limit| limit.saturating_sub(carried));
        let piece = buffer.get(..kept).unwrap_or_default();
        let slow = matches!(fault, Fault::Trickle(bytes) if carried < bytes);
        if write(&mut to, piece, slow).await.is_err() {
            return End::Closed;
        }
        carried += count;
        if limit.is_some() {
            if matches!(fault, Fault::HalfClose(_)) {
                half_closed();
            }
            return finish(to, from, fault).await;
        }
    }
}

async fn finish(mut to: OwnedWriteHalf, from: OwnedReadHalf, fault: Fault) -> End {
    if matches!(fault, Fault::HalfClose(_)) {
        let _ = to.shutdown().await;
        return End::HalfClosed;
    }
    if matches!(fault, Fault::Swallow(_)) {
        tokio::time::sleep(SWALLOWED).await;
        drop(from);
    }
    End::Closed
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
