//! The operator's commands, carried out on the store wherever that is: read what was asked for before anything
//! is opened, find the store, write what comes of it.

use std::io::{BufWriter, ErrorKind, Stdout, Write};

use crate::cli::StoreArgs;
use crate::cli::operate::Operate;
use crate::config::{Env, Judgement, ReadFile, VisitSettings};
use crate::tools::hold::Turn;
use crate::tools::reach::{Reach, Wrong};
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
            around.on(&args.store, async |reach, out| export::run(reach, &asked, out).await)
        }
        Operate::Import(args) if args.csv => {
            let asked = past::Asked::read(&args, env, read)?;
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
    /// A command that changes nothing: whoever has read enough of it (`| head`) has got what they asked for.
    fn look(
        &self,
        store: &StoreArgs,
        command: impl AsyncFnOnce(&Reach, &mut Told) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        match self.by(store, Reach::begin, command) {
            Err(error) if error.is::<Unread>() => Ok(true),
            done => done,
        }
    }

    fn on(
        &self,
        store: &StoreArgs,
        command: impl AsyncFnOnce(&Reach, &mut Told) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        self.by(store, Reach::begin, command)
    }

    fn by(
        &self,
        store: &StoreArgs,
        begin: impl FnOnce(&VisitSettings) -> anyhow::Result<Reach>,
        command: impl AsyncFnOnce(&Reach, &mut Told) -> anyhow::Result<bool>,
    ) -> anyhow::Result<bool> {
        let settings = VisitSettings::gather(store, self.env, self.read);
        let settings = settings.map_err(|problems| Wrong(problems.to_string()))?;
        actix_web::rt::System::new().block_on(async {
            let reach = begin(&settings)?;
            let mut out = Told { out: BufWriter::new(std::io::stdout()), is_unread: false };
            let done = command(&reach, &mut out).await;
            reach.end().await;
            let done = done?;
            out.flush()?;
            if out.is_unread { Err(Unread.into()) } else { Ok(done) }
        })
    }
}

/// What is told of it was not read to its end.
#[derive(Debug, thiserror::Error)]
#[error("whoever read stdout went away; all was done, and not all of it was told")]
struct Unread;

/// Stdout. When nobody reads it any more, what a command does goes on: half of it would be worse.
struct Told {
    out: BufWriter<Stdout>,
    is_unread: bool,
}

impl Told {
    fn or_unread<T>(&mut self, done: std::io::Result<T>, instead: T) -> std::io::Result<T> {
        match done {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_unread = true;
                Ok(instead)
            }
            done => done,
        }
    }
}

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.is_unread {
            return Ok(bytes.len());
        }
        let done = self.out.write(bytes);
        self.or_unread(done, bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.is_unread {
            return Ok(());
        }
        let done = self.out.flush();
        self.or_unread(done, ())
    }
}
