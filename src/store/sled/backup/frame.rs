//! The layout of a backup's file: a fixed first line, then frames.
//!
//! A frame is a letter, a length, its content and a check: the first eight bytes of the SHA-256 over the file so far,
//! without the checks. So a changed, missing or moved frame is detected, and a file without an end frame is incomplete.
//! Deliberately absent: the meaning of a record.

use std::io::{self, Read};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::sled::backup::error::BackupError;

/// The first line of a backup's file.
const MAGIC: &[u8] = b"heardback backup\n";
/// The layout that this release writes, and the newest that it reads.
const LAYOUT: u32 = 1;
/// The largest content of a frame, in bytes. A larger length is damage.
const MAX_CONTENT_LEN: usize = 32 << 20;
/// The length of a frame's check, in bytes.
const CHECK_LEN: usize = 8;

/// An entry of the store: a key and its value. `None`: a batch removed the key.
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// The first frame of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the file's layout.
    pub layout: u32,
    /// The store's format.
    pub format: u32,
    /// The release that made the backup.
    pub version: String,
    /// The beginning of the backup.
    pub begun_at: Timestamp,
}

impl Header {
    pub(super) fn of(format: u32, begun_at: Timestamp) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { layout: LAYOUT, format, version, begun_at }
    }
}

/// The last frame of a backup: the counts of its entries and batches, and the store's seal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    /// Entries that were read from the store.
    pub(super) scanned: u64,
    /// Batches that the store wrote during the backup.
    pub(super) teed: u64,
    /// Batches written since the store was created.
    pub(super) batches: u64,
    /// The sum of all entries' hashes.
    pub(super) sum: u64,
}

/// A frame of a backup after its header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BackupFrame {
    /// Entries that were read from the store, in the order of their keys.
    Scanned(Vec<Entry>),
    /// The entries of one batch that the store wrote during the backup.
    Batch(Vec<Entry>),
    End(End),
    /// The reason why the backup was aborted.
    Aborted(String),
}

const HEADER: u8 = b'H';
const SCANNED: u8 = b'S';
const BATCH: u8 = b'B';
const END: u8 = b'E';
const ABORTED: u8 = b'X';

/// Encodes frames with their checks.
pub(super) struct FrameWriter(Sha256);

impl FrameWriter {
    /// Returns the writer and the first bytes of the file.
    pub(super) fn begin(header: &Header) -> (Self, Vec<u8>) {
        let mut writer = Self(Sha256::new_with_prefix(MAGIC));
        let frame = writer.json(HEADER, header);
        (writer, [MAGIC, &frame].concat())
    }

    pub(super) fn scanned(&mut self, entries: &[Entry]) -> Vec<u8> {
        let mut content = Vec::new();
        for (key, value) in entries {
            write_entry(&mut content, key, value.as_deref());
        }
        self.frame(SCANNED, &content)
    }

    /// Encodes a batch whose entries were encoded with [`write_entry`].
    pub(super) fn batch(&mut self, entries: &[u8]) -> Vec<u8> {
        self.frame(BATCH, entries)
    }

    pub(super) fn end(&mut self, end: &End) -> Vec<u8> {
        self.json(END, end)
    }

    pub(super) fn abort(&mut self, reason: &str) -> Vec<u8> {
        self.frame(ABORTED, reason.as_bytes())
    }

    fn json(&mut self, kind: u8, content: &impl Serialize) -> Vec<u8> {
        // Encoding cannot fail: the content is only numbers, a version and a time.
        self.frame(kind, &serde_json::to_vec(content).unwrap_or_default())
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(1 + 4 + content.len() + CHECK_LEN);
        frame.push(kind);
        frame.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
        frame.extend_from_slice(content);
        self.0.update(&frame);
        frame.extend(check(&self.0));
        frame
    }
}

/// The check after all bytes that the digest has processed.
fn check(digest: &Sha256) -> [u8; CHECK_LEN] {
    let mut check = [0; CHECK_LEN];
    for (out, byte) in check.iter_mut().zip(digest.clone().finalize()) {
        *out = byte;
    }
    check
}

