//! The recorder: builds `tests/preload/record.c`, which is preloaded into the real binary, and
//! reads its log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::preload;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/preload/record.c");
const MAGIC: u32 = 0x4842_5031;
/// The size of `struct head`.
const HEAD_BYTES: usize = 32;

/// One recorded call of the process, or its end.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Opened with `O_CREAT`, `O_TRUNC` or both.
    Create {
        path: String,
        empties: bool,
    },
    MakeFolder {
        path: String,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    Write {
        path: String,
        at: u64,
        data: Arc<Vec<u8>>,
    },
    Truncate {
        path: String,
        length: u64,
    },
    Sync {
        path: String,
        data_only: bool,
    },
    /// `sync_file_range`, which makes nothing durable.
    Hint,
    /// The call with the same id has returned this value.
    End {
        result: i64,
    },
}

/// One record.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) act: Act,
    /// Its end in the log.
    pub(super) end: u64,
}

/// The built recorder and its log.
pub(super) struct Recorder {
    folder: TempDir,
    /// The watched folder.
    pub(super) below: PathBuf,
}

impl Recorder {
    /// Builds it. The error says why it is not available, such as a missing compiler.
    pub(super) fn build() -> Result<Self, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().join("record.so");
        let built = preload::compile(Path::new(SOURCE), &library);
        let built = built.map_err(|error| format!("there is no `cc`: {error}"))?;
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let below = folder.path().canonicalize().expect("there").join("disk");
        fs::create_dir(&below).expect("created");
        fs::write(folder.path().join("log"), b"").expect("created");
        Ok(Self { folder, below })
    }

    pub(super) fn log(&self) -> Log {
        Log(self.folder.path().join("log"))
    }

    /// The environment that records a process.
    pub(super) fn environment(&self) -> [(&'static str, String); 3] {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&self.folder.path().join("record.so"))),
            ("HEARDBACK_RECORD_BELOW", text(&self.below)),
            ("HEARDBACK_RECORD_LOG", text(&self.log().0)),
        ]
    }
}

/// The path of the log.
#[derive(Clone)]
pub(super) struct Log(PathBuf);

impl Log {
    /// The current length of the log: every call so far is recorded before this offset.
    pub(super) fn position(&self) -> u64 {
        fs::metadata(&self.0).expect("the log").len()
    }

    /// Removes a last, incomplete record, whose process was killed before or during the call.
    pub(super) fn remove_partial_record(&self) {
        let whole = self.read().last().map_or(0, |record| record.end);
        let file = fs::File::options().write(true).open(&self.0).expect("the log");
        file.set_len(whole).expect("cut off");
    }

    /// All complete records.
    pub(super) fn read(&self) -> Vec<Record> {
        let bytes = fs::read(&self.0).expect("the log");
        let mut records = Vec::new();
        let mut at = 0;
        while let Some((record, length)) = bytes.get(at..).and_then(record) {
            at += length;
            records.push(Record { end: at as u64, ..record });
        }
        records
    }
}

fn record(bytes: &[u8]) -> Option<(Record, usize)> {
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let (magic, kind, id, value) = (word(0)?, word(4)?, long(8)?, long(16)?);
    assert_eq!(magic, MAGIC, "the log is not what record.c writes");
    let (path, more) = (word(24)? as usize, word(28)? as usize);
    let body = bytes.get(HEAD_BYTES..HEAD_BYTES + path + more)?;
    let (name, more) = body.split_at(path);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let path = text(name);
    let act = match char::from_u32(kind)? {
        'c' => Act::Create { path, empties: value != 0 },
        'k' => Act::MakeFolder { path },
        'm' => Act::Rename { from: path, to: text(more) },
        'u' => Act::Remove { path },
        'w' => Act::Write { path, at: value, data: Arc::new(more.to_vec()) },
        't' => Act::Truncate { path, length: value },
        's' => Act::Sync { path, data_only: false },
        'd' => Act::Sync { path, data_only: true },
        'r' => Act::Hint,
        'e' => Act::End { result: value.cast_signed() },
        other => unreachable!("a record of kind {other}"),
    };
    Some((Record { id, act, end: 0 }, HEAD_BYTES + body.len()))
}
