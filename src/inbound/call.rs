//! Calls, as Twilio tells of them or the app passes them on.
//!
//! Twilio requests instructions for a ringing call and gives up after 15 s. The answer is the one of the settings,
//! whatever the call proves, even if the store cannot write: then its evidence is deferred (`deferred.rs`).

use std::marker::PhantomData;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::route;
use crate::domain::signal::Malformed;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::LocalizedRejection;
use crate::inbound::signed::{RequestParts, Signed, SignedPayload, Signer};
use crate::inbound::twilio::{Caller, FromApp, FromTwilio, observe};
use crate::inbound::{Receiver, wrong_method};
use crate::twilio::call;
use crate::twilio::call::ExpectedResponse;
use crate::twilio::callback::{ParseContext, Relay};
use crate::twilio::fields::FieldSpelling;

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

struct CallRequest<F> {
    call: call::CallSignal,
    from: PhantomData<F>,
}

impl<F: Caller> SignedPayload for CallRequest<F> {
    const RING: Signer = F::RING;
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        let call = call::call(&parts.timed(reading), reading)?;
        Ok(Self { call, from: PhantomData })
    }
}

async fn call<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(CallRequest { call, .. }): Signed<CallRequest<F>>,
) -> Result<HttpResponse, LocalizedRejection> {
    match (F::ROAD, call.wants) {
        // After a 503 the caller would get Twilio's "application error" instead of the app's voice.
        (Relay::Twilio, ExpectedResponse::Twiml) => {
            receiver.deferred.observe(SignalLog::of(&call.signal), call.signal).await;
        }
        (Relay::App, ExpectedResponse::Twiml)
        | (Relay::Twilio | Relay::App, ExpectedResponse::Nothing) => {
            observe(&request, &receiver, call.signal).await?;
        }
    }
    Ok(match call.wants {
        ExpectedResponse::Twiml => F::respond(receiver.call_twiml.clone()),
        ExpectedResponse::Nothing => HttpResponse::NoContent().finish(),
    })
}
