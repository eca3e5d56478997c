//! Twilio's callbacks about messages, from Twilio itself or passed on by the app; and how whatever was
//! read is handed to the store.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::matching::{Observed, Remembered};
use crate::domain::route;
use crate::domain::signal::callback::{self, Reading, Road};
use crate::domain::signal::fields::Spelling;
use crate::domain::signal::{Malformed, Sighting, Signal};
use crate::domain::veil::veiled;
use crate::inbound::journal;
use crate::inbound::journal::Heard;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::Refused;
use crate::inbound::signed::{Parts, Ring, Signed, Wire};
use crate::inbound::{Receiver, wrong_method};

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
    const RING: Ring;
    const ROAD: Road;
    /// What the caller hears after what Twilio wants to have answered, with that in `TwiML`.
    fn thanks(twiml: String) -> HttpResponse;
}

pub(super) enum FromTwilio {}
pub(super) enum FromApp {}

/// Empty `TwiML`: answer the person nothing.
const NOTHING: &str = "<Response/>";

impl Caller for FromTwilio {
    const RING: Ring = Ring::Account;
    const ROAD: Road = Road::Twilio;
    fn thanks(twiml: String) -> HttpResponse {
        // `text/plain` would be texted to the person, or read to them.
        HttpResponse::Ok().content_type("text/xml").body(twiml)
    }
}

impl Caller for FromApp {
    const RING: Ring = Ring::App;
    const ROAD: Road = Road::App;
    fn thanks(_: String) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

struct Reply<F> {
    signal: Signal,
    from: std::marker::PhantomData<F>,
}

impl<F: Caller> Wire for Reply<F> {
    const RING: Ring = F::RING;
    const SPELLING: Spelling = Spelling::Twilio;
    const JSON: bool = false;
    fn read(parts: &Parts<'_>, reading: &Reading<'_>) -> Result<Self, Malformed> {
        let signal = callback::reply(&parts.timed(reading), reading)?;
        Ok(Self { signal, from: std::marker::PhantomData })
    }
}

struct Status<F> {
    sighting: Sighting,
    /// The `feedback` value of the callback URL, if it is neither true nor false.
    unreadable_feedback: Option<String>,
    from: std::marker::PhantomData<F>,
}

impl<F: Caller> Wire for Status<F> {
    const RING: Ring = F::RING;
    const SPELLING: Spelling = Spelling::Twilio;
    const JSON: bool = false;
    fn read(parts: &Parts<'_>, reading: &Reading<'_>) -> Result<Self, Malformed> {
        let sighting = callback::status(parts.fields, parts.query, reading)?;
        let unreadable_feedback = callback::unreadable_feedback(parts.query).map(veiled);
        Ok(Self { sighting, unreadable_feedback, from: std::marker::PhantomData })
    }
}

async fn message<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(reply): Signed<Reply<F>>,
) -> Result<HttpResponse, Refused> {
    observe(&request, &receiver, reply.signal).await?;
    Ok(F::thanks(NOTHING.to_owned()))
}

async fn status<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(status): Signed<Status<F>>,
) -> Result<HttpResponse, Refused> {
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
) -> Result<Observed, Refused> {
    let heard = Heard::of(&signal);
    let observed =
        receiver.store.observe(signal).await.map_err(|error| Refused::of(request, error))?;
    heard.came_to(&receiver.metrics, &observed);
    Ok(observed)
}

/// Hands a sighting to the store, counts and logs what it came to.
pub(super) async fn remember(
    request: &HttpRequest,
    receiver: &Receiver,
    sighting: Sighting,
) -> Result<Remembered, Refused> {
    let remembered =
        receiver.store.remember(sighting).await.map_err(|error| Refused::of(request, error))?;
    journal::remembered(receiver, request, &remembered);
    Ok(remembered)
}
