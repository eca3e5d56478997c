//! The cost of writing: the store's `remember`, entries of the same size in sled alone, and in a plain file. Entries
//! are written in groups; each group is synced. One core.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::ValueEnum;
use futures_util::future::try_join_all;
use heardback::store::Store as _;
use heardback::store::sled::SledStore;
use serde::{Deserialize, Serialize};

use crate::growth::{message, options};
use crate::processes::output_of;
use crate::system_stats::cpu_time;

/// The place of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    File,
    Sled,
    Store,
}

impl Backend {
    pub(crate) const ALL: [Self; 3] = [Self::File, Self::Sled, Self::Store];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::File => "a file, appended to and synced",
            Self::Sled => "sled alone: a batch, a flush, a sync",
            Self::Store => "the store: `remember`, 128 entries a group at most",
        }
    }

    pub(crate) fn opening(self) -> &'static str {
        match self {
            Self::File => "sled's file, read",
            Self::Sled => "sled alone: opened, every entry read once",
            Self::Store => "the store",
        }
    }
}

/// The cost of a message, in microseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) cpu: f64,
    took: f64,
}

/// The entry that `remember` writes for a message: the kind and the packed SID, and the record.
const KEY: usize = 17;
const RECORD: usize = 111;
/// Each batch contains the seal.
const SEAL: [u8; 16] = [7; 16];
/// The store's value.
const CLEANUP_INTERVAL_MS: u64 = 50;
pub(crate) const CACHE: u64 = 8 << 20;

/// Measures the cost of a message in another process, on the core for servers.
pub(crate) fn measure(
    backend: Backend,
    group: u32,
    messages: u32,
    folder: &Path,
) -> anyhow::Result<Cost> {
    // A message alone needs its own sync.
    let messages = if group == 1 { messages / 20 } else { messages };
    let backend = backend.to_possible_value().context("each has a name")?;
    let (group, messages) = (group.to_string(), messages.to_string());
    let folder = folder.join("written").display().to_string();
    let output = output_of(&["write", backend.get_name(), &group, &messages, &folder])?;
    Ok(serde_json::from_str(&output)?)
}

/// Writes messages, and prints the cost of one.
pub(crate) fn write(
    backend: Backend,
    group: u32,
    messages: u32,
    folder: &Path,
) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    let mut writer = Writer::open(backend, folder)?;
    let own = [std::process::id()];
    let (before, began) = (cpu_time(&own), Instant::now());
    for first in (0..messages).step_by(group as usize) {
        writer.write(first..messages.min(first + group))?;
    }
    let (cpu, took) = (cpu_time(&own).saturating_sub(before), began.elapsed());
    let each = |of: Duration| of.as_secs_f64() * 1e6 / f64::from(messages);
    println!("{}", serde_json::to_string(&Cost { cpu: each(cpu), took: each(took) })?);
    Ok(())
}

/// Opens sled as the store does.
pub(crate) fn open_sled(folder: &Path) -> sled::Result<sled::Db> {
    let config = sled::Config::new().path(folder).cache_capacity(CACHE);
    config.flush_every_ms(Some(CLEANUP_INTERVAL_MS)).open()
}

enum Writer {
    File(File),
    Sled { db: sled::Db, file: File },
    Store { store: Box<SledStore>, runtime: actix_web::rt::SystemRunner },
}

impl Writer {
    fn open(backend: Backend, folder: &Path) -> anyhow::Result<Self> {
        Ok(match backend {
            Backend::File => Self::File(File::create(folder.join("log"))?),
            Backend::Sled => {
                Self::Sled { db: open_sled(folder)?, file: File::open(folder.join("db"))? }
            }
            Backend::Store => {
                let mut options = options(folder);
                options.cache = CACHE;
                let store = Box::new(SledStore::open(options)?);
                Self::Store { store, runtime: actix_web::rt::System::new() }
            }
        })
    }

    fn write(&mut self, numbers: std::ops::Range<u32>) -> anyhow::Result<()> {
        match self {
            Self::File(file) => {
                let bytes = numbers.flat_map(|n| [key(n).to_vec(), [9; RECORD].to_vec()]);
                file.write_all(&bytes.flatten().collect::<Vec<_>>())?;
                file.sync_data()?;
            }
            Self::Sled { db, file } => {
                let mut batch = sled::Batch::default();
                for number in numbers {
                    batch.insert(key(number).to_vec(), [9; RECORD].to_vec());
                }
                batch.insert(b"seal", &SEAL);
                db.apply_batch(batch)?;
                db.flush()?;
                file.sync_data()?;
            }
            Self::Store { store, runtime } => {
                let all = numbers.map(|number| store.remember(message(store, number)));
                runtime.block_on(try_join_all(all))?;
            }
        }
        Ok(())
    }
}

/// A key as random as a SID.
fn key(number: u32) -> [u8; KEY] {
    let mixed = (u64::from(number) + (1 << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut key = [b'm'; KEY];
    for (to, from) in key.iter_mut().skip(1).zip(mixed.to_be_bytes().into_iter().cycle()) {
        *to = from;
    }
    key
}
