//! The proxy in front of a PostgreSQL server: cuts and stalls connections, above all between a COMMIT and its answer.
//! Its target is the socket of the current primary.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use crate::history::{CommitCut, EventKind, History};
use crate::support::random::{Random, hash};

/// The end of a simple query that commits.
const COMMIT: &[u8] = b"COMMIT\0";
/// A commit takes less, unless the server or its standby stalls.
const ANSWERED: Duration = Duration::from_secs(2);

/// The state of a proxy, which the nemesis changes.
pub(crate) struct DatabaseNetwork {
    pub(crate) target: watch::Sender<Option<PathBuf>>,
    /// Each change cuts every connection.
    pub(crate) cuts: watch::Sender<u64>,
    /// Nothing is forwarded.
    pub(crate) stalled: watch::Sender<bool>,
    /// Commits lose their answers.
    pub(crate) cuts_commits: AtomicBool,
}

impl DatabaseNetwork {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            target: watch::Sender::new(None),
            cuts: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            cuts_commits: AtomicBool::new(false),
        })
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// Starts the proxy, which lasts as long as the runtime.
pub(crate) async fn start(
    seed: u64,
    network: &Arc<DatabaseNetwork>,
    history: &Arc<History>,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (network, history) = (Arc::clone(network), Arc::clone(history));
    tokio::spawn(async move {
        for number in 0_u64.. {
            let Ok((client, _)) = listener.accept().await else { continue };
            let random = Random::new(hash(seed ^ hash(number)));
            let (network, history) = (Arc::clone(&network), Arc::clone(&history));
            tokio::spawn(async move {
                let mut cuts = network.cuts.subscribe();
                tokio::select! {
                    _ = relay(client, &network, random, &history) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    Ok(address)
}

async fn relay(
    mut client: TcpStream,
    network: &DatabaseNetwork,
    mut random: Random,
    history: &History,
) -> std::io::Result<()> {
    let Some(target) = network.target.borrow().clone() else { return Ok(()) };
    let mut server = UnixStream::connect(target).await?;
    client.set_nodelay(true)?;
    let mut stalled = network.stalled.subscribe();
    let (mut request, mut answer) = (vec![0; 32 << 10], vec![0; 32 << 10]);
    loop {
        // The sender lives as long as the network.
        let _ = stalled.wait_for(|stalled| !stalled).await;
        tokio::select! {
            count = client.read(&mut request) => {
                let bytes = request.get(..count?).unwrap_or_default();
                let _ = stalled.wait_for(|stalled| !stalled).await;
                let cut = draw_cut(bytes, network, &mut random);
                if bytes.is_empty() || cut == Some(CommitCut::Before) {
                    note(cut, history);
                    return Ok(());
                }
                server.write_all(bytes).await?;
                if let Some(cut) = cut {
                    return cut_commit(client, server, cut, &mut random, history).await;
                }
            }
            count = server.read(&mut answer) => {
                let bytes = answer.get(..count?).unwrap_or_default();
                if bytes.is_empty() {
                    return Ok(());
                }
                let _ = stalled.wait_for(|stalled| !stalled).await;
                client.write_all(bytes).await?;
            }
        }
    }
}

fn draw_cut(bytes: &[u8], network: &DatabaseNetwork, random: &mut Random) -> Option<CommitCut> {
    if !bytes.ends_with(COMMIT) || !network.cuts_commits.load(Ordering::Acquire) {
        return None;
    }
    match random.below(10) {
        0 => Some(CommitCut::Before),
        1 | 2 => Some(CommitCut::AtOnce),
        3 | 4 => Some(CommitCut::Answered),
        5 => Some(CommitCut::Stalled),
        _ => None,
    }
}

fn note(cut: Option<CommitCut>, history: &History) {
    if let Some(cut) = cut {
        history.note(EventKind::CommitCut { cut });
    }
}

/// Ends a connection whose COMMIT was forwarded. Its answer never arrives.
async fn cut_commit(
    client: TcpStream,
    mut server: UnixStream,
    cut: CommitCut,
    random: &mut Random,
    history: &History,
) -> std::io::Result<()> {
    note(Some(cut), history);
    if cut == CommitCut::Answered || cut == CommitCut::Stalled {
        // The server has answered, so the transaction is committed.
        let _ = tokio::time::timeout(ANSWERED, server.read(&mut [0; 64])).await;
    }
    if cut == CommitCut::Stalled {
        tokio::time::sleep(Duration::from_millis(500 + random.below(6000))).await;
    }
    client.set_zero_linger()
}
