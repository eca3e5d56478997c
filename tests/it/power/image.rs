//! An image: one possible content of the disk after a power cut, drawn at random from the contents
//! that the records allow.
//!
//! Each unsynced sector has the content of some moment since the last sync. A sector is never half
//! written, but it may be newer or older than any other. A file's size may be behind its sectors,
//! which are then unreachable, or ahead of them, which then read as zeros.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::power::disk::{Disk, File, Node, What, parent};
use crate::power::seeded::Seeded;

const SECTOR: usize = 512;

/// The treatment of data that is not durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Survival {
    /// None of it is kept.
    #[default]
    Nothing,
    /// All of it is kept.
    Everything,
    /// Each sector of each write is kept in this many of a hundred cases.
    Sectors(usize),
    /// Each write is kept as a whole or not at all, in any order.
    Reordered,
    /// The earlier writes are kept.
    Prefix,
    /// The earlier writes are kept, and of the next one either its start or its end.
    Torn,
}

impl Survival {
    fn draw(chance: &mut Seeded) -> Self {
        match chance.below(8) {
            0 => Self::Nothing,
            1 => Self::Everything,
            2 => Self::Reordered,
            3 => Self::Prefix,
            4 => Self::Torn,
            _ => Self::Sectors([5, 30, 50, 70, 95][chance.below(5)]),
        }
    }
}

/// The content after the cut: files with their bytes, folders with none.
#[derive(Default)]
pub(super) struct Image {
    /// The content of sled's log.
    pub(super) bytes: Survival,
    pub(super) names: Survival,
    /// Whether sled's log has unsynced data.
    pub(super) keeps: bool,
    /// Whether sled's log lacks an unsynced write.
    pub(super) drops: bool,
    pub(super) entries: BTreeMap<String, Option<Vec<u8>>>,
}

impl Image {
    pub(super) fn draw(disk: &Disk, chance: &mut Seeded) -> Self {
        let names = Survival::draw(chance);
        let mut bytes = Survival::Nothing;
        let mut entries = BTreeMap::new();
        let (mut keeps, mut drops) = (false, false);
        for (path, node) in named(disk, names, chance) {
            // Sorted, so that a folder comes before its contents. An entry without its folder is
            // unreachable.
            let reachable = parent(&path).is_empty() || entries.get(parent(&path)) == Some(&None);
            if path.is_empty() || !reachable {
                continue;
            }
            let file = &disk.files[node];
            // Each file has its own draw, so that any of them may be ahead of another.
            let survival = Survival::draw(chance);
            let held = (!file.is_folder).then(|| content(file, survival, chance));
            if let Some(held) = held.as_ref().filter(|_| path.ends_with("/db")) {
                bytes = survival;
                keeps |= *held != file.lasting;
                drops |= *held != file.seen();
            }
            entries.insert(path, held);
        }
        Self { bytes, names, keeps, drops, entries }
    }

    /// Writes the image to an empty folder.
    pub(super) fn write(&self, into: &Path) {
        for (path, held) in &self.entries {
            let path = into.join(path);
            match held {
                Some(bytes) => fs::write(path, bytes).expect("written"),
                None => fs::create_dir(path).expect("created"),
            }
        }
    }
}

fn named(disk: &Disk, survival: Survival, chance: &mut Seeded) -> BTreeMap<String, Node> {
    let mut names = disk.lasting.clone();
    let first = chance.below(disk.namings.len() + 1);
    for (at, (_, naming)) in disk.namings.iter().enumerate() {
        let lasts = match survival {
            Survival::Nothing => false,
            Survival::Everything => true,
            Survival::Sectors(percent) => chance.percent(percent),
            Survival::Reordered => chance.percent(50),
            Survival::Prefix | Survival::Torn => at < first,
        };
        if lasts {
            naming.apply(&mut names);
        }
    }
    names
}

fn content(file: &File, survival: Survival, chance: &mut Seeded) -> Vec<u8> {
    let unsynced: Vec<&What> = file.unsynced.iter().map(|one| &one.what).collect();
    let first = chance.below(unsynced.len() + 1);
    // For each sector the last kept write; it contains the earlier ones too.
    let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
    let mut truncated = BTreeSet::new();
    for (at, what) in unsynced.iter().enumerate() {
        let whole = chance.percent(50);
        let (tear, from_the_end) = (chance.below(sectors(what).count() + 1), chance.percent(50));
        if let What::Truncate { .. } = what {
            let lasts = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Sectors(_) | Survival::Reordered => whole,
                Survival::Prefix | Survival::Torn => at < first,
            };
            truncated.extend(lasts.then_some(at));
        }
        for (number, sector) in sectors(what).enumerate() {
            let lasts = match survival {
                Survival::Nothing => false,
                Survival::Everything => true,
                Survival::Sectors(percent) => chance.percent(percent),
                Survival::Reordered => whole,
                Survival::Prefix => at < first,
                Survival::Torn => at < first || (at == first && (number < tear) != from_the_end),
            };
            if lasts {
                reached.insert(sector, at);
            }
        }
    }
    let mut bytes = file.lasting.clone();
    for (at, what) in unsynced.iter().enumerate() {
        match what {
            What::Truncate { .. } if truncated.contains(&at) => what.apply(&mut bytes),
            What::Truncate { .. } => {}
            What::Write { at: start, data } => {
                let end = start + data.len();
                for sector in sectors(what).filter(|sector| reached.get(sector) >= Some(&at)) {
                    let from = (sector * SECTOR).max(*start);
                    let to = ((sector + 1) * SECTOR).min(end);
                    let part = data[from - start..to - start].to_vec();
                    What::Write { at: from, data: part.into() }.apply(&mut bytes);
                }
            }
        }
    }
    let is_cut = !truncated.is_empty();
    resize(&mut bytes, file, survival, is_cut, chance);
    bytes
}

/// The size is drawn separately, unless writes are kept in order.
fn resize(bytes: &mut Vec<u8>, file: &File, survival: Survival, is_cut: bool, chance: &mut Seeded) {
    match survival {
        Survival::Everything | Survival::Prefix | Survival::Torn => {}
        Survival::Nothing | Survival::Sectors(_) | Survival::Reordered => match chance.below(3) {
            0 => {
                let seen = file.seen().len();
                bytes.resize(bytes.len().max(seen), 0);
            }
            1 if !is_cut => bytes.truncate(file.lasting.len()),
            _ => {}
        },
    }
}

fn sectors(what: &What) -> std::ops::Range<usize> {
    match what {
        What::Write { data, .. } if data.is_empty() => 0..0,
        What::Write { at, data } => at / SECTOR..(at + data.len()).div_ceil(SECTOR),
        What::Truncate { .. } => 0..0,
    }
}
