//! Cost by size: a store with many pending messages whose process was killed. Measures the next start, its memory, and
//! its performance under load.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::StreamExt as _;
use futures_util::stream;
use heardback::domain::address::Address;
use heardback::domain::matching::ObserveOutcome;
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::MessageUpdate;
use heardback::store::Store;
use heardback::store::sled::{Options, SledStore};
use jiff::Timestamp;

use crate::Grow;
use crate::measurement::{Load, Measured, Target, measure};
use crate::processes::{CLIENT_CORE, Heardback, HeardbackOptions, Process};
use crate::support::store::{code_entered, default_policy, sent_message};
use crate::system_stats::memory;
use crate::traffic::{self, ACCOUNT, Routes, Signed};

/// The results for one number of pending messages.
pub(crate) struct Growth {
    pending: u32,
    disk: u64,
    ready: Duration,
    /// KiB: when ready, the maximum until then, and the maximum in all.
    memory: [u64; 3],
    loads: Vec<(u32, Measured)>,
}

/// The cgroup for the limit on memory.
const LIMITED: &str = "/sys/fs/cgroup/memory/heardback-bench";

impl Growth {
    pub(crate) fn measure(arguments: &Grow) -> anyhow::Result<()> {
        let Grow { pending: all, memory: limit, plan, .. } = arguments;
        fs::create_dir_all(&plan.place.folder)?;
        if let Some(mib) = limit {
            fs::create_dir_all(LIMITED)
                .context("cannot create a cgroup for memory (needs cgroup v1 and root)")?;
            fs::write(format!("{LIMITED}/memory.limit_in_bytes"), (mib << 20).to_string())?;
        }
        let mut found = Vec::new();
        for pending in all {
            let grown = one(*pending, arguments)?;
            eprintln!("  {}", grown.cells().join(" · "));
            found.push(grown);
        }
        println!(
            "| pending | disk a message, bytes | start to ready, ms | memory when ready · at most until then · \
             in all, MiB | connections | requests/s | sustained/s | p50 · p99 ms | refused |"
        );
        println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
        for grown in found {
            for load in &grown.loads {
                let mut cells = grown.cells();
                cells.extend(Self::load_cells(load));
                println!("| {} |", cells.join(" | "));
            }
        }
        Ok(())
    }

    fn cells(&self) -> Vec<String> {
        vec![
            self.pending.to_string(),
            self.disk
                .checked_div(u64::from(self.pending))
                .map_or("-".to_owned(), |a| a.to_string()),
            self.ready.as_millis().to_string(),
            self.memory.map(|kib| (kib / 1024).to_string()).join(" · "),
        ]
    }

    fn load_cells((connections, measured): &(u32, Measured)) -> Vec<String> {
        vec![
            connections.to_string(),
            format!("{:.0}", measured.rate),
            format!("{:.0}", measured.sustained),
            format!("{:.2} · {:.2}", measured.p50, measured.p99),
            measured.refused.to_string(),
        ]
    }
}

fn one(pending: u32, arguments: &Grow) -> anyhow::Result<Growth> {
    let plan = &arguments.plan;
    let folder = &plan.place.folder;
    let store = folder.join("grown");
    match &arguments.filled {
        Some(before) => copy_store(before, &store)?,
        None => fill_store(&store, pending, false)?,
    }
    let disk = size(&store)?;

    let (_twilio, port) = Process::own(CLIENT_CORE, &["twilio"], &folder.join("twilio.log"))?;
    let within = arguments.memory.map(|_| PathBuf::from(LIMITED));
    let service = Heardback::start(&HeardbackOptions {
        binary: &plan.place.binary,
        store: &store,
        database: None,
        twilio: port,
        concurrency: None,
        sends: false,
        cgroup: within.as_deref(),
        slow: None,
    })?;
    let target = Target { processes: &[], port: service.port, services: &[&service] };
    let pids = target.pids();
    let (when_ready, until_ready) = memory(&pids);
    let mut grown = Growth {
        pending,
        disk,
        ready: service.ready,
        memory: [when_ready, until_ready, until_ready],
        loads: Vec::new(),
    };
    let file = folder.join("requests");
    let mut phase = 0;
    for connections in &plan.connections {
        let prepare = |file: &Path| {
            phase += 1;
            let count = MAX_RATE * plan.seconds;
            let well = (Routes::Heardback, Signed::Valid);
            traffic::write(file, phase, count, well, *connections).map(|_| ())
        };
        let done = measure(&target, Load::Closed(*connections), plan.seconds, &file, prepare)?;
        grown.loads.push((*connections, done));
    }
    grown.memory[2] = memory(&pids).1;
    Ok(grown)
}

fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        sum += if found.is_dir() { size(&entry.path())? } else { found.blocks() * 512 };
    }
    Ok(sum)
}

/// Copies a closed store, because opening changes it.
pub(crate) fn copy_store(from: &Path, to: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_store(&entry.path(), &there)?;
        } else {
            fs::copy(entry.path(), &there)?;
            // So the next measurement does not wait for these writes.
            fs::File::open(there)?.sync_all()?;
        }
    }
    Ok(())
}

/// Fills a store in another process, which kills itself at the end, so that the store is as after a SIGKILL.
pub(crate) fn fill_store(store: &Path, messages: u32, confirmed: bool) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(store);
    let began = Instant::now();
    let mut filling = Command::new(std::env::current_exe()?);
    filling.arg("fill").arg(store).arg(messages.to_string());
    let ended = filling.args(confirmed.then_some("--confirmed")).status()?;
    ensure!(ended.code().is_none(), "the store was not filled: {ended}");
    eprintln!("  {messages} messages written in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// More requests per second than the service can accept.
const MAX_RATE: u32 = 20_000;
/// Concurrent commands while a store is filled.
const CONCURRENCY: usize = 512;
/// The cache while a store is filled.
const CACHE: u64 = 1 << 30;

/// The options of the default settings, without a limit on messages.
pub(crate) fn options(path: &Path) -> Options {
    let clock = Arc::new(Timestamp::now);
    let mut options = Options::new(path, default_policy(), clock);
    options.max_messages = u64::MAX;
    options
}

pub(crate) fn fill(path: &Path, messages: u32, confirmed: bool) -> anyhow::Result<()> {
    let mut options = options(path);
    options.cache = CACHE;
    let store = SledStore::open(options)?;
    actix_web::rt::System::new().block_on(async {
        let mut done = stream::iter(0..messages)
            .map(|number| add_message(&store, number, confirmed))
            .buffer_unordered(CONCURRENCY);
        while let Some(lived) = done.next().await {
            lived?;
        }
        anyhow::Ok(())
    })?;
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
    Ok(())
}

async fn add_message(store: &SledStore, number: u32, confirmed: bool) -> anyhow::Result<()> {
    let message = message(store, number);
    let (sid, account, seen_at) = (message.sid, message.account, message.seen_at);
    store.remember(message).await?;
    if confirmed {
        let signal = code_entered(sid, account, seen_at);
        let observed = store.observe(signal).await?;
        ensure!(observed == ObserveOutcome::Confirmed(sid), "{observed:?}");
    }
    Ok(())
}

/// A message as a status callback describes it.
pub(crate) fn message(store: &SledStore, number: u32) -> MessageUpdate {
    let now = Timestamp::now();
    let account = AccountSid::parse(ACCOUNT).expect("valid");
    let mixed = (u64::from(number) + (1 << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let sid = MessageSid::parse(&format!("SM{mixed:016x}{:016x}", mixed.rotate_left(29)));
    let to = Address::parse(&format!("+1199{number:08}")).expect("valid");
    MessageUpdate {
        recipient: Some(store.recipient_hash_key().recipient(account, &to)),
        ..sent_message(sid.expect("valid"), account, now)
    }
}
