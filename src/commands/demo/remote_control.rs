//! What a person can do to the demo that is kept: have a message confirmed, take the stand-in away, have it turn the
//! account away, bring it back. Each is one `curl` that the demo prints.
//!
//! It has a listener of its own, for the stand-in's is gone while the stand-in is. Deliberately absent: doing
//! anything itself. It hands the order to the stage and passes on the answer.

use std::net::{SocketAddr, TcpListener};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::sync::{mpsc, oneshot};

/// Orders that wait: one person types them.
const WAITING: usize = 8;

/// What may be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RemoteCommand {
    /// A code goes out and is entered.
    Message,
    /// Nobody listens where the stand-in was.
    Down,
    /// The stand-in is there, and turns the account away.
    Revoke,
    /// The stand-in takes feedback again.
    Up,
}

impl RemoteCommand {
    /// In the order in which they make a story.
    pub(super) const ALL: [Self; 4] = [Self::Message, Self::Down, Self::Revoke, Self::Up];

    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Message => "/message",
            Self::Down => "/down",
            Self::Revoke => "/revoke",
            Self::Up => "/up",
        }
    }

    /// What it does, for whoever is to try it.
    pub(super) fn tells(self) -> &'static str {
        match self {
            Self::Message => {
                "A code goes out and is entered: the message is confirmed, and reported."
            }
            Self::Down => "“Twilio” is gone. Have another message confirmed: now it waits.",
            Self::Revoke => {
                "“Twilio” is back and turns the account away: its lane is paused, an alert's cause."
            }
            Self::Up => {
                "All is well again: within a minute a probe finds out, and the queue drains."
            }
        }
    }
}

/// An order, and where its answer goes.
pub(super) type Ordered = (RemoteCommand, oneshot::Sender<String>);

pub(super) struct RemoteControl {
    pub(super) addr: SocketAddr,
    orders: mpsc::Receiver<Ordered>,
    handle: ServerHandle,
}

impl RemoteControl {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let (give, orders) = mpsc::channel::<Ordered>(WAITING);
        let server = HttpServer::new(move || {
            let mut app = App::new();
            for order in RemoteCommand::ALL {
                let give = give.clone();
                let obey = move || handle_command(order, give.clone());
                app = app.route(order.path(), web::post().to(obey));
            }
            app
        })
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { addr, orders, handle })
    }

    /// The next order. It never comes if the listener is gone.
    pub(super) async fn next(&mut self) -> Ordered {
        match self.orders.recv().await {
            Some(ordered) => ordered,
            None => std::future::pending().await,
        }
    }

    pub(super) async fn stop(self) {
        self.handle.stop(false).await;
    }
}

async fn handle_command(order: RemoteCommand, give: mpsc::Sender<Ordered>) -> HttpResponse {
    let (answer, answered) = oneshot::channel();
    if give.send((order, answer)).await.is_err() {
        return HttpResponse::ServiceUnavailable().body("The demo is ending.\n");
    }
    match answered.await {
        Ok(words) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(words),
        Err(_) => HttpResponse::ServiceUnavailable().body("The demo is ending.\n"),
    }
}
