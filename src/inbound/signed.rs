//! `Signed<T, A>`: a request from `A`, verified by its signature, or on one route by the click secret in its path, and parsed
//! as `T`. Its fields are private and its only constructor verifies, so a handler that has one needs no further check.
//!
//! The checks, in their order:
//! 1. the number of parameters in the query (413);
//! 2. whether the signature header is readable: a failure is counted, and answered 429 if its network is over the limit;
//! 3. the body: size and deadline (413, 408), number of parameters in a form (413);
//! 4. the signature or the click secret (403, or 429 if the network is over its limit);
//! 5. the content type (415);
//! 6. the fields (400, or 403 for an account that the signer does not speak for).
//!
//! Before check 4, form and query are split into parameters, and a body that names no account is searched for account SIDs.
//! This work is bounded by the body's cap, and does not grow with the number of accounts.

use std::borrow::Cow;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpRequest, web};
use jiff::Timestamp;
use smallvec::SmallVec;

use crate::domain::route::RouteSigner;
use crate::domain::sid::{AccountSid, accounts_in, kind};
use crate::domain::signal::Malformed;
use crate::domain::timestamp_serde::to_millisecond;
use crate::inbound::body;
use crate::inbound::body::UnreadBody;
use crate::inbound::keyring::{KeyRing, MAX_CANDIDATES, OwnedKey, VerifyError};
use crate::inbound::limits::connections::Connection;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::trace;
use crate::twilio::callback::{ParseContext, Relay};
use crate::twilio::fields::{self, FieldSpelling, Fields};
use crate::twilio::form;
use crate::twilio::form::FormPair;
use crate::twilio::signature::{
    Content, MAX_SETTINGS, Presented, SignatureError, SigningKey, is_signature,
};

/// 64 KiB, far above Twilio's largest callback. A route may allow more JSON.
pub(super) const MAX_BODY: usize = 64 << 10;
const FORM_TYPE: &str = "application/x-www-form-urlencoded";
const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("x-twilio-signature");
const SETTINGS_HEADER: HeaderName = HeaderName::from_static("x-twilio-webhooks-signature-settings");

/// How a route authenticates its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RouteAuth {
    Signature(RouteSigner),
    /// The click secret in the path, if the settings have one.
    ClickSecret,
}

/// The authenticated sender of a route's requests, as a type.
pub(super) trait AuthenticSender: 'static {
    const AUTH: RouteAuth;
}

pub(super) enum FromTwilio {}
pub(super) enum FromApp {}
/// Twilio, with the click secret in the path instead of a signature.
pub(super) enum ByClickSecret {}

impl AuthenticSender for FromTwilio {
    const AUTH: RouteAuth = RouteAuth::Signature(RouteSigner::Twilio);
}

impl AuthenticSender for FromApp {
    const AUTH: RouteAuth = RouteAuth::Signature(RouteSigner::App);
}

impl AuthenticSender for ByClickSecret {
    const AUTH: RouteAuth = RouteAuth::ClickSecret;
}

/// The content of a route's requests, and how it is parsed.
pub(super) trait SignedPayload: Sized + 'static {
    /// How fields are spelled.
    const SPELLING: FieldSpelling;
    /// Whether the route accepts JSON.
    const JSON: bool;
    /// Whether the route accepts forms.
    const FORM: bool = true;
    /// The largest JSON body, in bytes.
    const MAX_JSON: usize = MAX_BODY;
    /// Whether the JSON is an object of fields. If not, the route parses the body itself.
    const JSON_IS_FIELDS: bool = true;

    /// Parses a verified request.
    ///
    /// # Errors
    /// [`Malformed`].
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed>;
}

/// The parts of a verified request.
pub(super) struct RequestParts<'a> {
    /// The fields of the body, or of the query of a GET.
    pub(super) fields: &'a Fields,
    pub(super) query: &'a Fields,
    /// The body, for a route whose JSON is no object of fields.
    pub(super) body: &'a [u8],
    /// The path's variable part, if the route has one.
    pub(super) sid: Option<&'a str>,
}

impl RequestParts<'_> {
    /// The fields, with the times that an app adds to the query of a webhook that it forwards.
    pub(super) fn fields_with_times(&self, context: &ParseContext<'_>) -> Cow<'_, Fields> {
        match context.relay {
            Relay::Direct => Cow::Borrowed(self.fields),
            Relay::ViaApp => {
                Cow::Owned(self.fields.with_missing_from(self.query, &["OccurredAt", "SentAt"]))
            }
        }
    }
}

