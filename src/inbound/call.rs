//! Calls, as Twilio tells of them or the app passes them on.
//!
//! Twilio requests instructions for a ringing call and gives up after 15 s. The answer is the one of the settings,
//! whatever the call proves, even if the store cannot write: then its evidence is deferred (`deferred.rs`).

use std::marker::PhantomData;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::route;
use crate::domain::signal::Malformed;
use crate::domain::signal::call;
use crate::domain::signal::call::Wants;
use crate::domain::signal::callback::{Reading, Road};
use crate::domain::signal::fields::Spelling;
use crate::inbound::journal::Heard;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::Refused;
use crate::inbound::signed::{Parts, Ring, Signed, Wire};
use crate::inbound::twilio::{Caller, FromApp, FromTwilio, observe};
use crate::inbound::{Receiver, wrong_method};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(spellings(route::CALL))
                .route(web::post().to(call::<FromTwilio>))
                .route(web::get().to(call::<FromTwilio>))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(spellings(route::APP_CALL))
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
        let call = call::call(&parts.timed(reading), reading)?;
        Ok(Self { call, from: PhantomData })
    }
}

async fn call<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(Call { call, .. }): Signed<Call<F>>,
) -> Result<HttpResponse, Refused> {
    match (F::ROAD, call.wants) {
        // After a 503 the caller would get Twilio's "application error" instead of the app's voice.
        (Road::Twilio, Wants::Twiml) => {
            receiver.deferred.observe(Heard::of(&call.signal), call.signal).await;
        }
        (Road::App, Wants::Twiml) | (Road::Twilio | Road::App, Wants::Nothing) => {
            observe(&request, &receiver, call.signal).await?;
        }
    }
    Ok(match call.wants {
        Wants::Twiml => F::thanks(receiver.call_twiml.clone()),
        Wants::Nothing => HttpResponse::NoContent().finish(),
    })
}
