//! The app's own routes: messages that it sent, things that recipients did.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::click_link::request::LinkRequest;
use crate::domain::matching::RegisterOutcome;
use crate::domain::message::view::MessageView;
use crate::domain::route;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{Malformed, Signal};
use crate::inbound::links;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::{LocalizedRejection, Rejection};
use crate::inbound::signed::{RequestParts, Signed, SignedPayload, Signer};
use crate::inbound::twilio::{observe, remember};
use crate::inbound::view::{EventView, LinkView, RegisteredView};
use crate::inbound::{Receiver, wrong_method};
use crate::twilio::app;
use crate::twilio::app::Registration;
use crate::twilio::callback::ParseContext;
use crate::twilio::fields::FieldSpelling;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource(spellings(route::REGISTER))
                .route(web::post().to(register))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(route::LOOK_UP)
                .route(web::get().to(show))
                .default_service(web::to(wrong_method)),
        )
        .service(
            web::resource(spellings(route::APP_EVENT))
                .route(web::post().to(event))
                .default_service(web::to(wrong_method)),
        );
}

impl SignedPayload for Registration {
    const RING: Signer = Signer::App;
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        app::message(parts.fields, reading)
    }
}

impl SignedPayload for Signal {
    const RING: Signer = Signer::App;
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        app::event(parts.fields, reading)
    }
}

/// Which message, and of which accounts the asker may know.
struct MessageQuery {
    sid: MessageSid,
    accounts: Vec<AccountSid>,
}

impl SignedPayload for MessageQuery {
    const RING: Signer = Signer::App;
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = false;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        let sid = MessageSid::parse(parts.sid.unwrap_or_default());
        let sid = sid.map_err(|error| Malformed::sid("MessageSid", &error))?;
        let accounts = std::iter::once(&reading.account).chain(reading.others);
        Ok(Self { sid, accounts: accounts.copied().collect() })
    }
}

async fn register(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(registration): Signed<Registration>,
) -> Result<HttpResponse, LocalizedRejection> {
    let refused = |why| LocalizedRejection::of(&request, why);
    let Registration { account, message, link, reference } = registration;
    let asked = links::asked(&receiver, link.as_deref()).map_err(refused)?;
    let Some(mut sighting) = message else {
        let Some(LinkRequest::To(target)) = asked else {
            let expected = "missing; a link is bound to the message that it was written into";
            let expected = expected.to_owned();
            return Err(refused(Malformed::Field { field: "MessageSid", expected }.into()));
        };
        let made = links::make(&receiver, account, target, None, reference.clone()).await;
        let made = made.map_err(refused)?;
        let view = LinkView::of(&made, account, reference.as_ref());
        return Ok(HttpResponse::Created().json(view));
    };
    if let Some(LinkRequest::Made(token)) = &asked {
        sighting.link = Some(token.id());
    }
    let remembered = remember(&request, &receiver, sighting).await?;
    let (message, status) = (&remembered.message, status_of(&remembered));
    let link = match asked {
        None => None,
        Some(LinkRequest::Made(token)) => Some(links::address(&receiver, &token)),
        Some(LinkRequest::To(target)) => {
            let (sid, reference) = (Some(message.sid), message.reference.clone());
            let made = links::make(&receiver, account, target, sid, reference).await;
            Some(made.map_err(refused)?.address)
        }
    };
    Ok(HttpResponse::build(status).json(RegisteredView::of(message, link.as_deref())))
}

fn status_of(remembered: &RegisterOutcome) -> StatusCode {
    if remembered.new { StatusCode::CREATED } else { StatusCode::OK }
}

async fn show(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(MessageQuery { sid, accounts }): Signed<MessageQuery>,
) -> Result<HttpResponse, LocalizedRejection> {
    let message =
        receiver.store.show(sid).await.map_err(|error| LocalizedRejection::of(&request, error))?;
    // Another account's is not there for this asker.
    let message = message.filter(|message| accounts.contains(&message.account));
    let message =
        message.ok_or_else(|| LocalizedRejection::of(&request, Rejection::UnknownMessage))?;
    Ok(HttpResponse::Ok().json(MessageView::of(&message)))
}

async fn event(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(signal): Signed<Signal>,
) -> Result<HttpResponse, LocalizedRejection> {
    let observed = observe(&request, &receiver, signal).await?;
    let view = EventView::of(&observed);
    let status = if view.is_parked() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(HttpResponse::build(status).json(view))
}
