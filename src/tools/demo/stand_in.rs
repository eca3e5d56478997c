//! A stand-in for Twilio's Feedback API: takes what the real one takes, stumbles once, refuses one.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;
use serde_json::json;

use crate::tools::demo::story::{STUMBLES, UNWANTED};

/// One post, as the stand-in answered it.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) sid: String,
    pub(super) status: &'static str,
}

#[derive(Default)]
struct Seen(Mutex<Vec<Attempt>>);

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "Outcome")]
    outcome: String,
}

pub(super) struct StandIn {
    seen: Arc<Seen>,
    handle: ServerHandle,
    pub(super) addr: SocketAddr,
}

impl StandIn {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let data = web::Data::from(Arc::clone(&seen));
        let server = HttpServer::new(move || {
            let path = "/2010-04-01/Accounts/{account}/Messages/{message}/Feedback.json";
            App::new().app_data(data.clone()).route(path, web::post().to(feedback))
        })
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Ok(Self { seen, handle, addr })
    }

    /// Every post so far, in order.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.seen.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn stop(&self) {
        self.handle.stop(false).await;
    }
}

async fn feedback(
    seen: web::Data<Seen>,
    path: web::Path<(String, String)>,
    form: web::Form<Outcome>,
) -> HttpResponse {
    let (account, sid) = path.into_inner();
    let mut attempts = seen.0.lock().unwrap_or_else(PoisonError::into_inner);
    let first = attempts.iter().all(|attempt| attempt.sid != sid);
    let (status, answer) = if sid == STUMBLES && first {
        ("503, and it is tried again", HttpResponse::ServiceUnavailable().finish())
    } else if sid == UNWANTED || form.outcome != "confirmed" {
        let body = json!({
            "code": 20001,
            "message": "Feedback was not asked for when this message was created",
            "more_info": "https://www.twilio.com/docs/errors/20001",
            "status": 400,
        });
        ("400, and it is kept as refused", HttpResponse::BadRequest().json(body))
    } else {
        let body = json!({ "account_sid": account, "message_sid": sid, "outcome": "confirmed" });
        ("200", HttpResponse::Ok().json(body))
    };
    attempts.push(Attempt { sid, status });
    answer
}
