//! `Signed<T>`: the only door to a body. A handler that has one *has* the proof.
//!
//! The order is DESIGN §2's: cap and deadline (413, 408), signature (403), encoding and type (415),
//! meaning (400, or 403 for another account's). Nothing is parsed before the signature is good.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use actix_web::{FromRequest, HttpRequest, web};

use crate::domain::form;
use crate::domain::sid::kind;
use crate::domain::signal::Malformed;
use crate::domain::signal::callback::Reading;
use crate::domain::signal::fields::{self, Fields, Spelling, to_millisecond};
use crate::domain::signature::{Content, Mistrust, Presented};
use crate::inbound::Receiver;
use crate::inbound::connections::Connection;
use crate::inbound::rejection::{Refused, Rejection};
use crate::inbound::trust::{Distrust, Ring};

/// 64 KiB: Twilio's largest callback is far below.
const CAP: usize = 64 << 10;
const SIGNATURE: &str = "X-Twilio-Signature";
const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";

/// What a route takes, and how it reads it.
pub(super) trait Wire: Sized + 'static {
    /// Who signs.
    const RING: Ring;
    /// How fields are spelled.
    const SPELLING: Spelling;
    /// Whether JSON is taken beside forms.
    const JSON: bool;

    /// Reads what was signed.
    ///
    /// # Errors
    /// [`Malformed`].
    fn read(parts: &Parts<'_>, reading: &Reading<'_>) -> Result<Self, Malformed>;
}

/// The parts of a signed request.
pub(super) struct Parts<'a> {
    /// The body's fields; a GET's are its query's.
    pub(super) fields: &'a Fields,
    /// The query's fields.
    pub(super) query: &'a Fields,
    /// The path's variable part, if the route has one.
    pub(super) sid: Option<&'a str>,
}

/// A request whose signature is good, read.
pub(super) struct Signed<T>(pub(super) T);

impl<T: Wire> FromRequest for Signed<T> {
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refused>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        let mut payload = payload.take();
        Box::pin(async move {
            let read = read(&request, &mut payload).await;
            read.map(Signed).map_err(|why| Refused::of(&request, why))
        })
    }
}

async fn read<T: Wire>(request: &HttpRequest, payload: &mut Payload) -> Result<T, Rejection> {
    let receiver = request.app_data::<web::Data<Receiver>>().ok_or(Rejection::NotFound)?;
    let body = super::body::read(request, payload, CAP).await?;
    let media = Media::of(request);
    let pairs = if media == Media::Form { form::pairs(&body) } else { Vec::new() };
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    let is_get = request.method() == Method::GET;
    let content = match media {
        _ if is_get && body.is_empty() => Content::Nothing,
        Media::Form => Content::Form { pairs: &pairs, body: &body },
        Media::Json | Media::Other => Content::Other(&body),
    };
    let query_pairs = form::pairs(request.uri().query().unwrap_or_default().as_bytes());
    let header = request.headers().get(SIGNATURE).map(HeaderValue::as_bytes);
    let settings = settings(request);
    let settings = settings.as_deref();
    let bases = &receiver.bases;
    let presented = Presented { bases, path_and_query: target, content, is_get, settings };
    let named = if is_get { &query_pairs } else { &pairs };
    let claimed = fields::one_account(named, T::SPELLING);
    let now = to_millisecond((receiver.clock)());
    let trust = receiver.trust.now();
    let signer = trust.verify(T::RING, claimed, &presented, header).inspect_err(|distrust| {
        if T::RING == Ring::Account && *distrust == Distrust::Mistrust(Mistrust::Mismatch) {
            receiver.home_regions.mismatched(request, trust.regions(claimed), now);
        }
    })?;
    receiver.matched(request, signer, now);
    if let Some(connection) = request.conn_data::<Arc<Connection>>() {
        // What may take its time from here on is ours to answer for, not the caller's.
        connection.progress();
    }
    let accepted = is_get || media == Media::Form || (T::JSON && media == Media::Json);
    if !accepted || request.headers().contains_key(CONTENT_ENCODING) {
        let expected = if T::JSON {
            "application/x-www-form-urlencoded or application/json"
        } else {
            "application/x-www-form-urlencoded"
        };
        return Err(Rejection::Unsupported { expected });
    }
    let query = Fields::from_pairs(&query_pairs, T::SPELLING)?;
    let fields = match media {
        _ if is_get => query.clone(),
        Media::Json => Fields::from_json(&body, T::SPELLING)?,
        Media::Form | Media::Other => Fields::from_pairs(&pairs, T::SPELLING)?,
    };
    let parts = Parts { fields: &fields, query: &query, sid: request.match_info().get("sid") };
    let (account, others) = trust.mandate(signer);
    // Whose codes: of several accounts that it may speak for, the one that it names.
    let coder = fields.sid::<kind::Account>("AccountSid", None).ok().flatten().unwrap_or(account);
    let reading = Reading {
        account,
        others,
        person_key: receiver.store.person_key(),
        code_keys: trust.code_keys(coder),
        ignores_crawlers: receiver.ignores_crawlers,
        now,
    };
    Ok(T::read(&parts, &reading)?)
}

/// The header that names a `SharedKey`. It is a list, so several lines are one.
fn settings(request: &HttpRequest) -> Option<Cow<'_, [u8]>> {
    let mut lines = request.headers().get_all(SETTINGS).map(HeaderValue::as_bytes);
    let first = Cow::Borrowed(lines.next()?);
    Some(lines.fold(first, |all, line| Cow::Owned([all.as_ref(), line].join(&b','))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Media {
    Form,
    Json,
    Other,
}

impl Media {
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
