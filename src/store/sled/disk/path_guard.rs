//! Detects that the open database was moved, deleted or replaced, and keeps a second process from the store's path.
//! Deliberately absent: a check of the lock file. If it is deleted, sled's own lock on `db` and the claim on the path
//! still keep other processes away.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::store::sled::disk::file_names::DB_FILE;

/// The path of the open database names no file, or another file.
#[derive(Debug, thiserror::Error)]
#[error(
    "{path} was {event} while this process had it open; a restart would lose later records, so none is acknowledged. \
     Stop the service. If the store's folder was moved, move it back. If its volume was unmounted, mount it again. \
     If it was deleted, restore the latest backup with `heardback restore` into an empty folder"
)]
pub(crate) struct Displaced {
    path: String,
    event: &'static str,
}

/// The path, device and inode of the open database. The inode is not reused while the file is open.
///
/// Records that are written to a moved or deleted file are missing after a restart. Only `db` is compared, because it
/// holds every record.
#[derive(Clone)]
pub(crate) struct PathGuard {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl PathGuard {
    pub(crate) fn of(folder: &Path, db: &File) -> io::Result<Self> {
        let open = db.metadata()?;
        Ok(Self { path: folder.join(DB_FILE), device: open.dev(), inode: open.ino() })
    }

    /// Checks that the path still names the open database. Ignores an error that does not mean a missing file: if the
    /// disk is broken, the next commit fails.
    pub(crate) fn check(&self) -> Result<(), Displaced> {
        let event = match fs::metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == (self.device, self.inode) => return Ok(()),
            Ok(_) => "replaced by another file",
            Err(error) if is_missing(error.kind()) => "moved or deleted",
            Err(_) => return Ok(()),
        };
        Err(Displaced { path: self.path.display().to_string(), event })
    }
}

fn is_missing(error: io::ErrorKind) -> bool {
    matches!(error, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A claim on a path, until it is dropped.
///
/// A file lock moves with a folder that is renamed. So on Linux an open store also binds an abstract Unix socket. Its
/// name is derived from the parent folder's inode and the folder's own name. The kernel frees it when the process ends.
pub(crate) struct PathClaim(#[expect(dead_code, reason = "held open")] Option<OwnedFd>);

impl PathClaim {
    /// Claims the path of a folder. `None`: an open store in this network namespace has it. Logs any other error, and
    /// the path stays unclaimed.
    pub(crate) fn take(folder: &Path) -> Option<Self> {
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

    let folder = match folder.canonicalize() {
        // The folder is missing, and another process may still have claimed its path.
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(folder)?,
        found => found?,
    };
    let (Some(parent), Some(last)) = (folder.parent(), folder.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // Containers that share a network namespace may use the same path on different volumes.
    let parent = rustix::fs::stat(parent)?;
    let parent_id = [parent.st_dev.to_le_bytes(), parent.st_ino.to_le_bytes()].concat();
    let mut name = b"heardback-store-".to_vec();
    // An abstract name has at most 107 bytes, and a path may be longer.
    name.extend_from_slice(&Sha256::digest([&parent_id, last.as_bytes()].concat()));
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
