//! Twilio's callbacks about messages, sent by Twilio or passed on by the app: an inbound message, a message's status.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::forward::ForwardKind;
use crate::domain::redact::redacted;
use crate::domain::signal::{Malformed, MessageUpdate, Signal};
use crate::inbound::forward::{serve_callback, serve_person};
use crate::inbound::handlers::observe::{observe, remember};
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{AuthenticSender, FromApp, FromTwilio, RequestParts, SignedPayload};
use crate::inbound::webhook::{Forwardable, Webhook};
use crate::twilio::callback::{self, ParseContext};
use crate::twilio::fields::FieldSpelling;

/// The sender of a callback, and the answer that it expects.
pub(crate) trait Caller: AuthenticSender {
    /// Whether Twilio waits for instructions while a call rings.
    const IS_LIVE: bool;
    /// The answer to a callback that Twilio expects `TwiML` for.
    fn respond(twiml: String) -> HttpResponse;
}

/// `TwiML` that sends nothing to the user.
const EMPTY_TWIML: &str = "<Response/>";

impl Caller for FromTwilio {
    const IS_LIVE: bool = true;
    fn respond(twiml: String) -> HttpResponse {
        // Twilio would text a `text/plain` answer to the user, or read it to them.
        HttpResponse::Ok().content_type("text/xml").body(twiml)
    }
}

impl Caller for FromApp {
    const IS_LIVE: bool = false;
    fn respond(_: String) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

pub(crate) struct InboundMessage(Signal);

impl SignedPayload for InboundMessage {
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        callback::reply(&parts.fields_with_times(context), context).map(Self)
    }
}

impl Forwardable for InboundMessage {
    const KIND: ForwardKind = ForwardKind::Message;
}

pub(crate) struct StatusCallback {
    update: MessageUpdate,
    /// The `feedback` value of the callback URL, if it is neither true nor false.
    unreadable_feedback: Option<String>,
}

impl SignedPayload for StatusCallback {
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        let update = callback::status(parts.fields, parts.query, context)?;
        let unreadable_feedback = callback::unreadable_feedback(parts.query).map(redacted);
        Ok(Self { update, unreadable_feedback })
    }
}

impl Forwardable for StatusCallback {
    const KIND: ForwardKind = ForwardKind::Status;
}

pub(crate) async fn message<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    message: Webhook<InboundMessage, F>,
) -> Result<HttpResponse, RejectionResponse> {
    let (message, hand_off) = message.into_parts();
    let signal = message.map(|InboundMessage(signal)| signal);
    let empty = EMPTY_TWIML.to_owned();
    if let Some(hand_off) = hand_off {
        return serve_person(request, receiver, hand_off, signal, empty).await;
    }
    let signal = signal.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
    observe(&request, &receiver, signal).await?;
    Ok(F::respond(empty))
}

pub(crate) async fn status<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    status: Webhook<StatusCallback, F>,
) -> Result<HttpResponse, RejectionResponse> {
    let (status, hand_off) = status.into_parts();
    if let Some(hand_off) = hand_off {
        let stored = {
            let (request, receiver) = (request.clone(), receiver.clone());
            async move { store(&request, &receiver, status?).await }
        };
        return serve_callback(request, receiver, hand_off, stored).await;
    }
    let status = status.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
    let stored = store(&request, &receiver, status).await;
    stored.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
    Ok(HttpResponse::NoContent().finish())
}

async fn store(
    request: &HttpRequest,
    receiver: &Receiver,
    StatusCallback { update, unreadable_feedback }: StatusCallback,
) -> Result<(), Rejection> {
    let registered = remember(request, receiver, update).await?;
    if let Some(sends) = receiver.sends.as_ref().filter(|_| registered.new) {
        sends.note_callback(&receiver.metrics, &registered.message);
    }
    if let Some(word) = unreadable_feedback.filter(|_| registered.new) {
        let sid = registered.message.sid;
        tracing::warn!(
            message_sid = %sid,
            "{sid} is not tracked: its status callback URL says feedback={word:?}, which is neither true nor \
             false; write feedback=1"
        );
    }
    Ok(())
}