/// Encodes an entry, with both lengths first. A value's length is one too large, so that zero means no value.
pub(super) fn write_entry(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    out.extend(u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes());
    let length = value.map_or(0, |value| value.len() + 1);
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(value.unwrap_or_default());
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

/// Reads frames, and rejects a frame with a wrong check.
pub(super) struct FrameReader<R> {
    source: R,
    digest: Sha256,
    pub(super) header: Header,
    /// The number of bytes read so far, all with a right check.
    checked_bytes: u64,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn begin(mut source: R) -> Result<Self, BackupError> {
        let mut magic = Vec::new();
        let length = MAGIC.len() as u64;
        source.by_ref().take(length).read_to_end(&mut magic).map_err(BackupError::Read)?;
        if magic != MAGIC {
            return Err(BackupError::NotABackup);
        }
        let header = Header::of(0, Timestamp::UNIX_EPOCH);
        let mut reader =
            Self { source, digest: Sha256::new_with_prefix(MAGIC), header, checked_bytes: length };
        let (kind, content) = reader.read()?;
        if kind != HEADER {
            return Err(reader.damaged());
        }
        reader.header = serde_json::from_slice(&content).map_err(|_| reader.damaged())?;
        if reader.header.layout > LAYOUT {
            return Err(BackupError::Newer { made_by: reader.header.version });
        }
        Ok(reader)
    }

    /// Reads the next frame. No byte may follow an end frame.
    pub(super) fn next(&mut self) -> Result<BackupFrame, BackupError> {
        let (kind, content) = self.read()?;
        match kind {
            SCANNED => {
                read_entries(&content).map(BackupFrame::Scanned).ok_or_else(|| self.damaged())
            }
            BATCH => read_entries(&content).map(BackupFrame::Batch).ok_or_else(|| self.damaged()),
            END => {
                let end = serde_json::from_slice(&content).map_err(|_| self.damaged())?;
                match self.source.read(&mut [0]) {
                    Ok(0) => Ok(BackupFrame::End(end)),
                    Ok(_) => Err(self.damaged()),
                    Err(error) => Err(BackupError::Read(error)),
                }
            }
            ABORTED => Ok(BackupFrame::Aborted(String::from_utf8_lossy(&content).into_owned())),
            _ => Err(self.damaged()),
        }
    }

    fn read(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let mut head = [0; 5];
        self.fill(&mut head)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_CONTENT_LEN {
            return Err(self.damaged());
        }
        let mut content = vec![0; length];
        self.fill(&mut content)?;
        self.digest.update(head);
        self.digest.update(&content);
        let mut stored = [0; CHECK_LEN];
        self.fill(&mut stored)?;
        if stored != check(&self.digest) {
            return Err(self.damaged());
        }
        self.checked_bytes += (head.len() + length + CHECK_LEN) as u64;
        Ok((kind, content))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        self.source.read_exact(bytes).map_err(|error| {
            let ended = error.kind() == io::ErrorKind::UnexpectedEof;
            if ended { BackupError::CutShort } else { BackupError::Read(error) }
        })
    }

    fn damaged(&self) -> BackupError {
        BackupError::Damaged { after: self.checked_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8], value: Option<&[u8]>) -> Entry {
        (key.to_vec(), value.map(<[u8]>::to_vec))
    }

    const END_FRAME: End = End { scanned: 3, teed: 1, batches: 7, sum: u64::MAX };

    fn backup_file() -> Vec<u8> {
        let header = Header::of(2, Timestamp::UNIX_EPOCH);
        let (mut writer, mut file) = FrameWriter::begin(&header);
        file.extend(writer.scanned(&[entry(b"a", Some(b"1")), entry(b"b", Some(b""))]));
        file.extend(writer.scanned(&[entry(b"c", Some(&[7; 300]))]));
        let mut batch = Vec::new();
        write_entry(&mut batch, b"a", None);
        file.extend(writer.batch(&batch));
        file.extend(writer.end(&END_FRAME));
        file
    }

    fn read(file: &[u8]) -> Result<Vec<BackupFrame>, BackupError> {
        let mut reader = FrameReader::begin(file)?;
        let mut all = Vec::new();
        loop {
            all.push(reader.next()?);
            if let Some(BackupFrame::End(_) | BackupFrame::Aborted(_)) = all.last() {
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
            BackupFrame::End(END_FRAME),
        ];
        assert_eq!(read(&backup_file()).expect("read"), expected);
    }

    #[test]
    fn a_file_that_ends_anywhere_earlier_was_cut_off() {
        let file = backup_file();
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
        let file = backup_file();
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
