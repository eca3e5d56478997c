//! The disk space that the store uses, and the free space. Only the file system is queried: no record is read, and the
//! writer is not delayed.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::store::sled::hooks::FreeSpace;

/// The used and the free disk space, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The blocks of the folder's files on the disk. Their lengths may be smaller or larger.
    pub used: u64,
    /// The free space for users other than root.
    pub free: u64,
}

/// The unit of `st_blocks`, independent of the file system's own blocks (stat(2)).
const BLOCK: u64 = 512;

/// Determines the disk space of the store in this folder.
///
/// # Errors
/// A file, the folder or the free space cannot be read.
pub fn usage(folder: &Path) -> io::Result<Usage> {
    Ok(Usage { used: used(folder)?, free: free_space(folder)()? })
}

/// Returns a function that reads the free space of a path's disk.
pub(crate) fn free_space(path: &Path) -> FreeSpace {
    let folder = path.to_path_buf();
    Arc::new(move || {
        let disk = rustix::fs::statvfs(&folder)?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    })
}

fn used(folder: &Path) -> io::Result<u64> {
    let mut sum = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let size = match entry.metadata() {
            Ok(found) if found.is_dir() => used(&entry.path()),
            Ok(found) => Ok(found.blocks().saturating_mul(BLOCK)),
            Err(error) => Err(error),
        };
        match size {
            Ok(size) => sum = sum.saturating_add(size),
            // sled may delete files meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_folders_of_the_folder_counts_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let before = usage(folder.path()).expect("read");
        assert_eq!(before.used, 0);
        fs::create_dir(folder.path().join("blobs")).expect("made");
        for name in ["db", "blobs/1"] {
            let file = fs::File::create(folder.path().join(name)).expect("made");
            io::Write::write_all(&mut &file, &vec![7; 100_000]).expect("written");
            file.sync_all().expect("synced");
        }
        let after = usage(folder.path()).expect("read");
        assert!((200_000..500_000).contains(&after.used), "{after:?}");
        assert!(after.free > 0);
        assert!(usage(&folder.path().join("nowhere")).is_err());
    }
}
