//! `advisories DATABASE DENY.TOML CARGO.LOCK…`: which crates have a known hole, or nobody who cares for
//! them? For a machine without a network; whoever has one runs `cargo deny check advisories`.
//!
//! Exceptions are those of `deny.toml`, reasons included, and one that is not needed any more is a
//! failure like the rest. A database ages, so its newest advisory's date is the first thing it says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rustsec::advisory::{Id, Informational};
use rustsec::report::Settings;
use rustsec::{Database, Lockfile, Report};

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [database, deny, lockfiles @ ..] = arguments.as_slice() else {
        bail!("usage: advisories DATABASE DENY.TOML CARGO.LOCK…");
    };
    if lockfiles.is_empty() {
        bail!("usage: advisories DATABASE DENY.TOML CARGO.LOCK…: no Cargo.lock given");
    }
    let database = Database::open(database)
        .with_context(|| format!("no advisory database in {}", database.display()))?;
    let newest = database.iter().map(|advisory| advisory.metadata.date.clone()).max();
    let newest = newest.context("the database holds no advisory")?;
    println!("{} advisories, the newest of {}", database.iter().count(), newest.as_str());
    // By itself the library is silent about what is no hole.
    let informational_warnings =
        vec![Informational::Notice, Informational::Unmaintained, Informational::Unsound];
    let settings = Settings { informational_warnings, ..Settings::default() };
    let exceptions = exceptions(deny)?;
    let mut unused: BTreeMap<&Id, &String> = exceptions.iter().collect();
    let mut found = 0;
    for path in lockfiles {
        let lockfile = Lockfile::load(path).with_context(|| path.display().to_string())?;
        println!("{}: {} packages", path.display(), lockfile.packages.len());
        let report = Report::generate(&database, &lockfile, &settings);
        let holes = report.vulnerabilities.list.iter();
        let holes = holes.map(|hole| (&hole.advisory, &hole.package, "VULNERABLE".to_owned()));
        let warnings = report.warnings.iter().flat_map(|(kind, warnings)| {
            warnings
                .iter()
                .map(move |w| (w.advisory.as_ref(), &w.package, kind.as_str().to_owned()))
        });
        let warnings = warnings.filter_map(|(about, package, kind)| Some((about?, package, kind)));
        for (about, package, kind) in holes.chain(warnings) {
            let what = format!("{} {}: {} {}", package.name, package.version, kind, about.id);
            if let Some(reason) = exceptions.get(&about.id) {
                println!("  {what}, excepted: {reason}");
                unused.remove(&about.id);
            } else {
                println!("  {what}: {}", about.title);
                found += 1;
            }
        }
    }
    for (id, reason) in &unused {
        println!("{id} is excepted in {} ({reason}), and nothing needs that", deny.display());
    }
    if found == 0 && unused.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{found} found that no exception names; see https://rustsec.org/advisories/");
    Ok(ExitCode::FAILURE)
}

/// What `deny.toml` lets pass, with the reason for each.
fn exceptions(deny: &Path) -> anyhow::Result<BTreeMap<Id, String>> {
    let text = std::fs::read_to_string(deny).with_context(|| deny.display().to_string())?;
    let table: toml::Table = text.parse().with_context(|| deny.display().to_string())?;
    let listed = table.get("advisories").and_then(|section| section.get("ignore"));
    let mut exceptions = BTreeMap::new();
    for one in listed.and_then(toml::Value::as_array).into_iter().flatten() {
        let word = |name| one.get(name).and_then(toml::Value::as_str);
        let (Some(id), Some(reason)) = (word("id"), word("reason")) else {
            bail!("{}: an exception needs id and reason: {one}", deny.display());
        };
        exceptions.insert(id.parse()?, reason.to_owned());
    }
    Ok(exceptions)
}
