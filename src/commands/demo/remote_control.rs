//! The commands for a demo with `--keep`, each one `curl` that the demo prints.
//!
//! It has its own listener, because the fake Twilio may be down. It passes each command to the harness, and returns the
//! response.

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::{mpsc, oneshot};

/// Commands in the queue.
const MAX_QUEUED: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RemoteCommand {
    /// Register another message, and confirm it by its code.
    Message,
    Down,
    /// Start the fake Twilio, which rejects the account.
    Revoke,
    /// Start the fake Twilio, which accepts feedback.
    Up,
}

impl RemoteCommand {
    /// In the order of the instructions.
    pub(super) const ALL: [Self; 4] = [Self::Message, Self::Down, Self::Revoke, Self::Up];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Message => "/message",
            Self::Down => "/down",
            Self::Revoke => "/revoke",
            Self::Up => "/up",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Message => "A code is sent and entered: the message is confirmed and reported.",
            Self::Down => "“Twilio” is down. Confirm another message: its post is retried later.",
            Self::Revoke => {
                "“Twilio” is up and rejects the account: its lane is paused, which causes an alert."
            }
            Self::Up => {
                "“Twilio” accepts posts: within a minute a probe succeeds, and the queue drains."
            }
        }
    }
}

/// A command, and the channel of its response.
pub(super) type PendingCommand = (RemoteCommand, oneshot::Sender<String>);

pub(super) struct RemoteControl {
    pub(super) addr: SocketAddr,
    commands: mpsc::Receiver<PendingCommand>,
    handle: ServerHandle,
}

impl RemoteControl {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (sender, commands) = mpsc::channel::<PendingCommand>(MAX_QUEUED);
        let server = HttpServer::new(move || {
            let mut app = App::new();
            for command in RemoteCommand::ALL {
                let sender = sender.clone();
                let handle = move || handle_command(command, sender.clone());
                app = app.route(command.path(), web::post().to(handle));
            }
            app
        })
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { addr, commands, handle })
    }

    /// The next command. It never completes if the listener has ended.
    pub(super) async fn next(&mut self) -> PendingCommand {
        match self.commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn stop(self) {
        self.handle.stop(false).await;
    }
}

async fn handle_command(
    command: RemoteCommand,
    sender: mpsc::Sender<PendingCommand>,
) -> HttpResponse {
    let (reply, response) = oneshot::channel();
    // If the demo ends, the reply is dropped, and so the response fails.
    let _ = sender.send((command, reply)).await;
    match response.await {
        Ok(text) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text),
        Err(_) => HttpResponse::ServiceUnavailable().body("The demo is ending.\n"),
    }
}
