//! Calls, as Twilio tells of them or the app passes them on.
//!
//! Twilio asks what to do with a call that comes in, and waits for no longer than 15 s; it hears what the
//! settings say, whatever the call proves, and whether or not the store can take it.

use std::marker::PhantomData;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::signal::call;
use crate::domain::signal::call::{Road, Wants};
use crate::domain::signal::callback::Reading;
use crate::domain::signal::fields::Spelling;
use crate::domain::signal::{Malformed, Signal};
use crate::inbound::journal::Heard;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::Refused;
use crate::inbound::signed::{Parts, Ring, Signed, Wire};
use crate::inbound::twilio::{Caller, FromApp, FromTwilio, observe};
use crate::inbound::{Receiver, wrong_method};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(spellings("/twilio/call"))
                .route(web::post().to(call::<FromTwilio>))
                .route(web::get().to(call::<FromTwilio>))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(spellings("/app/twilio/call"))
                .route(web::post().to(call::<FromApp>))
                .default_service(web::to(wrong_method)),
        );
}

struct Call<F> {
    call: call::Call,
    from: PhantomData<F>,
}

impl<F: Caller> Wire for Call<F> {
    const RING: Ring = F::RING;
    const SPELLING: Spelling = Spelling::Twilio;
    const JSON: bool = false;
    fn read(parts: &Parts<'_>, reading: &Reading<'_>) -> Result<Self, Malformed> {
        let call = call::call(parts.fields, reading, F::ROAD)?;
        Ok(Self { call, from: PhantomData })
    }
}

async fn call<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(Call { call, .. }): Signed<Call<F>>,
) -> Result<HttpResponse, Refused> {
    match (F::ROAD, call.wants) {
        (Road::Twilio, Wants::Twiml) => witness(&receiver, call.signal).await,
        (Road::App, Wants::Twiml) | (Road::Twilio | Road::App, Wants::Nothing) => {
            observe(&request, &receiver, call.signal).await?;
        }
    }
    Ok(match call.wants {
        Wants::Twiml => F::thanks(receiver.call_twiml.clone()),
        Wants::Nothing => HttpResponse::NoContent().finish(),
    })
}

/// Hands the evidence to the store. Somebody is on the line: where the store cannot take it, they would
/// hear Twilio's "application error" instead of the app's voice, for a fault that is ours. So what this
/// proved is lost, counted and logged as such, and the call goes its way; its end may still tell of it.
async fn witness(receiver: &Receiver, signal: Signal) {
    let heard = Heard::of(&signal);
    match receiver.store.observe(signal).await {
        Ok(observed) => heard.came_to(receiver, &observed),
        Err(error) => heard.is_lost(receiver, &error),
    }
}
