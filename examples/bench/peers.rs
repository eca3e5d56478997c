//! The load kit's servers: ceilings, and what people write today. The kit starts and checks them its own
//! way (`drive.py`); here they only get our traffic.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::service::{Process, SERVER, free_port, listens};

/// One of them, running.
pub(crate) struct Peer {
    pub(crate) port: u16,
    pub(crate) processes: Vec<Process>,
}

pub(crate) fn start(kit: &Path, name: &str, folder: &Path, log: &Path) -> anyhow::Result<Peer> {
    let kit = kit.canonicalize().with_context(|| format!("no load kit in {}", kit.display()))?;
    let data = folder.join("peer");
    std::fs::create_dir_all(&data)?;
    let data = data.canonicalize()?.display().to_string();
    let port = free_port()?;
    let at = port.to_string();
    let rust = |mode: &str| -> Vec<String> {
        vec![text(&kit.join("rs/target/release/server")), mode.to_owned(), at.clone(), data.clone()]
    };
    let node = |mode: &str| -> Vec<String> {
        let script = text(&kit.join("node/server.js"));
        vec!["node".to_owned(), script, mode.to_owned(), at.clone(), data.clone()]
    };
    let words = match name {
        "actix-bare" => rust("bare"),
        "actix-verify" => rust("verify"),
        "actix-durable" => rust("durable"),
        "actix-durable-local" => rust("durable-local"),
        "express" | "express-sqlite" => node(name),
        _ => bail!("{name} is not known; see examples/bench/peers.rs"),
    };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let settings = [("WORKERS", "1"), ("NODE_ENV", "production")];
    let mut process = Process::start(SERVER, &words, &settings, log)?;
    listens(&mut process, port)?;
    Ok(Peer { port, processes: vec![process] })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
