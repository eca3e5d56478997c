//! One recorded run of the real binary, which is killed and stopped several times, and the images
//! drawn from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::running::{Running, command};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{LONG, eventually};
use crate::power::disk::{Disk, IgnoredSyncs};
use crate::power::image::Image;
use crate::power::judge::{Expected, judge, sid};
use crate::power::recorder::{Act, Record, Recorder};
use crate::power::report::Report;
use crate::power::seeded::Seeded;
use crate::power::traffic::{Client, Fact, History, Placed};

/// Short, so that the sweep has records to remove.
const SETTINGS: [(&str, &str); 2] =
    [("HEARDBACK_PENDING_TTL", "2s"), ("HEARDBACK_REPLY_WINDOW", "2s")];

/// The end of a process of a run, Twilio's responses, and the number of responses after which it
/// ends.
pub(super) type End = (Signal, TwilioReply, usize);

/// A process of the run: its positions in the log at start, at readiness and at its end, and the
/// files it left.
struct Life {
    began: u64,
    ready: u64,
    ended: u64,
    left: BTreeMap<String, Vec<u8>>,
}

/// The start of a run: the files after a power cut, and the facts acknowledged before it.
#[derive(Default)]
pub(super) struct Before {
    pub(super) image: Image,
    facts: Vec<Fact>,
    sent: Vec<u32>,
}

pub(super) struct Run {
    before: Before,
    records: Vec<Record>,
    lives: Vec<Life>,
    facts: Placed<Fact>,
    sent: Placed<u32>,
    /// Messages that the sweep had stored as expired by the end.
    expired: u64,
}

impl Run {
    /// Records a run: one process for each end, one after the other.
    pub(super) fn record(
        recorder: &Recorder,
        before: Before,
        mut clients: Vec<Client>,
        ends: &[End],
    ) -> Self {
        before.image.write(&recorder.below);
        let twilio = Twilio::start();
        let log = recorder.log();
        let history = History::new(log.clone());
        let preload = recorder.environment();
        let settings = preload.iter().map(|(name, value)| (*name, value.as_str()));
        let settings: Vec<_> = settings.chain(SETTINGS).collect();
        let (mut lives, mut expired) = (Vec::new(), 0);
        for (signal, reply, answers) in ends {
            twilio.reply_with(*reply);
            let began = log.position();
            let store = recorder.below.join("store");
            let mut service = Running::start(command(&store, &twilio, &settings));
            let ready = log.position();
            let enough = history.answers() + answers;
            std::thread::scope(|scope| {
                for client in &mut clients {
                    scope.spawn(|| client.run(service.public, &history));
                }
                let answered = || history.answers() >= enough;
                eventually("the requests are answered", 20 * LONG, answered);
                expired = service.metric("heardback_messages{state=\"expired\"}");
                service.signal(*signal);
            });
            service.ends_within(LONG);
            drop(service);
            log.remove_partial_record();
            lives.push(Life { began, ready, ended: log.position(), left: files(&recorder.below) });
        }
        let (facts, sent) = history.told();
        Self { before, records: log.read(), lives, facts, sent, expired }
    }

    /// The record in numbers.
    pub(super) fn size(&self) -> String {
        let of = |is: fn(&Act) -> bool| self.records.iter().filter(|one| is(&one.act)).count();
        format!(
            "{} processes, {} writes, {} fdatasync, {} fsync, {} facts, {} expired",
            self.lives.len(),
            of(|act| matches!(act, Act::Write { .. })),
            of(|act| matches!(act, Act::Sync { data_only: true, .. })),
            of(|act| matches!(act, Act::Sync { data_only: false, .. })),
            self.facts.len(),
            self.expired,
        )
    }

