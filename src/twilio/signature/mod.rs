//! `X-Twilio-Signature`: proof that the sender of a request has one of our keys.
//!
//! The signed string is the URL, then for a form the name and decoded value of each parameter, sorted bytewise, without
//! separators. Its HMAC-SHA1 is sent in base64. Another body is signed by its SHA-256 in the query (`bodySHA256`). The
//! rule is Twilio's ("Webhooks security"), as its seven helper libraries implement it (`tests/it/vectors.rs`).
//!
//! Deliberately absent: accounts (an unknown one costs the same work as a known one), time (none is signed, so replays
//! are recognised by content), and delimiters (`…?x=1` with `b=2` signs like `…?x=1b2`, so the parser pins both).

mod candidates;
mod key;
mod selection;

pub use candidates::origin;
pub use key::{Algorithm, KeyId, SigningKey};
pub use selection::MAX_SETTINGS;

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::{ControlFlow, Range};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use sha2::{Digest as _, Sha256};
use smallvec::SmallVec;

use crate::domain::hex::hex;
use crate::twilio::form::{self, FormPair, Text};
use crate::twilio::signature::key::Keyed;
use crate::twilio::signature::selection::{KeySelection, Tag};

/// The query parameter that carries a body's SHA-256, in Twilio's spelling.
const BODY_HASH: &str = "bodySHA256";

/// The most bytes that are hashed to verify one request, over all keys, public URLs and spellings. One attempt takes
/// the URL and the parameters: 32 KiB and 64 KiB at most, by the limits of `inbound`. All attempts for Twilio's
/// callbacks, of a few kilobytes each, fit many times over.
const MAX_HASHED: usize = 384 << 10;
/// The overhead of an HMAC, in bytes hashed: its padding, the outer hash and the copy of its key.
const OF_AN_HMAC: usize = 256;

/// The signed content besides the URL.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A GET, whose parameters are in the URL, or no body: only the URL is signed.
    Nothing,
    /// A form: its parameters are signed, in any wire order.
    Form {
        /// The parameters, from [`form::pairs`].
        pairs: &'a [FormPair<'a>],
        /// The raw body. It must match a `bodySHA256` if the URL has one; signing does not read it.
        body: &'a [u8],
    },
    /// Any other body, e.g. JSON: the URL's query must carry `bodySHA256`, and it must match.
    Other(&'a [u8]),
}

/// A request to verify.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The configured public origins, each maybe with a path prefix, without a trailing slash. `Host` and `X-Forwarded-*`
    /// are not used, because the sender chooses them.
    pub bases: &'a [String],
    /// Path and query as on the request line, not decoded.
    pub path_and_query: &'a str,
    pub content: Content<'a>,
    /// Whether it is a GET, whose query Twilio may have escaped after signing it.
    pub is_get: bool,
    /// `X-Twilio-Webhooks-Signature-Settings`, which names a `SharedKey`. It is not signed, so it only selects among the
    /// given keys.
    pub settings: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The index of the matching key among those given.
    pub key: usize,
}

/// The reason to reject a request. Only our counters show it: every client gets the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("there is no X-Twilio-Signature")]
    Missing,
    /// The header has the wrong length for its algorithm, or is no padded standard base64.
    #[error("X-Twilio-Signature is not 20 bytes in base64, nor 32 of a SharedKey with HMAC_SHA256")]
    Malformed,
    /// No key makes this signature for this request under any public URL.
    #[error("X-Twilio-Signature does not match: another key, URL or parameter was signed")]
    Mismatch,
    /// A body that is no form has no hash in the URL, so it is not covered by the signature.
    #[error("the URL's query carries no bodySHA256")]
    BodyHashMissing,
    /// The URL's signature is good, but the body is not the one that was signed.
    #[error("bodySHA256 does not match the body")]
    BodyHashMismatch,
}

impl SignatureError {
    /// The label in metrics.
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
            Self::BodyHashMissing => "body_hash_missing",
            Self::BodyHashMismatch => "body_hash_mismatch",
        }
    }
}

/// Verifies a request under each public URL with each of the given keys.
///
/// Call this before any check of the account, for all accounts alike, so that an unknown account costs the same work as
/// a known one. Without a key, the work is done with a stand-in.
///
/// # Errors
/// [`SignatureError`], which no response shows.
pub fn verify<'k>(
    keys: impl IntoIterator<Item = &'k SigningKey, IntoIter: Clone>,
    request: &Presented<'_>,
    header: Option<&[u8]>,
) -> Result<Match, SignatureError> {
    let claim = ClaimedSignature::new(&request.content, request.is_get, header, request.settings)?;
    let bases = request.bases.iter().map(String::as_str);
    claim.verify(keys.into_iter(), &bases, request.path_and_query)
}

