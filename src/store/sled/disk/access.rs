//! Why the system denies access to a store's folder: the file, its owner, this process's user, the command to type.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::{getegid, geteuid};

use crate::store::sled::disk::file_names::{DB_FILE, FORMAT_FILE, LOCK_FILE};
use crate::store::sled::integrity::seal::SEAL_FILE;

/// Files without which no store opens. sled has folders of its own; they have the owner of its file.
const FILES: [&str; 4] = [FORMAT_FILE, LOCK_FILE, SEAL_FILE, DB_FILE];

/// The file or folder that this process may not use.
#[derive(Debug, PartialEq, Eq)]
pub struct AccessDenied {
    to: PathBuf,
    owner: u32,
    mode: u32,
    cure: String,
}

impl AccessDenied {
    /// Searches the folders above a store, then its folder, then its files. Returns the first one that this process
    /// may not use as a store needs it. `None`: no owner and no mode explains the denial.
    pub(crate) fn find(folder: &Path) -> Option<Self> {
        let (us, group) = (geteuid().as_raw(), getegid().as_raw());
        let store = shell_word(folder);
        let mut above: Vec<&Path> = folder.ancestors().skip(1).collect();
        above.reverse();
        for outer in above {
            let outer = if outer.as_os_str().is_empty() { Path::new(".") } else { outer };
            if may(outer, Access::EXEC_OK) == Some(false) {
                let cure = format!("as root, `chmod o+x {}`", shell_word(outer));
                return Self::to(outer, cure);
            }
        }
        if fs::symlink_metadata(folder).is_err() {
            let outer = folder.ancestors().skip(1).find(|outer| outer.exists())?;
            let cure = format!("as root, `install -d -m 700 -o {us} -g {group} {store}`");
            return (may(outer, Access::WRITE_OK) == Some(false)).then(|| Self::to(outer, cure))?;
        }
        let files = FILES.map(|name| (folder.join(name), Access::READ_OK | Access::WRITE_OK));
        let all = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        let mut paths = std::iter::once((folder.to_path_buf(), all)).chain(files);
        let (denied, _) = paths.find(|(path, wanted)| may(path, *wanted) == Some(false))?;
        let owner = fs::metadata(&denied).ok()?.uid();
        let cure = match owner {
            owner if owner == us => format!("`chmod u+rwX {}`", shell_word(&denied)),
            0 => format!("as root, `chown -R {us}:{group} {store}`"),
            other => {
                format!("as root, `chown -R {us}:{group} {store}`, or run this as {}", user(other))
            }
        };
        Self::to(&denied, cure)
    }

    fn to(path: &Path, cure: String) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let (owner, mode) = (found.uid(), found.mode() & 0o7777);
        Some(Self { to: path.to_path_buf(), owner, mode, cure })
    }
}

impl fmt::Display for AccessDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to, owner, mode, cure } = self;
        let (to, owner, us) = (to.display(), user(*owner), user(geteuid().as_raw()));
        write!(
            f,
            "{to} belongs to {owner}, its mode is {mode:04o}, and this process runs as {us}: {cure}"
        )
    }
}

/// Whether this process may use a path so. `None`: it does not exist, or the system call fails otherwise.
fn may(path: &Path, wanted: Access) -> Option<bool> {
    match access(path, wanted) {
        Ok(()) => Some(true),
        Err(rustix::io::Errno::ACCESS) => Some(false),
        Err(_) => None,
    }
}

/// `heardback (uid 10001)`, or the number alone if `/etc/passwd` has no name.
fn user(uid: u32) -> String {
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// A path, quoted for a POSIX shell.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.bytes().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
