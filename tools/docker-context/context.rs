//! The files of a build context: those of a folder that its `.dockerignore` lets in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::ignore::Ignore;

/// The files below `root` that belong to the context, as paths from there.
pub(crate) fn files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let text = fs::read_to_string(root.join(".dockerignore")).context(".dockerignore")?;
    let ignore = Ignore::parse(&text)?;
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            let name = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
            if entry.file_type()?.is_dir() {
                if ignore.may_hold(name) {
                    folders.push(path);
                }
            } else if ignore.lets_in(name) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies the context of `root` into `folder`, which is new or empty.
pub(crate) fn copy(root: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    // Before the folder is made: it may lie below the root.
    let files = files(root)?;
    fs::create_dir_all(folder)?;
    ensure!(fs::read_dir(folder)?.next().is_none(), "{} is not empty", folder.display());
    for file in &files {
        let to = folder.join(file);
        to.parent().map(fs::create_dir_all).transpose()?;
        fs::copy(root.join(file), to).with_context(|| file.display().to_string())?;
    }
    Ok(files)
}
