//! `Signed<T>`: the only door to a body. A handler that has one *has* the proof: a signature, or on the
//! one route for callers that may not sign, and only if the settings open it, a secret in the path.
//!
//! The order is: cap, number of parameters and deadline (413, 408), signature (403), encoding and type (415),
//! meaning (400, or 403 for another account's). Nothing is parsed before the signature is good, but for the parameters of a
//! form, which are signed; their number is limited first. The work before the signature depends neither on the number of
//! accounts nor on anything else that an unauthenticated client chooses without a limit.
//! Where too many failed from one network (`forgers.rs`), 403 is 429; a request without a signature is then refused with its
//! body unread, and one that no signature could make acceptable is refused before its signature is checked.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, web};
use smallvec::SmallVec;

use crate::domain::sid::{AccountSid, accounts_in, kind};
use crate::domain::signal::Malformed;
use crate::domain::timestamp_serde::to_millisecond;
use crate::inbound::Receiver;
use crate::inbound::connections::Connection;
use crate::inbound::keyring::{KeyMismatch, KeyRing, MAX_MENTIONED, Signers};
use crate::inbound::rejection::{LocalizedRejection, Rejection};
use crate::inbound::trace;
use crate::twilio::callback::{ParseContext, Relay};
use crate::twilio::fields::{self, FieldSpelling, Fields};
use crate::twilio::form;
use crate::twilio::form::FormPair;
use crate::twilio::signature::{Content, MAX_SETTINGS, Mistrust, Presented, is_signature};

/// 64 KiB: Twilio's largest callback is far below. A route may say otherwise of its JSON.
const CAP: usize = 64 << 10;
const SIGNATURE: &str = "X-Twilio-Signature";
const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";

/// What a route trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    /// The accounts' auth tokens and `SharedKeys`: Twilio signs.
    Account,
    /// The app's keys: the app signs.
    App,
    /// The secret in the path: nobody signs. Only where the settings hold one.
    PathSecret,
}

impl Signer {
    fn signers(self) -> Option<Signers> {
        match self {
            Self::Account => Some(Signers::Twilio),
            Self::App => Some(Signers::App),
            Self::PathSecret => None,
        }
    }
}

/// What a route takes, and how it reads it.
pub(super) trait SignedPayload: Sized + 'static {
    /// Who signs.
    const RING: Signer;
    /// How fields are spelled.
    const SPELLING: FieldSpelling;
    /// Whether JSON is taken.
    const JSON: bool;
    /// Whether forms are.
    const FORM: bool = true;
    /// The largest JSON body, in bytes.
    const CAP: usize = CAP;
    /// Whether the JSON is an object of fields; else the route reads the body itself.
    const FIELDS: bool = true;

    /// Reads what was signed.
    ///
    /// # Errors
    /// [`Malformed`].
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed>;
}

/// The parts of a signed request.
pub(super) struct RequestParts<'a> {
    /// The body's fields; a GET's are its query's.
    pub(super) fields: &'a Fields,
    pub(super) query: &'a Fields,
    /// The body, for a route whose JSON is no object of fields.
    pub(super) body: &'a [u8],
    /// The path's variable part, if the route has one.
    pub(super) sid: Option<&'a str>,
}

impl RequestParts<'_> {
    /// The fields. An app may give the time of a request that it passes on in the query.
    pub(super) fn timed(&self, reading: &ParseContext<'_>) -> Cow<'_, Fields> {
        match reading.road {
            Relay::Twilio => Cow::Borrowed(self.fields),
            Relay::App => Cow::Owned(self.fields.or_of(self.query, &["OccurredAt", "SentAt"])),
        }
    }
}

/// A request whose signature is good, read.
pub(super) struct Signed<T>(pub(super) T);

impl<T: SignedPayload> FromRequest for Signed<T> {
    type Error = LocalizedRejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, LocalizedRejection>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let read = read(&request, &mut payload).await;
            read.map(Signed).map_err(|why| LocalizedRejection::of(&request, why))
        })
    }
}

/// The body of a request, with what is known of it before its signature is checked.
struct Unverified {
    media: MediaType,
    body: Bytes,
    /// Its signature header is missing or unreadable. Counted as a failure already.
    has_failed: bool,
}

