//! The operator's commands, carried out on the store wherever that is: read what was asked for before anything
//! is opened, find the store, write what comes of it.

use std::io::{self, BufWriter, Write};

use crate::cli::StoreArgs;
use crate::cli::operate::Operate;
use crate::config::{Env, Judgement, ReadFile, VisitSettings};
use crate::tools::hold::Turn;
use crate::tools::reach::{Reach, Wrong};
use crate::tools::stdio::{Stdout, note};
use crate::tools::{clock, export, hold, import, list, past, requeue, show, stats};

/// The environment, and files.
struct Around<'a> {
    env: Env<'a>,
    read: ReadFile<'a>,
}

/// Carries one out. Whether all went as asked.
///
/// # Errors
/// [`Wrong`], or it failed.
pub fn run(command: Operate, env: Env<'_>, read: ReadFile<'_>) -> anyhow::Result<bool> {
    let around = Around { env, read };
    match command {
        Operate::List(args) => {
            let asked = list::Asked::read(&args)?;
            around.look(&args.store, async |reach, out| list::run(reach, &asked, out).await)
        }
        Operate::Show(args) => {
            let asked = show::Asked::read(&args)?;
            around.look(&args.store, async |reach, out| show::run(reach, &asked, out).await)
        }
        Operate::Stats(args) => {
            around.look(&args.store, async |reach, out| stats::run(reach, &args, out).await)
        }
        Operate::Pause(args) => {
            let asked = hold::Asked::read(&args, Turn::Pause)?;
            around.on(&args.store, async |reach, out| hold::run(reach, &asked, out).await)
        }
        Operate::Resume(args) => {
            let asked = hold::Asked::read(&args, Turn::Resume)?;
            around.on(&args.store, async |reach, out| hold::run(reach, &asked, out).await)
        }
        Operate::Clock(args) => {
            around.on(&args.store, async |reach, out| clock::run(reach, &args, out).await)
        }
        Operate::Requeue(args) => {
            let asked = requeue::Asked::read(&args)?;
            around.on(&args.store, async |reach, out| requeue::run(reach, &asked, out).await)
        }
        Operate::Export(args) => {
            let asked = export::Asked::read(&args)?;
            let export = async |reach: &Reach, out: &mut Out| export::run(reach, &asked, out).await;
            let (done, is_closed) = around.by(&args.store, Reach::begin, export)?;
            anyhow::ensure!(!is_closed, "the export is not whole: stdout was closed by its reader");
            Ok(done)
        }
        Operate::Import(args) if args.csv => {
            let asked = past::Asked::read(&args, env, read)?;
            let judgement = Judgement::gather(env, read);
            let judgement = judgement.map_err(|problems| Wrong(problems.to_string()))?;
            let begin = |settings: &VisitSettings| Reach::judging(settings, &judgement);
            let import = async |reach: &Reach, out: &mut Out| past::run(reach, asked, out).await;
            around.by(&args.store, begin, import).map(finished)
        }
        Operate::Import(args) => {
            let asked = import::Asked::read(&args)?;
            around.on(&args.store, async |reach, out| import::run(reach, asked, out).await)
        }
    }
}

impl Around<'_> {
    /// A command that changes nothing.
    fn look(
        &self,
        store: &StoreArgs,
        command: impl AsyncFnOnce(&Reach, &mut Out) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let (done, _) = self.by(store, Reach::begin, command)?;
        Ok(done)
    }

    fn on(
        &self,
        store: &StoreArgs,
        command: impl AsyncFnOnce(&Reach, &mut Out) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        self.by(store, Reach::begin, command).map(finished)
    }

    /// Runs a command. Returns whether it succeeded fully, and whether the reader of stdout closed it.
    fn by(
        &self,
        store: &StoreArgs,
        begin: impl FnOnce(&VisitSettings) -> anyhow::Result<Reach>,
        command: impl AsyncFnOnce(&Reach, &mut Out) -> anyhow::Result<bool>,
    ) -> anyhow::Result<(bool, bool)> {
        let settings = VisitSettings::gather(store, self.env, self.read);
        let settings = settings.map_err(|problems| Wrong(problems.to_string()))?;
        actix_web::rt::System::new().block_on(async {
            let reach = begin(&settings)?;
            let mut out = Stdout::new(BufWriter::new(io::stdout()));
            let done = command(&reach, &mut out).await;
            reach.end().await;
            let done = done?;
            out.flush()?;
            Ok((done, out.is_closed()))
        })
    }
}

type Out = Stdout<BufWriter<io::Stdout>>;

/// The result of a command that changes something. Notes on stderr that a part of the output was dropped.
fn finished((done, is_closed): (bool, bool)) -> bool {
    if is_closed {
        note(format_args!(
            "heardback: stdout was closed by its reader; the command was carried out, and a part of its \
             output was dropped"
        ));
    }
    done
}
