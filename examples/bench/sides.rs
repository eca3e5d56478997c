//! Heardback beside the others: each side in turn, round after round, every server on the same core.

use std::fs;
use std::path::Path;

use crate::drive::{Measured, Plan, enough, measure, median};
use crate::peers;
use crate::probe::{disk, memory};
use crate::service::{CLIENT, Heardback, Process, SERVER, free_port, listens};
use crate::table::{Row, print};
use crate::traffic::{self, Routes, Signed};

/// What one side did at one number of connections, round by round.
pub(crate) struct Side {
    pub(crate) name: String,
    /// `None`: forged requests, on 32 connections.
    pub(crate) connections: Option<u32>,
    pub(crate) rounds: Vec<Measured>,
    /// Syncs a second, where they can be counted.
    pub(crate) syncs: Vec<f64>,
    /// KiB at most.
    pub(crate) memory: u64,
}

const HEARDBACK: &str = "Heardback";
const OLD: &str = "Heardback, before";
const BARE: &str = "actix-web, bare";

struct Bench<'a> {
    plan: &'a Plan,
    sides: Vec<Side>,
    phase: u32,
}

pub(crate) fn compare(
    kit: Option<&Path>,
    names: &[String],
    old: Option<&Path>,
    plan: &Plan,
) -> anyhow::Result<()> {
    fs::create_dir_all(&plan.folder)?;
    let mut bench = Bench { plan, sides: Vec::new(), phase: 0 };
    let mut disks = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        disks.push(disk(&plan.folder)?);
        bench.bare()?;
        bench.heardback(HEARDBACK, &plan.binary)?;
        if let Some(old) = old {
            bench.heardback(OLD, old)?;
        }
        for name in kit.iter().flat_map(|_| names) {
            if let Some(kit) = kit {
                bench.peer(kit, name)?;
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "microseconds")]
    let disk = median(disks.iter().map(|us| *us as f64).collect());
    println!("write of 4 KiB and fdatasync, median of medians: {disk:.0} µs\n");
    print(&bench.sides.iter().map(|side| Row::of(side, &bench.sides, BARE)).collect::<Vec<_>>());
    Ok(())
}

impl Bench<'_> {
    fn bare(&mut self) -> anyhow::Result<()> {
        let port = free_port()?;
        let own = std::env::current_exe()?.display().to_string();
        let log = self.plan.folder.join("bare.log");
        let mut process = Process::start(SERVER, &[&own, "bare", &port.to_string()], &[], &log)?;
        listens(&mut process, port)?;
        self.load(BARE, &[process.id()], port, Routes::Heardback, &mut || 0)
    }

    fn heardback(&mut self, name: &str, binary: &Path) -> anyhow::Result<()> {
        let (store, log) = (self.plan.folder.join("store"), self.plan.folder.join("heardback.log"));
        let _ = fs::remove_dir_all(&store);
        let port = free_port()?;
        let own = std::env::current_exe()?.display().to_string();
        let twilio_log = self.plan.folder.join("twilio.log");
        let mut twilio =
            Process::start(CLIENT, &[&own, "twilio", &port.to_string()], &[], &twilio_log)?;
        listens(&mut twilio, port)?;
        let service = Heardback::start(binary, &store, port, &log)?;
        let mut syncs = || service.metric("heardback_store_commits_total");
        self.load(name, &[service.process.id()], service.port, Routes::Heardback, &mut syncs)
    }

    fn peer(&mut self, kit: &Path, name: &str) -> anyhow::Result<()> {
        let log = self.plan.folder.join(format!("{name}.log"));
        let peer = peers::start(kit, name, &self.plan.folder, &log)?;
        let pids: Vec<u32> = peer.processes.iter().map(Process::id).collect();
        self.load(name, &pids, peer.port, Routes::Kit, &mut || 0)
    }

    fn load(
        &mut self,
        name: &str,
        pids: &[u32],
        port: u16,
        routes: Routes,
        syncs: &mut dyn FnMut() -> u64,
    ) -> anyhow::Result<()> {
        let plan = self.plan;
        let file = plan.folder.join("requests");
        // Warmed up on the same kind of traffic.
        let loads = [(Some(32), true)].into_iter();
        let loads = loads.chain(plan.connections.iter().map(|count| (Some(*count), false)));
        for (connections, warming) in loads.chain([(None, false)]) {
            let many = connections.unwrap_or(32);
            let seconds = if warming { 1 } else { plan.seconds };
            let signed = if connections.is_some() { Signed::Well } else { Signed::Forged };
            let phase = &mut self.phase;
            let prepare = |file: &Path| {
                *phase += 1;
                traffic::write(file, *phase, enough(many, seconds), routes, signed).map(|_| ())
            };
            let before = syncs();
            let measured = measure(pids, port, many, seconds, &file, prepare)?;
            if warming {
                continue;
            }
            if signed == Signed::Well && measured.refused > 0 {
                eprintln!(
                    "  {name}, {many}: {} of {} refused",
                    measured.refused, measured.requests
                );
            }
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let synced = (syncs() - before) as f64 / f64::from(seconds);
            eprintln!(
                "  {name}, {}{many}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {:.1} µs of CPU",
                if connections.is_none() { "forged " } else { "" },
                measured.rate,
                measured.p50,
                measured.p99,
                measured.cpu
            );
            self.note(name, connections, measured, synced, memory(pids).1);
        }
        Ok(())
    }

    fn note(
        &mut self,
        name: &str,
        connections: Option<u32>,
        done: Measured,
        synced: f64,
        most: u64,
    ) {
        let is_it = |side: &&mut Side| side.name == name && side.connections == connections;
        if let Some(side) = self.sides.iter_mut().find(is_it) {
            side.rounds.push(done);
            side.syncs.push(synced);
            side.memory = side.memory.max(most);
            return;
        }
        let (name, rounds, syncs) = (name.to_owned(), vec![done], vec![synced]);
        self.sides.push(Side { name, connections, rounds, syncs, memory: most });
    }
}
