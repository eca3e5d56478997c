//! The commands beside `serve`: each reads its settings, runs, and prints its result. An error becomes an exit code:
//! 1 failed, 2 wrong usage or settings, 3 the store is no longer at its path.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use actix_web::rt::System;
use clap::error::ErrorKind;

use crate::cli::operate::Operate;
use crate::cli::{
    BackupArgs, CheckArgs, DoctorArgs, ForgetArgs, HealthArgs, ReplayArgs, RestoreArgs, SignArgs,
    StoreArgs, Tool, VerifyStoreArgs,
};
use crate::commands::demo;
use crate::commands::hold::Turn;
use crate::commands::pipe_tolerant_stdout::{Stdout, note, print};
use crate::commands::sign::{SignOutput, SignRequest};
use crate::commands::store_access::{StoreAccess, UsageError};
use crate::commands::verify_store::VerifyReport;
use crate::commands::{
    backup, check, clock, doctor, export, forget, health, hold, import, list, manual,
};
use crate::commands::{csv_import, replay, requeue, restore, show, sign, stats, verify_store};
use crate::config::problems::Problems;
use crate::config::{self, CommandKind, KeyPlace, Settings, SettingsArgs, StoreUrl, Values};
use crate::config::{process_env, process_file};
use crate::domain::redact::veiled;
use crate::domain::size::Size;
use crate::store::sled::OpenError;
use crate::telemetry::logs;

/// Wrong usage or settings.
const WRONG: u8 = 2;

/// The exit code of an error, which is noted on stderr.
#[must_use]
pub fn failure(error: &anyhow::Error) -> ExitCode {
    if error.is::<Problems>() {
        note(format_args!("{error}"));
        return ExitCode::from(WRONG);
    }
    note(format_args!("heardback: {error:#}"));
    if error.is::<UsageError>() {
        return ExitCode::from(WRONG);
    }
    error.downcast_ref::<OpenError>().map_or(ExitCode::FAILURE, |error| error.exit_code().into())
}

/// The exit code of a command line that cannot be parsed, or asks for help. A secret or a number on it is not shown,
/// because standard error often goes into a log.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = veiled(&text);
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if shown == text || is_help || !error.use_stderr() {
        error.exit()
    }
    note(format_args!("{}", shown.trim_end_matches('\n')));
    ExitCode::from(WRONG)
}

/// Runs the demo. With `keep` it stays up until the process is stopped.
///
/// # Errors
/// The demo cannot be run.
pub fn demo<R, S>(
    keep: bool,
    launch: impl demo::Launch<R>,
    stop: impl FnOnce() -> anyhow::Result<S>,
) -> anyhow::Result<ExitCode>
where
    R: Future<Output = anyhow::Result<()>> + 'static,
    S: Future<Output = ()>,
{
    let passed = System::new().block_on(async {
        let keep = keep.then(stop).transpose()?;
        demo::run(launch, keep).await
    });
    Ok(exit(passed?))
}

/// Runs a command. `stop` begins to listen for the signals that end a watch.
///
/// # Errors
/// [`Problems`] and [`UsageError`], for [`failure`]; or the command failed.
pub fn run<S>(tool: Tool, stop: impl FnOnce() -> anyhow::Result<S>) -> anyhow::Result<ExitCode>
where
    S: Future<Output = ()>,
{
    match tool {
        Tool::Sign(args) => run_sign(&args),
        Tool::Check(args) => run_check(&args),
        Tool::Doctor(args) if args.watch => run_watch(&args, stop),
        Tool::Doctor(args) => run_doctor(&args),
        Tool::Health(args) => run_health(&args),
        Tool::Replay(args) => run_replay(&args),
        Tool::Operate(command) => operate(command).map(exit),
        Tool::Backup(args) => run_backup(&args),
        Tool::Forget(args) => run_forget(&args).map(exit),
        Tool::Restore(args) => run_restore(&args),
        Tool::VerifyStore(args) => run_verify_store(&args),
        Tool::Completions(args) => print_ok(&String::from_utf8(manual::completions(args.shell))?),
        Tool::Man(args) => match args.dir {
            None => print_ok(&String::from_utf8(manual::page()?)?),
            Some(dir) => manual::pages(&dir).map(|()| ExitCode::SUCCESS),
        },
    }
}

