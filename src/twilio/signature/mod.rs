//! `X-Twilio-Signature`: proof that a request comes from someone who holds one of our keys.
//!
//! The signed string is the URL, then for a form each parameter's name and decoded value, sorted
//! bytewise, with nothing in between; its HMAC-SHA1 is sent in base64. Any other body is signed by
//! its SHA-256, which the URL's query must carry as `bodySHA256`. The rule is Twilio's ("Webhooks
//! security") as its seven helper libraries agree on it; `tests/it/vectors.rs` holds us to theirs.
//! A `SharedKey` signs the same string, with HMAC-SHA256 if it is bound to it (`key.rs`); the header
//! that names it is not signed itself, and only ever selects (`selection.rs`).
//!
//! Three things are deliberately absent. Accounts: nothing here knows which account a request names,
//! so an unknown one costs the same work as a known one. Time: none is signed, so a replay has to be
//! recognised by what it says. And delimiters: `…?x=1` with `b=2` signs like `…?x=1b2`, so whoever
//! uses this pins the path and the parameters that it reads.

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

/// The most bytes that are hashed to verify one request, over all keys, public URLs and spellings. One try takes the URL and
/// the parameters: 32 KiB and 64 KiB at most, by the limits of `inbound`. Twilio's callbacks take a few kilobytes, so all of
/// their tries fit many times over.
const MAX_HASHED: usize = 384 << 10;
/// What an HMAC costs besides its text, in bytes hashed: its padding, the outer hash and the copy of its key.
const OF_AN_HMAC: usize = 256;

/// What is signed besides the URL.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// A GET, whose parameters are in the URL, or no body at all: the URL alone is signed.
    Nothing,
    /// A form: its parameters are signed, in whatever order they came.
    Form {
        /// The parameters, from [`form::pairs`].
        pairs: &'a [FormPair<'a>],
        /// The raw body they came in. It must match a `bodySHA256` if the URL carries one; signing
        /// does not read it.
        body: &'a [u8],
    },
    /// Any other body, e.g. JSON: the URL's query must carry `bodySHA256`, and it must match.
    Other(&'a [u8]),
}

/// A request as it was presented to us.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The public origins under which we are known, each maybe with a path prefix, none with a
    /// trailing slash. From the settings: `Host` and `X-Forwarded-*` are the sender's to choose.
    pub bases: &'a [String],
    /// Path and query as on the request line, nothing decoded.
    pub path_and_query: &'a str,
    pub content: Content<'a>,
    /// Whether it is a GET, whose query Twilio may have escaped after signing it.
    pub is_get: bool,
    /// `X-Twilio-Webhooks-Signature-Settings`, which names a `SharedKey`. Not signed: it selects
    /// among the keys given, and nothing more.
    pub settings: Option<&'a [u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The index of the key that made it, among those given.
    pub key: usize,
}

/// The reason to reject a request. Only our counters show it: every client gets the same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mistrust {
    /// The header is not there.
    #[error("there is no X-Twilio-Signature")]
    Missing,
    /// The header is not as many bytes as its algorithm makes, in padded standard base64.
    #[error("X-Twilio-Signature is not 20 bytes in base64, nor 32 of a SharedKey with HMAC_SHA256")]
    Malformed,
    /// No key makes this signature for this request under any of our public URLs.
    #[error("X-Twilio-Signature does not match: another key, URL or parameter was signed")]
    Mismatch,
    /// A body that is no form came without its hash in the URL, so nothing vouches for it.
    #[error("the URL's query carries no bodySHA256")]
    BodyHashMissing,
    /// The URL's signature is good, but the body is not the one that was signed.
    #[error("bodySHA256 does not match the body")]
    BodyHashMismatch,
}

