//! Incoming calls, sent by Twilio or passed on by the app.
//!
//! Twilio requests instructions for a ringing call and gives up after 15 s. The answer is always the configured `TwiML`,
//! even if the store cannot write: the evidence is then deferred (`deferred.rs`).

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::signal::Malformed;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::handlers::messages::Caller;
use crate::inbound::handlers::observe::observe;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{RequestParts, Signed, SignedPayload};
use crate::twilio::call;
use crate::twilio::call::{CallSignal, ExpectedResponse};
use crate::twilio::callback::ParseContext;
use crate::twilio::fields::FieldSpelling;

impl SignedPayload for CallSignal {
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        call::call(&parts.fields_with_times(context), context)
    }
}

pub(crate) async fn call<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    call: Signed<CallSignal, F>,
) -> Result<HttpResponse, RejectionResponse> {
    let call = call.into_inner();
    if F::IS_LIVE && call.wants == ExpectedResponse::Twiml {
        // After a 503 the caller would hear Twilio's "application error" instead of the app's voice.
        receiver.deferred.observe(SignalLog::of(&call.signal), call.signal).await;
    } else {
        observe(&request, &receiver, call.signal).await?;
    }
    Ok(match call.wants {
        ExpectedResponse::Twiml => F::respond(receiver.call_twiml.clone()),
        ExpectedResponse::Nothing => HttpResponse::NoContent().finish(),
    })
}
