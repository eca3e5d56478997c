//! Heardback compared with other servers: each side in turn, round after round, every server on the same core.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::Compare;
use crate::measurement::{Load, Measured, Place, Plan, Target, measure, median, request_count};
use crate::peers;
use crate::processes::{CLIENT_CORE, Heardback, HeardbackOptions, Process, SERVER_CORE, migrate};
use crate::support::preload;
use crate::system_stats::{disk, memory};
use crate::tables;
use crate::traffic::{self, Routes, Signed};

/// The results of one side under one load, by round.
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) load: Load,
    pub(crate) rounds: Vec<Measured>,
    /// The maximum, in KiB.
    pub(crate) memory: u64,
}

pub(crate) const HEARDBACK: &str = "Heardback";
const OLD: &str = "Heardback, before";
pub(crate) const BARE: &str = "actix-web, bare";

/// A comparison in progress.
pub(crate) struct Bench<'a> {
    plan: &'a Plan,
    loads: Vec<Load>,
    pub(crate) sides: Vec<Side>,
    phase: u32,
}

pub(crate) fn compare(arguments: &Compare) -> anyhow::Result<()> {
    let plan = &arguments.plan;
    let Place { folder, binary } = &plan.place;
    fs::create_dir_all(folder)?;
    let slow = arguments.slow_sync.map(|ms| slow_sync_library(folder).map(|library| (library, ms)));
    let slow = slow.transpose()?;
    let paced = Load::Open { a_second: arguments.pace, connections: 32 };
    let mut bench = Bench::of(plan, &[paced, Load::Forged(32)]);
    let mut disks = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        disks.push(disk(folder)?);
        bench.bare()?;
        bench.heardback(HEARDBACK, binary, None)?;
        if let Some(old) = &arguments.old {
            bench.heardback(OLD, old, None)?;
        }
        if let Some((library, ms)) = &slow {
            let name = format!("{HEARDBACK}, syncs of {ms} ms");
            bench.heardback(&name, binary, Some((library, *ms)))?;
        }
        if arguments.postgres {
            bench.on_postgres("Heardback on PostgreSQL", binary, 1)?;
            bench.on_postgres("Heardback on PostgreSQL, two receivers", binary, 2)?;
        }
        for (kit, name) in arguments.kit.each() {
            bench.peer(kit, name)?;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    let disk = median(disks.iter().map(|us| *us as f64).collect());
    println!("write of 4 KiB and fdatasync, median of medians: {disk:.0} µs\n");
    tables::sides(&bench.sides);
    tables::entries(&bench.sides);
    tables::ratios(&bench.sides, HEARDBACK, BARE);
    Ok(())
}

/// Compiles the library that delays each sync.
fn slow_sync_library(folder: &Path) -> anyhow::Result<PathBuf> {
    let library = folder.canonicalize()?.join("slow_sync.so");
    let output = preload::compile(Path::new("bench/slow_sync.c"), &library);
    let output = output.context("cannot run cc (apt-get install gcc libc6-dev)")?;
    ensure!(output.status.success(), "cc failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

impl<'a> Bench<'a> {
    /// The connections of the plan, and more loads.
    pub(crate) fn of(plan: &'a Plan, more: &[Load]) -> Self {
        let closed = plan.connections.iter().map(|count| Load::Closed(*count));
        let loads = closed.chain(more.iter().copied()).collect();
        Self { plan, loads, sides: Vec::new(), phase: 0 }
    }

    pub(crate) fn bare(&mut self) -> anyhow::Result<()> {
        let log = self.plan.place.folder.join("bare.log");
        let (process, port) = Process::own(SERVER_CORE, &["bare"], &log)?;
        self.loads(BARE, &Target { processes: &[process], port, services: &[] }, Routes::Heardback)
    }

    pub(crate) fn heardback(
        &mut self,
        name: &str,
        binary: &Path,
        slow: Option<(&Path, u32)>,
    ) -> anyhow::Result<()> {
        let folder = &self.plan.place.folder;
        let store = folder.join("store");
        let _ = fs::remove_dir_all(&store);
        let _ = fs::remove_file(folder.join("store.served"));
        let (_twilio, port) = Process::own(CLIENT_CORE, &["twilio"], &folder.join("twilio.log"))?;
        let service = Heardback::start(&HeardbackOptions {
            binary,
            store: &store,
            database: None,
            twilio: port,
            concurrency: None,
            sends: false,
            cgroup: None,
            slow,
        })?;
        let target = Target { processes: &[], port: service.port, services: &[&service] };
        self.loads(name, &target, Routes::Heardback)
    }

    /// The same on a database with PostgreSQL's default settings, on the core for servers.
    fn on_postgres(&mut self, name: &str, binary: &Path, receivers: usize) -> anyhow::Result<()> {
        let folder = self.plan.place.folder.canonicalize()?;
        let data = folder.join("postgres");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(&data)?;
        let log = folder.join("postgres.log");
        let (database, port) = peers::postgres(&data.display().to_string(), &log)?;
        let url = format!("postgres://perf@127.0.0.1:{port}/postgres");
        migrate(binary, &url)?;
        let (_twilio, port) = Process::own(CLIENT_CORE, &["twilio"], &folder.join("twilio.log"))?;
        let start = |number: usize| {
            Heardback::start(&HeardbackOptions {
                binary,
                store: &folder.join(format!("run{number}")),
                database: Some(&url),
                twilio: port,
                concurrency: None,
                sends: false,
                cgroup: None,
                slow: None,
            })
        };
        let services = (0..receivers).map(start).collect::<anyhow::Result<Vec<_>>>()?;
        let services: Vec<&Heardback> = services.iter().collect();
        let target = Target { processes: &[database], port: 0, services: &services };
        self.loads(name, &target, Routes::Heardback)
    }

    pub(crate) fn peer(&mut self, kit: &Path, name: &str) -> anyhow::Result<()> {
        let folder = &self.plan.place.folder;
        let peer = peers::start(kit, name, folder, &folder.join(format!("{name}.log")))?;
        let target = Target { processes: &peer.processes, port: peer.port, services: &[] };
        self.loads(name, &target, Routes::Kit)
    }

    /// Applies each load, after a warm-up with the same traffic.
    fn loads(&mut self, name: &str, target: &Target<'_>, routes: Routes) -> anyhow::Result<()> {
        let plan = self.plan;
        self.load(target, routes, Load::Closed(32), 1)?;
        for load in self.loads.clone() {
            let done = self.load(target, routes, load, plan.seconds)?;
            if !matches!(load, Load::Forged(_)) && done.refused > 0 {
                eprintln!("  {name}, {load}: {} of {} refused", done.refused, done.requests);
            }
            eprintln!(
                "  {name}, {load}: {:.0}/s, sustained {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {:.1} µs of CPU",
                done.rate, done.sustained, done.p50, done.p99, done.cpu
            );
            self.note(name, load, done, memory(&target.pids()).1);
        }
        Ok(())
    }

    fn load(
        &mut self,
        target: &Target<'_>,
        routes: Routes,
        load: Load,
        seconds: u32,
    ) -> anyhow::Result<Measured> {
        let signed = match load {
            Load::Forged(_) => Signed::Forged,
            Load::Closed(_) | Load::Open { .. } => Signed::Valid,
        };
        let phase = &mut self.phase;
        let prepare = |file: &Path| {
            *phase += 1;
            let count = request_count(load, seconds);
            traffic::write(file, *phase, count, (routes, signed), load.connections()).map(|_| ())
        };
        measure(target, load, seconds, &self.plan.place.folder.join("requests"), prepare)
    }

    fn note(&mut self, name: &str, load: Load, done: Measured, most: u64) {
        let is_it = |side: &&mut Side| side.name == name && side.load == load;
        if let Some(side) = self.sides.iter_mut().find(is_it) {
            side.rounds.push(done);
            side.memory = side.memory.max(most);
            return;
        }
        self.sides.push(Side { name: name.to_owned(), load, rounds: vec![done], memory: most });
    }
}