    /// Draws this many images, opens and checks each.
    pub(super) fn images(&self, seed: u64, images: usize, ignored_syncs: IgnoredSyncs) -> Report {
        let mut cuts: Vec<(usize, usize)> = (0..images)
            .map(|image| (self.cut(&mut Seeded::new(seed, image as u64)), image))
            .collect();
        cuts.sort_unstable();
        let mut report = Report::default();
        let mut story = self.story(ignored_syncs);
        for (cut, number) in cuts {
            story.follow_to(cut);
            let mut chance = Seeded::new(seed, (number as u64) << 32);
            let image = Image::draw(&story.disk, &mut chance);
            let expected = self.known_at(cut);
            let folder = tempfile::tempdir().expect("a folder");
            image.write(folder.path());
            let verdict = judge(&folder.path().join("store"), &expected);
            let name = format!("image {number}, cut after record {cut} of {}", self.records.len());
            report.add(&name, &image, expected.facts.len(), verdict);
        }
        report
    }

    /// One cut, after which the next run continues.
    pub(super) fn cut_short(&self, seed: u64) -> Before {
        let mut chance = Seeded::new(seed, u64::MAX);
        let cut = self.cut(&mut chance);
        let mut story = self.story(IgnoredSyncs::No);
        story.follow_to(cut);
        let image = Image::draw(&story.disk, &mut chance);
        let position = self.position(cut);
        let facts = self.facts.iter().filter(|(answered, _)| *answered <= position);
        let facts = facts.map(|(_, fact)| fact).chain(&self.before.facts).cloned().collect();
        let sent = self.sent.iter().filter(|(sent, _)| *sent < position);
        let sent = sent.map(|(_, number)| number).chain(&self.before.sent).copied().collect();
        Before { image, facts, sent }
    }

    fn story(&self, ignored_syncs: IgnoredSyncs) -> Replay<'_> {
        Replay {
            run: self,
            disk: Disk::holding(&self.before.image, ignored_syncs),
            followed: 0,
            ended: 0,
        }
    }

    /// The offset in the log after this many records.
    fn position(&self, cut: usize) -> u64 {
        cut.checked_sub(1).map_or(0, |last| self.records[last].end)
    }

    /// The facts acknowledged and the messages sent before this position.
    fn known_at(&self, cut: usize) -> Expected<'_> {
        let position = self.position(cut);
        let facts = self.facts.iter().filter(|(answered, _)| *answered <= position);
        let sent = self.sent.iter().filter(|(sent, _)| *sent < position);
        let sent = sent.map(|(_, number)| number).chain(&self.before.sent);
        Expected {
            facts: self.before.facts.iter().chain(facts.map(|(_, fact)| fact)).collect(),
            sent: sent.map(|number| sid(*number)).collect(),
        }
    }

    /// The number of records before the cut: any number, just those before a response, all of a
    /// group that is being synced, or few enough that a process is still opening the store.
    fn cut(&self, chance: &mut Seeded) -> usize {
        let before = |position: u64| self.records.partition_point(|record| record.end < position);
        match chance.below(4) {
            0 => chance.below(self.records.len() + 1),
            1 => {
                let (answered, _) = &self.facts[chance.below(self.facts.len())];
                (before(*answered) + 1).min(self.records.len())
            }
            2 => {
                let is_sync = |at: &usize| matches!(self.records[*at].act, Act::Sync { .. });
                let syncs: Vec<usize> = (0..self.records.len()).filter(is_sync).collect();
                syncs[chance.below(syncs.len())] + chance.below(2)
            }
            _ => {
                let life = &self.lives[chance.below(self.lives.len())];
                let (first, last) = (before(life.began), before(life.ready));
                first + 1 + chance.below(last - first)
            }
        }
    }
}

/// The disk of a run, replayed record by record.
struct Replay<'a> {
    run: &'a Run,
    disk: Disk,
    followed: usize,
    ended: usize,
}

impl Replay<'_> {
    fn follow_to(&mut self, cut: usize) {
        while self.followed < cut {
            let record = &self.run.records[self.followed];
            self.disk.follow(record);
            self.followed += 1;
            let life = self.run.lives.get(self.ended).filter(|life| life.ended == record.end);
            if let Some(life) = life {
                self.disk.settle(&life.left);
                self.ended += 1;
            }
        }
    }
}

/// Everything below a folder: files with their bytes, folders with none. The control socket is no
/// part of a store: each start creates it.
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
            } else if path.is_file() {
                found.insert(name, fs::read(path).expect("readable"));
            }
        }
    }
    found
}
