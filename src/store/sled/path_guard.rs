//! The store's path while the store is open: no other file may take the place of the open database, and no second
//! process may use the same path.
//!
//! A lock belongs to a file, so it moves with a folder that is renamed. Therefore an open store also claims its path by
//! a name in the kernel, which ends with the process. And it compares the open database with the file that the path
//! names: what is written to a moved or deleted file is missing at the next start. Only `db` counts: with the same `db`
//! under the path, every record is there, whatever the folder is. A deleted lock file loses nothing, since sled's
//! own lock on `db` and the claim keep other processes away.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::store::sled::folder::DB_FILE;

/// The path of the open database is gone or names another file.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path} was {event} while this process had it open; later records would be missing after a restart, so nothing more \
     is acknowledged. Stop the service; then move the store's own folder back to this path, or, if it was deleted, \
     restore the latest backup with `heardback restore` into an empty folder"
)]
pub(super) struct Displaced {
    path: String,
    event: &'static str,
}

/// The open database, as the file system numbers it. The number is not reused while the file is open.
#[derive(Clone)]
pub(super) struct PathGuard {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl PathGuard {
    /// For an open database in this folder.
    pub(super) fn of(folder: &Path, db: &File) -> io::Result<Self> {
        let open = db.metadata()?;
        Ok(Self { path: folder.join(DB_FILE), device: open.dev(), inode: open.ino() })
    }

    /// An error of the file system proves nothing and is left to the next commit.
    pub(super) fn check(&self) -> Result<(), Displaced> {
        let event = match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => return Ok(()),
            Ok(_) => "replaced by another file",
            Err(error) if is_gone(error.kind()) => "moved or deleted",
            Err(_) => return Ok(()),
        };
        Err(Displaced { path: self.path.display().to_string(), event })
    }
}

fn is_gone(error: io::ErrorKind) -> bool {
    matches!(error, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A claim on a path, until it is dropped. Held by a socket without a file: only its name counts.
pub(super) struct PathClaim(#[expect(dead_code, reason = "held open")] Option<OwnedFd>);

impl PathClaim {
    /// Claims the path of an existing folder. `None`: another process of this machine has it. A system without such
    /// names claims nothing.
    pub(super) fn take(folder: &Path) -> Option<Self> {
        match bind(folder) {
            Ok(socket) => Some(Self(Some(socket))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
            Err(error) => {
                tracing::debug!(%error, "cannot claim the path {}", folder.display());
                Some(Self(None))
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn bind(folder: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt as _;

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    use sha2::{Digest as _, Sha256};

    let folder = folder.canonicalize()?;
    let mut name = b"heardback-store-".to_vec();
    // A name may have 107 bytes, a path more.
    name.extend_from_slice(&Sha256::digest(folder.as_os_str().as_bytes()));
    let address = SocketAddrUnix::new_abstract_name(&name)?;
    let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(not(target_os = "linux"))]
fn bind(_folder: &Path) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}
