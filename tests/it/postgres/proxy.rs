//! A proxy before the socket of a server. It can cut a connection after a COMMIT, before its answer returns.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

/// The name of the socket in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

pub(super) struct Proxy {
    folder: TempDir,
    cuts: Arc<Cuts>,
    accepting: AbortHandle,
}

#[derive(Default)]
struct Cuts {
    /// The commits that come through before a cut. 0: no further cut.
    every: AtomicUsize,
    commits: AtomicUsize,
    done: AtomicUsize,
}

impl Proxy {
    /// A proxy before the server in this folder, which lasts as long as the runtime.
    pub(super) fn start(server: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("bound");
        let cuts = Arc::new(Cuts::default());
        let (shared, server) = (Arc::clone(&cuts), server.join(SOCKET));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server.clone(), Arc::clone(&shared)));
            }
        });
        Self { folder, cuts, accepting: accepting.abort_handle() }
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Cuts the connection of every so-many-th commit. 0: no further cut.
    pub(super) fn cut_every(&self, commits: usize) {
        self.cuts.every.store(commits, Ordering::SeqCst);
    }

    /// The cuts so far.
    pub(super) fn cuts(&self) -> usize {
        self.cuts.done.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(client: UnixStream, server: PathBuf, cuts: Arc<Cuts>) {
    let Ok(server) = UnixStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let cut = Arc::new(AtomicBool::new(false));
    let is_cut = Arc::clone(&cut);
    let there = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            let piece = &buffer[..count];
            if piece.windows(6).any(|word| word == b"COMMIT") {
                let every = cuts.every.load(Ordering::SeqCst);
                let commit = cuts.commits.fetch_add(1, Ordering::SeqCst) + 1;
                if every > 0 && commit.is_multiple_of(every) {
                    cuts.done.fetch_add(1, Ordering::SeqCst);
                    cut.store(true, Ordering::SeqCst);
                }
            }
            if to_server.write_all(piece).await.is_err() {
                return;
            }
        }
    };
    let back = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            // The answer shows that the commit is carried out.
            if is_cut.load(Ordering::SeqCst) || to_client.write_all(&buffer[..count]).await.is_err()
            {
                return;
            }
        }
    };
    tokio::select! { () = there => {} () = back => {} }
}
