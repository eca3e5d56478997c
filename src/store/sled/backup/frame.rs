//! How a backup lies in its file: a line that says what it is, then frames.
//!
//! A frame is a letter, a length, its content and a check: the first eight bytes of the SHA-256 over
//! everything up to there. So a frame that was changed, left out or moved is told apart, and a file
//! without its end frame was cut off. Nothing here knows what a record means.

use std::io::{self, Read};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::sled::backup::error::BackupError;

/// What a backup's file begins with.
const MAGIC: &[u8] = b"heardback backup\n";
/// The layout that this release writes, and the newest that it reads.
const LAYOUT: u32 = 1;
/// No frame has more content, in bytes. A length beyond it is damage.
const MAX_CONTENT: usize = 32 << 20;
/// How much of a digest a frame bears.
const CHECK: usize = 8;

/// An entry of the store: a key, and what it holds; `None`: nothing any more.
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// What a backup says of itself first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// How the file is laid out.
    pub layout: u32,
    pub format: u32,
    /// The release that made it.
    pub version: String,
    /// When it was begun.
    pub begun_at: Timestamp,
}

impl Header {
    pub(super) fn of(format: u32, begun_at: Timestamp) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { layout: LAYOUT, format, version, begun_at }
    }
}

/// What a backup says last: what there was to say, and what the store's entries came to then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// Entries that were read from the store.
    pub(super) scanned: u64,
    /// Batches that the store wrote meanwhile.
    pub(super) teed: u64,
    /// Batches written since the store was made.
    pub(super) batches: u64,
    /// The sum of all entries' hashes.
    pub(super) sum: u64,
}

/// A piece of a backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BackupFrame {
    /// Entries as they were read, in the order of their keys.
    Scanned(Vec<Entry>),
    /// What the store wrote as one batch while it was read.
    Batch(Vec<Entry>),
    End(End),
    /// It never became whole, and why.
    BrokenOff(String),
}

const HEADER: u8 = b'H';
const SCANNED: u8 = b'S';
const BATCH: u8 = b'B';
const END: u8 = b'E';
const BROKEN_OFF: u8 = b'X';

/// Writes frames, each with the check that belongs to it.
pub(super) struct FrameWriter(Sha256);

impl FrameWriter {
    /// The beginning of a file.
    pub(super) fn begin(header: &Header) -> (Self, Vec<u8>) {
        let mut pen = Self(Sha256::new_with_prefix(MAGIC));
        let frame = pen.json(HEADER, header);
        (pen, [MAGIC, &frame].concat())
    }

    pub(super) fn scanned(&mut self, entries: &[Entry]) -> Vec<u8> {
        let mut content = Vec::new();
        for (key, value) in entries {
            write_entry(&mut content, key, value.as_deref());
        }
        self.frame(SCANNED, &content)
    }

    /// A batch whose entries were written with [`write_entry`].
    pub(super) fn batch(&mut self, entries: &[u8]) -> Vec<u8> {
        self.frame(BATCH, entries)
    }

    pub(super) fn end(&mut self, end: &End) -> Vec<u8> {
        self.json(END, end)
    }

    pub(super) fn broken_off(&mut self, why: &str) -> Vec<u8> {
        self.frame(BROKEN_OFF, why.as_bytes())
    }

    fn json(&mut self, kind: u8, content: &impl Serialize) -> Vec<u8> {
        // Numbers, a version and a time: there is nothing in them that JSON cannot hold.
        self.frame(kind, &serde_json::to_vec(content).unwrap_or_default())
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(1 + 4 + content.len() + CHECK);
        frame.push(kind);
        frame.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(content);
        self.0.update(&frame);
        frame.extend(check(&self.0));
        frame
    }
}

/// The check after everything that a digest has seen.
fn check(digest: &Sha256) -> [u8; CHECK] {
    let mut check = [0; CHECK];
    for (to, from) in check.iter_mut().zip(digest.clone().finalize()) {
        *to = from;
    }
    check
}

/// Lengths first. A value's is one too large, so that zero says that there is none.
pub(super) fn write_entry(to: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    to.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    let length = value.map_or(0, |value| value.len() + 1);
    to.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(key);
    to.extend_from_slice(value.unwrap_or_default());
}

fn read_entries(mut content: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !content.is_empty() {
        let (key, rest) = content.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*key).into())?;
        let length = usize::try_from(u32::from_be_bytes(*value)).ok()?;
        let (value, rest) = rest.split_at_checked(length.saturating_sub(1))?;
        entries.push((key.to_vec(), (length > 0).then(|| value.to_vec())));
        content = rest;
    }
    Some(entries)
}

/// Reads frames, and believes none whose check is wrong.
pub(super) struct Frames<R> {
    from: R,
    digest: Sha256,
    /// What it said of itself.
    pub(super) header: Header,
    /// How many bytes were read and found good.
    at: u64,
}

