//! `Webhook<T, A>`: a verified webhook, parsed as `T`, and its hand-off if the app has a URL for it.
//!
//! A webhook that cannot be parsed is handed off all the same: the app may understand it, and its sender is authentic. The
//! exception is a form without a field that Heardback requires. No delimiter is signed, so it may be another form of
//! Twilio's with a delimiter moved (`MessageSi=dSM…`), which must not get a new signature.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::{FromRequest, HttpRequest, web};

use crate::domain::forward::ForwardKind;
use crate::domain::sid::AccountSid;
use crate::domain::signal::Malformed;
use crate::forward::{AppRequest, PersonKey, VIA_HEARDBACK, goes_along};
use crate::inbound::limits::connections::Connection;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{
    AuthenticSender, FromTwilio, SignedPayload, VerifiedArgs, VerifiedRequest, verify_and_parse,
};
use crate::store::Store;
use crate::twilio::form;
use crate::twilio::form::Text;
use crate::twilio::signature::SigningKey;

/// A payload that may be forwarded.
pub(super) trait Forwardable: SignedPayload {
    const KIND: ForwardKind;
}

/// A verified webhook for the app.
pub(super) struct HandOff(pub(super) AppRequest);

/// A verified webhook.
pub(super) struct Webhook<T, A> {
    /// A rejection only if there is a hand-off.
    parsed: Result<T, Rejection>,
    hand_off: Option<HandOff>,
    sender: PhantomData<A>,
}

impl<T, A> Webhook<T, A> {
    pub(super) fn into_parts(self) -> (Result<T, Rejection>, Option<HandOff>) {
        (self.parsed, self.hand_off)
    }
}

impl<T: Forwardable, A: AuthenticSender> FromRequest for Webhook<T, A> {
    type Error = RejectionResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RejectionResponse>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let verified = verify_and_parse::<T, A>(&request, &mut payload).await;
            let webhook = verified.and_then(|verified| read(&request, verified));
            webhook.map_err(|rejection| RejectionResponse::of(&request, rejection))
        })
    }
}

impl<T, A> VerifiedArgs for (HttpRequest, web::Data<Receiver>, Webhook<T, A>)
where
    T: Forwardable,
    A: AuthenticSender,
{
}

fn read<T: Forwardable, A: AuthenticSender>(
    request: &HttpRequest,
    verified: VerifiedRequest<T>,
) -> Result<Webhook<T, A>, Rejection> {
    let VerifiedRequest { parsed, body, signer } = verified;
    let is_whole = !matches!(&parsed, Err(Malformed::Missing { .. }));
    let parsed = parsed.map_err(Rejection::from);
    let receiver = request.app_data::<web::Data<Receiver>>().ok_or(Rejection::NotFound)?;
    let is_authentic = !matches!(&parsed, Err(rejection) if rejection.is_forgery());
    let target = signer.filter(|(_, account)| {
        is_authentic
            && is_whole
            && A::AUTH == FromTwilio::AUTH
            && receiver.forwarder.has_target(*account, T::KIND)
            && !is_own(request)
    });
    let hand_off =
        target.map(|signer| HandOff::new(request, T::KIND, signer, body, receiver.store.as_ref()));
    if let (Some(_), Some(connection)) = (&hand_off, request.conn_data::<Arc<Connection>>()) {
        // The app may use all of its time, which is longer than the deadline of a connection.
        connection.begin_answer();
    }
    let parsed = if hand_off.is_some() { parsed } else { Ok(parsed?) };
    Ok(Webhook { parsed, hand_off, sender: PhantomData })
}

/// Whether Heardback has sent the request itself, because a URL of the app leads back to it.
fn is_own(request: &HttpRequest) -> bool {
    let mut proxies = request.headers().get_all("Via").filter_map(|value| value.to_str().ok());
    proxies.any(|value| value.split(',').any(|proxy| proxy.trim() == VIA_HEARDBACK))
}

impl HandOff {
    fn new(
        request: &HttpRequest,
        kind: ForwardKind,
        (key, account): (SigningKey, AccountSid),
        body: Vec<u8>,
        store: &dyn Store,
    ) -> Self {
        let is_get = request.method() == Method::GET;
        let query = request.uri().query().unwrap_or_default().to_owned();
        let headers = request.headers().iter().filter(|(name, _)| goes_along(name.as_str()));
        let headers =
            headers.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        let fields = if is_get { query.as_bytes() } else { &body };
        let person = (kind == ForwardKind::Message).then(|| person(store, account, fields));
        let person = person.flatten();
        let headers = headers.collect();
        Self(AppRequest { account, kind, key, is_get, query, headers, body, person })
    }
}

/// The keyed hash of the sender's address. `None` if the form has none.
fn person(store: &dyn Store, account: AccountSid, fields: &[u8]) -> Option<PersonKey> {
    let from = Text::from(b"From".as_slice());
    let (_, address) = form::pairs(fields).into_iter().find(|(name, _)| *name == from)?;
    let name = [account.as_str().as_bytes(), b"\0", &address.decoded()].concat();
    Some(store.recipient_hash_key().record_tag(&name))
}
