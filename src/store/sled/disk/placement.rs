//! The file system under the store. Some file systems lose synced records, or do not enforce the lock that excludes a
//! second process.
//!
//! `statfs` is called once, on the folder or on its nearest existing parent. It cannot detect an `emptyDir` of
//! Kubernetes, or the disk of a machine that is discarded with the machine: both are ext4 or xfs.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// How a file system loses records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hazard {
    /// It keeps files in memory.
    Memory,
    /// It is the writable layer of a container.
    Container,
    /// The disk is in another machine.
    Network,
    /// A user-space program provides the files.
    Userspace,
}

/// A file system that the store is not safe on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnsafeFileSystem {
    /// The file system's name, as `findmnt` shows it.
    pub name: &'static str,
    /// How it loses records.
    pub hazard: Hazard,
}

/// A store's folder, which need not exist, and the risk of its file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlacement {
    pub folder: PathBuf,
    /// `None`: its file system is not known to be unsafe.
    pub risk: Option<UnsafeFileSystem>,
}

/// `f_type` of statfs(2). The numbers are those of `linux/magic.h` (7.0), unless noted otherwise.
const UNSAFE: [(u64, &str, Hazard); 21] = [
    (0x0102_1994, "tmpfs", Hazard::Memory),
    (0x8584_58f6, "ramfs", Hazard::Memory),
    (0x794c_7630, "overlayfs", Hazard::Container),
    // From statfs(2): removed from Linux, still used by old container hosts.
    (0x6175_6673, "aufs", Hazard::Container),
    (0x6969, "nfs", Hazard::Network),
    (0x517b, "smbfs", Hazard::Network),
    (0xff53_4d42, "cifs", Hazard::Network),
    (0xfe53_4d42, "smb3", Hazard::Network),
    (0x564c, "ncpfs", Hazard::Network),
    (0x00c3_6400, "ceph", Hazard::Network),
    (0x5346_414f, "afs", Hazard::Network),
    (0x6b41_4653, "afs", Hazard::Network),
    (0x7375_7245, "coda", Hazard::Network),
    // From fs/orangefs, and from the Lustre and GPFS clients, which are not in Linux.
    (0x2003_0528, "orangefs", Hazard::Network),
    (0x0bd0_0bd0, "lustre", Hazard::Network),
    (0x4750_4653, "gpfs", Hazard::Network),
    // A hypervisor's or a sandbox's share: its flush may end in the host's memory.
    (0x0102_1997, "9p", Hazard::Network),
    (0x786f_4256, "vboxsf", Hazard::Network),
    // From VMware's open-vm-tools.
    (0xbacb_acbc, "hgfs", Hazard::Network),
    // virtiofs has FUSE's number as well.
    (0x6573_5546, "fuse", Hazard::Userspace),
    // From statfs(2): old FUSE block devices.
    (0x6573_5542, "fuseblk", Hazard::Userspace),
];

/// Determines the file system of a store's folder, which need not exist yet.
///
/// # Errors
/// The file system cannot be determined: the folder or a parent is not accessible.
pub fn placement(folder: &Path) -> io::Result<StorePlacement> {
    let mut found = None;
    for path in folder.ancestors() {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        match rustix::fs::statfs(path) {
            Err(rustix::io::Errno::NOENT) => {}
            result => {
                found = Some(result?);
                break;
            }
        }
    }
    let kind = found.and_then(|found| u64::try_from(found.f_type).ok());
    Ok(StorePlacement { folder: folder.to_path_buf(), risk: kind.and_then(unsafe_file_system) })
}

fn unsafe_file_system(kind: u64) -> Option<UnsafeFileSystem> {
    let (_, name, hazard) = UNSAFE.into_iter().find(|(number, _, _)| *number == kind)?;
    Some(UnsafeFileSystem { name, hazard })
}

impl StorePlacement {
    /// The risk and its remedy as text. `None`: the file system is not known to be unsafe.
    pub fn warning(&self) -> Option<String> {
        let folder = self.folder.display();
        let risk = self.risk?;
        let fix = match risk.hazard {
            Hazard::Container => format!("mount a volume at {folder}, or at a folder above it"),
            Hazard::Memory | Hazard::Network | Hazard::Userspace => {
                "point HEARDBACK_STORE at a local ext4 or xfs file system".to_owned()
            }
        };
        Some(format!("the store {folder} is on {risk}: {fix}"))
    }
}

impl fmt::Display for UnsafeFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.hazard {
            Hazard::Memory => {
                "which is memory: a restart of the machine or container loses every record"
            }
            Hazard::Container => {
                "the container's own layer: every record is lost with the container"
            }
            Hazard::Network => {
                "which is remote: a sync may not reach a disk, and a lock may not keep a second process out"
            }
            Hazard::Userspace => "a file system in user space: a sync may not reach a disk",
        };
        write!(f, "{}, {why}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_known_once_and_local_disks_are_not_among_them() {
        let mut numbers: Vec<u64> = UNSAFE.iter().map(|(number, _, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), UNSAFE.len());
        // ext4, xfs, btrfs, zfs, f2fs, bcachefs.
        for local in [0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1, 0xf2f5_2010, 0xca45_1a4e] {
            assert_eq!(unsafe_file_system(local), None, "{local:x}");
        }
    }

    #[test]
    fn a_folder_in_memory_is_found_before_it_exists() {
        // Linux has /dev/shm or /dev on tmpfs (devtmpfs has its number). Without either, the test has no subject.
        let Some(memory) = ["/dev/shm", "/dev"].iter().map(Path::new).find(|path| {
            rustix::fs::statfs(*path)
                .is_ok_and(|found| u64::try_from(found.f_type) == Ok(0x0102_1994))
        }) else {
            return;
        };
        let found = placement(&memory.join("no-such-folder/store")).expect("determined");
        assert_eq!(found.risk, Some(UnsafeFileSystem { name: "tmpfs", hazard: Hazard::Memory }));
        let warning = found.warning().expect("a risk");
        assert!(
            warning.contains("no-such-folder/store is on tmpfs") && warning.contains("ext4"),
            "{warning}"
        );
        assert!(placement(Path::new("/proc/version/store")).is_err(), "not a folder");
    }
}
