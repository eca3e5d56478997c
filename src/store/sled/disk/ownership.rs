//! Gives files that root created in a store to the store's owner, so that the service can write them. On Fly,
//! `fly ssh console` runs as root.
//!
//! Only root changes an owner, only of root's files, and only under names that we or sled use. Deliberately absent: an
//! error for the caller, because a command's result does not depend on the files' owner.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};
use rustix::process::geteuid;

use crate::store::sled::disk::file_names::{DB_FILE, FORMAT_DRAFT, FORMAT_FILE, LOCK_FILE};
use crate::store::sled::disk::pre_open_copy::{COPY_DIR, is_sled_file};
use crate::store::sled::integrity::recovery::SET_ASIDE_DIR;
use crate::store::sled::integrity::seal::SEAL_FILE;

const FILES: [&str; 4] = [FORMAT_FILE, FORMAT_DRAFT, LOCK_FILE, SEAL_FILE];
/// Folders that hold only the store's files. The first is sled's.
const FOLDERS: [&str; 3] = ["blobs", SET_ASIDE_DIR, COPY_DIR];

/// Gives the store's files to its owner when it is dropped, after success and after an error.
pub(crate) struct OwnershipGuard {
    folder: PathBuf,
    /// `None`: there is no other owner than root, or this process is not root.
    owner: Option<(Uid, Gid)>,
    /// Whether the folder itself changes its owner, too.
    includes_folder: bool,
}

impl OwnershipGuard {
    /// For an existing store. Its owner is the first owner other than root of the folder, `FORMAT` and `db`.
    pub(crate) fn of_store(folder: &Path) -> Self {
        let owners = [folder.to_path_buf(), folder.join(FORMAT_FILE), folder.join(DB_FILE)];
        let mut owners = owners.iter().filter_map(|path| fs::symlink_metadata(path).ok());
        let owner = owners.find_map(|metadata| new_owner(&metadata));
        Self { folder: folder.to_path_buf(), owner, includes_folder: false }
    }

    /// For a new store. Its owner is the owner of the folder, or of the nearest existing parent.
    pub(crate) fn of_new(folder: &Path) -> Self {
        let parents = folder
            .ancestors()
            .map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
        let metadata = parents.into_iter().find_map(|folder| folder.metadata().ok());
        let owner = metadata.as_ref().and_then(new_owner);
        Self { folder: folder.to_path_buf(), owner, includes_folder: true }
    }

    /// Changes the owners, and logs a failure.
    pub(crate) fn apply(&self) {
        let Some(owner) = self.owner else { return };
        if let Err(error) = self.change_owners(owner) {
            tracing::warn!(
                path = %self.folder.display(), %error,
                "cannot give root's files in {} to the store's owner: {error}; do it with `chown`, \
                 or the service may not be able to write them",
                self.folder.display()
            );
        }
    }

    fn change_owners(&self, owner: (Uid, Gid)) -> io::Result<()> {
        let folder = match open_dir(rustix::fs::CWD, &self.folder, OFlags::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folder => folder?,
        };
        if self.includes_folder {
            chown_entry(&folder, Path::new("."), owner)?;
        }
        for name in entry_names(&folder)? {
            let text = name.to_string_lossy();
            if FILES.contains(&text.as_ref()) || is_sled_file(&text) {
                chown_entry(&folder, &name, owner)?;
            } else if FOLDERS.contains(&text.as_ref()) {
                let inner = open_dir(&folder, &name, OFlags::NOFOLLOW)?;
                for name in entry_names(&inner)? {
                    chown_entry(&inner, &name, owner)?;
                }
                chown_entry(&folder, &name, owner)?;
            }
        }
        Ok(())
    }
}

impl Drop for OwnershipGuard {
    fn drop(&mut self) {
        self.apply();
    }
}

/// Returns the owner for the store's files. `None`: root owns the store, or this process is not root.
fn new_owner(metadata: &Metadata) -> Option<(Uid, Gid)> {
    let owner = (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()));
    (geteuid().is_root() && !owner.0.is_root()).then_some(owner)
}

/// Opens a folder below an open one. A path would be unsafe: the owner could insert a link for root to follow.
fn open_dir(parent: impl AsFd, name: &Path, more: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | more;
    Ok(openat(parent, name, flags, Mode::empty())?)
}

fn entry_names(folder: &OwnedFd) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(PathBuf::from(name));
        }
    }
    Ok(names)
}

/// Changes the owner of a folder or file. Skips a file with several hard links: it may belong outside the store.
fn chown_entry(folder: &OwnedFd, name: &Path, (user, group): (Uid, Gid)) -> io::Result<()> {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let is_folder = FileType::from_raw_mode(found.st_mode).is_dir();
    if found.st_uid != 0 || !(is_folder || found.st_nlink == 1) {
        return Ok(());
    }
    Ok(chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
}
