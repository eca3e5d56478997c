//! Start: parse the command line, dispatch, turn the outcome into an exit code.
//!
//! 0 done, 1 failed, 2 wrong usage or settings, 3 the store is not at its path any more. Results go to stdout, talk to stderr.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use heardback::cli::operate::Operate;
use heardback::cli::settings::SettingsArgs;
use heardback::cli::{
    BackupArgs, CheckArgs, Cli, Command, CompletionsArgs, DemoArgs, DoctorArgs, ForgetArgs,
    HealthArgs, ManArgs, ReplayArgs, RestoreArgs, SignArgs, StoreArgs, VerifyStoreArgs,
};
use heardback::config::problems::Problems;
use heardback::config::{self, LogFormat, Settings, StoreUrl, VisitSettings};
use heardback::domain::size::Size;
use heardback::domain::veil::veiled;
use heardback::serve::signals::{Hangups, Signals};
use heardback::serve::{Listeners, Service, core_dump};
use heardback::store::sled::OpenError;
use heardback::telemetry::logs;
use heardback::tools::reach::Wrong;
use heardback::tools::sign::{Output, SignRequest};
use heardback::tools::stdio::{self, Stdout, note};
use heardback::tools::verify_store::Report;
use heardback::tools::{
    backup, check, demo, doctor, forget, health, manual, operate, replay, restore, sign,
    verify_store,
};
use tokio::sync::oneshot;

/// Wrong usage or settings.
const WRONG: u8 = 2;

fn main() -> ExitCode {
    if let Err(error) = core_dump::disable() {
        note(format_args!(
            "heardback: a crash may write secrets to a core dump, since its limit cannot be set: {error}"
        ));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told(&error),
    };
    let done = match cli.command {
        Command::Serve(args) => serve(&args),
        Command::Demo(args) => run_demo(&args),
        Command::Sign(args) => run_sign(&args),
        Command::Check(args) => run_check(&args),
        Command::Doctor(args) => run_doctor(&args),
        Command::Backup(args) => run_backup(&args),
        Command::Forget(args) => run_forget(&args),
        Command::Health(args) => run_health(&args),
        Command::Replay(args) => run_replay(&args),
        Command::Operate(command) => run_operate(command),
        Command::Restore(args) => run_restore(&args),
        Command::VerifyStore(args) => run_verify_store(&args),
        Command::Completions(args) => run_completions(&args),
        Command::Man(args) => run_man(&args),
    };
    done.unwrap_or_else(|error| {
        note(format_args!("heardback: {error:#}"));
        if error.is::<Wrong>() {
            return ExitCode::from(WRONG);
        }
        error
            .downcast_ref::<OpenError>()
            .map_or(ExitCode::FAILURE, |error| error.exit_code().into())
    })
}

/// What is wrong with the command line (or the help that was asked for), but not a secret or a number that
/// somebody put there: standard error often goes into a log.
fn told(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    let shown = veiled(&text);
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if shown == text || is_help || !error.use_stderr() {
        error.exit()
    }
    note(format_args!("{}", shown.trim_end_matches('\n')));
    ExitCode::from(WRONG)
}

fn read_settings(args: &SettingsArgs) -> Result<Settings, Problems> {
    Settings::of_process(args)
}

/// The settings, or every problem with them on stderr.
fn gather(args: &SettingsArgs) -> Result<Settings, ExitCode> {
    read_settings(args).map_err(|problems| {
        note(format_args!("{problems}"));
        ExitCode::from(WRONG)
    })
}