impl<R: Read> Frames<R> {
    pub(super) fn begin(mut from: R) -> Result<Self, BackupError> {
        let mut magic = Vec::new();
        let length = MAGIC.len() as u64;
        from.by_ref().take(length).read_to_end(&mut magic).map_err(BackupError::Read)?;
        if magic != MAGIC {
            return Err(BackupError::NotABackup);
        }
        let header = Header::of(0, Timestamp::UNIX_EPOCH);
        let mut frames = Self { from, digest: Sha256::new_with_prefix(MAGIC), header, at: length };
        let (kind, content) = frames.read()?;
        if kind != HEADER {
            return Err(frames.damaged());
        }
        frames.header = serde_json::from_slice(&content).map_err(|_| frames.damaged())?;
        if frames.header.layout > LAYOUT {
            return Err(BackupError::Newer { made_by: frames.header.version });
        }
        Ok(frames)
    }

    /// The next one. Nothing may follow an end.
    pub(super) fn next(&mut self) -> Result<BackupFrame, BackupError> {
        let (kind, content) = self.read()?;
        match kind {
            SCANNED => {
                read_entries(&content).map(BackupFrame::Scanned).ok_or_else(|| self.damaged())
            }
            BATCH => read_entries(&content).map(BackupFrame::Batch).ok_or_else(|| self.damaged()),
            END => {
                let end = serde_json::from_slice(&content).map_err(|_| self.damaged())?;
                match self.from.read(&mut [0]) {
                    Ok(0) => Ok(BackupFrame::End(end)),
                    Ok(_) => Err(self.damaged()),
                    Err(error) => Err(BackupError::Read(error)),
                }
            }
            BROKEN_OFF => {
                Ok(BackupFrame::BrokenOff(String::from_utf8_lossy(&content).into_owned()))
            }
            _ => Err(self.damaged()),
        }
    }

    fn read(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_CONTENT {
            return Err(self.damaged());
        }
        let mut content = vec![0; length];
        self.fill(&mut content)?;
        self.digest.update(head);
        self.digest.update(&content);
        let mut borne = [0; CHECK];
        self.fill(&mut borne)?;
        if borne != check(&self.digest) {
            return Err(self.damaged());
        }
        self.at += (head.len() + length + CHECK) as u64;
        Ok((kind, content))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.from.read_exact(bytes).map_err(|error| {
            let ended = error.kind() == io::ErrorKind::UnexpectedEof;
            if ended { BackupError::CutShort } else { BackupError::Read(error) }
        })
    }

    fn damaged(&self) -> BackupError {
        BackupError::Damaged { after: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8], value: Option<&[u8]>) -> Entry {
        (key.to_vec(), value.map(<[u8]>::to_vec))
    }

    const END_OF_IT: End = End { scanned: 3, teed: 1, batches: 7, sum: u64::MAX };

    fn written() -> Vec<u8> {
        let header = Header::of(2, Timestamp::UNIX_EPOCH);
        let (mut pen, mut file) = FrameWriter::begin(&header);
        file.extend(pen.scanned(&[entry(b"a", Some(b"1")), entry(b"b", Some(b""))]));
        file.extend(pen.scanned(&[entry(b"c", Some(&[7; 300]))]));
        let mut batch = Vec::new();
        write_entry(&mut batch, b"a", None);
        file.extend(pen.batch(&batch));
        file.extend(pen.end(&END_OF_IT));
        file
    }

    fn read(file: &[u8]) -> Result<Vec<BackupFrame>, BackupError> {
        let mut frames = Frames::begin(file)?;
        let mut all = Vec::new();
        loop {
            all.push(frames.next()?);
            if let Some(BackupFrame::End(_) | BackupFrame::BrokenOff(_)) = all.last() {
                return Ok(all);
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let expected = [
            BackupFrame::Scanned(vec![entry(b"a", Some(b"1")), entry(b"b", Some(b""))]),
            BackupFrame::Scanned(vec![entry(b"c", Some(&[7; 300]))]),
            BackupFrame::Batch(vec![entry(b"a", None)]),
            BackupFrame::End(END_OF_IT),
        ];
        assert_eq!(read(&written()).expect("read"), expected);
    }

    #[test]
    fn a_file_that_ends_anywhere_earlier_was_cut_off() {
        let file = written();
        for end in 0..file.len() {
            let error = read(&file[..end]).expect_err("cut off");
            let expected = if end < MAGIC.len() {
                matches!(error, BackupError::NotABackup)
            } else {
                matches!(error, BackupError::CutShort)
            };
            assert!(expected, "{end}: {error}");
        }
    }

    #[test]
    fn no_bit_can_be_changed_and_no_byte_added_unseen() {
        let file = written();
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut changed = file.clone();
                changed[at] ^= 1 << bit;
                read(&changed).expect_err("changed");
            }
        }
        read(&[&file[..], b"!"].concat()).expect_err("something follows");
    }

    #[test]
    fn a_newer_layout_is_refused_by_name() {
        let header = Header { layout: LAYOUT + 1, ..Header::of(2, Timestamp::UNIX_EPOCH) };
        let error = read(&FrameWriter::begin(&header).1).expect_err("newer");
        assert!(matches!(error, BackupError::Newer { .. }), "{error}");
    }
}