/// Reads the body within the route's limits.
async fn take<T: SignedPayload>(
    request: &HttpRequest,
    payload: &mut Payload,
    receiver: &Receiver,
) -> Result<Unverified, Rejection> {
    if T::RING == Signer::PathSecret && receiver.click_secret.is_none() {
        super::body::drain(request, payload).await;
        return Err(Rejection::NotFound);
    }
    let too_many = Rejection::TooManyParameters { most: form::MAX_PAIRS };
    if !form::is_within_limit(query(request)) {
        super::body::drain(request, payload).await;
        return Err(too_many);
    }
    // Without a readable header it cannot be signed, so it has failed already.
    let has_failed = T::RING.signers().is_some() && !signature(request).is_some_and(is_signature);
    if has_failed && receiver.forgers.is_one_too_many(request) {
        return Err(Rejection::Limited);
    }
    let media = MediaType::of(request);
    let cap = if media == MediaType::Json { T::CAP } else { CAP };
    let body = super::body::read(request, payload, cap).await?;
    if media == MediaType::Form && !form::is_within_limit(&body) {
        return Err(too_many);
    }
    Ok(Unverified { media, body, has_failed })
}

async fn read<T: SignedPayload>(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Result<T, Rejection> {
    let receiver = request.app_data::<web::Data<Receiver>>().ok_or(Rejection::NotFound)?;
    let unverified = take::<T>(request, payload, receiver).await?;
    let Unverified { media, ref body, has_failed } = unverified;
    let pairs = if media == MediaType::Form { form::pairs(body) } else { form::Pairs::new() };
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let is_get = request.method() == Method::GET;
    let content = match media {
        _ if is_get && body.is_empty() => Content::Nothing,
        MediaType::Form => Content::Form { pairs: &pairs, body },
        MediaType::Json | MediaType::Other => Content::Other(body),
    };
    let query_pairs = form::pairs(query(request));
    let settings = settings(request);
    let settings = settings.as_deref();
    let bases = &receiver.bases;
    let presented = Presented { bases, path_and_query: target, content, is_get, settings };
    let named = if is_get { &query_pairs } else { &pairs };
    let claimed = fields::one_account(named, T::SPELLING);
    let now = to_millisecond((receiver.clock)());
    let trust = receiver.trust.now();
    let is_form = is_get || media == MediaType::Form;
    if !has_failed
        && is_unacceptable::<T>(&trust, claimed, is_form)
        && receiver.forgers.is_over(request)
    {
        receiver.forgers.is_one_too_many(request);
        return Err(Rejection::Limited);
    }
    let signer = if let Some(signers) = T::RING.signers() {
        let mentioned = match claimed {
            Some(_) => SmallVec::new(),
            None => mentioned::<T>(&trust, &query_pairs, if is_form { b"" } else { body }),
        };
        let header = signature(request);
        let found = trust.verify(signers, claimed, &mentioned, &presented, header);
        Some(found.map_err(|why| {
            let is_forged = matches!(why, KeyMismatch::Mistrust(_));
            if is_forged && !has_failed && receiver.forgers.is_one_too_many(request) {
                return Rejection::Limited;
            }
            note_refusal(request, receiver, body, &why);
            if signers == Signers::Twilio && why.is_mismatch() {
                receiver.home_regions.mismatched(request, || trust.regions(claimed), now);
            }
            let why = Rejection::from(why);
            receiver.refused(request, trust.claim(claimed), &why, now);
            why
        })?)
    } else {
        knows_the_secret(request, receiver)?;
        None
    };
    if let Some(signer) = signer {
        let account = claimed.unwrap_or(trust.accounts_for(Some(signer)).0);
        receiver.matched(request, signer, trust.claim(Some(account)), now);
    }
    trace::open(receiver, request);
    if let Some(connection) = request.conn_data::<Arc<Connection>>() {
        connection.mark_authenticated();
        // What may take its time from here on is ours to answer for, not the caller's.
        connection.reset_deadline();
    }
    check_media::<T>(request, media)?;
    let query = Fields::from_pairs(&query_pairs, T::SPELLING)?;
    let fields = match media {
        _ if is_get => query.clone(),
        MediaType::Json if T::FIELDS => Fields::from_json(body, T::SPELLING)?,
        MediaType::Json => Fields::from_members(&[], T::SPELLING),
        MediaType::Form | MediaType::Other => Fields::from_pairs(&pairs, T::SPELLING)?,
    };
    let (account, others) = trust.accounts_for(signer);
    // Whose codes: of several accounts that it may speak for, the one that it names.
    let coder =
        fields.sid::<kind::AccountKind>("AccountSid", None).ok().flatten().unwrap_or(account);
    let sid = request.match_info().get("sid");
    let parts = RequestParts { fields: &fields, query: &query, body, sid };
    let reading = ParseContext {
        account,
        others,
        person_key: receiver.store.person_key(),
        code_keys: trust.code_keys(coder),
        ignores_crawlers: receiver.ignores_crawlers,
        reference_tag: receiver.reference_tag.as_deref(),
        road: if T::RING == Signer::App { Relay::App } else { Relay::Twilio },
        now,
        trace: trace::of(request),
    };
    Ok(T::read(&parts, &reading)?)
}

/// Records a request that was refused for its signature, while recording is on.
fn note_refusal(request: &HttpRequest, receiver: &Receiver, body: &Bytes, why: &KeyMismatch) {
    if let KeyMismatch::Mistrust(why) = why {
        receiver.refusals.note(request, body, *why);
    }
}

/// Refuses a content type that the route does not take, and every encoding.
fn check_media<T: SignedPayload>(request: &HttpRequest, media: MediaType) -> Result<(), Rejection> {
    let accepted = match media {
        _ if request.method() == Method::GET => true,
        MediaType::Form => T::FORM,
        MediaType::Json => T::JSON,
        MediaType::Other => false,
    };
    if !accepted || request.headers().contains_key(CONTENT_ENCODING) {
        let expected = match (T::FORM, T::JSON) {
            (true, true) => "application/x-www-form-urlencoded or application/json",
            (false, _) => "application/json",
            (true, false) => "application/x-www-form-urlencoded",
        };
        return Err(Rejection::Unsupported { expected });
    }
    Ok(())
}

fn query(request: &HttpRequest) -> &[u8] {
    request.uri().query().unwrap_or_default().as_bytes()
}

fn signature(request: &HttpRequest) -> Option<&[u8]> {
    request.headers().get(SIGNATURE).map(HeaderValue::as_bytes)
}

/// Whether no signature could make a request acceptable: it claims an account that is not in the settings, or it is one of
/// Twilio's forms, which name theirs, and claims none.
fn is_unacceptable<T: SignedPayload>(
    trust: &KeyRing,
    claimed: Option<AccountSid>,
    is_form: bool,
) -> bool {
    match claimed {
        Some(account) => T::RING.signers().is_some() && !trust.knows(account),
        None => T::RING == Signer::Account && is_form,
    }
}

/// The configured accounts that a request mentions in its query or in a body that is not parsed yet. They choose the keys
/// that are tried first, and nothing else.
fn mentioned<T: SignedPayload>(
    trust: &KeyRing,
    query: &[FormPair<'_>],
    body: &[u8],
) -> SmallVec<[AccountSid; MAX_MENTIONED]> {
    let in_query = fields::one_account(query, T::SPELLING);
    let all = in_query.into_iter().chain(accounts_in(body));
    let mut mentioned = SmallVec::new();
    for account in all.filter(|account| trust.knows(*account)) {
        if mentioned.len() < MAX_MENTIONED && !mentioned.contains(&account) {
            mentioned.push(account);
        }
    }
    mentioned
}

/// The header that names a `SharedKey`. It is a list, so several lines are one. Of lines longer than any such list only the
/// beginning is joined, which is too long as well.
fn settings(request: &HttpRequest) -> Option<Cow<'_, [u8]>> {
    let mut lines = request.headers().get_all(SETTINGS).map(HeaderValue::as_bytes);
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

/// Whether the path holds the secret: the one way in without a signature.
fn knows_the_secret(request: &HttpRequest, receiver: &Receiver) -> Result<(), Rejection> {
    let presented = request.match_info().get("secret").unwrap_or_default();
    if receiver.click_secret.as_ref().is_some_and(|secret| secret.is(presented)) {
        return Ok(());
    }
    let limited = receiver.forgers.is_one_too_many(request);
    Err(if limited { Rejection::Limited } else { Rejection::Mistrusted(Mistrust::Mismatch) })
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
        if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            Self::Form
        } else if essence.eq_ignore_ascii_case("application/json") {
            Self::Json
        } else {
            Self::Other
        }
    }
}