/// Whether a header has the shape of a signature: the right number of bytes, in base64.
pub fn is_signature(header: &[u8]) -> bool {
    Tag::read(header).is_some()
}

/// Verifies a request that names no `SharedKey`, by its whole public URL. [`verify`] does the same for each base.
///
/// # Errors
/// [`SignatureError`], which no response shows.
pub fn verify_url<'k>(
    keys: impl IntoIterator<Item = &'k SigningKey, IntoIter: Clone>,
    url: &str,
    content: &Content<'_>,
    is_get: bool,
    header: Option<&[u8]>,
) -> Result<Match, SignatureError> {
    let (base, rest) = origin(url);
    ClaimedSignature::new(content, is_get, header, None)?.verify(
        keys.into_iter(),
        &std::iter::once(base),
        rest,
    )
}

/// Signs a request, in base64 as for the header.
///
/// For [`Content::Other`] the URL must already carry its hash: see [`with_body_hash`].
pub fn sign(key: &SigningKey, url: &str, content: &Content<'_>) -> String {
    let parameters = signed_parameters(content);
    match &key.keyed {
        Keyed::Sha1(keyed) => {
            STANDARD.encode(hash_request(keyed, &[url], &parameters).finalize().as_bytes())
        }
        Keyed::Sha256(keyed) => {
            STANDARD.encode(hash_request(keyed, &[url], &parameters).finalize().as_bytes())
        }
    }
}

/// The URL (or path and query) with the `bodySHA256` of this body at the end of its query, which replaces an existing
/// one.
pub fn with_body_hash(url: &str, body: &[u8]) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let mut out = format!("{path}?");
    for segment in query.split('&') {
        if !segment.is_empty() && body_hashes(segment).next().is_none() {
            out.push_str(segment);
            out.push('&');
        }
    }
    out.push_str(BODY_HASH);
    out.push('=');
    out.push_str(&body_hash(body));
    out
}

/// A body's SHA-256 as `bodySHA256` carries it: lower-case hexadecimal.
pub fn body_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// The claim of a request, prepared once for all keys and all spellings of its URL.
struct ClaimedSignature<'a> {
    tag: Tag,
    selection: KeySelection<'a>,
    content: &'a Content<'a>,
    parameters: Parameters,
    is_get: bool,
    work: Cell<Work>,
}

/// The hashing that was done for one request.
#[derive(Debug, Clone, Copy, Default)]
struct Work {
    hmacs: usize,
    bytes: usize,
}

impl<'a> ClaimedSignature<'a> {
    fn new(
        content: &'a Content<'a>,
        is_get: bool,
        header: Option<&[u8]>,
        settings: Option<&'a [u8]>,
    ) -> Result<Self, SignatureError> {
        let selection = KeySelection::of(settings);
        let tag = Tag::read(header.ok_or(SignatureError::Missing)?);
        let tag = tag.filter(|tag| tag.suits(selection)).ok_or(SignatureError::Malformed)?;
        let (parameters, work) = (signed_parameters(content), Cell::default());
        Ok(Self { tag, selection, content, parameters, is_get, work })
    }

