//! A stand-in for Twilio's API: takes feedback as the real one does, stumbles once, refuses one; and creates
//! messages, for whoever tries `examples/app` on it. It sends nothing, and keeps no number and no text.
//! It can be taken away and brought back at the same address, and it can turn the account away.

#![expect(clippy::disallowed_types, reason = "the fake Twilio of the demo")]

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::commands::demo::scenario::{STUMBLES, UNWANTED};

/// One post, as the stand-in answered it.
#[derive(Debug, Clone)]
pub(super) struct FakeTwilioPost {
    pub(super) sid: String,
    pub(super) status: &'static str,
}

#[derive(Default)]
struct Seen {
    attempts: Mutex<Vec<FakeTwilioPost>>,
    /// As if the account's token had been revoked.
    turns_away: AtomicBool,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "Outcome")]
    outcome: String,
}

/// As much of "create a Message resource" as has to be answered.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateMessage {
    to: String,
    from: Option<String>,
    messaging_service_sid: Option<String>,
}

pub(super) struct FakeTwilio {
    seen: Arc<Seen>,
    /// `None` while it is down.
    handle: Option<ServerHandle>,
    pub(super) addr: SocketAddr,
}

impl FakeTwilio {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let handle = Some(listen(listener, &seen)?);
        Ok(Self { seen, handle, addr })
    }

    /// Every post so far, in order.
    pub(super) fn attempts(&self) -> Vec<FakeTwilioPost> {
        self.seen.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody listens at its address any more, and what was connected is cut off.
    pub(super) async fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop(false).await;
        }
    }

    /// It listens where it did before, and takes feedback or turns the account away.
    pub(super) fn go_on(&mut self, turns_away: bool) -> anyhow::Result<()> {
        self.seen.turns_away.store(turns_away, Ordering::Release);
        if self.handle.is_none() {
            self.handle = Some(listen(TcpListener::bind(self.addr)?, &self.seen)?);
        }
        Ok(())
    }
}

fn listen(listener: TcpListener, seen: &Arc<Seen>) -> anyhow::Result<ServerHandle> {
    let data = web::Data::from(Arc::clone(seen));
    let server = HttpServer::new(move || {
        let account = web::scope("/2010-04-01/Accounts/{account}")
            .route("/Messages.json", web::post().to(create))
            .route("/Messages/{message}/Feedback.json", web::post().to(feedback));
        App::new().app_data(data.clone()).service(account)
    })
    .workers(1)
    .disable_signals()
    .listen(listener)?
    .run();
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok(handle)
}

/// A SID that no message has had.
#[expect(clippy::disallowed_methods, reason = "the fake Twilio assigns random SIDs")]
pub(super) fn new_sid() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(format!("SM{:032x}", u128::from_be_bytes(random)))
}

/// A message, as Twilio answers that it was created.
async fn create(account: web::Path<String>, message: web::Form<CreateMessage>) -> HttpResponse {
    let Some(sid) = new_sid() else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    let uri = format!("/2010-04-01/Accounts/{account}/Messages/{sid}");
    #[expect(clippy::disallowed_methods, reason = "the demo plays at the present moment")]
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let now = jiff::fmt::rfc2822::to_string(&now).ok();
    let CreateMessage { to, from, messaging_service_sid } = message.into_inner();
    HttpResponse::Created().json(json!({
        "account_sid": account.as_str(),
        "api_version": "2010-04-01",
        "body": "",
        "date_created": now,
        "date_sent": null,
        "date_updated": now,
        "direction": "outbound-api",
        "error_code": null,
        "error_message": null,
        "from": from,
        "messaging_service_sid": messaging_service_sid,
        "num_media": "0",
        "num_segments": "1",
        "price": null,
        "price_unit": "USD",
        "sid": sid,
        "status": "queued",
        "subresource_uris": { "media": format!("{uri}/Media.json") },
        "to": to,
        "uri": format!("{uri}.json"),
    }))
}

/// The answer to accepted feedback, with all fields of Twilio's answer.
fn taken(account: &str, sid: &str) -> Value {
    #[expect(clippy::disallowed_methods, reason = "the demo plays at the present moment")]
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let now = jiff::fmt::rfc2822::to_string(&now).ok();
    json!({
        "account_sid": account,
        "date_created": now,
        "date_updated": now,
        "message_sid": sid,
        "outcome": "confirmed",
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{sid}/Feedback.json"),
    })
}

async fn feedback(
    seen: web::Data<Seen>,
    path: web::Path<(String, String)>,
    form: web::Form<Outcome>,
) -> HttpResponse {
    let (account, sid) = path.into_inner();
    let mut attempts = seen.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let first = attempts.iter().all(|attempt| attempt.sid != sid);
    let (status, answer) = if seen.turns_away.load(Ordering::Acquire) {
        let body = json!({
            "code": 20003,
            "message": "Authenticate",
            "more_info": "https://www.twilio.com/docs/errors/20003",
            "status": 401,
        });
        ("401, and the account's posts are paused", HttpResponse::Unauthorized().json(body))
    } else if sid == STUMBLES && first {
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
        ("200", HttpResponse::Ok().json(taken(&account, &sid)))
    };
    attempts.push(FakeTwilioPost { sid, status });
    answer
}
