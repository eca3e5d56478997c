//! A copy of sled's files, as long as it is not known whether they can be opened: sled rewrites a
//! damaged log on opening it, and only afterwards can it be told what is missing.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::domain::findings::MIN_FREE;
use crate::store::sled::disk::file_names::DB_FILE;
use crate::store::sled::hooks::FreeSpace;
use crate::store::sled::integrity::recovery::ASIDE;

/// Where sled's files are copied to while it opens them.
pub(crate) const COPY: &str = "before-opening";
/// Files larger than this together, in bytes, are not copied: a start must not take long.
const MAX_COPY: u64 = 32 << 20;

/// The copy, if one was made.
pub(crate) struct Copy<'a> {
    folder: &'a Path,
    made: bool,
}

impl<'a> Copy<'a> {
    /// Copies what is small enough to be copied at every start.
    pub(crate) fn make(folder: &'a Path, free_space: &FreeSpace) -> io::Result<Self> {
        let copy = Self { folder, made: false };
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
        fs::create_dir(folder.join(COPY))?;
        for name in &files {
            fs::copy(folder.join(name), folder.join(COPY).join(name))?;
        }
        Ok(Self { made: true, ..copy })
    }

    pub(crate) fn discard(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.folder.join(COPY)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn restore(&self) -> io::Result<()> {
        if !self.made {
            tracing::warn!(
                "sled may have rewritten its files: they were too large to copy, or there was no room"
            );
            return Ok(());
        }
        for name in sled_files(self.folder)? {
            fs::remove_file(self.folder.join(name))?;
        }
        for name in sled_files(&self.folder.join(COPY))? {
            fs::rename(self.folder.join(COPY).join(&name), self.folder.join(&name))?;
        }
        // A snapshot that was set aside is back in its place, too.
        match fs::remove_dir_all(self.folder.join(ASIDE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => self.discard(),
        }
    }
}

/// The names of the files that sled rewrites.
pub(crate) fn sled_files(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if is_sleds(&name.to_string_lossy()) {
            names.push(name);
        }
    }
    Ok(names)
}

pub(crate) fn is_sleds(name: &str) -> bool {
    name == DB_FILE || name == "conf" || name.starts_with("snap.")
}
