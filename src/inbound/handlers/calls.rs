//! Incoming calls, sent by Twilio or passed on by the app.
//!
//! Twilio requests instructions for a ringing call and gives up after 15 s. The answer is always the app's, if calls are
//! forwarded, or the configured `TwiML`, even if the store cannot write: the evidence is then deferred (`deferred.rs`).

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::forward::ForwardKind;
use crate::domain::signal::Malformed;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::forward::{serve_callback, serve_person};
use crate::inbound::handlers::messages::Caller;
use crate::inbound::handlers::observe::{observe, write};
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{RequestParts, SignedPayload};
use crate::inbound::webhook::{Forwardable, HandOff, Webhook};
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

impl Forwardable for CallSignal {
    const KIND: ForwardKind = ForwardKind::Call;
}

pub(crate) async fn call<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    call: Webhook<CallSignal, F>,
) -> Result<HttpResponse, RejectionResponse> {
    let (call, hand_off) = call.into_parts();
    if let Some(hand_off) = hand_off {
        return hand_off_call(request, receiver, hand_off, call).await;
    }
    let call = call.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
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

/// Forwards a call. Twilio waits for `TwiML` unless the webhook is a status callback.
async fn hand_off_call(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    hand_off: HandOff,
    call: Result<CallSignal, Rejection>,
) -> Result<HttpResponse, RejectionResponse> {
    match call {
        Ok(CallSignal { signal, wants: ExpectedResponse::Nothing }) => {
            let writer = receiver.clone();
            let stored = async move { write(&writer, signal).await.map(drop) };
            serve_callback(request, receiver, hand_off, stored).await
        }
        call => {
            let twiml = receiver.call_twiml.clone();
            let signal = call.map(|call| call.signal);
            serve_person(request, receiver, hand_off, signal, twiml).await
        }
    }
}
