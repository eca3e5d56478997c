//! Twilio's callbacks about messages, from Twilio itself or passed on by the app; and how whatever was
//! read is handed to the store.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::matching::{ObserveOutcome, RegisterOutcome};
use crate::domain::redact::veiled;
use crate::domain::route;
use crate::domain::signal::{Malformed, MessageUpdate, Signal};
use crate::inbound::decision_log;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::LocalizedRejection;
use crate::inbound::signed::{RequestParts, Signed, SignedPayload, Signer};
use crate::inbound::{Receiver, wrong_method};
use crate::twilio::callback::{self, ParseContext, Relay};
use crate::twilio::fields::FieldSpelling;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(spellings(route::MESSAGE))
                .route(web::post().to(message::<FromTwilio>))
                .route(web::get().to(message::<FromTwilio>))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(spellings(route::STATUS))
                .route(web::post().to(status::<FromTwilio>))
                .route(web::get().to(status::<FromTwilio>))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(spellings(route::APP_MESSAGE))
                .route(web::post().to(message::<FromApp>))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(spellings(route::APP_STATUS))
                .route(web::post().to(status::<FromApp>))
                .default_service(web::to(wrong_method)),
        );
}

/// Who hands in a callback: what it is signed with, and what they want to hear.
pub(super) trait Caller: 'static {
    const RING: Signer;
    const ROAD: Relay;
    /// What the caller hears after what Twilio wants to have answered, with that in `TwiML`.
    fn respond(twiml: String) -> HttpResponse;
}

pub(super) enum FromTwilio {}
pub(super) enum FromApp {}

/// Empty `TwiML`: answer the person nothing.
const NOTHING: &str = "<Response/>";

impl Caller for FromTwilio {
    const RING: Signer = Signer::Account;
    const ROAD: Relay = Relay::Twilio;
    fn respond(twiml: String) -> HttpResponse {
        // `text/plain` would be texted to the person, or read to them.
        HttpResponse::Ok().content_type("text/xml").body(twiml)
    }
}

impl Caller for FromApp {
    const RING: Signer = Signer::App;
    const ROAD: Relay = Relay::App;
    fn respond(_: String) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

struct Reply<F> {
    signal: Signal,
    from: std::marker::PhantomData<F>,
}

impl<F: Caller> SignedPayload for Reply<F> {
    const RING: Signer = F::RING;
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        let signal = callback::reply(&parts.timed(reading), reading)?;
        Ok(Self { signal, from: std::marker::PhantomData })
    }
}

struct StatusCallback<F> {
    sighting: MessageUpdate,
    /// The `feedback` value of the callback URL, if it is neither true nor false.
    unreadable_feedback: Option<String>,
    from: std::marker::PhantomData<F>,
}

impl<F: Caller> SignedPayload for StatusCallback<F> {
    const RING: Signer = F::RING;
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        let sighting = callback::status(parts.fields, parts.query, reading)?;
        let unreadable_feedback = callback::unreadable_feedback(parts.query).map(veiled);
        Ok(Self { sighting, unreadable_feedback, from: std::marker::PhantomData })
    }
}

async fn message<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(reply): Signed<Reply<F>>,
) -> Result<HttpResponse, LocalizedRejection> {
    observe(&request, &receiver, reply.signal).await?;
    Ok(F::respond(NOTHING.to_owned()))
}

async fn status<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(status): Signed<StatusCallback<F>>,
) -> Result<HttpResponse, LocalizedRejection> {
    let remembered = remember(&request, &receiver, status.sighting).await?;
    if let Some(word) = status.unreadable_feedback.filter(|_| remembered.new) {
        let sid = remembered.message.sid;
        tracing::warn!(
            message_sid = %sid,
            "{sid} is not tracked: its status callback URL says feedback={word:?}, which is neither true nor \
             false; write feedback=1"
        );
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Hands a signal to the store, counts and logs what it came to.
pub(super) async fn observe(
    request: &HttpRequest,
    receiver: &Receiver,
    signal: Signal,
) -> Result<ObserveOutcome, LocalizedRejection> {
    let heard = SignalLog::of(&signal);
    let observed = receiver
        .store
        .observe(signal)
        .await
        .map_err(|error| LocalizedRejection::of(request, error))?;
    heard.outcome(&receiver.metrics, &observed);
    Ok(observed)
}

/// Hands a sighting to the store, counts and logs what it came to.
pub(super) async fn remember(
    request: &HttpRequest,
    receiver: &Receiver,
    sighting: MessageUpdate,
) -> Result<RegisterOutcome, LocalizedRejection> {
    let remembered = receiver
        .store
        .remember(sighting)
        .await
        .map_err(|error| LocalizedRejection::of(request, error))?;
    decision_log::remembered(receiver, request, &remembered);
    Ok(remembered)
}
