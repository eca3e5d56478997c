//! Damage of every kind to copies of small stores: flipped bits, sectors that are zeroed, torn or
//! swapped, truncated or missing files. Either the store opens with every acknowledged record, or
//! the error says what is wrong and what to do. No panic escapes, and no record is lost silently.
//!
//! `HEARDBACK_DAMAGE_IMAGES` sets the number of images (400), `HEARDBACK_DAMAGE_SEED` the seed
//! (2026).

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use heardback::config::process_env;
use heardback::domain::address::Address;
use heardback::domain::feedback::Settlement;
use heardback::store::sled::{OpenError, SledStore};
use heardback::store::{Filter, ListEntry, Quotas, RecordCounts, Store};
use tempfile::TempDir;

use crate::given::{
    Hands, account, clicked, direct, link, registered, reply, shared, sled, token, try_sled,
};

const SECTOR: usize = 512;

/// xorshift: the same images for the same seed, whatever the machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("small")
    }
}

fn from_env(name: &str, usual: u64) -> u64 {
    process_env(name).map_or(usual, |text| text.parse().expect("a number"))
}

/// All acknowledged records, as the store returns them.
#[derive(Debug, PartialEq, Eq)]
struct Truth {
    counts: RecordCounts,
    entries: Vec<String>,
    /// The check value of the key for phone numbers: with another key no person is found.
    somebody: String,
}

fn truth(store: &SledStore) -> Truth {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut entries = Vec::new();
    runtime.expect("a runtime").block_on(async {
        for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
            let page = store.list(filter, None, 10_000).await.expect("listed");
            entries.extend(page.entries.iter().map(|entry| match entry {
                ListEntry::Message(message) => format!("{message:?}"),
                ListEntry::Parked(parked) => format!("{parked:?}"),
            }));
        }
        for n in 0..8 {
            entries.push(format!("{:?}", store.link(token(n).id()).await.expect("looked up")));
        }
        let due = store.next_due(&Quotas::default()).await.expect("known");
        entries.push(format!("{due:?}"));
    });
    let number = Address::parse("+15551234567").expect("valid");
    let somebody = format!("{:?}", store.recipient_hash_key().recipient(account(), &number).person);
    Truth { counts: store.counts(), entries, somebody }
}

fn opened(folder: &Path) -> Result<SledStore, OpenError> {
    try_sled(folder, Hands::default().clock())
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_file() {
            fs::copy(entry.path(), to.path().join(entry.file_name())).expect("copied");
        }
    }
    to
}

/// A store with records of every kind. `killed`: as a killed process leaves it.
async fn store(messages: u32, killed: bool) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let store = sled(folder.path(), Hands::default().clock());
    for n in 1..=messages {
        store.remember(registered(n, -1)).await.expect("remembered");
        match n % 5 {
            0 => drop(store.observe(reply(n, 0)).await.expect("observed")),
            1 => drop(store.observe(direct(n, 0)).await.expect("observed")),
            2 => drop(store.observe(shared(&format!("never-{n}"), 0)).await.expect("observed")),
            _ => {}
        }
        if n < 8 {
            let n = u8::try_from(n).expect("small");
            store.keep_link(token(n).id(), link(Some("l"), 0)).await.expect("kept");
            store.observe(clicked(n, 0)).await.expect("observed");
        }
    }
    let lease = Duration::from_secs(30);
    for claim in store.claim(5, lease, &Quotas::default()).await.expect("claimed") {
        store.settle(claim.lease, Settlement::Reported, None).await.expect("settled");
    }
    if killed {
        return copy(folder.path());
    }
    store.close().await;
    folder
}