/// A parsed request from `A`, whose signature or click secret was verified.
pub(super) struct Signed<T, A>(T, PhantomData<A>);

impl<T, A> Signed<T, A> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T: SignedPayload, A: AuthenticSender> FromRequest for Signed<T, A> {
    type Error = RejectionResponse;
    type Future = Pin<Box<dyn Future<Output = Result<Self, RejectionResponse>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let verified = verify_and_parse::<T, A>(&request, &mut payload).await;
            let parsed = verified.and_then(|verified| Ok(verified.parsed?));
            let parsed = parsed.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
            Ok(Self(parsed, PhantomData))
        })
    }
}

/// The arguments that a public handler may have: no body, a body that can only be discarded, or a verified request.
pub(super) trait VerifiedArgs: FromRequest + 'static {}

impl VerifiedArgs for () {}
impl VerifiedArgs for (HttpRequest, web::Data<Receiver>, UnreadBody) {}
impl<T, A> VerifiedArgs for (HttpRequest, web::Data<Receiver>, Signed<T, A>)
where
    T: SignedPayload,
    A: AuthenticSender,
{
}

/// A body that was read, before its signature is verified.
struct IncomingBody {
    media: MediaType,
    body: Vec<u8>,
    /// Whether the signature header is missing or unreadable. The failure is counted before the body is read.
    failure_is_counted: bool,
}

/// Reads the body within the route's limits.
async fn read_body<T: SignedPayload, A: AuthenticSender>(
    request: &HttpRequest,
    payload: &mut Payload,
    receiver: &Receiver,
) -> Result<IncomingBody, Rejection> {
    if A::AUTH == RouteAuth::ClickSecret && receiver.click_secret.is_none() {
        body::drain(request, payload).await;
        return Err(Rejection::NotFound);
    }
    if !form::is_within_limit(query(request)) {
        body::drain(request, payload).await;
        return Err(Rejection::TooManyParameters);
    }
    let needs_signature = A::AUTH != RouteAuth::ClickSecret;
    let failure_is_counted = needs_signature && !signature(request).is_some_and(is_signature);
    if failure_is_counted {
        receiver.failure_limiter.count_failure(request)?;
    }
    let media = MediaType::of(request);
    let cap = if media == MediaType::Json { T::MAX_JSON } else { MAX_BODY };
    let body = body::read(request, payload, cap).await?;
    if media == MediaType::Form && !form::is_within_limit(&body) {
        return Err(Rejection::TooManyParameters);
    }
    Ok(IncomingBody { media, body, failure_is_counted })
}

/// A verified request. Its body and its key serve to sign the forward to the app.
pub(super) struct VerifiedRequest<T> {
    pub(super) parsed: Result<T, Malformed>,
    pub(super) body: Vec<u8>,
    /// The key that signed, and the account that it speaks for. `None` if the click secret authenticated the request.
    pub(super) signer: Option<(SigningKey, AccountSid)>,
}

/// Verifies a request, and parses it.
///
/// # Errors
/// [`Rejection`] if the request is not authentic, or its body cannot be read.
pub(super) async fn verify_and_parse<T: SignedPayload, A: AuthenticSender>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<VerifiedRequest<T>, Rejection> {
    let receiver = request.app_data::<web::Data<Receiver>>().ok_or(Rejection::NotFound)?;
    let incoming = read_body::<T, A>(request, payload, receiver).await?;
    let (parsed, signer) = verify_and_parse_body::<T, A>(request, receiver, &incoming)?;
    Ok(VerifiedRequest { parsed, body: incoming.body, signer })
}

/// The parsed request, and its signer.
type Parsed<T> = (Result<T, Malformed>, Option<(SigningKey, AccountSid)>);

fn verify_and_parse_body<T: SignedPayload, A: AuthenticSender>(
    request: &HttpRequest,
    receiver: &Receiver,
    incoming: &IncomingBody,
) -> Result<Parsed<T>, Rejection> {
    let IncomingBody { media, ref body, .. } = *incoming;
    let is_get = request.method() == Method::GET;
    let pairs = if media == MediaType::Form { form::pairs(body) } else { form::Pairs::new() };
    let query_pairs = form::pairs(query(request));
    let account_pairs = if is_get { &query_pairs } else { &pairs };
    let claimed_account = fields::one_account(account_pairs, T::SPELLING);
    let now = to_millisecond((receiver.clock)());
    let keyring = receiver.keyring.current();
    let input = RequestInput { incoming, pairs: &pairs, query: &query_pairs, claimed_account, now };
    let signer = match A::AUTH {
        RouteAuth::Signature(route_signer) => {
            Some(verify::<T>(request, receiver, &keyring, route_signer, &input)?)
        }
        RouteAuth::ClickSecret => {
            check_click_secret(request, receiver)?;
            None
        }
    };
    trace::open(receiver.traces.as_deref(), request);
    if let Some(connection) = request.conn_data::<Arc<Connection>>() {
        connection.mark_authenticated();
        // The request is complete: from here on the service uses the time, not the client.
        connection.reset_deadline();
    }
    check_media(request, T::FORM, T::JSON)?;
    let parsed = parse::<T, A>(request, receiver, (&keyring, signer), &input);
    let account = keyring.accounts_for(signer).0;
    Ok((parsed, signer.map(|signer| (signer.signing_key().clone(), account))))
}

