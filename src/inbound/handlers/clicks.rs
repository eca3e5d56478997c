//! Clicks on links that Twilio shortened.
//!
//! Twilio should sign this callback as it signs all others, but that is unconfirmed. A second route therefore accepts clicks
//! by a secret in its path, if the settings have one.

use std::marker::PhantomData;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::route::RouteSigner;
use crate::domain::signal::{Malformed, Signal};
use crate::inbound::handlers::observe::observe;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{RequestParts, RouteAuth, Signed, SignedPayload};
use crate::twilio::callback::ParseContext;
use crate::twilio::click;
use crate::twilio::fields::FieldSpelling;

/// How a click is authenticated.
pub(crate) trait ClickAuth: 'static {
    const AUTH: RouteAuth;
}

pub(crate) enum BySignature {}
pub(crate) enum BySecret {}

impl ClickAuth for BySignature {
    const AUTH: RouteAuth = RouteAuth::Signature(RouteSigner::Twilio);
}

impl ClickAuth for BySecret {
    const AUTH: RouteAuth = RouteAuth::PathSecret;
}

pub(crate) struct Click<A> {
    /// `None` if the event is no click.
    signal: Option<Signal>,
    auth: PhantomData<A>,
}

impl<A: ClickAuth> SignedPayload for Click<A> {
    const AUTH: RouteAuth = A::AUTH;
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    const FORM: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        let signal = click::click(parts.fields, context)?;
        Ok(Self { signal, auth: PhantomData })
    }
}

pub(crate) async fn click<A: ClickAuth>(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    click: Signed<Click<A>>,
) -> Result<HttpResponse, RejectionResponse> {
    if let Some(signal) = click.into_inner().signal {
        observe(&request, &receiver, signal).await?;
    }
    Ok(HttpResponse::NoContent().finish())
}
