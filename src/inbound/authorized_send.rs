//! `AuthorizedSend`: a request to create a message whose credential was verified, and whose form was rewritten. Its field is
//! private and its only constructor verifies.
//!
//! Order of the checks: credential (401, or 429 for a network over its limit); size, number of parameters and deadline (413,
//! 408); content type (415); query and form (400). No byte of the body is parsed before the credential is verified.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, HeaderName, USER_AGENT,
};
use actix_web::{FromRequest, HttpRequest, web};

use crate::domain::basic_auth::PresentedCredential;
use crate::domain::outgoing::ForwardedHeader;
use crate::domain::sid::AccountSid;
use crate::domain::signal::Malformed;
use crate::inbound::body;
use crate::inbound::limits::connections::Connection;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::send::sends::Sends;
use crate::inbound::signed::{MAX_BODY, VerifiedArgs, check_media};
use crate::inbound::trace;
use crate::twilio::form;
use crate::twilio::public_url::CONNECTION_OVERRIDES;
use crate::twilio::send_form::{RewrittenForm, rewrite};

/// The headers of the caller that go on to Twilio. Deliberately absent: cookies, traces and the addresses of proxies.
const FORWARDED: [HeaderName; 6] =
    [AUTHORIZATION, CONTENT_TYPE, ACCEPT, ACCEPT_CHARSET, ACCEPT_LANGUAGE, USER_AGENT];

/// The parts of a verified request.
pub(super) struct AcceptedSend {
    pub(super) account: AccountSid,
    /// The headers that go on to Twilio.
    pub(super) headers: Vec<ForwardedHeader>,
    pub(super) form: RewrittenForm,
}

/// A verified request to create a message.
pub(super) struct AuthorizedSend(AcceptedSend);

impl AuthorizedSend {
    pub(super) fn into_inner(self) -> AcceptedSend {
        self.0
    }
}

impl VerifiedArgs for (HttpRequest, web::Data<Receiver>, AuthorizedSend) {}

impl FromRequest for AuthorizedSend {
    type Error = RejectionResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RejectionResponse>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let accepted = verify_and_rewrite(&request, &mut payload).await;
            let accepted =
                accepted.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
            Ok(Self(accepted))
        })
    }
}

async fn verify_and_rewrite(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<AcceptedSend, Rejection> {
    let receiver = request.app_data::<web::Data<Receiver>>().ok_or(Rejection::NotFound)?;
    let sends = receiver.sends.as_ref().ok_or(Rejection::NotFound)?;
    let Some(account) = verified_account(request, sends) else {
        let counted = receiver.failure_limiter.count_failure(request);
        body::drain(request, payload).await;
        return Err(counted.err().unwrap_or(Rejection::Unauthenticated));
    };
    trace::open(receiver.traces.as_deref(), request);
    let connection = request.conn_data::<Arc<Connection>>();
    if let Some(connection) = connection {
        connection.mark_authenticated();
    }
    let body = body::read(request, payload, MAX_BODY).await?;
    if let Some(connection) = connection {
        // The request is complete: from here on Twilio uses the time, not the client.
        connection.begin_answer();
    }
    if !form::is_within_limit(&body) {
        return Err(Rejection::TooManyParameters);
    }
    check_media(request, true, false)?;
    if request.uri().query().is_some() {
        let expected = "expected none; parameters belong in the form".to_owned();
        return Err(Malformed::Field { field: "the query of the URL", expected }.into());
    }
    let base = receiver.bases.first().map_or("", String::as_str);
    let status_url = format!("{base}{}", crate::domain::route::STATUS);
    let form = rewrite(&body, &status_url, CONNECTION_OVERRIDES)?;
    Ok(AcceptedSend { account, headers: forwarded(request), form })
}

/// The account of the path, if the credential may send for it. Every failure costs the same comparisons.
fn verified_account(request: &HttpRequest, sends: &Sends) -> Option<AccountSid> {
    let account = AccountSid::parse(request.match_info().get("account")?).ok()?;
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let presented = PresentedCredential::parse(headers.next()?.as_bytes())?;
    let is_allowed = sends.allows(account, &presented);
    (is_allowed && headers.next().is_none()).then_some(account)
}

fn forwarded(request: &HttpRequest) -> Vec<ForwardedHeader> {
    let of = |name: &HeaderName| {
        let value = request.headers().get(name)?;
        Some((name.as_str().to_owned(), value.as_bytes().to_vec()))
    };
    FORWARDED.iter().filter_map(of).collect()
}
