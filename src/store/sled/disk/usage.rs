//! How much room the store takes up, and how much is left. Asks the file system alone: no record is read, and
//! the writer is not held up.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use crate::store::sled::hooks::FreeSpace;

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What the folder's files take up on the disk, which is not how long they are.
    pub used: u64,
    /// What is left for us.
    pub free: u64,
}

/// `st_blocks` counts in these, whatever the file system's own blocks are (stat(2)).
const BLOCK: u64 = 512;

/// Of the store in this folder.
///
/// # Errors
/// Where the file system does not say.
pub fn usage(folder: &Path) -> io::Result<Usage> {
    Ok(Usage { used: used(folder)?, free: free_space(folder)()? })
}

/// Reads the free space of the disk.
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
            // sled takes files away while we look.
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
        let before = usage(folder.path()).expect("told");
        assert_eq!(before.used, 0);
        fs::create_dir(folder.path().join("blobs")).expect("made");
        for name in ["db", "blobs/1"] {
            let file = fs::File::create(folder.path().join(name)).expect("made");
            io::Write::write_all(&mut &file, &vec![7; 100_000]).expect("written");
            file.sync_all().expect("synced");
        }
        let after = usage(folder.path()).expect("told");
        assert!((200_000..500_000).contains(&after.used), "{after:?}");
        assert!(after.free > 0);
        assert!(usage(&folder.path().join("nowhere")).is_err());
    }
}