    fn verify<'k, 'b>(
        &self,
        keys: impl Iterator<Item = &'k SigningKey> + Clone,
        bases: &(impl Iterator<Item = &'b str> + Clone),
        rest: &str,
    ) -> Result<Match, SignatureError> {
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        if matches!(self.content, Content::Other(_)) && body_hashes(query).next().is_none() {
            return Err(SignatureError::BodyHashMissing);
        }
        let chosen = keys.enumerate().filter(|(_, key)| self.selection.takes(key));
        // Selecting no key costs as much as selecting one.
        let none_chosen = chosen.clone().next().is_none();
        let stand_in = none_chosen.then(|| Keyed::new(self.tag.algorithm(), b""));
        let key = candidates::find(bases, rest, self.is_get, |url| {
            if let Some(stand_in) = &stand_in {
                std::hint::black_box(self.is_made_by(stand_in, url)?);
                return ControlFlow::Continue(());
            }
            for (at, key) in chosen.clone() {
                if self.is_made_by(&key.keyed, url)? {
                    return ControlFlow::Break(Some(at));
                }
            }
            ControlFlow::Continue(())
        });
        let ControlFlow::Break(Some(key)) = key else { return Err(SignatureError::Mismatch) };
        // Only now, because hashing the body of an unauthenticated client costs too much.
        self.verify_body(query)?;
        Ok(Match { key })
    }

    /// Whether that key made the signature for that URL. Breaks once [`MAX_HASHED`] is spent.
    fn is_made_by(&self, key: &Keyed, url: &[&str]) -> ControlFlow<Option<usize>, bool> {
        let Work { hmacs, bytes } = self.work.get();
        let text: usize = url.iter().map(|piece| piece.len()).sum();
        let bytes = bytes + OF_AN_HMAC + text + self.parameters.text.len();
        if bytes > MAX_HASHED {
            return ControlFlow::Break(None);
        }
        self.work.set(Work { hmacs: hmacs + 1, bytes });
        // `verify_slice` compares in constant time.
        ControlFlow::Continue(match (key, &self.tag) {
            (Keyed::Sha1(key), Tag::Sha1(tag)) => {
                hash_request(key, url, &self.parameters).verify_slice(tag).is_ok()
            }
            (Keyed::Sha256(key), Tag::Sha256(tag)) => {
                hash_request(key, url, &self.parameters).verify_slice(tag).is_ok()
            }
            (Keyed::Sha1(_), Tag::Sha256(_)) | (Keyed::Sha256(_), Tag::Sha1(_)) => false,
        })
    }

    /// Every hash in the query must be the body's. With two different hashes, it would be unclear which counts.
    fn verify_body(&self, query: &str) -> Result<(), SignatureError> {
        let body = match *self.content {
            Content::Nothing => return Ok(()),
            Content::Form { body, .. } | Content::Other(body) => body,
        };
        let mut hashes = body_hashes(query).peekable();
        if hashes.peek().is_none() {
            return Ok(());
        }
        let hash = body_hash(body);
        if hashes.all(|claimed| *claimed == *hash.as_bytes()) {
            Ok(())
        } else {
            Err(SignatureError::BodyHashMismatch)
        }
    }
}

/// A form's parameters as they are signed: each once, sorted bytewise by name, then by value. Names repeat for each
/// value. Parameters longer than any of Twilio's use the heap.
#[derive(Default)]
struct Parameters {
    /// The decoded names and values, in the order of the body.
    text: SmallVec<[u8; 1024]>,
    /// The place of each parameter in the text, in the order of the signature.
    sorted: SmallVec<[Parameter; 32]>,
}

/// A parameter's place in [`Parameters::text`]: its name, followed by its value.
#[derive(Clone, Copy)]
struct Parameter {
    /// The first eight bytes of its name: most names differ in them.
    prefix: u64,
    name: u32,
    value: u32,
    end: u32,
}

impl Parameter {
    fn name(self) -> Range<usize> {
        self.name as usize..self.value as usize
    }
    fn value(self) -> Range<usize> {
        self.value as usize..self.end as usize
    }
}

impl Parameters {
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let place = |parameter: &Parameter| parameter.name().start..parameter.value().end;
        self.sorted.iter().filter_map(move |parameter| self.text.get(place(parameter)))
    }
}

/// Decodes each parameter once, so that sorting compares plain bytes. Decoding in each comparison would let an attacker
/// multiply the work.
fn signed_parameters(content: &Content<'_>) -> Parameters {
    let Content::Form { pairs, .. } = content else { return Parameters::default() };
    let length = pairs.iter().map(|(name, value)| name.encoded_len() + value.encoded_len()).sum();
    let mut text = SmallVec::with_capacity(length);
    let mut sorted = SmallVec::with_capacity(pairs.len());
    // No body has 4 GiB: `inbound` accepts 64 KiB of a form, and a recording contains no more.
    let here = |text: &SmallVec<[u8; 1024]>| u32::try_from(text.len()).unwrap_or(u32::MAX);
    for (name, value) in *pairs {
        let prefix = name.prefix();
        let from = here(&text);
        name.append_to(&mut text);
        let middle = here(&text);
        value.append_to(&mut text);
        sorted.push(Parameter { prefix, name: from, value: middle, end: here(&text) });
    }
    let parts = |one: &Parameter| (one.prefix, text.get(one.name()), text.get(one.value()));
    sorted.sort_unstable_by(|one, other| parts(one).cmp(&parts(other)));
    sorted.dedup_by(|one, other| parts(one) == parts(other));
    Parameters { text, sorted }
}

fn hash_request<M: Mac + Clone>(keyed: &M, url: &[&str], parameters: &Parameters) -> M {
    let mut mac = keyed.clone();
    for piece in url {
        mac.update(piece.as_bytes());
    }
    for piece in parameters.pieces() {
        mac.update(piece);
    }
    mac
}

fn body_hashes(query: &str) -> impl Iterator<Item = Cow<'_, [u8]>> {
    form::split(query.as_bytes())
        .filter(|(name, _)| *name == Text::from(BODY_HASH.as_bytes()))
        .map(|(_, hash)| hash.decoded())
}

#[cfg(test)]
mod tests;