fn exit(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_ok(text: &str) -> anyhow::Result<ExitCode> {
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn settings(args: &SettingsArgs) -> Result<Settings, Problems> {
    Settings::of_process(args)
}

fn run_sign(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let place = KeyPlace { env: args.key_env.as_deref(), file: args.auth_token_file.as_deref() };
    let key = config::signing_key(&args.url, place, &process_env, &process_file)?;
    let mut form = Vec::with_capacity(args.form.len());
    for (number, field) in (1..).zip(&args.form) {
        // Not shown: it may be a number or a text.
        let field = field
            .split_once('=')
            .ok_or_else(|| UsageError(format!("--form, the {number}. one: expected NAME=VALUE")))?;
        form.push((field.0.to_owned(), field.1.to_owned()));
    }
    let json = match args.json.as_deref().map(|text| (text, text.strip_prefix('@'))) {
        Some((_, Some(path))) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("cannot read --json @{path}: {error}"))?,
        ),
        Some((text, None)) => Some(text.to_owned()),
        None => None,
    };
    let output = if args.curl { SignOutput::Curl } else { SignOutput::Signature };
    let url = args.url.clone();
    let request = SignRequest { url, method: None, form, json, key: key.secret, output };
    let signed = sign::run(&request)?;
    note(format_args!("{}", key.explanation));
    print_ok(&signed)
}

fn run_check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(&args.settings)?;
    print_ok(&if args.json { check::json(&settings)? } else { check::text(&settings) })
}

fn run_doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(&args.settings)?;
    if args.files.is_empty() {
        let report = System::new().block_on(doctor::live::run_checks(&settings))?;
        if args.json {
            print(&report.json()?)?;
        } else {
            report.write(&mut Stdout::new(anstream::stdout()))?;
        }
        return Ok(exit(report.ok));
    }
    let diagnosed = doctor::offline::files(&settings, &args.files);
    let diagnosed = diagnosed.map_err(UsageError)?;
    print(&if args.json { diagnosed.json()? } else { diagnosed.text() })?;
    Ok(exit(diagnosed.all_found()))
}

fn run_watch<S: Future<Output = ()>>(
    args: &DoctorArgs,
    stop: impl FnOnce() -> anyhow::Result<S>,
) -> anyhow::Result<ExitCode> {
    let settings = settings(&args.settings)?;
    let all_found = System::new().block_on(async {
        doctor::watch::run(&settings, args, &mut Stdout::new(anstream::stdout()), stop()?).await
    });
    Ok(exit(all_found?))
}

fn run_health(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let listen = config::ops_listen(args.ops_listen.as_deref())?;
    let answer = System::new().block_on(health::request(&listen, args.ready));
    let is_well = answer.is_ok();
    print(&answer.unwrap_or_else(|why| why))?;
    Ok(exit(is_well))
}

fn run_replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(&args.settings)?;
    let verdicts = System::new().block_on(replay::run(&settings, args))?;
    print(&if args.json { verdicts.json()? } else { verdicts.text() })?;
    Ok(exit(verdicts.all_well()))
}

/// The store's folder. Commands on a store log warnings only.
fn folder(args: &StoreArgs) -> anyhow::Result<PathBuf> {
    logs::init("warn", logs::Format::Pretty)?;
    let StoreUrl::Sled(path) = config::store(args.store.as_deref())?;
    Ok(path)
}

fn run_backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let store = folder(&args.store)?;
    let made = System::new().block_on(backup::make(&store, &args.dir))?;
    note(format_args!(
        "The whole store is in {} ({}), read back and found sound.",
        made.path.display(),
        Size(made.size)
    ));
    report(&VerifyReport::of(&made.path, Ok(made.contents)), args.json)
}

fn run_restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let store = folder(&args.store)?;
    let contents = restore::run(&args.dir, &store)?;
    note(format_args!("Restored; `heardback serve` can have it."));
    report(&VerifyReport::of(&store, Ok(contents)), args.json)
}

fn run_verify_store(args: &VerifyStoreArgs) -> anyhow::Result<ExitCode> {
    let store = folder(&args.store)?;
    let look = verify_store::verify_path(&store, args.dir.as_deref());
    report(&System::new().block_on(look), args.json)
}

fn report(report: &VerifyReport, json: bool) -> anyhow::Result<ExitCode> {
    print(&if json { report.json()? } else { report.text() })?;
    Ok(exit(report.ok))
}

