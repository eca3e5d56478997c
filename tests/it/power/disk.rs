//! The disk according to the records: for each file the durable content, and the later writes and
//! renames that a power cut may keep or lose.
//!
//! Names follow POSIX: a created, renamed or removed file is durable only once its folder was
//! synced. A rename is complete or absent, also between two folders, and a sync of either folder
//! makes it durable.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::power::image::Image;
use crate::power::recorder::{Act, Record};

/// A file or a folder, independent of its current name.
pub(super) type Node = usize;

/// An unsynced write to a file.
#[derive(Clone)]
pub(super) struct Unsynced {
    id: u64,
    ended: bool,
    pub(super) what: What,
}

#[derive(Clone)]
pub(super) enum What {
    Write { at: usize, data: Arc<Vec<u8>> },
    Truncate { length: usize },
}

impl What {
    pub(super) fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, data } => {
                let end = at + data.len();
                to.resize(to.len().max(end), 0);
                to[*at..end].copy_from_slice(data);
            }
            Self::Truncate { length } => to.resize(*length, 0),
        }
    }
}

/// A file's content.
#[derive(Clone, Default)]
pub(super) struct File {
    pub(super) is_folder: bool,
    /// The durable content.
    pub(super) lasting: Vec<u8>,
    /// The later writes, in order.
    pub(super) unsynced: Vec<Unsynced>,
}

impl File {
    /// The content that a process reads.
    pub(super) fn seen(&self) -> Vec<u8> {
        let mut seen = self.lasting.clone();
        self.unsynced.iter().for_each(|unsynced| unsynced.what.apply(&mut seen));
        seen
    }
}

/// An unsynced change of names.
#[derive(Clone)]
pub(super) enum Naming {
    Link { path: String, node: Node },
    Unlink { path: String },
    Rename { from: String, to: String, node: Node },
}

impl Naming {
    pub(super) fn apply(&self, to: &mut BTreeMap<String, Node>) {
        match self {
            Self::Link { path, node } => {
                to.insert(path.clone(), *node);
            }
            Self::Unlink { path } => {
                to.remove(path);
            }
            Self::Rename { from, to: name, node } => {
                to.remove(from);
                to.insert(name.clone(), *node);
            }
        }
    }

    fn is_in(&self, folder: &str) -> bool {
        match self {
            Self::Link { path, .. } | Self::Unlink { path } => parent(path) == folder,
            Self::Rename { from, to, .. } => parent(from) == folder || parent(to) == folder,
        }
    }
}

/// The writes and renames that a sync will have made durable when it ends.
struct Covered {
    node: Node,
    written: Vec<u64>,
    named: Vec<u64>,
}

/// The syncs that have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IgnoredSyncs {
    /// None.
    No,
    /// `fdatasync`: Heardback's own, before each response. sled calls `fsync` twenty times a
    /// second.
    Data,
    /// Every sync of a folder.
    Folders,
}

pub(super) struct Disk {
    pub(super) files: Vec<File>,
    /// The durable names.
    pub(super) lasting: BTreeMap<String, Node>,
    /// The later changes of names, numbered.
    pub(super) namings: Vec<(u64, Naming)>,
    /// The names as a process sees them.
    seen: BTreeMap<String, Node>,
    under_way: HashMap<u64, Node>,
    syncs: HashMap<u64, Covered>,
    ignored_syncs: IgnoredSyncs,
    named: u64,
}

impl Disk {
    /// The initial content is durable.
    pub(super) fn holding(image: &Image, ignored_syncs: IgnoredSyncs) -> Self {
        let mut files = vec![File { is_folder: true, ..File::default() }];
        let mut names = BTreeMap::from([(String::new(), 0)]);
        for (path, held) in &image.entries {
            names.insert(path.clone(), files.len());
            let (is_folder, lasting) = (held.is_none(), held.clone().unwrap_or_default());
            files.push(File { is_folder, lasting, unsynced: Vec::new() });
        }
        Self {
            files,
            lasting: names.clone(),
            namings: Vec::new(),
            seen: names,
            under_way: HashMap::new(),
            syncs: HashMap::new(),
            ignored_syncs,
            named: 0,
        }
    }