fn serve(args: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let settings = match gather(args) {
        Ok(settings) => settings,
        Err(wrong) => return Ok(wrong),
    };
    let format = match settings.log.format {
        LogFormat::Auto => logs::Format::for_stderr(),
        LogFormat::Pretty => logs::Format::Pretty,
        LogFormat::Json => logs::Format::Json,
    };
    logs::init(&settings.log.filter, format)?;
    actix_web::rt::System::new().block_on(async {
        let listeners = Listeners::bind(&settings)?;
        // Opening a large store, or waiting for its lock, takes a while. Until then nobody was answered,
        // and a signal to stop may end the process as it always does; one to read again must not.
        let mut hangups = Hangups::listen()?;
        let mut service = Service::build(&settings, listeners)?;
        let mut signals = Signals::listen()?;
        let mut reloader = service.take_reloader();
        let reloading = async {
            loop {
                hangups.next().await;
                if let Some(reloader) = &mut reloader {
                    reloader.reload(read_settings(args));
                }
            }
        };
        let (told, stop) = oneshot::channel();
        let running = service.run(async move {
            // Whoever could tell is gone: that is a stop as well.
            let _ = stop.await;
        });
        tokio::pin!(running);
        tokio::pin!(reloading);
        tokio::select! {
            end = &mut running => return end.map(|()| ExitCode::SUCCESS),
            () = &mut reloading => {}
            signal = signals.next() => tracing::info!(signal, "told to stop; once more ends at once"),
        }
        // It may have ended in this very moment.
        let _ = told.send(());
        tokio::select! {
            end = running => end.map(|()| ExitCode::SUCCESS),
            signal = signals.next() => {
                tracing::warn!(signal, "told to stop again; ending at once");
                std::process::exit(1);
            }
        }
    })
}

fn run_demo(args: &DemoArgs) -> anyhow::Result<ExitCode> {
    let passed = actix_web::rt::System::new().block_on(async {
        let launch = |settings: &Settings, public, ops, stop: oneshot::Receiver<()>| {
            let service =
                Service::build(settings, Listeners { public: vec![public], ops: vec![ops] })?;
            Ok(service.run(async move {
                // Whoever could tell is gone: that is a stop as well.
                let _ = stop.await;
            }))
        };
        let keep = if args.keep {
            let mut signals = Signals::listen()?;
            Some(async move {
                signals.next().await;
            })
        } else {
            None
        };
        demo::run(launch, keep).await
    })?;
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_sign(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let secret =
        config::signing_key(args, &config::process_env, &|path| std::fs::read_to_string(path));
    let key = match secret {
        Ok(key) => key,
        Err(problems) => {
            note(format_args!("{problems}"));
            return Ok(ExitCode::from(WRONG));
        }
    };
    let mut form = Vec::with_capacity(args.form.len());
    for (number, field) in (1..).zip(&args.form) {
        let Some((name, value)) = field.split_once('=') else {
            // Not shown: it may be a number or a text.
            note(format_args!("--form, the {number}. one: expected NAME=VALUE"));
            return Ok(ExitCode::from(WRONG));
        };
        form.push((name.to_owned(), value.to_owned()));
    }
    let json = match args.json.as_deref().map(|text| (text, text.strip_prefix('@'))) {
        Some((_, Some(path))) => Some(
            std::fs::read_to_string(path)
                .map_err(|error| anyhow::anyhow!("cannot read --json @{path}: {error}"))?,
        ),
        Some((text, None)) => Some(text.to_owned()),
        None => None,
    };
    let output = if args.curl { Output::Curl } else { Output::Signature };
    let url = args.url.clone();
    let request = SignRequest { url, method: None, form, json, key: key.secret, output };
    let signed = sign::run(&request)?;
    note(format_args!("{}", key.explanation));
    print(&signed)
}

fn run_check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let settings = match gather(&args.settings) {
        Ok(settings) => settings,
        Err(wrong) => return Ok(wrong),
    };
    print(&if args.json { check::json(&settings)? } else { check::text(&settings) })
}

