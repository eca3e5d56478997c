//! A file beside the store's folder, which shows that a service had a store at this path.
//!
//! If the folder is deleted, moved or unmounted, a supervisor restarts the service. Without the marker, that start
//! would create an empty store, and acknowledged records would be missing without an error. The marker lies in the
//! parent folder: it outlasts the store's folder, but a new volume or container has none and starts with a new store.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// The suffix of the marker's name, after the name of the store's folder.
const SUFFIX: &str = ".served";
const CONTENT: &[u8] = b"Heardback had a store in the folder of this name without \".served\". While this file exists, \
    `heardback serve`\ncreates no empty store there. Delete it to begin with an empty store.\n";

pub(crate) struct PathMarker(PathBuf);

impl PathMarker {
    /// The marker of a folder, which need not exist. `None`: the path has no parent or no name.
    pub(crate) fn of(folder: &Path) -> Option<Self> {
        let folder = std::path::absolute(folder).ok()?;
        let mut name: OsString = folder.file_name()?.to_os_string();
        name.push(SUFFIX);
        Some(Self(folder.with_file_name(name)))
    }

    pub(crate) fn name(&self) -> String {
        self.0.display().to_string()
    }

    pub(crate) fn exists(&self) -> bool {
        fs::symlink_metadata(&self.0).is_ok()
    }

    /// Creates the marker if it is missing. Without permission in the parent folder there is no marker, and no other
    /// process of this user can move or delete the store's folder either.
    pub(crate) fn write(&self) {
        if self.exists() {
            return;
        }
        if let Err(error) = self.create() {
            tracing::info!(
                %error,
                "cannot create {}: if the store's folder is moved or deleted, the next start creates an empty store",
                self.name()
            );
        }
    }

    fn create(&self) -> io::Result<()> {
        let mut file = File::create(&self.0)?;
        file.write_all(CONTENT)?;
        file.sync_all()?;
        self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_lies_beside_the_folder_however_its_path_is_written() {
        for (folder, marker) in [
            ("/data/heardback", Some("/data/heardback.served")),
            ("/data/heardback/", Some("/data/heardback.served")),
            ("/data//./heardback/.", Some("/data/heardback.served")),
            ("/data", Some("/data.served")),
            ("/", None),
            ("/data/..", None),
        ] {
            let of = PathMarker::of(Path::new(folder)).map(|marker| marker.name());
            assert_eq!(of.as_deref(), marker, "{folder}");
        }
        let here = std::env::current_dir().expect("a folder");
        let of = PathMarker::of(Path::new("store")).expect("a marker");
        assert_eq!(of.0, here.join("store.served"));
    }
}
