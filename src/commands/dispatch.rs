//! Runs the commands beside `serve`: reads the settings, opens the store, and turns errors into exit codes.
//!
//! 1: failed. 2: wrong usage or settings. 3: the store is no longer at its path.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use actix_web::rt::System;
use clap::error::ErrorKind;
use futures_util::future::LocalBoxFuture;
use serde_json::to_string_pretty;

use crate::cli::operate::{HoldArgs, StoreFlag};
use crate::cli::{BackupArgs, DemoArgs, DoctorArgs, SignArgs, StoreCommand, Tool, VerifyStoreArgs};
use crate::commands::csv_import::CsvImport;
use crate::commands::hold::HoldChange;
use crate::commands::import::Import;
use crate::commands::pipe_tolerant_stdout::{Stdout, note, print};
use crate::commands::store_access::{StoreAccess, UsageError};
use crate::commands::verify_store::VerifyReport;
use crate::commands::{
    backup, check, clock, demo, doctor, export, forget, health, hold, key, list, manual, migrate,
    replay, requeue, restore, show, sign, stats, verify_database, verify_store,
};
use crate::config;
use crate::config::problems::Problems;
use crate::config::{CommandKind, KeyPlace, Settings, StoreUrl, Values, process_env, process_file};
use crate::domain::redact::redacted;
use crate::domain::size::Size;
use crate::store::sled::OpenError;
use crate::telemetry::logs;

/// The exit code of wrong usage or settings.
const USAGE: u8 = 2;

/// Installs the handlers of the signals that stop a command. The future completes with the first signal.
pub type Stop = fn() -> anyhow::Result<LocalBoxFuture<'static, ()>>;

/// Prints an error to stderr, and returns its exit code.
pub fn failure(error: &anyhow::Error) -> ExitCode {
    if error.is::<Problems>() {
        note(format_args!("{error}"));
        return ExitCode::from(USAGE);
    }
    note(format_args!("heardback: {error:#}"));
    if error.is::<UsageError>() {
        return ExitCode::from(USAGE);
    }
    error.downcast_ref::<OpenError>().map_or(ExitCode::FAILURE, |error| error.exit_code().into())
}

/// Prints the help or the error of clap, and returns the exit code. Secrets and phone numbers on the command line are not
/// shown, because stderr is often logged.
pub fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = redacted(&text);
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if shown == text || is_help || !error.use_stderr() {
        error.exit()
    }
    note(format_args!("{}", shown.trim_end_matches('\n')));
    ExitCode::from(USAGE)
}

/// Runs the demo. With `keep`, it continues until a signal stops it.
///
/// # Errors
/// The demo cannot run.
pub fn demo(args: &DemoArgs, launch: demo::Launch, stop: Stop) -> anyhow::Result<ExitCode> {
    let database = args.store.as_ref().map(|store| {
        let kind = CommandKind::Migrates;
        match Values::of_command(Some(store), kind)?.store {
            StoreUrl::Postgres(url) => anyhow::Ok(url),
            StoreUrl::Sled(_) => {
                let why =
                    "the demo has a sled store of its own; --store names a database: postgres://…";
                Err(UsageError(why.to_owned()).into())
            }
        }
    });
    let database = database.transpose()?;
    let passed = System::new().block_on(async {
        let keep = args.keep.then(stop).transpose()?;
        demo::run(launch, database.as_ref(), keep).await
    });
    Ok(exit(passed?))
}

