//! A folder that keeps the last few recordings, each in a file of its own, ordered by name.
//!
//! What is kept may be personal, and strangers decide when something is: so the folder has to be
//! ours alone to write, files are made 0600 under a name that nobody can have put a link at, renamed
//! when they are whole, and never more than [`KEPT`]. Everything happens relative to the folder as it
//! was opened; nothing that is not named as we name things is ever removed.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{
    Access, AtFlags, Dir, Mode, OFlags, accessat, fstat, open, openat, renameat, unlinkat,
};
use rustix::io::Errno;

use crate::recording::Recording;

/// How many recordings a folder keeps.
pub const KEPT: usize = 20;
/// So many of them may be ones with which nothing can be verified: a scanner's noise must not push
/// out what is looked for.
const KEPT_UNVERIFIABLE: usize = 5;
/// The `strftime` format of the time that orders recordings.
pub const WHEN: &str = "%Y-%m-%dT%H-%M-%S%.3fZ";
/// Under this name a file is written before it gets its own. One writer, so one name.
const DRAFT: &str = ".refused.new";
const ENDING: &str = ".http";
/// `2026-11-23T10-02-11.123Z-`, with digits where it has digits.
const TIME: &[u8] = b"0000-00-00T00-00-00.000Z-";

/// The folder, held open.
#[derive(Debug)]
pub struct RotatingDir {
    folder: OwnedFd,
}

/// Whether a signature could be verified with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingValue {
    /// It carries a signature of the right shape, and what that covers.
    Verifiable,
    Unverifiable,
}

impl RotatingDir {
    /// Opens the folder, and makes it (0700) where there is none.
    ///
    /// # Errors
    /// It is a link, others may write into it, or the system refuses.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = open(path, flags, Mode::empty()).map_err(|error| match error {
            Errno::NOTDIR | Errno::LOOP => io::Error::other("it is a link and not a folder"),
            other => other.into(),
        })?;
        if fstat(&folder)?.st_mode & 0o022 != 0 {
            return Err(io::Error::other("others may write into it; chmod 700 it"));
        }
        accessat(&folder, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty())?;
        Ok(Self { folder })
    }

    /// Writes a recording, removes the oldest above [`KEPT`], and returns the file's name. `when` orders it, as in
    /// `2026-11-23T10-02-11.123Z`; `what` says what it is, in letters, digits and hyphens.
    ///
    /// # Errors
    /// Whatever the system says; a draft may be left behind, and is overwritten next time.
    pub fn keep(
        &self,
        when: &str,
        what: &str,
        worth: RecordingValue,
        recording: &Recording,
    ) -> io::Result<String> {
        let worth = match worth {
            RecordingValue::Verifiable => "",
            RecordingValue::Unverifiable => "-unverifiable",
        };
        let name = format!("{when}-{what}{worth}{ENDING}");
        debug_assert!(is_ours(&name), "{name} would never be removed");
        self.remove(DRAFT)?;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let draft = openat(&self.folder, DRAFT, flags, Mode::RUSR | Mode::WUSR)?;
        File::from(draft).write_all(&recording.to_bytes())?;
        renameat(&self.folder, DRAFT, &self.folder, name.as_str())?;
        self.make_room()?;
        Ok(name)
    }

    /// Removes all there are, and says how many.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn clear(&self) -> io::Result<u64> {
        let mut removed = u64::from(self.remove(DRAFT)?);
        for name in self.names()? {
            removed += u64::from(self.remove(&name)?);
        }
        Ok(removed)
    }

    /// Whether it was there.
    fn remove(&self, name: &str) -> io::Result<bool> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn make_room(&self) -> io::Result<()> {
        let mut names = self.names()?;
        while names.len() > KEPT {
            let unverifiable = names.iter().filter(|name| name.contains("-unverifiable.")).count();
            let is_spare = |name: &String| {
                unverifiable <= KEPT_UNVERIFIABLE || name.contains("-unverifiable.")
            };
            let Some(at) = names.iter().position(is_spare) else { break };
            let name = names.remove(at);
            self.remove(&name)?;
        }
        Ok(())
    }

    /// Ours, oldest first.
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if is_ours(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn is_ours(name: &str) -> bool {
    let same_shape = |(byte, shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        shape => byte == *shape,
    };
    name.len() > TIME.len()
        && name.bytes().zip(TIME).all(same_shape)
        && name.ends_with(ENDING)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn when(n: usize) -> String {
        format!("2026-11-23T10-02-{:02}.{:03}Z", n / 1000, n % 1000)
    }

    fn recording() -> Recording {
        Recording { method: "POST".to_owned(), target: "/x".to_owned(), ..Recording::default() }
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().expect("readable").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_last_twenty_are_kept_for_us_alone_and_nobody_elses_file_is_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/refused");
        let ring = RotatingDir::open(&path).expect("made");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("0.http"), "mine").expect("written");
        std::fs::write(path.join(DRAFT), "left behind").expect("written");
        for n in 0..33 {
            ring.keep(&when(n), "twilio-message", RecordingValue::Verifiable, &recording())
                .expect("kept");
        }
        let names = files(&path);
        assert_eq!(names.len(), KEPT + 1, "{names:?}");
        assert_eq!(names[0], "0.http");
        assert_eq!(names[1], "2026-11-23T10-02-00.013Z-twilio-message.http");
        assert_eq!(names[KEPT], "2026-11-23T10-02-00.032Z-twilio-message.http");
        let last = path.join(&names[KEPT]);
        assert_eq!(last.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        let read = Recording::parse(&std::fs::read(last).expect("there")).expect("sound");
        assert_eq!(read, recording());
    }

    #[test]
    fn noise_does_not_push_out_what_can_be_verified() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("refused");
        let ring = RotatingDir::open(&path).expect("made");
        for n in 0..15 {
            ring.keep(&when(n), "x", RecordingValue::Verifiable, &recording()).expect("kept");
        }
        for n in 100..200 {
            ring.keep(&when(n), "x", RecordingValue::Unverifiable, &recording()).expect("kept");
        }
        let names = files(&path);
        let noise = names.iter().filter(|name| name.contains("unverifiable")).count();
        assert_eq!((names.len(), noise), (KEPT, KEPT_UNVERIFIABLE), "{names:?}");
    }

    #[test]
    fn no_link_is_followed_and_no_folder_used_that_others_may_write_into() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        let ring = RotatingDir::open(&real).expect("made");
        symlink(&real, &link).expect("linked");
        assert!(RotatingDir::open(&link).expect_err("refused").to_string().contains("link"));
        // Where the draft or the file itself would go, somebody has put a link.
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").expect("written");
        symlink(&victim, real.join(DRAFT)).expect("linked");
        symlink(&victim, real.join(format!("{}-x.http", when(1)))).expect("linked");
        ring.keep(&when(1), "x", RecordingValue::Verifiable, &recording()).expect("kept");
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "precious");
        assert_eq!(files(&real), ["2026-11-23T10-02-00.001Z-x.http"]);

        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o770)).expect("ours");
        assert!(RotatingDir::open(&real).expect_err("refused").to_string().contains("chmod 700"));
    }
}
