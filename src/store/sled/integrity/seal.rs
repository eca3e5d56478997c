//! The seal: it detects records that sled lost without an error.
//!
//! sled 0.34 opens a log with a hole, or with a missing end, as if the missing writes had never been made. So every batch
//! also writes the seal, a sum over all entries and the number of batches: a hole makes the sum wrong. A second copy of the
//! number in a file beside sled's detects a log that ends too early.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The file with the number of synced batches, beside sled's files.
pub(crate) const SEAL_FILE: &str = "SEAL";

/// The number of batches, and a checksum of the store's entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seal {
    /// Batches written since the store was created.
    pub(crate) batches: u64,
    /// The sum of all entries' hashes, which is independent of their order.
    pub(crate) sum: u64,
}

impl Seal {
    /// The seal of a number of batches, before any entry is added.
    pub(crate) fn of(batches: u64) -> Self {
        Self { batches, sum: 0 }
    }

    pub(crate) fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.sum = self.sum.wrapping_add(hash(key, value));
    }

    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.sum = self.sum.wrapping_sub(hash(key, value));
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let both = self.batches.to_be_bytes().into_iter().chain(self.sum.to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(both) {
            *to = from;
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (batches, sum) = bytes.split_first_chunk::<8>()?;
        let sum = u64::from_be_bytes(sum.try_into().ok()?);
        Some(Self { batches: u64::from_be_bytes(*batches), sum })
    }
}

/// The content of the seal's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealedCount {
    /// At least this number of batches was synced.
    Batches(u64),
    /// The file holds no number, as after a power cut.
    Torn,
    Missing,
}

/// The file beside sled's: the number of synced batches, and its complement, which detects a torn write.
///
/// It is written after each sync, and needs no sync: its number is never ahead of the synced batches. A power cut may tear
/// the file, but never removes it: its name is synced before the store is complete. So a complete store without the file
/// is refused.
pub(crate) struct SealFile(File);

impl SealFile {
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        Ok(Self(options.open(folder.join(SEAL_FILE))?))
    }

    /// Reads the seal's file in a store's folder.
    pub(crate) fn read(folder: &Path) -> io::Result<SealedCount> {
        let bytes = match std::fs::read(folder.join(SEAL_FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(SealedCount::Missing);
            }
            Err(error) => return Err(error),
        };
        let number = || {
            let (number, complement) = bytes.split_first_chunk::<8>()?;
            let number = u64::from_be_bytes(*number);
            let complement = u64::from_be_bytes(complement.try_into().ok()?);
            (complement == !number).then_some(number)
        };
        Ok(number().map_or(SealedCount::Torn, SealedCount::Batches))
    }

    pub(crate) fn note(&self, batches: u64) -> io::Result<()> {
        let mut bytes = batches.to_be_bytes().to_vec();
        bytes.extend_from_slice(&(!batches).to_be_bytes());
        self.0.write_all_at(&bytes, 0)
    }
}

/// FNV-1a. The hash only has to distinguish entries: sled's own checksums detect a flipped bit.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
    let bytes = length.iter().chain(key).chain(value);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