/// Runs a command.
///
/// # Errors
/// The settings (`Problems`) or the arguments (`UsageError`) are invalid, or the command failed. `failure` distinguishes them.
pub fn run(tool: Tool, stop: Stop) -> anyhow::Result<ExitCode> {
    match tool {
        Tool::Sign(args) => run_sign(&args),
        Tool::Check(args) => {
            let settings = Settings::of_process(&args.settings)?;
            print_ok(&if args.json { check::json(&settings)? } else { check::text(&settings) })
        }
        Tool::Doctor(args) if args.watch => run_watch(&args, stop),
        Tool::Doctor(args) => run_doctor(&args),
        Tool::Health(args) => {
            let result = System::new().block_on(health::request(&args.ops_listen, args.ready));
            let is_healthy = result.is_ok();
            print(&result.unwrap_or_else(|why| why))?;
            Ok(exit(is_healthy))
        }
        Tool::Replay(args) => {
            let settings = Settings::of_process(&args.settings)?;
            let verdicts = System::new().block_on(replay::run(&settings, &args))?;
            print(&if args.json { verdicts.json()? } else { verdicts.text() })?;
            Ok(exit(verdicts.all_well()))
        }
        Tool::List(args) => {
            query(&args.common.store, async |store, out| list::run(store, &args, out).await)
        }
        Tool::Show(args) => {
            query(&args.common.store, async |store, out| show::run(store, &args, out).await)
        }
        Tool::Stats(args) => {
            query(&args.store, async |store, out| stats::run(store, args.json, out).await)
        }
        Tool::Hold(args) => run_hold(&args, HoldChange::Hold),
        Tool::Resume(args) => run_hold(&args, HoldChange::Resume),
        Tool::Clock(args) => {
            change(&args.common.store, CommandKind::Operates, async |store, out| {
                clock::run(store, &args, out).await
            })
        }
        Tool::Requeue(args) => {
            change(&args.common.store, CommandKind::Operates, async |store, out| {
                requeue::run(store, &args, out).await
            })
        }
        Tool::Export(args) => {
            export::check(&args)?;
            let settings = values(&args.store, CommandKind::Operates)?;
            let path = settings.store.folder().unwrap_or(Path::new(""));
            let (done, is_closed) =
                on_store(&settings, async |store, out| export::run(store, &args, path, out).await)?;
            anyhow::ensure!(!is_closed, "the export is incomplete: the reader of stdout closed it");
            Ok(exit(done))
        }
        Tool::Import(args) if args.csv => {
            let import = CsvImport::open(&args)?;
            change(&args.common.store, CommandKind::Judges, async |store, out| {
                import.run(store, out).await
            })
        }
        Tool::Import(args) => {
            let import = Import::open(&args)?;
            change(&args.common.store, CommandKind::Judges, async |store, out| {
                import.run(store, out).await
            })
        }
        Tool::Backup(args) => run_backup(&args),
        Tool::Forget(args) => {
            let addresses = forget::addresses(&args.addresses, &mut io::stdin().lock());
            let addresses = addresses.map_err(|error| UsageError(format!("{error:#}")))?;
            change(&args.common.store, CommandKind::Operates, async |store, out| {
                forget::run(store, addresses, args.common.json, out).await
            })
        }
        Tool::Restore(args) => run_restore(&args),
        Tool::VerifyStore(args) => run_verify_store(&args),
        Tool::Store(command) => run_store(command),
        Tool::Completions(args) => print_ok(&String::from_utf8(manual::completions(args.shell))?),
        Tool::Man(args) => match args.dir {
            None => print_ok(&String::from_utf8(manual::page()?)?),
            Some(dir) => manual::pages(&dir).map(|()| ExitCode::SUCCESS),
        },
    }
}

fn exit(is_success: bool) -> ExitCode {
    if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_ok(text: &str) -> anyhow::Result<ExitCode> {
    print(text)?;
    Ok(ExitCode::SUCCESS)
}

fn run_sign(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let place = KeyPlace { env: args.key_env.as_deref(), file: args.auth_token_file.as_deref() };
    let key = config::signing_key(&args.url, place, &process_env, &process_file)?;
    let signed = sign::run(args, &key.secret)?;
    note(format_args!("{}", key.explanation));
    print_ok(&signed)
}

fn run_doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::of_process(&args.settings)?;
    if args.files.is_empty() {
        let report = System::new().block_on(doctor::live::run_checks(&settings, args.ask_app))?;
        if args.json {
            print(&to_string_pretty(&report)?)?;
        } else {
            report.write(&mut Stdout::new(anstream::stdout()))?;
        }
        return Ok(exit(report.ok));
    }
    let diagnosed = doctor::offline::files(&settings, &args.files);
    let diagnosed = diagnosed.map_err(UsageError)?;
    print(&if args.json { to_string_pretty(&diagnosed)? } else { diagnosed.text() })?;
    Ok(exit(diagnosed.all_found()))
}

fn run_watch(args: &DoctorArgs, stop: Stop) -> anyhow::Result<ExitCode> {
    let settings = Settings::of_process(&args.settings)?;
    let all_found = System::new().block_on(async {
        doctor::watch::run(&settings, args, &mut Stdout::new(anstream::stdout()), stop()?).await
    });
    Ok(exit(all_found?))
}

fn run_hold(args: &HoldArgs, change_to: HoldChange) -> anyhow::Result<ExitCode> {
    let account = hold::account(args)?;
    change(&args.common.store, CommandKind::Operates, async |store, out| {
        hold::run(store, (account, change_to), args.common.json, out).await
    })
}

/// Commands on a store log warnings only.
fn init_logs() -> anyhow::Result<()> {
    Ok(logs::init("warn", logs::Format::Pretty)?)
}