/// Damages one file in one way. Returns a description.
fn damage(folder: &Path, dice: &mut Dice) -> String {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "heardback.lock")
        .collect();
    names.sort();
    let at = dice.below(names.len());
    // Most of the data is in one file.
    let name = if dice.below(5) < 3 { "db".to_owned() } else { names.swap_remove(at) };
    let path = folder.join(&name);
    let mut bytes = fs::read(&path).expect("readable");
    let length = bytes.len();
    let sectors = length.div_ceil(SECTOR);
    let sector = |n: usize| n * SECTOR..((n + 1) * SECTOR).min(length);
    let how = match dice.below(11) {
        0 | 1 => {
            let (at, bit) = (dice.below(length), dice.below(8));
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        2 => {
            let at = dice.below(length);
            let end = (at + 1 + dice.below(64)).min(length);
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0xff);
            format!("bytes {at} to {end} inverted")
        }
        3 | 4 => {
            let n = dice.below(sectors);
            bytes[sector(n)].fill(0);
            format!("sector {n} zeroed")
        }
        5 => {
            let n = dice.below(sectors);
            let torn = n * SECTOR + dice.below(SECTOR);
            bytes[torn.min(length)..sector(n).end].fill(0);
            format!("sector {n} torn at {torn}")
        }
        6 => {
            let n = dice.below(sectors);
            bytes[sector(n)].fill_with(|| dice.next().to_le_bytes()[3]);
            format!("sector {n} filled with noise")
        }
        7 => {
            let end = dice.below(length);
            bytes.truncate(end);
            format!("cut at {end} of {length}")
        }
        8 => {
            let (one, other) = (sector(dice.below(sectors)), sector(dice.below(sectors)));
            if one.len() == other.len() {
                let taken = bytes[one.clone()].to_vec();
                bytes.copy_within(other.clone(), one.start);
                bytes[other.clone()].copy_from_slice(&taken);
            }
            format!("bytes {one:?} and {other:?} changed places")
        }
        9 => {
            let from = dice.below(length);
            bytes[from..].fill(0);
            format!("all zero from {from} on")
        }
        _ => {
            let more = 1 + dice.below(4096);
            bytes.extend((0..more).map(|_| dice.next().to_le_bytes()[3]));
            format!("{more} bytes of noise behind it")
        }
    };
    fs::write(&path, bytes).expect("written");
    format!("{name}: {how}")
}

/// The outcome of an image as one label. Fails the test if a record was lost silently.
fn judged(what: &str, folder: &Path, truth_of: &Truth) -> &'static str {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let store = opened(folder)?;
        assert_eq!(truth(&store), *truth_of, "{what}: lost silently");
        drop(store);
        // A store that opens must open again.
        let again = opened(folder).unwrap_or_else(|error| panic!("{what}: only once, {error}"));
        assert_eq!(truth(&again), *truth_of, "{what}: lost later");
        Ok(())
    }));
    let outcome: Result<(), OpenError> =
        outcome.unwrap_or_else(|_| panic!("{what}: a panic escaped"));
    match outcome {
        Ok(()) => "whole",
        Err(error) => {
            let said = error.to_string();
            let says_what_to_do =
                ["restore it", "install the release", "heardback import", "an empty folder"];
            assert!(says_what_to_do.iter().any(|words| said.contains(words)), "{what}: {said}");
            match error {
                OpenError::Damaged { .. } => "damaged",
                OpenError::NewerFormat { .. } => "newer",
                OpenError::OlderFormat { .. } => "older",
                OpenError::NotOurs { .. } => "not ours",
                OpenError::NoPersonKey { .. } => "no key",
                OpenError::SealMissing { .. } => "no seal",
                other @ (OpenError::InUse { .. }
                | OpenError::Absent { .. }
                | OpenError::Gone { .. }
                | OpenError::HalfRestored { .. }
                | OpenError::OtherPersonKey { .. }
                | OpenError::Denied { .. }
                | OpenError::Io { .. }) => panic!("{what}: {other}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_damaged_store_opens_with_every_record_or_reports_the_damage_and_the_remedy() {
    let images = from_env("HEARDBACK_DAMAGE_IMAGES", 400);
    let seed = from_env("HEARDBACK_DAMAGE_SEED", 2026);
    let reopened = store(60, false).await;
    // Opening writes sled's snapshot.
    drop(opened(reopened.path()).expect("opens"));
    let bases = [store(12, false).await, store(40, true).await, reopened];
    let outcomes = tokio::task::spawn_blocking(move || {
        let truths: Vec<Truth> = bases
            .iter()
            .map(|base| truth(&opened(copy(base.path()).path()).expect("opens")))
            .collect();
        let mut dice = Dice(seed.wrapping_mul(2) + 1);
        let mut outcomes = BTreeMap::<String, u64>::new();
        for image in 0..images {
            let n = dice.below(bases.len());
            let copied = copy(bases[n].path());
            let done = damage(copied.path(), &mut dice);
            let what = format!("seed {seed}, image {image}, store {n}, {done}");
            let outcome = judged(&what, copied.path(), &truths[n]);
            let file = done.split([':', '.']).next().unwrap_or_default();
            *outcomes.entry(format!("{file} {outcome}")).or_default() += 1;
        }
        outcomes
    });
    let outcomes = outcomes.await.expect("judged");
    println!("seed {seed}, {images} images: {outcomes:?}");
    assert_eq!(outcomes.values().sum::<u64>(), images);
    let refused = outcomes.get("db damaged").copied().unwrap_or_default();
    let whole = outcomes.get("db whole").copied().unwrap_or_default();
    assert!(images < 100 || (refused > 0 && whole > 0), "{outcomes:?}");
}