/// Parses a verified request.
fn parse<T: SignedPayload, A: AuthenticSender>(
    request: &HttpRequest,
    receiver: &Receiver,
    (keyring, signer): (&KeyRing, Option<&OwnedKey>),
    input: &RequestInput<'_>,
) -> Result<T, Malformed> {
    let RequestInput { incoming, pairs, query, now, .. } = *input;
    let body = &incoming.body;
    let query = Fields::from_pairs(query, T::SPELLING)?;
    let fields = match incoming.media {
        _ if request.method() == Method::GET => query.clone(),
        MediaType::Json if T::JSON_IS_FIELDS => Fields::from_json(body, T::SPELLING)?,
        MediaType::Json => Fields::from_members(&[], T::SPELLING),
        MediaType::Form | MediaType::Other => Fields::from_pairs(pairs, T::SPELLING)?,
    };
    let (account, others) = keyring.accounts_for(signer);
    // Codes are compared with the keys of the account that the fields name. If the signer may not speak for it, `T::parse`
    // rejects the request.
    let code_account =
        fields.sid::<kind::AccountKind>("AccountSid", None).ok().flatten().unwrap_or(account);
    let sid = request.match_info().get("sid");
    let parts = RequestParts { fields: &fields, query: &query, body, sid };
    let is_app = A::AUTH == RouteAuth::Signature(RouteSigner::App);
    let context = ParseContext {
        account,
        others,
        recipient_hash_key: receiver.store.recipient_hash_key(),
        code_keys: keyring.code_keys(code_account),
        ignores_crawlers: receiver.ignores_crawlers,
        reference_tag: receiver.reference_tag.as_deref(),
        relay: if is_app { Relay::ViaApp } else { Relay::Direct },
        now,
        trace: trace::of(request),
    };
    T::parse(&parts, &context)
}

/// The parts of a request, and the account that it names. [`verify`] verifies its signature; the type does not prove it.
struct RequestInput<'a> {
    incoming: &'a IncomingBody,
    pairs: &'a [FormPair<'a>],
    query: &'a [FormPair<'a>],
    claimed_account: Option<AccountSid>,
    now: Timestamp,
}

/// Verifies the signature, and records the result. Returns the key that signed.
fn verify<'a, T: SignedPayload>(
    request: &HttpRequest,
    receiver: &Receiver,
    keyring: &'a KeyRing,
    route_signer: RouteSigner,
    input: &RequestInput<'_>,
) -> Result<&'a OwnedKey, Rejection> {
    let RequestInput { incoming, pairs, query, claimed_account, now } = *input;
    let IncomingBody { media, ref body, failure_is_counted } = *incoming;
    let is_get = request.method() == Method::GET;
    let is_form = is_get || media == MediaType::Form;
    if !failure_is_counted
        && no_key_can_verify(keyring, route_signer, claimed_account, is_form)
        && receiver.failure_limiter.is_over_limit(request)
    {
        let counted = receiver.failure_limiter.count_failure(request);
        // A network that is within its limit again by now is refused, too, so that the request costs no further work.
        return Err(counted.err().unwrap_or(Rejection::Limited));
    }
    let content = match media {
        _ if is_get && body.is_empty() => Content::Nothing,
        MediaType::Form => Content::Form { pairs, body },
        MediaType::Json | MediaType::Other => Content::Other(body),
    };
    let path_and_query = request.uri().path_and_query().map_or("", |target| target.as_str());
    let settings = signature_settings(request);
    let settings = settings.as_deref();
    let bases = &receiver.bases;
    let presented = Presented { bases, path_and_query, content, is_get, settings };
    let candidates = match claimed_account {
        Some(_) => SmallVec::new(),
        None => candidate_accounts::<T>(keyring, query, if is_form { b"" } else { body }),
    };
    let header = signature(request);
    match keyring.verify(route_signer, claimed_account, &candidates, &presented, header) {
        Ok(signer) => {
            let account = claimed_account.unwrap_or(keyring.accounts_for(Some(signer)).0);
            let claimed = keyring.claimed_account(Some(account));
            receiver.record_verified(request, signer, claimed, now);
            Ok(signer)
        }
        Err(error) => {
            if let VerifyError::Signature(signature_error) = error {
                if !failure_is_counted {
                    receiver.failure_limiter.count_failure(request)?;
                }
                receiver.rejected_capture.record(request, body, signature_error);
            }
            if route_signer == RouteSigner::Twilio && error.is_wrong_key() {
                let regions = || keyring.regions(claimed_account);
                receiver.home_regions.record_mismatch(request, regions, now);
            }
            let rejection = Rejection::from(error);
            let claimed = keyring.claimed_account(claimed_account);
            receiver.record_rejected(request, claimed, &rejection, now);
            Err(rejection)
        }
    }
}

