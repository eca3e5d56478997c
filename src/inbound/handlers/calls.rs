//! Incoming calls, sent by Twilio or passed on by the app.
//!
//! Twilio requests instructions for a ringing call and gives up after 15 s. The answer is always the configured `TwiML`,
//! even if the store cannot write: the evidence is then deferred (`deferred.rs`).

use std::marker::PhantomData;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::signal::Malformed;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::handlers::messages::Caller;
use crate::inbound::handlers::observe::observe;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{RequestParts, RouteAuth, Signed, SignedPayload};
use crate::twilio::call;
use crate::twilio::call::ExpectedResponse;
use crate::twilio::callback::{ParseContext, Relay};
use crate::twilio::fields::FieldSpelling;

pub(crate) struct CallRequest<F> {
    call: call::CallSignal,
    from: PhantomData<F>,
}

impl<F: Caller> SignedPayload for CallRequest<F> {
    const AUTH: RouteAuth = F::AUTH;
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        let call = call::call(&parts.fields_with_times(context), context)?;
        Ok(Self { call, from: PhantomData })
    }
}

pub(crate) async fn call<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    call: Signed<CallRequest<F>>,
) -> Result<HttpResponse, RejectionResponse> {
    let call = call.into_inner().call;
    match (F::RELAY, call.wants) {
        // After a 503 the caller would hear Twilio's "application error" instead of the app's voice.
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