impl Mistrust {
    /// The same in one word, for a metric.
    #[must_use]
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

/// Verifies a request under each of our public URLs with each of the keys that it may be signed by.
///
/// Accounts are none of its business: ask this first, for all accounts alike, and an unknown account
/// costs the same work as a known one. Without a key the work is done with a stand-in, in vain.
///
/// # Errors
/// [`Mistrust`], for our own eyes only.
pub fn verify<'k>(
    keys: impl IntoIterator<Item = &'k SigningKey, IntoIter: Clone>,
    request: &Presented<'_>,
    header: Option<&[u8]>,
) -> Result<Match, Mistrust> {
    let claim = ClaimedSignature::new(&request.content, request.is_get, header, request.settings)?;
    let bases = request.bases.iter().map(String::as_str);
    claim.verify(keys.into_iter(), &bases, request.path_and_query)
}

/// Whether a header holds a signature of some key: the right number of bytes, in base64.
#[must_use]
pub fn is_signature(header: &[u8]) -> bool {
    Tag::read(header).is_some()
}

/// Verifies a request that names no `SharedKey`, and of which the whole public URL is known.
/// [`verify`] does the same for each of its bases.
///
/// # Errors
/// [`Mistrust`], for our own eyes only.
pub fn verify_url<'k>(
    keys: impl IntoIterator<Item = &'k SigningKey, IntoIter: Clone>,
    url: &str,
    content: &Content<'_>,
    is_get: bool,
    header: Option<&[u8]>,
) -> Result<Match, Mistrust> {
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
#[must_use]
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

/// The URL (or path and query) with `bodySHA256` of this body at the end of its query, in place of
/// one that is there already.
#[must_use]
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
#[must_use]
pub fn body_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

/// What a request says about itself, made ready once for every key and every spelling of its URL.
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
    ) -> Result<Self, Mistrust> {
        let selection = KeySelection::of(settings);
        let tag = Tag::read(header.ok_or(Mistrust::Missing)?);
        let tag = tag.filter(|tag| tag.suits(selection)).ok_or(Mistrust::Malformed)?;
        let (parameters, work) = (signed_parameters(content), Cell::default());
        Ok(Self { tag, selection, content, parameters, is_get, work })
    }

    fn verify<'k, 'b>(
        &self,
        keys: impl Iterator<Item = &'k SigningKey> + Clone,
        bases: &(impl Iterator<Item = &'b str> + Clone),
        rest: &str,
    ) -> Result<Match, Mistrust> {
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        if matches!(self.content, Content::Other(_)) && body_hashes(query).next().is_none() {
            return Err(Mistrust::BodyHashMissing);
        }
        let chosen = keys.enumerate().filter(|(_, key)| self.selection.takes(key));
        // What selects nothing costs what selects one key.
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
        let ControlFlow::Break(Some(key)) = key else { return Err(Mistrust::Mismatch) };
        // Only now: a stranger's megabyte is not worth hashing.
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

    /// Every hash that the query carries must be the body's: two that differ would leave it open
    /// which of them counts.
    fn verify_body(&self, query: &str) -> Result<(), Mistrust> {
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
            Err(Mistrust::BodyHashMismatch)
        }
    }
}

/// A form's parameters as they are signed: each once, sorted by name, then by value, both bytewise. Names repeat for each
/// value. Longer ones than any of Twilio's go to the heap.
#[derive(Default)]
struct Parameters {
    /// The decoded names and values, in the order of the body.
    text: SmallVec<[u8; 1024]>,
    /// Where each parameter lies in the text, in the order of the signature.
    sorted: SmallVec<[Parameter; 32]>,
}

/// A parameter's place in [`Parameters::text`]: its name, and its value behind that.
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

/// Decodes each parameter once, so that sorting compares plain bytes: comparing while decoding would cost an attacker's
/// kilobytes for each step of the sort.
fn signed_parameters(content: &Content<'_>) -> Parameters {
    let Content::Form { pairs, .. } = content else { return Parameters::default() };
    let length = pairs.iter().map(|(name, value)| name.encoded_len() + value.encoded_len()).sum();
    let mut text = SmallVec::with_capacity(length);
    let mut sorted = SmallVec::with_capacity(pairs.len());
    // No body has 4 GiB: `inbound` takes 64 KiB of a form, and a recording is a file of that.
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