/// Rejects a content type that is neither a form, if `accepts_form`, nor JSON, if `accepts_json`. Rejects every encoding.
pub(super) fn check_media(
    request: &HttpRequest,
    accepts_form: bool,
    accepts_json: bool,
) -> Result<(), Rejection> {
    let accepted = match MediaType::of(request) {
        _ if request.method() == Method::GET => true,
        MediaType::Form => accepts_form,
        MediaType::Json => accepts_json,
        MediaType::Other => false,
    };
    if !accepted || request.headers().contains_key(CONTENT_ENCODING) {
        let expected = match (accepts_form, accepts_json) {
            (true, true) => "application/x-www-form-urlencoded or application/json",
            (false, _) => "application/json",
            (true, false) => FORM_TYPE,
        };
        return Err(Rejection::Unsupported { expected });
    }
    Ok(())
}

fn query(request: &HttpRequest) -> &[u8] {
    request.uri().query().unwrap_or_default().as_bytes()
}

fn signature(request: &HttpRequest) -> Option<&[u8]> {
    request.headers().get(SIGNATURE_HEADER).map(HeaderValue::as_bytes)
}

/// Whether no key can verify a request: it claims an account that is not configured, or it claims none, unlike every form
/// of Twilio's.
fn no_key_can_verify(
    keyring: &KeyRing,
    route_signer: RouteSigner,
    claimed_account: Option<AccountSid>,
    is_form: bool,
) -> bool {
    match claimed_account {
        Some(account) => !keyring.has_account(account),
        None => route_signer == RouteSigner::Twilio && is_form,
    }
}

/// The configured accounts that appear in a request's query, or in a body that is not parsed yet. The keys of these accounts
/// are tried first.
fn candidate_accounts<T: SignedPayload>(
    keyring: &KeyRing,
    query: &[FormPair<'_>],
    body: &[u8],
) -> SmallVec<[AccountSid; MAX_CANDIDATES]> {
    let in_query = fields::one_account(query, T::SPELLING);
    let all = in_query.into_iter().chain(accounts_in(body));
    let mut candidates = SmallVec::new();
    for account in all.filter(|account| keyring.has_account(*account)) {
        if candidates.len() < MAX_CANDIDATES && !candidates.contains(&account) {
            candidates.push(account);
        }
    }
    candidates
}

/// The lines of the header that names a `SharedKey`, joined by commas, as far as a valid value can be long.
fn signature_settings(request: &HttpRequest) -> Option<Cow<'_, [u8]>> {
    let mut lines = request.headers().get_all(SETTINGS_HEADER).map(HeaderValue::as_bytes);
    let first = lines.next()?;
    let mut all = Cow::Borrowed(first);
    for line in lines {
        if all.len() > MAX_SETTINGS {
            break;
        }
        all.to_mut().push(b',');
        all.to_mut().extend(line.iter().take(MAX_SETTINGS + 1));
    }
    Some(all)
}

/// Compares the click secret in the path with that of the settings.
fn check_click_secret(request: &HttpRequest, receiver: &Receiver) -> Result<(), Rejection> {
    let presented = request.match_info().get("secret").unwrap_or_default();
    if receiver.click_secret.as_ref().is_some_and(|secret| secret.is(presented)) {
        return Ok(());
    }
    receiver.failure_limiter.count_failure(request)?;
    Err(Rejection::BadSignature(SignatureError::Mismatch))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Form,
    Json,
    Other,
}

impl MediaType {
    fn of(request: &HttpRequest) -> Self {
        let header = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = header.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(FORM_TYPE) {
            Self::Form
        } else if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else {
            Self::Other
        }
    }
}
