//! The command `serve`: settings, log, service, and the signals that reload and stop it.

use std::io::{self, IsTerminal as _};
use std::net::TcpListener;
use std::process::ExitCode;

use actix_web::rt::System;
use futures_util::future::LocalBoxFuture;
use tokio::sync::oneshot;

use crate::config::{LogFormat, Settings, SettingsArgs};
use crate::serve::signals::{Signals, hangups};
use crate::serve::{Listeners, Service};
use crate::telemetry::logs;

/// Serves until a signal stops the process.
///
/// # Errors
/// The settings are invalid, or a part cannot be built or has failed.
pub fn run(args: &SettingsArgs) -> anyhow::Result<ExitCode> {
    let settings = Settings::of_process(args)?;
    let format = match settings.log.format {
        LogFormat::Pretty => logs::Format::Pretty,
        LogFormat::Auto if io::stderr().is_terminal() => logs::Format::Pretty,
        LogFormat::Auto | LogFormat::Json => logs::Format::Json,
    };
    logs::init(&settings.log.filter, format)?;
    System::new().block_on(serve(args, &settings))
}

async fn serve(args: &SettingsArgs, settings: &Settings) -> anyhow::Result<ExitCode> {
    let listeners = Listeners::bind(settings)?;
    // A large store opens slowly, and its lock may be held. Until then no client got an answer, so SIGTERM and SIGINT
    // may end the process; SIGHUP must not.
    let mut hangups = hangups()?;
    let mut service = Service::build(settings, listeners)?;
    let mut signals = Signals::listen()?;
    let mut reloader = service.take_reloader();
    let reloading = async {
        loop {
            hangups.recv().await;
            if let Some(reloader) = &mut reloader {
                reloader.reload(Settings::of_process(args));
            }
        }
    };
    let (stop_sender, stop) = oneshot::channel();
    let running = service.run(stopped(stop));
    tokio::pin!(running);
    tokio::pin!(reloading);
    tokio::select! {
        end = &mut running => return end.map(|()| ExitCode::SUCCESS),
        () = &mut reloading => {}
        signal = signals.next() => tracing::info!("stop signal {signal} received, draining; a second one ends the process at once"),
    }
    // If the service has just ended, there is no receiver.
    let _ = stop_sender.send(());
    tokio::select! {
        end = running => end.map(|()| ExitCode::SUCCESS),
        signal = signals.next() => {
            tracing::warn!("second stop signal, {signal}: ending at once; requests and posts in flight get no answer");
            std::process::exit(1);
        }
    }
}

/// Builds the service of the demo on these listeners. It runs until `stop` is sent.
///
/// # Errors
/// A part cannot be built.
pub fn launch(
    settings: &Settings,
    public: TcpListener,
    ops: TcpListener,
    stop: oneshot::Receiver<()>,
) -> anyhow::Result<LocalBoxFuture<'static, anyhow::Result<()>>> {
    let service = Service::build(settings, Listeners { public: vec![public], ops: vec![ops] })?;
    Ok(Box::pin(service.run(stopped(stop))))
}

/// Completes once `stop` is sent, or its sender is dropped.
async fn stopped(stop: oneshot::Receiver<()>) {
    let _ = stop.await;
}