fn run_forget(args: &ForgetArgs) -> anyhow::Result<bool> {
    logs::init("warn", logs::Format::Pretty)?;
    let settings = command_settings(&args.store, CommandKind::Operates)?;
    let addresses = forget::addresses(&args.addresses, &mut io::stdin().lock());
    let addresses = addresses.map_err(|wrong| UsageError(format!("{wrong:#}")))?;
    let json = args.json;
    change(&settings, async |reach, out| forget::run(reach, addresses, json, out).await)
}

fn operate(command: Operate) -> anyhow::Result<bool> {
    logs::init("warn", logs::Format::Pretty)?;
    let settings =
        |args: &StoreArgs| command_settings(args, CommandKind::Operates).map_err(UsageError::from);
    match command {
        Operate::List(args) => {
            look(&settings(&args.store)?, async |reach, out| list::run(reach, &args, out).await)
        }
        Operate::Show(args) => {
            look(&settings(&args.store)?, async |reach, out| show::run(reach, &args, out).await)
        }
        Operate::Stats(args) => {
            look(&settings(&args.store)?, async |reach, out| stats::run(reach, &args, out).await)
        }
        Operate::Pause(args) => {
            let asked = (hold::account(&args)?, Turn::Pause);
            let run = async |reach: &StoreAccess, out: &mut Out| {
                hold::run(reach, asked, args.json, out).await
            };
            change(&settings(&args.store)?, run)
        }
        Operate::Resume(args) => {
            let asked = (hold::account(&args)?, Turn::Resume);
            let run = async |reach: &StoreAccess, out: &mut Out| {
                hold::run(reach, asked, args.json, out).await
            };
            change(&settings(&args.store)?, run)
        }
        Operate::Clock(args) => {
            change(&settings(&args.store)?, async |reach, out| clock::run(reach, &args, out).await)
        }
        Operate::Requeue(args) => change(&settings(&args.store)?, async |reach, out| {
            requeue::run(reach, &args, out).await
        }),
        Operate::Export(args) => {
            export::check(&args)?;
            let settings = settings(&args.store)?;
            let StoreUrl::Sled(store) = &settings.store;
            let (done, is_closed) = on_store(&settings, async |reach, out| {
                export::run(reach, &args, store, out).await
            })?;
            anyhow::ensure!(!is_closed, "the export is not whole: stdout was closed by its reader");
            Ok(done)
        }
        Operate::Import(args) if args.csv => {
            let asked = csv_import::CsvImportOptions::read(&args, &process_env, &process_file)?;
            let settings = command_settings(&args.store, CommandKind::Judges);
            let settings = settings.map_err(UsageError::from)?;
            change(&settings, async |reach, out| csv_import::run(reach, asked, out).await)
        }
        Operate::Import(args) => {
            let asked = import::ImportOptions::read(&args)?;
            change(&settings(&args.store)?, async |reach, out| import::run(reach, asked, out).await)
        }
    }
}

fn command_settings(args: &StoreArgs, kind: CommandKind) -> Result<Values, Problems> {
    Values::of_command(args.store.as_deref(), kind, &process_env, &process_file)
}

type Out = Stdout<BufWriter<io::Stdout>>;

/// Runs a command that changes nothing.
fn look(
    settings: &Values,
    command: impl AsyncFnOnce(&StoreAccess, &mut Out) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    on_store(settings, command).map(|(done, _)| done)
}

/// Runs a command that changes the store. If a part of its output was dropped, a note says so.
fn change(
    settings: &Values,
    command: impl AsyncFnOnce(&StoreAccess, &mut Out) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let (done, is_closed) = on_store(settings, command)?;
    if is_closed {
        note(format_args!(
            "heardback: stdout was closed by its reader; the command was carried out, and a part of its \
             output was dropped"
        ));
    }
    Ok(done)
}

/// Runs a command on its store. Returns whether it succeeded fully, and whether the reader of stdout closed it.
fn on_store(
    settings: &Values,
    command: impl AsyncFnOnce(&StoreAccess, &mut Out) -> anyhow::Result<bool>,
) -> anyhow::Result<(bool, bool)> {
    System::new().block_on(async {
        let reach = StoreAccess::begin(settings)?;
        let mut out = Stdout::new(BufWriter::new(io::stdout()));
        let done = command(&reach, &mut out).await;
        reach.end().await;
        let done = done?;
        out.flush()?;
        Ok((done, out.is_closed()))
    })
}
