//! The operator's commands, carried out on the store wherever that is: read what was asked for before anything
//! is opened, find the store, write what comes of it.

use std::io::{BufWriter, ErrorKind, Stdout, Write};

use crate::cli::StoreArgs;
use crate::cli::operate::Operate;
use crate::config::{Env, Judgement, ReadFile, VisitSettings};
use crate::tools::hold::Turn;
use crate::tools::reach::{Reach, Wrong};
use crate::tools::{export, hold, import, list, past, requeue, show, stats};

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
            around.on(&args.store, async |reach, out| list::run(reach, &asked, out).await)
        }
        Operate::Show(args) => {
            let asked = show::Asked::read(&args)?;
            around.on(&args.store, async |reach, out| show::run(reach, &asked, out).await)
        }
        Operate::Stats(args) => {
            around.on(&args.store, async |reach, out| stats::run(reach, &args, out).await)
        }
        Operate::Pause(args) => {
            let asked = hold::Asked::read(&args, Turn::Pause)?;
            around.on(&args.store, async |reach, out| hold::run(reach, &asked, out).await)
        }
        Operate::Resume(args) => {
            let asked = hold::Asked::read(&args, Turn::Resume)?;
            around.on(&args.store, async |reach, out| hold::run(reach, &asked, out).await)
        }
        Operate::Requeue(args) => {
            let asked = requeue::Asked::read(&args)?;
            around.on(&args.store, async |reach, out| requeue::run(reach, &asked, out).await)
        }
        Operate::Export(args) => {
            let asked = export::Asked::read(&args)?;
            around.on(&args.store, async |reach, out| export::run(reach, &asked, out).await)
        }
        Operate::Import(args) if args.csv => {
            let asked = past::Asked::read(&args, env)?;
            let judgement = Judgement::gather(env, read);
            let judgement = judgement.map_err(|problems| Wrong(problems.to_string()))?;
            let begin = |settings: &VisitSettings| Reach::judging(settings, &judgement);
            around.by(&args.store, begin, async |reach, out| past::run(reach, asked, out).await)
        }
        Operate::Import(args) => {
            let asked = import::Asked::read(&args)?;
            around.on(&args.store, async |reach, out| import::run(reach, asked, out).await)
        }
    }
}

impl Around<'_> {
    fn on(
        &self,
        store: &StoreArgs,
        command: impl AsyncFnOnce(&Reach, &mut BufWriter<Stdout>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        self.by(store, Reach::begin, command)
    }

    fn by(
        &self,
        store: &StoreArgs,
        begin: impl FnOnce(&VisitSettings) -> anyhow::Result<Reach>,
        command: impl AsyncFnOnce(&Reach, &mut BufWriter<Stdout>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let settings = VisitSettings::gather(store, self.env, self.read);
        let settings = settings.map_err(|problems| Wrong(problems.to_string()))?;
        let done = actix_web::rt::System::new().block_on(async {
            let reach = begin(&settings)?;
            let mut out = BufWriter::new(std::io::stdout());
            let done = command(&reach, &mut out).await;
            reach.end().await;
            let done = done?;
            out.flush()?;
            Ok(done)
        });
        match done {
            Err(error) if is_unread(&error) => Ok(true),
            done => done,
        }
    }
}

/// Whether whoever read what is written has gone away (`| head`), which is no failure.
fn is_unread(error: &anyhow::Error) -> bool {
    let broken = |kind| kind == ErrorKind::BrokenPipe;
    let written = |error: &std::io::Error| broken(error.kind());
    let json = |error: &serde_json::Error| error.io_error_kind().is_some_and(broken);
    error.downcast_ref().is_some_and(written) || error.downcast_ref().is_some_and(json)
}
