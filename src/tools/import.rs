//! `import`: what another store exported is taken over, record by record, where it is not there yet.
//!
//! A file is read to its end before anything is written. stdin cannot be: what came before something is wrong
//! with it is taken over, and that is said.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek as _, Write};

use anyhow::{Context, bail};
use serde_json::json;

use crate::admin::AdminRequest;
use crate::admin::transfer::Identity;
use crate::cli::operate::ImportArgs;
use crate::store::{Adopted, Record};
use crate::tools::ledger::{Head, Lines};
use crate::tools::progress;
use crate::tools::progress::Bar;
use crate::tools::reach::{Reach, Wrong};
use crate::tools::stdio::note;

/// Records that are taken over at a time: they share a sync.
const AT_ONCE: usize = 100;

/// What was asked for.
pub(super) struct Asked {
    from: From,
    json: bool,
}

enum From {
    /// It can be read twice.
    File(File),
    /// It is read as it comes.
    Stream(Box<dyn BufRead>),
}

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// [`Wrong`], if there is no such file.
    pub(super) fn read(args: &ImportArgs) -> Result<Self, Wrong> {
        let from = if args.file.as_os_str() == "-" {
            From::Stream(Box::new(BufReader::new(std::io::stdin())))
        } else {
            let wrong = |error| Wrong(format!("cannot read {}: {error}", args.file.display()));
            let file = File::open(&args.file).map_err(wrong)?;
            if file.metadata().map_err(wrong)?.is_file() {
                From::File(file)
            } else {
                From::Stream(Box::new(BufReader::new(file)))
            }
        };
        Ok(Self { from, json: args.json })
    }
}

/// Takes it over, and says what was new.
///
/// # Errors
/// It is not all there, or was not taken.
pub(super) async fn run(reach: &Reach, asked: Asked, out: &mut impl Write) -> anyhow::Result<bool> {
    let identity: Identity = reach.ask(AdminRequest::Identify).await?;
    let (lines, total) = match asked.from {
        From::File(mut file) => {
            let total = looked_through(&file, &identity).context("nothing was imported")?;
            file.rewind()?;
            let from: Box<dyn BufRead> = Box::new(BufReader::new(file));
            (Lines::begin(from)?, Some(total))
        }
        From::Stream(from) => {
            let lines = Lines::begin(from).context("nothing was imported")?;
            fits(lines.head(), &identity).context("nothing was imported")?;
            (lines, None)
        }
    };
    let mut taking = Taking {
        reach,
        persons: identity.persons,
        adopted: Adopted::default(),
        waiting: Vec::new(),
        bar: progress::bar(total, "records imported:"),
    };
    let taken = taking.all(lines).await;
    let Taking { adopted, bar, .. } = taking;
    bar.done();
    if asked.json {
        let Adopted { added, advanced, known, differs, confirmed: _, holds } = &adopted;
        let told = json!({
            "added": added, "advanced": advanced, "known": known, "differs": differs,
            "holds": holds, "complete": taken.is_ok(),
        });
        writeln!(out, "{told}")?;
    } else {
        tell(&adopted, out)?;
    }
    out.flush()?;
    taken.context("not all of it was imported; what was stays, so it can be run again")?;
    if adopted.differs > 0 {
        note(format_args!(
            "{} records are of another account or recipient, or lead elsewhere, than those of the same \
             name that are here; these stay as they are. `heardback show` says what is here",
            adopted.differs
        ));
    }
    Ok(adopted.differs == 0)
}

/// For people.
fn tell(adopted: &Adopted, out: &mut impl Write) -> std::io::Result<()> {
    let Adopted { added, advanced, known, differs, confirmed: _, holds } = adopted;
    write!(out, "imported {added} records")?;
    if *advanced > 0 {
        write!(out, "; {advanced} are brought forward, of which more was known there")?;
    }
    write!(out, "; {known} were known already")?;
    if *differs > 0 {
        write!(out, "; {differs} contradict what is here")?;
    }
    writeln!(out)?;
    for account in holds {
        writeln!(
            out,
            "account {account} is on hold now, as it was there: `heardback resume {account}` ends that"
        )?;
    }
    Ok(())
}

/// How many records are in it, if it is whole.
fn looked_through(file: &File, identity: &Identity) -> anyhow::Result<u64> {
    let mut lines = Lines::begin(BufReader::new(file))?;
    fits(lines.head(), identity)?;
    let bar = progress::bar(None, "records read:");
    while lines.next()?.is_some() {
        bar.add(1);
    }
    bar.done();
    Ok(lines.tally().total())
}

/// Persons that were hashed with another key could not be found here, nor forgotten.
fn fits(head: &Head, identity: &Identity) -> anyhow::Result<()> {
    if head.persons == identity.persons {
        return Ok(());
    }
    let here = if identity.is_empty {
        "This store is empty: stop its service, start it once with the HEARDBACK_PHONE_KEY of the source, and \
         import again."
    } else {
        "This store holds records of its own, which could not be found any more with another key: import into a \
         new store, whose service has the HEARDBACK_PHONE_KEY of the source."
    };
    bail!(
        "the persons in it are hashed with another key than this store's. {here} If the source has no \
         HEARDBACK_PHONE_KEY, its key is in its store alone: move that with `heardback backup` and \
         `heardback restore` instead"
    )
}

struct Taking<'a> {
    reach: &'a Reach,
    persons: String,
    adopted: Adopted,
    waiting: Vec<Record>,
    bar: Bar,
}

impl Taking<'_> {
    /// Whatever comes to an early end, what was read before it is taken over.
    async fn all(&mut self, mut lines: Lines<Box<dyn BufRead>>) -> anyhow::Result<()> {
        loop {
            match lines.next() {
                Ok(Some(record)) => {
                    self.waiting.push(record);
                    if self.waiting.len() == AT_ONCE {
                        self.take().await?;
                    }
                }
                Ok(None) => return self.take().await,
                Err(flaw) => {
                    self.take().await?;
                    return Err(flaw);
                }
            }
        }
    }

    async fn take(&mut self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let records = std::mem::take(&mut self.waiting);
        let many = records.len() as u64;
        let request = AdminRequest::Import { persons: self.persons.clone(), records };
        let adopted: Adopted = self.reach.ask(request).await?;
        self.adopted += adopted;
        self.bar.add(many);
        Ok(())
    }
}
