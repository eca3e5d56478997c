//! A fake of Twilio's API. It accepts feedback, but fails the first post of one message, and refuses another message.
//!
//! It can stop, start again at the same address, and reject the account. For `examples/app`, it creates messages; it sends
//! none, and keeps no number and no text.

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

use crate::commands::demo::scenario::{FAILS_ONCE, REFUSED, SENT_REFERENCE, SENT_THROUGH};

/// One post, with the status of its response.
#[derive(Debug, Clone)]
pub(super) struct FakeTwilioPost {
    pub(super) sid: String,
    pub(super) status: &'static str,
}

#[derive(Default)]
struct FakeTwilioState {
    attempts: Mutex<Vec<FakeTwilioPost>>,
    /// Whether it responds as if the account's token were revoked.
    rejects_account: AtomicBool,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "Outcome")]
    outcome: String,
}

/// The fields of "create a Message resource" that the response repeats.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateMessage {
    to: String,
    from: Option<String>,
    messaging_service_sid: Option<String>,
    status_callback: Option<String>,
}

pub(super) struct FakeTwilio {
    state: Arc<FakeTwilioState>,
    /// `None` while it is down.
    handle: Option<ServerHandle>,
    addr: SocketAddr,
}

impl FakeTwilio {
    pub(super) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let state = Arc::new(FakeTwilioState::default());
        let handle = Some(listen(listener, &state)?);
        Ok(Self { state, handle, addr })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn attempts(&self) -> Vec<FakeTwilioPost> {
        self.state.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop(false).await;
        }
    }

    pub(super) fn resume(&mut self, rejects_account: bool) -> anyhow::Result<()> {
        self.state.rejects_account.store(rejects_account, Ordering::Release);
        if self.handle.is_none() {
            self.handle = Some(listen(TcpListener::bind(self.addr)?, &self.state)?);
        }
        Ok(())
    }
}

fn listen(listener: TcpListener, state: &Arc<FakeTwilioState>) -> anyhow::Result<ServerHandle> {
    let data = web::Data::from(Arc::clone(state));
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

/// A random SID. `None` if there is no randomness.
#[expect(clippy::disallowed_methods, reason = "the fake Twilio assigns random SIDs")]
pub(super) fn new_sid() -> Option<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(format!("SM{:032x}", u128::from_be_bytes(random)))
}

/// The present time, as Twilio writes it.
fn now() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the demo runs at the present time")]
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&now).ok()
}

async fn create(account: web::Path<String>, message: web::Form<CreateMessage>) -> HttpResponse {
    let CreateMessage { to, from, messaging_service_sid, status_callback } = message.into_inner();
    let is_known = status_callback.is_some_and(|url| url.contains(SENT_REFERENCE));
    let Some(sid) = (if is_known { Some(SENT_THROUGH.to_owned()) } else { new_sid() }) else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    let uri = format!("/2010-04-01/Accounts/{account}/Messages/{sid}");
    let now = now();
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

/// The response to accepted feedback, with all fields of Twilio's response.
fn accepted(account: &str, sid: &str) -> Value {
    let now = now();
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
    state: web::Data<FakeTwilioState>,
    path: web::Path<(String, String)>,
    form: web::Form<Outcome>,
) -> HttpResponse {
    let (account, sid) = path.into_inner();
    let mut attempts = state.attempts.lock().unwrap_or_else(PoisonError::into_inner);
    let first = attempts.iter().all(|attempt| attempt.sid != sid);
    let (status, response) = if state.rejects_account.load(Ordering::Acquire) {
        let body = json!({
            "code": 20003,
            "message": "Authenticate",
            "more_info": "https://www.twilio.com/docs/errors/20003",
            "status": 401,
        });
        ("401, the account's posts are paused", HttpResponse::Unauthorized().json(body))
    } else if sid == FAILS_ONCE && first {
        ("503, the post is retried", HttpResponse::ServiceUnavailable().finish())
    } else if sid == REFUSED || form.outcome != "confirmed" {
        let body = json!({
            "code": 20001,
            "message": "Feedback was not requested when this message was created",
            "more_info": "https://www.twilio.com/docs/errors/20001",
            "status": 400,
        });
        ("400, the message is refused", HttpResponse::BadRequest().json(body))
    } else {
        ("200", HttpResponse::Ok().json(accepted(&account, &sid)))
    };
    attempts.push(FakeTwilioPost { sid, status });
    response
}
