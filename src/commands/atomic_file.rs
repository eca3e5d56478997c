//! A file that is there under its name only when it is whole: until then it is written beside it, under a name
//! that the next run takes over, so that a signal or a power cut leaves nothing that looks whole.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::OFlags;

/// What another one left half-written is begun anew, unless that one still runs.
///
/// # Errors
/// It does, or the file cannot be written.
pub(super) fn begin(part: &Path, what: &str) -> anyhow::Result<File> {
    loop {
        let file = open(part).with_context(|| format!("cannot write {}", part.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!("another {what} is being written to {}; wait for its end", part.display())
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // That one may have come to its end meanwhile: then what is locked is what it made.
        if is_still(&file, part)? {
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// The folder may be one that others write to: no link is followed.
fn open(part: &Path) -> io::Result<File> {
    let nofollow = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = File::options();
    options.create(true).truncate(false).read(true).write(true);
    options.mode(0o600).custom_flags(nofollow).open(part)
}

fn is_still(file: &File, part: &Path) -> io::Result<bool> {
    let file = file.metadata()?;
    match fs::symlink_metadata(part) {
        Ok(named) => Ok((named.dev(), named.ino()) == (file.dev(), file.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives it its name, once all of it is on the disk.
///
/// # Errors
/// That did not work; the part is still there.
pub(super) fn finish(file: &File, part: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    fs::rename(part, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_renamed_meanwhile_is_not_the_one_to_write_to() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = folder.path().join("made.part");
        let file = open(&part).expect("made");
        assert!(is_still(&file, &part).expect("looked"));
        finish(&file, &part, &folder.path().join("made")).expect("renamed");
        assert!(!is_still(&file, &part).expect("looked"));
        let next = begin(&part, "export").expect("made");
        assert!(!is_still(&file, &part).expect("looked"));
        assert!(is_still(&next, &part).expect("looked"));
    }
}
