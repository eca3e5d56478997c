//! Twilio's callbacks about messages, sent by Twilio or passed on by the app: an inbound message, a message's status.

use std::marker::PhantomData;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::redact::veiled;
use crate::domain::route::RouteSigner;
use crate::domain::signal::{Malformed, MessageUpdate, Signal};
use crate::inbound::handlers::observe::{observe, register};
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{RequestParts, RouteAuth, Signed, SignedPayload};
use crate::twilio::callback::{self, ParseContext, Relay};
use crate::twilio::fields::FieldSpelling;

/// The sender of a callback: how it signs, and which answer it expects.
pub(crate) trait Caller: 'static {
    const AUTH: RouteAuth;
    const RELAY: Relay;
    /// The answer to a callback that Twilio expects `TwiML` for.
    fn respond(twiml: String) -> HttpResponse;
}

pub(crate) enum FromTwilio {}
pub(crate) enum FromApp {}

/// `TwiML` that sends nothing to the user.
const EMPTY_TWIML: &str = "<Response/>";

impl Caller for FromTwilio {
    const AUTH: RouteAuth = RouteAuth::Signature(RouteSigner::Twilio);
    const RELAY: Relay = Relay::Twilio;
    fn respond(twiml: String) -> HttpResponse {
        // Twilio would text a `text/plain` answer to the user, or read it to them.
        HttpResponse::Ok().content_type("text/xml").body(twiml)
    }
}

impl Caller for FromApp {
    const AUTH: RouteAuth = RouteAuth::Signature(RouteSigner::App);
    const RELAY: Relay = Relay::App;
    fn respond(_: String) -> HttpResponse {
        HttpResponse::NoContent().finish()
    }
}

pub(crate) struct InboundMessage<F> {
    signal: Signal,
    from: PhantomData<F>,
}

impl<F: Caller> SignedPayload for InboundMessage<F> {
    const AUTH: RouteAuth = F::AUTH;
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        let signal = callback::reply(&parts.fields_with_times(context), context)?;
        Ok(Self { signal, from: PhantomData })
    }
}

pub(crate) struct StatusCallback<F> {
    update: MessageUpdate,
    /// The `feedback` value of the callback URL, if it is neither true nor false.
    unreadable_feedback: Option<String>,
    from: PhantomData<F>,
}

impl<F: Caller> SignedPayload for StatusCallback<F> {
    const AUTH: RouteAuth = F::AUTH;
    const SPELLING: FieldSpelling = FieldSpelling::Twilio;
    const JSON: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        let update = callback::status(parts.fields, parts.query, context)?;
        let unreadable_feedback = callback::unreadable_feedback(parts.query).map(veiled);
        Ok(Self { update, unreadable_feedback, from: PhantomData })
    }
}

pub(crate) async fn message<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    message: Signed<InboundMessage<F>>,
) -> Result<HttpResponse, RejectionResponse> {
    observe(&request, &receiver, message.into_inner().signal).await?;
    Ok(F::respond(EMPTY_TWIML.to_owned()))
}

pub(crate) async fn status<F: Caller>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    status: Signed<StatusCallback<F>>,
) -> Result<HttpResponse, RejectionResponse> {
    let StatusCallback { update, unreadable_feedback, .. } = status.into_inner();
    let registered = register(&request, &receiver, update).await?;
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
