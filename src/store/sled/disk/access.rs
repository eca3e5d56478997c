//! The cause of a denied access to a store's folder: the file, its owner, this process's user, and the command that
//! grants access.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::{getegid, geteuid};

use crate::store::sled::disk::file_names::{DB_FILE, FORMAT_FILE, LOCK_FILE};
use crate::store::sled::integrity::seal::SEAL_FILE;

/// The files that every store has. sled's own folders are not checked: they have the same owner as its file.
const FILES: [&str; 4] = [FORMAT_FILE, LOCK_FILE, SEAL_FILE, DB_FILE];

/// A file or folder that this process may not use, and the command that grants access.
#[derive(Debug, PartialEq, Eq)]
pub struct AccessDenied {
    denied_at: PathBuf,
    owner: u32,
    mode: u32,
    fix: String,
}

impl AccessDenied {
    /// Returns the first path without the access that a store needs. Searches the parent folders, then the store's
    /// folder, then its files. `None`: owner and mode do not explain the denial.
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        let (us, group) = (geteuid().as_raw(), getegid().as_raw());
        let store = shell_word(folder);
        let mut parents: Vec<&Path> = folder.ancestors().skip(1).collect();
        parents.reverse();
        for parent in parents {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            if is_allowed(parent, Access::EXEC_OK) == Some(false) {
                let fix = format!("as root, `chmod o+x {}`", shell_word(parent));
                return Self::at(parent, fix);
            }
        }
        if fs::symlink_metadata(folder).is_err() {
            let parent = folder.ancestors().skip(1).find(|parent| parent.exists())?;
            let fix = format!("as root, `install -d -m 700 -o {us} -g {group} {store}`");
            return (is_allowed(parent, Access::WRITE_OK) == Some(false))
                .then(|| Self::at(parent, fix))?;
        }
        let files = FILES.map(|name| (folder.join(name), Access::READ_OK | Access::WRITE_OK));
        let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        let mut paths = std::iter::once((folder.to_path_buf(), all)).chain(files);
        let (denied, _) = paths.find(|(path, wanted)| is_allowed(path, *wanted) == Some(false))?;
        let owner = fs::metadata(&denied).ok()?.uid();
        let fix = match owner {
            owner if owner == us => format!("`chmod u+rwX {}`", shell_word(&denied)),
            0 => format!("as root, `chown -R {us}:{group} {store}`"),
            other => {
                format!(
                    "as root, `chown -R {us}:{group} {store}`, or run this as {}",
                    user_name(other)
                )
            }
        };
        Self::at(&denied, fix)
    }

    fn at(path: &Path, fix: String) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        Some(Self { denied_at: path.to_path_buf(), owner, mode, fix })
    }
}

impl fmt::Display for AccessDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { denied_at, owner, mode, fix } = self;
        let (path, owner, us) =
            (denied_at.display(), user_name(*owner), user_name(geteuid().as_raw()));
        write!(
            f,
            "{path} belongs to {owner}, its mode is {mode:04o}, and this process runs as {us}: {fix}"
        )
    }
}

/// Whether this process has this access to a path. `None`: the path does not exist, or the system call fails for
/// another reason.
fn is_allowed(path: &Path, wanted: Access) -> Option<bool> {
    match access(path, wanted) {
        Ok(()) => Some(true),
        Err(rustix::io::Errno::ACCESS) => Some(false),
        Err(_) => None,
    }
}

/// Returns `heardback (uid 10001)`, or only the number if `/etc/passwd` has no name for it.
fn user_name(uid: u32) -> String {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// Quotes a path for a POSIX shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
