//! The app's own routes: register a message, look one up, report evidence.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::click_link::request::LinkRequest;
use crate::domain::message::view::MessageView;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{Malformed, Signal};
use crate::inbound::handlers::observe;
use crate::inbound::links::create;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{FromApp, RequestParts, Signed, SignedPayload};
use crate::inbound::view::{EventView, LinkView, RegisteredView};
use crate::twilio::app;
use crate::twilio::app::Registration;
use crate::twilio::callback::ParseContext;
use crate::twilio::fields::FieldSpelling;

impl SignedPayload for Registration {
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        app::message(parts.fields, context)
    }
}

impl SignedPayload for Signal {
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        app::event(parts.fields, context)
    }
}

pub(crate) struct MessageQuery {
    sid: MessageSid,
    /// The accounts that the signer may speak for.
    accounts: Vec<AccountSid>,
}

impl SignedPayload for MessageQuery {
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        let sid = MessageSid::parse(parts.sid.unwrap_or_default());
        let sid = sid.map_err(|error| Malformed::sid("MessageSid", &error))?;
        let accounts = std::iter::once(&context.account).chain(context.others);
        Ok(Self { sid, accounts: accounts.copied().collect() })
    }
}

pub(crate) async fn register(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    registration: Signed<Registration, FromApp>,
) -> Result<HttpResponse, RejectionResponse> {
    let reject = |rejection| RejectionResponse::of(&request, rejection);
    let Registration { account, message, link, reference } = registration.into_inner();
    let link = create::link_request(&receiver, link.as_deref()).map_err(reject)?;
    let Some(mut update) = message else {
        let Some(LinkRequest::To(target)) = link else {
            let expected = "missing; a link is bound to the message that it was written into";
            let expected = expected.to_owned();
            return Err(reject(Malformed::Field { field: "MessageSid", expected }.into()));
        };
        let created = create::create(&receiver, account, target, None, reference.clone()).await;
        let created = created.map_err(reject)?;
        let view = LinkView::of(&created, account, reference.as_ref());
        return Ok(HttpResponse::Created().json(view));
    };
    if let Some(LinkRequest::Made(token)) = &link {
        update.link = Some(token.id());
    }
    let registered = observe::register(&request, &receiver, update).await?;
    let message = &registered.message;
    let link = match link {
        None => None,
        Some(LinkRequest::Made(token)) => Some(create::address(&receiver, &token)),
        Some(LinkRequest::To(target)) => {
            let (sid, reference) = (Some(message.sid), message.reference.clone());
            let created = create::create(&receiver, account, target, sid, reference).await;
            Some(created.map_err(reject)?.address)
        }
    };
    let status = if registered.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(RegisteredView::of(message, link.as_deref())))
}

pub(crate) async fn look_up(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    query: Signed<MessageQuery, FromApp>,
) -> Result<HttpResponse, RejectionResponse> {
    let MessageQuery { sid, accounts } = query.into_inner();
    let message = receiver.store.show(sid).await;
    let message = message.map_err(|error| RejectionResponse::of(&request, error))?;
    // Another account's message gets the answer to an unknown one.
    let message = message.filter(|message| accounts.contains(&message.account));
    let message =
        message.ok_or_else(|| RejectionResponse::of(&request, Rejection::UnknownMessage))?;
    Ok(HttpResponse::Ok().json(MessageView::of(&message)))
}

pub(crate) async fn event(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    signal: Signed<Signal, FromApp>,
) -> Result<HttpResponse, RejectionResponse> {
    let observed = observe::observe(&request, &receiver, signal.into_inner()).await?;
    let view = EventView::of(&observed);
    let status = if view.is_parked() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(view))
}
