//! Twilio's callbacks about messages, sent by Twilio or passed on by the app: an inbound message, a message's status.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::redact::veiled;
use crate::domain::signal::{Malformed, MessageUpdate, Signal};
use crate::inbound::handlers::observe::{observe, register};
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{
    AuthenticSender, FromApp, FromTwilio, RequestParts, Signed, SignedPayload,
};
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
        let unreadable_feedback = callback::unreadable_feedback(parts.query).map(veiled);
        Ok(Self { update, unreadable_feedback })
    }
}

pub(crate) async fn message<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    message: Signed<InboundMessage, F>,
) -> Result<HttpResponse, RejectionResponse> {
    observe(&request, &receiver, message.into_inner().0).await?;
    Ok(F::respond(EMPTY_TWIML.to_owned()))
}

pub(crate) async fn status<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    status: Signed<StatusCallback, F>,
) -> Result<HttpResponse, RejectionResponse> {
    let StatusCallback { update, unreadable_feedback } = status.into_inner();
    let registered = register(&request, &receiver, update).await?;
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
    Ok(HttpResponse::NoContent().finish())
}
