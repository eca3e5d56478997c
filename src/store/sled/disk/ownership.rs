//! Whose a store's files are: what root does (on Fly, `fly ssh console` is root) must leave nothing
//! behind that the service cannot write.
//!
//! Only root gives anything away, only what root made, and only under names that we or sled use. Best
//! effort: what was found out or done stands, whoever the files belong to, so there is no error in here.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};
use rustix::process::geteuid;

use crate::store::sled::disk::file_names::{DB_FILE, FORMAT_DRAFT, FORMAT_FILE, LOCK_FILE};
use crate::store::sled::disk::pre_open_copy::{COPY, is_sleds};
use crate::store::sled::integrity::recovery::ASIDE;
use crate::store::sled::integrity::seal::SEAL_FILE;

const FILES: [&str; 4] = [FORMAT_FILE, FORMAT_DRAFT, LOCK_FILE, SEAL_FILE];
/// Folders, and all in them is ours. The first is sled's.
const FOLDERS: [&str; 3] = ["blobs", ASIDE, COPY];

/// Gives the store to its owner when it goes out of scope, whichever way that is.
pub(crate) struct OwnershipGuard {
    folder: PathBuf,
    /// `None`: there is nobody to give it to, or we may not.
    to: Option<(Uid, Gid)>,
    /// The folder itself is given away, too.
    with_folder: bool,
}

impl OwnershipGuard {
    /// To whoever's the store is now.
    pub(crate) fn of_store(folder: &Path) -> Self {
        let owners = [folder.to_path_buf(), folder.join(FORMAT_FILE), folder.join(DB_FILE)];
        let mut owners = owners.iter().filter_map(|path| fs::symlink_metadata(path).ok());
        let to = owners.find_map(|owner| receiver(&owner));
        Self { folder: folder.to_path_buf(), to, with_folder: false }
    }

    /// To the folder's owner, or where there is none to the owner of the folder around it.
    pub(crate) fn of_new(folder: &Path) -> Self {
        let around = folder
            .ancestors()
            .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let owner = around.into_iter().find_map(|folder| folder.metadata().ok());
        let to = owner.as_ref().and_then(receiver);
        Self { folder: folder.to_path_buf(), to, with_folder: true }
    }

    /// Says in the log what cannot be given away.
    pub(crate) fn now(&self) {
        let Some(to) = self.to else { return };
        if let Err(error) = self.give(to) {
            tracing::warn!(
                path = %self.folder.display(), %error,
                "cannot give what root made in {} to the store's owner: {error}; do it with `chown`, \
                 or the service may not be able to write it",
                self.folder.display()
            );
        }
    }

    fn give(&self, to: (Uid, Gid)) -> io::Result<()> {
        let folder = match opened(rustix::fs::CWD, &self.folder, OFlags::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        if self.with_folder {
            given(&folder, Path::new("."), to)?;
        }
        for name in names(&folder)? {
            let text = name.to_string_lossy();
            if FILES.contains(&text.as_ref()) || is_sleds(&text) {
                given(&folder, &name, to)?;
            } else if FOLDERS.contains(&text.as_ref()) {
                let inner = opened(&folder, &name, OFlags::NOFOLLOW)?;
                for name in names(&inner)? {
                    given(&inner, &name, to)?;
                }
                given(&folder, &name, to)?;
            }
        }
        Ok(())
    }
}

impl Drop for OwnershipGuard {
    fn drop(&mut self) {
        self.now();
    }
}

/// Root's own is left to root: then nobody else is to have it.
fn receiver(owner: &Metadata) -> Option<(Uid, Gid)> {
    let to = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    (geteuid().is_root() && !to.0.is_root()).then_some(to)
}

/// The owner could put a link there meanwhile, for root to follow: so nothing goes by its path.
fn opened(around: impl AsFd, name: &Path, more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more;
    Ok(openat(around, name, flags, Mode::empty())?)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(PathBuf::from(name));
        }
    }
    Ok(names)
}

/// What has a second name may be anybody's.
fn given(folder: &OwnedFd, name: &Path, (user, group): (Uid, Gid)) -> io::Result<()> {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_folder = FileType::from_raw_mode(found.st_mode).is_dir();
    if found.st_uid != 0 || !(is_folder || found.st_nlink == 1) {
        return Ok(());
    }
    Ok(chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}
