//! One recorded run of the real binary, killed and stopped in between, and the images drawn from it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::running::{Running, command};
use crate::harness::twilio::{Manner, Twilio};
use crate::harness::{LONG, eventually};
use crate::power::disk::Disk;
use crate::power::image::Image;
use crate::power::judge::{Expected, Wrong, judge, sid};
use crate::power::recorder::{Record, Recorder};
use crate::power::seeded::Seeded;
use crate::power::traffic::{Client, Fact, History};

const CLIENTS: u32 = 6;
/// How each process ends, one after the other. What Twilio answers it differs, too.
const ENDS: [(Signal, Manner); 5] = [
    (Signal::KILL, Manner::Status(200)),
    (Signal::TERM, Manner::Status(400)),
    (Signal::KILL, Manner::Status(500)),
    (Signal::KILL, Manner::Status(200)),
    (Signal::TERM, Manner::Status(200)),
];

/// A process of the run: where in the log it was ready, where it had ended, and what was there then.
struct Life {
    began: u64,
    ready: u64,
    ended: u64,
    left: BTreeMap<String, Vec<u8>>,
}

pub(super) struct Run {
    records: Vec<Record>,
    lives: Vec<Life>,
    facts: Vec<(u64, Fact)>,
    sent: Vec<(u64, u32)>,
}

/// What came of the images.
#[derive(Debug, Default)]
pub(super) struct Report {
    images: usize,
    /// Answered facts looked for, over all images.
    pub(super) facts: usize,
    /// Images in which something was missing, or was that should not be.
    pub(super) lost: usize,
    /// Images that did not open.
    pub(super) closed: usize,
    pub(super) wrong: Vec<String>,
}

impl Report {
    pub(super) fn is_clean(&self) -> bool {
        self.lost + self.closed == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, facts, lost, closed, .. } = self;
        write!(to, "{images} images, {facts} answered facts checked, {lost} with a loss, ")?;
        write!(to, "{closed} that did not open")
    }
}

impl Run {
    /// Records one, long enough for so many images.
    pub(super) fn record(recorder: &Recorder, images: usize) -> Self {
        let twilio = Twilio::start();
        let log = recorder.log();
        let history = History::new(log.clone());
        let mut clients: Vec<Client> = (1..=CLIENTS).map(Client::new).collect();
        let environment = recorder.environment();
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
        let mut lives = Vec::new();
        for (signal, manner) in ENDS {
            twilio.behave(manner);
            let began = log.position();
            let store = recorder.below.join("store");
            let mut service = Running::start(command(&store, &twilio, &environment));
            let ready = log.position();
            let enough = history.answers() + (images * 2).clamp(200, 2000);
            std::thread::scope(|scope| {
                for client in &mut clients {
                    scope.spawn(|| client.run(service.public, &history));
                }
                let answered = || history.answers() >= enough;
                eventually("they are answered", 20 * LONG, answered);
                service.signal(signal);
            });
            service.ends_within(LONG);
            drop(service);
            log.mend();
            lives.push(Life { began, ready, ended: log.position(), left: files(&recorder.below) });
        }
        let History { facts, sent, .. } = history;
        let (facts, sent) = (facts.into_inner(), sent.into_inner());
        let (facts, sent) = (facts.expect("unpoisoned"), sent.expect("unpoisoned"));
        Self { records: log.read(), lives, facts, sent }
    }

    /// So many images, each opened and judged. `deaf`: as if we had never synced ourselves.
    pub(super) fn images(&self, seed: u64, images: usize, deaf: bool) -> Report {
        let mut cuts: Vec<(usize, usize)> = (0..images)
            .map(|image| (self.cut(&mut Seeded::new(seed, image as u64)), image))
            .collect();
        cuts.sort_unstable();
        let mut report = Report { images, ..Report::default() };
        let mut disk = Disk::new(deaf);
        let (mut followed, mut lives) = (0, self.lives.iter().peekable());
        for (cut, image) in cuts {
            while followed < cut {
                let record = &self.records[followed];
                disk.follow(record);
                followed += 1;
                if let Some(life) = lives.next_if(|life| life.ended == record.end) {
                    disk.settle(&life.left);
                }
            }
            let mut chance = Seeded::new(seed, (image as u64) << 32);
            self.judge(cut, &Image::draw(&disk, &mut chance), &mut report, image);
        }
        report
    }

    fn judge(&self, cut: usize, image: &Image, report: &mut Report, number: usize) {
        let position = cut.checked_sub(1).map_or(0, |last| self.records[last].end);
        let facts = self.facts.iter().filter(|(answered, _)| *answered <= position);
        let facts: Vec<&Fact> = facts.map(|(_, fact)| fact).collect();
        let sent = self.sent.iter().filter(|(sent, _)| *sent < position);
        let sent = sent.map(|(_, number)| sid(*number)).collect();
        report.facts += facts.len();
        let folder = tempfile::tempdir().expect("a folder");
        image.write(folder.path());
        let Err(wrong) = judge(&folder.path().join("store"), &Expected { facts, sent }) else {
            return;
        };
        let what = match wrong {
            Wrong::Closed(why) => {
                report.closed += 1;
                why
            }
            Wrong::Lost(lost) => {
                report.lost += 1;
                let some: Vec<_> = lost.iter().take(5).cloned().collect();
                format!("{} lost, such as {}", lost.len(), some.join("; "))
            }
        };
        let (bytes, names) = (image.bytes, image.names);
        let at = format!("image {number}, cut after record {cut} ({position}), {bytes:?}/{names:?}");
        report.wrong.push(format!("{at}: {what}"));
    }

    /// How many records are before the cut: any number, or just those before an answer, or so many
    /// that a process is still opening the store.
    fn cut(&self, chance: &mut Seeded) -> usize {
        let before = |position: u64| self.records.partition_point(|record| record.end < position);
        match chance.below(3) {
            0 => chance.below(self.records.len() + 1),
            1 => {
                let (answered, _) = &self.facts[chance.below(self.facts.len())];
                (before(*answered) + 1).min(self.records.len())
            }
            _ => {
                let life = &self.lives[chance.below(self.lives.len())];
                let (first, last) = (before(life.began), before(life.ready));
                first + 1 + chance.below(last - first)
            }
        }
    }
}

/// Everything below a folder: files with their bytes, folders with none.
fn files(below: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![below.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(below).expect("below").display().to_string();
            if path.is_dir() {
                found.insert(name, Vec::new());
                folders.push(path);
            } else {
                found.insert(name, fs::read(path).expect("readable"));
            }
        }
    }
    found
}
