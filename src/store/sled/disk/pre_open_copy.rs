//! A copy of sled's files during an opening. sled rewrites a damaged log when it opens it, and only the scan afterwards
//! detects missing records.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::domain::findings::MIN_FREE;
use crate::store::sled::disk::file_names::DB_FILE;
use crate::store::sled::hooks::FreeSpace;
use crate::store::sled::integrity::recovery::SET_ASIDE_DIR;

/// The folder of the copy, in the store's folder.
pub(crate) const COPY_DIR: &str = "before-opening";
/// The largest total size of files that are copied, in bytes: a start must not take long.
const MAX_COPY: u64 = 32 << 20;

pub(crate) struct PreOpenCopy<'a> {
    folder: &'a Path,
    is_made: bool,
}

impl<'a> PreOpenCopy<'a> {
    /// Copies sled's files if they are small enough to copy at every start, and the disk has room.
    pub(crate) fn create(folder: &'a Path, free_space: &FreeSpace) -> io::Result<Self> {
        let copy = Self { folder, is_made: false };
        copy.discard()?;
        let files = sled_files(folder)?;
        let mut size = 0;
        for name in &files {
            size += fs::metadata(folder.join(name))?.len();
        }
        let room = free_space().unwrap_or_default().saturating_sub(MIN_FREE);
        if files.is_empty() || size > MAX_COPY || size > room {
            return Ok(copy);
        }
        fs::create_dir(folder.join(COPY_DIR))?;
        for name in &files {
            fs::copy(folder.join(name), folder.join(COPY_DIR).join(name))?;
        }
        Ok(Self { is_made: true, ..copy })
    }

    pub(crate) fn discard(&self) -> io::Result<()> {
        remove_folder(&self.folder.join(COPY_DIR))
    }

    pub(crate) fn restore(&self) -> io::Result<()> {
        if !self.is_made {
            tracing::warn!(
                path = %self.folder.display(),
                "sled may have rewritten its files in {}, and no copy of them exists: they were larger than 32 MiB, or the \
                 disk had no room; copy the folder before the next start",
                self.folder.display()
            );
            return Ok(());
        }
        let copied = sled_files(&self.folder.join(COPY_DIR))?;
        // Each file replaces sled's own at once, so that a kill leaves no store without its file.
        for name in &copied {
            fs::rename(self.folder.join(COPY_DIR).join(name), self.folder.join(name))?;
        }
        for name in sled_files(self.folder)?.iter().filter(|name| !copied.contains(name)) {
            fs::remove_file(self.folder.join(name))?;
        }
        // The copy also restored the snapshots that the recovery had moved aside.
        remove_folder(&self.folder.join(SET_ASIDE_DIR))?;
        self.discard()
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The names of the files that sled rewrites.
pub(crate) fn sled_files(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if is_sled_file(&name.to_string_lossy()) {
            names.push(name);
        }
    }
    Ok(names)
}

pub(crate) fn is_sled_file(name: &str) -> bool {
    name == DB_FILE || name == "conf" || name.starts_with("snap.")
}
