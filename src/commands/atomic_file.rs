//! A file that has its name only when it is complete. Until then it has the name of its part.
//!
//! The next run continues with the part that an interrupted run left, so no interrupted file looks complete.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::OFlags;

/// Writes a file. `content` writes to the part, which then gets its name. After an error, the part is removed.
pub(super) async fn write<T>(
    part: &Path,
    path: &Path,
    what: &str,
    content: impl AsyncFnOnce(&File) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let file = begin(part, what)?;
    let written = content(&file).await.and_then(|written| {
        finish(&file, part, path).with_context(|| format!("cannot finish {}", path.display()))?;
        Ok(written)
    });
    if written.is_err() {
        // If the part cannot be removed, the next run overwrites it.
        let _ = fs::remove_file(part);
    }
    written
}

fn begin(part: &Path, what: &str) -> anyhow::Result<File> {
    loop {
        let file = open(part).with_context(|| format!("cannot write {}", part.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another {what} is being written to {}; wait for its end", part.display())
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Another process may have completed the file before the lock; then the open file is not the part.
        if is_still(&file, part)? {
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// Opens the part. Other users may be able to write to the folder, so no link is followed.
fn open(part: &Path) -> io::Result<File> {
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    options.mode(0o600).custom_flags(nofollow).open(part)
}

/// Whether the open file still has the name of the part.
fn is_still(file: &File, part: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::symlink_metadata(part) {
        Ok(named) => Ok((named.dev(), named.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Syncs the part, and gives it its name.
fn finish(file: &File, part: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(part, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_was_renamed_is_not_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = folder.path().join("made.part");
        let file = open(&part).expect("open");
        assert!(is_still(&file, &part).expect("readable"));
        finish(&file, &part, &folder.path().join("made")).expect("renamed");
        assert!(!is_still(&file, &part).expect("readable"));
        let next = begin(&part, "export").expect("open");
        assert!(!is_still(&file, &part).expect("readable"));
        assert!(is_still(&next, &part).expect("readable"));
    }
}
