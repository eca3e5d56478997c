//! The cost of opening: the store, sled alone with one read of every entry, and a plain read of sled's file. Each opens
//! a copy of a store whose process was killed.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum as _;
use heardback::store::sled::SledStore;
use serde::{Deserialize, Serialize};

use crate::growth::{copy_store, fill_store, options};
use crate::measurement::median;
use crate::processes::output_of;
use crate::system_stats::{cpu_time, memory};
use crate::write_cost::{Backend, CACHE, open_sled};

/// Milliseconds, and KiB: when open, and the maximum until then.
#[derive(Debug, Serialize, Deserialize)]
struct Cost {
    took: f64,
    cpu: f64,
    memory: f64,
    most: f64,
}

pub(crate) fn measure(folder: &Path, pending: u32, rounds: u32) -> anyhow::Result<()> {
    let store = folder.join("filled");
    fill_store(&store, pending, false)?;
    let mut costs = Backend::ALL.map(|_| Vec::new());
    for _ in 0..rounds {
        for (backend, costs) in Backend::ALL.into_iter().zip(&mut costs) {
            costs.push(one(backend, &store, &folder.join("opened"))?);
        }
    }
    println!(
        "\n| opening {pending} pending | ms | CPU ms | memory when open, MiB | at most until then |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (backend, costs) in Backend::ALL.into_iter().zip(costs) {
        let middle = |of: fn(&Cost) -> f64| median(costs.iter().map(of).collect());
        let (took, cpu) = (middle(|cost| cost.took), middle(|cost| cost.cpu));
        let (memory, most) = (middle(|cost| cost.memory), middle(|cost| cost.most));
        let (memory, most) = (memory / 1024.0, most / 1024.0);
        println!("| {} | {took:.0} | {cpu:.0} | {memory:.0} | {most:.0} |", backend.opening());
    }
    Ok(())
}

/// Measures in another process, on the core for servers.
fn one(backend: Backend, fill_store: &Path, copy: &Path) -> anyhow::Result<Cost> {
    copy_store(fill_store, copy)?;
    let backend = backend.to_possible_value().context("each has a name")?;
    let output = output_of(&["open", backend.get_name(), &copy.display().to_string()])?;
    Ok(serde_json::from_str(&output)?)
}

/// Opens the folder, and prints the cost.
pub(crate) fn open(backend: Backend, folder: &Path) -> anyhow::Result<()> {
    let own = [std::process::id()];
    let began = Instant::now();
    match backend {
        Backend::File => {
            let bytes = fs::read(folder.join("db"))?;
            tell(&own, began)?;
            drop(black_box(bytes));
        }
        Backend::Sled => {
            let db = open_sled(folder)?;
            for entry in db.iter() {
                black_box(entry?);
            }
            tell(&own, began)?;
        }
        Backend::Store => {
            let mut options = options(folder);
            options.cache = CACHE;
            let store = SledStore::open(options)?;
            tell(&own, began)?;
            drop(store);
        }
    }
    Ok(())
}

fn tell(own: &[u32], began: Instant) -> anyhow::Result<()> {
    let took = began.elapsed().as_secs_f64() * 1e3;
    let cpu = cpu_time(own).as_secs_f64() * 1e3;
    #[expect(clippy::cast_precision_loss, reason = "KiB")]
    let [memory, most] = <[u64; 2]>::from(memory(own)).map(|kib| kib as f64);
    println!("{}", serde_json::to_string(&Cost { took, cpu, memory, most })?);
    Ok(())
}