    pub(super) fn follow(&mut self, record: &Record) {
        match &record.act {
            Act::Create { path, empties } => match self.seen.get(path) {
                Some(node) if *empties => {
                    self.named += 1;
                    // A truncation at open has no id of its own; this one is far from all others.
                    let (id, what) = (u64::MAX - self.named, What::Truncate { length: 0 });
                    self.files[*node].unsynced.push(Unsynced { id, ended: true, what });
                }
                Some(_) => {}
                None => self.make(path, false),
            },
            Act::MakeFolder { path } => self.make(path, true),
            Act::Rename { from, to } => {
                let (from, to, node) = (from.clone(), to.clone(), self.node(from));
                self.name(Naming::Rename { from, to, node });
            }
            Act::Remove { path } => self.name(Naming::Unlink { path: path.clone() }),
            Act::Write { path, at, data } => {
                let at = usize::try_from(*at).expect("64 bits");
                self.begin(path, record.id, What::Write { at, data: Arc::clone(data) });
            }
            Act::Truncate { path, length } => {
                let length = usize::try_from(*length).expect("64 bits");
                self.begin(path, record.id, What::Truncate { length });
            }
            Act::Sync { data_only: true, .. } if self.ignored_syncs == IgnoredSyncs::Data => {}
            Act::Sync { path, .. } => self.begin_sync(path, record.id),
            Act::Hint => {}
            Act::End { result } => self.end(record.id, *result),
        }
    }

    fn node(&self, path: &str) -> Node {
        *self.seen.get(path).unwrap_or_else(|| unreachable!("{path} was never made"))
    }

    fn make(&mut self, path: &str, is_folder: bool) {
        let node = self.files.len();
        self.files.push(File { is_folder, ..File::default() });
        self.name(Naming::Link { path: path.to_owned(), node });
    }

    fn name(&mut self, naming: Naming) {
        naming.apply(&mut self.seen);
        self.named += 1;
        self.namings.push((self.named, naming));
    }

    fn begin(&mut self, path: &str, id: u64, what: What) {
        let node = self.node(path);
        self.under_way.insert(id, node);
        self.files[node].unsynced.push(Unsynced { id, ended: false, what });
    }

    fn begin_sync(&mut self, path: &str, id: u64) {
        let node = self.node(path);
        let ended = self.files[node].unsynced.iter().filter(|unsynced| unsynced.ended);
        let written = ended.map(|unsynced| unsynced.id).collect();
        let is_folder = self.files[node].is_folder;
        let has_effect = is_folder && self.ignored_syncs != IgnoredSyncs::Folders;
        let named = self.namings.iter().filter(|(_, naming)| has_effect && naming.is_in(path));
        let named = named.map(|(number, _)| *number).collect();
        self.syncs.insert(id, Covered { node, written, named });
    }

    fn end(&mut self, id: u64, result: i64) {
        if let Some(node) = self.under_way.remove(&id) {
            let unsynced = &mut self.files[node].unsynced;
            let at = unsynced.iter().position(|unsynced| unsynced.id == id).expect("begun");
            let Ok(done) = usize::try_from(result) else {
                unsynced.remove(at);
                return;
            };
            unsynced[at].ended = true;
            if let What::Write { data, .. } = &mut unsynced[at].what {
                Arc::make_mut(data).truncate(done);
            }
        } else if let Some(covered) = self.syncs.remove(&id).filter(|_| result == 0) {
            self.make_durable(&covered);
        }
    }

    fn make_durable(&mut self, covered: &Covered) {
        let File { lasting, unsynced, .. } = &mut self.files[covered.node];
        unsynced.retain(|one| {
            let lasts = covered.written.contains(&one.id);
            if lasts {
                one.what.apply(lasting);
            }
            !lasts
        });
        let names = &mut self.lasting;
        self.namings.retain(|(number, naming)| {
            let lasts = covered.named.contains(number);
            if lasts {
                naming.apply(names);
            }
            !lasts
        });
    }

    /// Checks the records against the files after the process has ended. An interrupted write may
    /// have any result; all other content must be as recorded, or the recorder misses calls.
    pub(super) fn settle(&mut self, found: &BTreeMap<String, Vec<u8>>) {
        for (id, node) in self.under_way.drain() {
            let paths = self.seen.iter().find(|(_, known)| **known == node);
            let there = paths.and_then(|(path, _)| found.get(path));
            let unsynced = &mut self.files[node].unsynced;
            let Some(one) = unsynced.iter_mut().find(|one| one.id == id) else { continue };
            one.ended = true;
            match (&mut one.what, there) {
                (What::Write { at, data }, Some(there)) => {
                    let end = there.len().min(*at + data.len());
                    *data = Arc::new(there.get(*at..end).unwrap_or_default().to_vec());
                }
                (What::Truncate { length }, Some(there)) => *length = there.len(),
                (_, None) => {}
            }
        }
        self.syncs.clear();
        let told: Vec<&String> = self.seen.keys().filter(|path| !path.is_empty()).collect();
        assert_eq!(told, found.keys().collect::<Vec<_>>(), "names without a record");
        for (path, node) in &self.seen {
            let same = found.get(path).is_none_or(|found| *found == self.files[*node].seen());
            assert!(same, "{path} has content without a record");
        }
    }
}

/// The parent folder of a name.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
