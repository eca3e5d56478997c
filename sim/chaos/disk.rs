//! The disk of the store: a small file system that can be filled, if this process may mount one.
//! If it may not, the store is in a folder, and the run has no full disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;
use tempfile::TempDir;

/// The file that fills the disk.
const BALLAST: &str = "ballast";
/// The service writes at the same time, so one attempt is not enough.
const ATTEMPTS: u32 = 50;

/// Unmounted when dropped.
pub(crate) struct Disk {
    folder: TempDir,
    kind: Kind,
}

/// The kind of file system below the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file system in a file: a sync takes the time of the disk below.
    Loop,
    /// A tmpfs: a sync takes no time.
    Tmpfs,
    /// A folder, which cannot be filled.
    Folder,
}

impl Disk {
    /// Mounts a disk of this size below `below`.
    pub(crate) fn new(below: &Path, bytes: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(below)?;
        let image = below.join("disk.ext4");
        std::fs::File::create(&image)?.set_len(bytes)?;
        let size = format!("size={bytes}");
        // No space is reserved for root, because this process is root.
        let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        let kind = if made
            && succeeds(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder.path()))
        {
            Kind::Loop
        } else if succeeds(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &size, "heardback-chaos"])
                .arg(folder.path()),
        ) {
            Kind::Tmpfs
        } else {
            Kind::Folder
        };
        Ok(Self { folder, kind })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it can be filled without harm to other programs.
    pub(crate) fn can_be_filled(&self) -> bool {
        self.kind != Kind::Folder
    }

    fn ballast(&self) -> PathBuf {
        self.path().join(BALLAST)
    }

    /// Leaves only `leave` bytes free.
    pub(crate) fn fill(&self, leave: u64) -> anyhow::Result<()> {
        let ballast = std::fs::File::create(self.ballast())?;
        let mut length = 0;
        for _ in 0..ATTEMPTS {
            let disk = statvfs(self.path())?;
            let more = disk.f_bavail.saturating_mul(disk.f_frsize).saturating_sub(leave);
            if more == 0 {
                break;
            }
            match fallocate(&ballast, FallocateFlags::empty(), length, more) {
                Ok(()) => length += more,
                // The service wrote first.
                Err(Errno::NOSPC) => {}
                Err(error) => return Err(error).context("cannot fill the disk"),
            }
        }
        Ok(())
    }

    /// Frees all space.
    pub(crate) fn free(&self) -> anyhow::Result<()> {
        std::fs::remove_file(self.ballast()).context("cannot free the disk")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.can_be_filled() {
            // A lazy unmount: a process with an open file is about to end.
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        }
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