fn run_backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    init_logs()?;
    let store = sled_folder(&args.common.store, "backup", PG_DUMP)?;
    let made = System::new().block_on(backup::make(&store, &args.dir))?;
    note(format_args!(
        "The backup is in {} ({}). It was read back and is valid.",
        made.path.display(),
        Size(made.size)
    ));
    report(&VerifyReport::of(&made.path, Ok(made.contents)), args.common.json)
}

fn run_restore(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    init_logs()?;
    let store = sled_folder(&args.common.store, "restore", PG_DUMP)?;
    let contents = restore::run(&args.dir, &store)?;
    note(format_args!("The store is restored. You can start `heardback serve`."));
    report(&VerifyReport::of(&store, Ok(contents)), args.common.json)
}

fn run_verify_store(args: &VerifyStoreArgs) -> anyhow::Result<ExitCode> {
    let settings = values(&args.common.store, CommandKind::Migrates)?;
    if let (StoreUrl::Postgres(url), None) = (&settings.store, &args.dir) {
        let settings = values(&args.common.store, CommandKind::Operates)?;
        return query_with(&settings, async |store, out| {
            verify_database::run(store, url.to_string(), args.common.json, out).await
        });
    }
    let store = settings.store.folder().unwrap_or(Path::new(""));
    let verified = verify_store::verify_path(store, args.dir.as_deref());
    init_logs()?;
    report(&System::new().block_on(verified), args.common.json)
}

/// The remedy for a command that copies a folder.
const PG_DUMP: &str = "use pg_dump, or the backups of the database's provider (docs/postgres.md)";

/// The folder of a sled store, for a command that has no other kind of store.
fn sled_folder(args: &StoreFlag, command: &str, remedy: &str) -> anyhow::Result<PathBuf> {
    let settings = values(args, CommandKind::Migrates)?;
    match settings.store {
        StoreUrl::Sled(folder) => Ok(folder),
        StoreUrl::Postgres(url) => Err(UsageError(format!(
            "`{command}` works on sled stores only, and {url} is a database; {remedy}"
        ))
        .into()),
    }
}

fn run_store(command: StoreCommand) -> anyhow::Result<ExitCode> {
    match command {
        StoreCommand::Migrate(args) => {
            init_logs()?;
            let settings = values(&args, CommandKind::Migrates)?;
            print_ok(&migrate::run(&settings)?)
        }
        StoreCommand::Key(args) => {
            let settings = values(&args, CommandKind::Operates)?;
            key::check(&settings)?;
            query_with(&settings, async |store, out| key::run(store, out).await)
        }
    }
}

fn report(report: &VerifyReport, json: bool) -> anyhow::Result<ExitCode> {
    print(&if json { to_string_pretty(report)? } else { report.text() })?;
    Ok(exit(report.ok))
}

fn values(store: &StoreFlag, kind: CommandKind) -> Result<Values, Problems> {
    Values::of_command(store.url.as_ref(), kind)
}

type Out = Stdout<BufWriter<io::Stdout>>;

fn query(
    store: &StoreFlag,
    command: impl AsyncFnOnce(&StoreAccess, &mut Out) -> anyhow::Result<bool>,
) -> anyhow::Result<ExitCode> {
    query_with(&values(store, CommandKind::Operates)?, command)
}

fn query_with(
    settings: &Values,
    command: impl AsyncFnOnce(&StoreAccess, &mut Out) -> anyhow::Result<bool>,
) -> anyhow::Result<ExitCode> {
    on_store(settings, command).map(|(done, _)| exit(done))
}

/// Runs a command that changes the store. If a part of its output was dropped, a note says so.
fn change(
    store: &StoreFlag,
    kind: CommandKind,
    command: impl AsyncFnOnce(&StoreAccess, &mut Out) -> anyhow::Result<bool>,
) -> anyhow::Result<ExitCode> {
    let (done, is_closed) = on_store(&values(store, kind)?, command)?;
    if is_closed {
        note(format_args!(
            "heardback: stdout was closed by its reader; the command ended, and a part of its output was dropped"
        ));
    }
    Ok(exit(done))
}

/// Runs a command on its store. Returns whether all of it succeeded, and whether the reader of stdout closed it.
fn on_store(
    settings: &Values,
    command: impl AsyncFnOnce(&StoreAccess, &mut Out) -> anyhow::Result<bool>,
) -> anyhow::Result<(bool, bool)> {
    init_logs()?;
    System::new().block_on(async {
        let store = StoreAccess::begin(settings)?;
        let mut out = Stdout::new(BufWriter::new(io::stdout()));
        let done = command(&store, &mut out).await;
        store.end().await;
        let done = done?;
        out.flush()?;
        Ok((done, out.is_closed()))
    })
}