fn run_doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let settings = match gather(&args.settings) {
        Ok(settings) => settings,
        Err(wrong) => return Ok(wrong),
    };
    if args.watch {
        return watch_refused(&settings, args);
    }
    if args.files.is_empty() {
        let look = doctor::live::look(&settings);
        let report = actix_web::rt::System::new().block_on(look)?;
        if args.json {
            print(&report.json()?)?;
        } else {
            report.write(&mut Stdout::new(anstream::stdout()))?;
        }
        return Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let diagnosed = match doctor::offline::files(&settings, &args.files) {
        Ok(diagnosed) => diagnosed,
        Err(unreadable) => {
            note(format_args!("{unreadable}"));
            return Ok(ExitCode::from(WRONG));
        }
    };
    print(&if args.json { diagnosed.json()? } else { diagnosed.text() })?;
    Ok(if diagnosed.all_found() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn watch_refused(settings: &Settings, args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let asked = doctor::watch::Asked::read(args)?;
    let all_found = actix_web::rt::System::new().block_on(async {
        let mut signals = Signals::listen()?;
        let stop = async move {
            signals.next().await;
        };
        doctor::watch::run(settings, &asked, &mut Stdout::new(anstream::stdout()), stop).await
    })?;
    Ok(if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_health(args: &HealthArgs) -> anyhow::Result<ExitCode> {
    let listen = match config::ops_listen(args) {
        Ok(listen) => listen,
        Err(problems) => {
            note(format_args!("{problems}"));
            return Ok(ExitCode::from(WRONG));
        }
    };
    let asked = health::ask(&listen, args.ready);
    let (code, says) = match actix_web::rt::System::new().block_on(asked) {
        Ok(says) => (ExitCode::SUCCESS, says),
        Err(says) => (ExitCode::FAILURE, says),
    };
    print(&says)?;
    Ok(code)
}

fn run_replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let settings = match gather(&args.settings) {
        Ok(settings) => settings,
        Err(wrong) => return Ok(wrong),
    };
    let verdicts = actix_web::rt::System::new().block_on(replay::run(&settings, args))?;
    print(&if args.json { verdicts.json()? } else { verdicts.text() })?;
    Ok(if verdicts.all_well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The store's folder, or what is wrong with how it is written on stderr.
fn folder(args: &StoreArgs) -> Result<PathBuf, ExitCode> {
    let store = config::store(args).map_err(|problems| {
        note(format_args!("{problems}"));
        ExitCode::from(WRONG)
    });
    store.map(|StoreUrl::Sled(path)| path)
}

fn run_backup(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    logs::init("warn", logs::Format::Pretty)?;
    let store = match folder(&args.store) {
        Ok(store) => store,
        Err(wrong) => return Ok(wrong),
    };
    let made = actix_web::rt::System::new().block_on(backup::make(&store, &args.dir))?;
    let size = Size(made.size);
    note(format_args!(
        "The whole store is in {} ({size}), read back and found sound.",
        made.path.display()
    ));
    report(&Report::of(&made.path, Ok(made.contents)), args.json)
}

fn run_forget(args: &ForgetArgs) -> anyhow::Result<ExitCode> {
    logs::init("warn", logs::Format::Pretty)?;
    let read = |path: &std::path::Path| std::fs::read_to_string(path);
    let settings = match VisitSettings::gather(&args.store, &config::process_env, &read) {
        Ok(settings) => settings,
        Err(problems) => {
            note(format_args!("{problems}"));
            return Ok(ExitCode::from(WRONG));
        }
    };
    let whom = match forget::whom(&args.addresses, &mut std::io::stdin().lock()) {
        Ok(whom) => whom,
        Err(wrong) => {
            note(format_args!("heardback: {wrong:#}"));
            return Ok(ExitCode::from(WRONG));
        }
    };
    let done = actix_web::rt::System::new().block_on(forget::run(&settings, whom))?;
    print(&if args.json { forget::json(&done)? } else { forget::text(&done) })
}

fn run_operate(command: Operate) -> anyhow::Result<ExitCode> {
    logs::init("warn", logs::Format::Pretty)?;
    let env = &config::process_env;
    let well = operate::run(command, env, &|path| std::fs::read_to_string(path))?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_restore(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    logs::init("warn", logs::Format::Pretty)?;
    let store = match folder(&args.store) {
        Ok(store) => store,
        Err(wrong) => return Ok(wrong),
    };
    let contents = restore::run(&args.dir, &store)?;
    note(format_args!("Restored; `heardback serve` can have it."));
    report(&Report::of(&store, Ok(contents)), args.json)
}

fn run_verify_store(args: &VerifyStoreArgs) -> anyhow::Result<ExitCode> {
    logs::init("warn", logs::Format::Pretty)?;
    let store = match folder(&args.store) {
        Ok(store) => store,
        Err(wrong) => return Ok(wrong),
    };
    let look = verify_store::look(&store, args.dir.as_deref());
    report(&actix_web::rt::System::new().block_on(look), args.json)
}

fn report(report: &Report, json: bool) -> anyhow::Result<ExitCode> {
    print(&if json { report.json()? } else { report.text() })?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_completions(args: &CompletionsArgs) -> anyhow::Result<ExitCode> {
    print(&String::from_utf8(manual::completions(args.shell))?)
}

fn run_man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    match &args.dir {
        None => print(&String::from_utf8(manual::page()?)?),
        Some(dir) => manual::pages(dir).map(|()| ExitCode::SUCCESS),
    }
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    stdio::print(text)?;
    Ok(ExitCode::SUCCESS)
}
