//! Clicks on links that Twilio shortened.
//!
//! Twilio should sign this callback as it signs all others, but that is unconfirmed. A second route therefore accepts clicks
//! by a secret in its path, if the settings have one.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::signal::{Malformed, Signal};
use crate::inbound::handlers::observe::observe;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{AuthenticSender, RequestParts, Signed, SignedPayload};
use crate::twilio::callback::ParseContext;
use crate::twilio::click;
use crate::twilio::fields::FieldSpelling;

/// `None` if the event is no click.
pub(crate) struct Click(Option<Signal>);

impl SignedPayload for Click {
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    const FORM: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        click::click(parts.fields, context).map(Self)
    }
}

pub(crate) async fn click<A: AuthenticSender>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    click: Signed<Click, A>,
) -> Result<HttpResponse, RejectionResponse> {
    if let Some(signal) = click.into_inner().0 {
        observe(&request, &receiver, signal).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}
