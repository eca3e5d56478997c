//! A folder that keeps the last few recordings, each in a file of its own, ordered by name.
//!
//! Recordings may be personal, and unauthenticated clients trigger them. So only we may write into the folder, files are
//! 0600, written under a draft name and renamed when complete, at most `KEPT`. Links are not followed, and files with
//! other names are never removed.

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

pub(crate) const KEPT: usize = 20;
/// At most this many are unverifiable, so that a scanner's requests do not push out the others.
const KEPT_UNVERIFIABLE: usize = 5;
/// The `strftime` format of the time that orders recordings.
pub(crate) const WHEN: &str = "%Y-%m-%dT%H-%M-%S%.3fZ";
/// The name of a file while it is written. There is one writer, so one name suffices.
const DRAFT: &str = ".refused.new";
const EXTENSION: &str = ".http";
/// The start of a file name; `0` stands for any digit.
const TIME_SHAPE: &[u8] = b"0000-00-00T00-00-00.000Z-";

#[derive(Debug)]
pub(crate) struct RotatingDir {
    folder: OwnedFd,
}

/// Whether a signature could be verified with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecordingValue {
    /// The recording has a signature of the right shape, and the signed content.
    Verifiable,
    Unverifiable,
}

impl RotatingDir {
    /// Opens the folder, and makes it (0700) if there is none.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
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

    /// Writes a recording, removes the oldest above [`KEPT`], and returns the file's name. `when` orders it (format
    /// [`WHEN`]); `what` describes it in letters, digits and hyphens.
    pub(crate) fn keep(
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
        let name = format!("{when}-{what}{worth}{EXTENSION}");
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

    /// Removes all recordings, and returns their number.
    pub(crate) fn clear(&self) -> io::Result<u64> {
        let mut removed = u64::from(self.remove(DRAFT)?);
        for name in self.names()? {
            removed += u64::from(self.remove(&name)?);
        }
        Ok(removed)
    }

    /// Returns whether the file existed.
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
            let is_unverifiable = |name: &String| name.contains("-unverifiable.");
            let count = names.iter().filter(|name| is_unverifiable(name)).count();
            let is_spare = |name: &String| count <= KEPT_UNVERIFIABLE || is_unverifiable(name);
            let Some(at) = names.iter().position(is_spare) else { break };
            self.remove(&names.remove(at))?;
        }
        Ok(())
    }

    /// Our files, oldest first.
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = Dir::read_from(&self.folder)?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<io::Result<Vec<String>>>()?;
        names.retain(|name| is_ours(name));
        names.sort_unstable();
        Ok(names)
    }
}

fn is_ours(name: &str) -> bool {
    let shape = name.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte });
    name.len() > TIME_SHAPE.len()
        && shape.take(TIME_SHAPE.len()).eq(TIME_SHAPE.iter().copied())
        && name.ends_with(EXTENSION)
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// Keeps one recording, with `n` milliseconds as its time.
    fn keep(folder: &RotatingDir, n: usize, value: RecordingValue) {
        let when = format!("2026-11-23T10-02-{:02}.{:03}Z", n / 1000, n % 1000);
        folder.keep(&when, "x", value, &recording()).expect("kept");
    }

    fn recording() -> Recording {
        Recording { method: "POST".to_owned(), target: "/x".to_owned(), ..Recording::default() }
    }

    fn files(folder: &Path) -> Vec<String> {
        let entries = folder.read_dir().expect("readable").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn the_last_twenty_are_kept_for_their_owner_and_other_files_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/refused");
        let kept = RotatingDir::open(&path).expect("made");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o700);
        std::fs::write(path.join("0.http"), "mine").expect("written");
        std::fs::write(path.join(DRAFT), "left behind").expect("written");
        (0..33).for_each(|n| keep(&kept, n, RecordingValue::Verifiable));
        let names = files(&path);
        assert_eq!(names.len(), KEPT + 1, "{names:?}");
        assert_eq!(names[0], "0.http");
        assert_eq!(names[1], "2026-11-23T10-02-00.013Z-x.http");
        assert_eq!(names[KEPT], "2026-11-23T10-02-00.032Z-x.http");
        let last = path.join(&names[KEPT]);
        assert_eq!(last.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        let read = Recording::parse(&std::fs::read(last).expect("there")).expect("sound");
        assert_eq!(read, recording());
    }

    #[test]
    fn unverifiable_recordings_do_not_push_out_verifiable_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = RotatingDir::open(folder.path()).expect("ours");
        (0..15).for_each(|n| keep(&kept, n, RecordingValue::Verifiable));
        (100..200).for_each(|n| keep(&kept, n, RecordingValue::Unverifiable));
        let names = files(folder.path());
        let unverifiable = names.iter().filter(|name| name.contains("unverifiable")).count();
        assert_eq!((names.len(), unverifiable), (KEPT, KEPT_UNVERIFIABLE), "{names:?}");
    }

    #[test]
    fn no_link_is_followed_and_a_folder_that_others_may_write_into_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        let kept = RotatingDir::open(&real).expect("made");
        symlink(&real, &link).expect("linked");
        assert!(RotatingDir::open(&link).expect_err("refused").to_string().contains("link"));
        // Links at the names of the draft and of the file.
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").expect("written");
        symlink(&victim, real.join(DRAFT)).expect("linked");
        symlink(&victim, real.join("2026-11-23T10-02-00.001Z-x.http")).expect("linked");
        keep(&kept, 1, RecordingValue::Verifiable);
        assert_eq!(std::fs::read_to_string(&victim).expect("there"), "precious");
        assert_eq!(files(&real), ["2026-11-23T10-02-00.001Z-x.http"]);

        std::fs::set_permissions(&real, PermissionsExt::from_mode(0o770)).expect("ours");
        assert!(RotatingDir::open(&real).expect_err("refused").to_string().contains("chmod 700"));
    }
}
