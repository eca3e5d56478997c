//! The intended differences between Heardback and Twilio's validators, each with its reason. A
//! difference is recognised by the request, never by the results. Each states which side is
//! stricter.

use crate::official::Official;
use crate::official::requests::{Broken, Kind, Request, Spelled};

/// A difference; the variants are in alphabetical order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// Only Heardback accepts. The apostrophe in a query was escaped before it was signed, or
    /// after: twilio-ruby signs one form, other libraries the other (twilio-node #1059). Heardback
    /// tries both. Python tries neither; Node tries only the output of `new URL` and `querystring`
    /// for the whole query.
    Apostrophe,
    /// Only Twilio's validator accepts. The body is empty and has no hash: Python treats "" as no
    /// parameters and verifies the URL alone. For Heardback a body that is no form needs a hash.
    EmptyBody,
    /// Only Heardback accepts. Python's `urlparse` drops a `?` with an empty query, so it verifies
    /// another URL than the signed one.
    EmptyQuery,
    /// Only Twilio's validator accepts. The URL of a form has the hash of another body. The hash is
    /// signed and describes the body, so Heardback checks it. The validators do not check it for a
    /// form.
    FormsHash,
    /// Only Heardback accepts. In a GET, `@` and `:` may have been escaped after signing
    /// (twilio-node's pull request #621). Python does not try that; Node only escapes the whole
    /// query.
    GetEscapes,
    /// Only Heardback accepts. Python cannot find the port of an IPv6 literal: it splits at the
    /// first colon.
    Ipv6Port,
    /// Only Twilio's validator accepts. Node also tries the output of `new URL`: host in lower
    /// case, dots resolved. No back end of Twilio is known to sign that: a public URL is signed as
    /// it was configured. (twilio-csharp refuses these too; its tests are the vectors v067 and
    /// v068.)
    Normalised,
    /// Only Heardback accepts. A parameter that is no UTF-8 is signed as its bytes. The validators
    /// have replaced the bytes with U+FFFD before they verify.
    NotUtf8,
    /// Only Heardback accepts. Python writes the scheme in lower case before it signs.
    SchemesCase,
    /// Only Twilio's validator accepts. The URL has two hashes, of which the first matches the
    /// body. No document says which one counts, so for Heardback both must match.
    TwoHashes,
    /// Only Heardback accepts. With `user:pass@` before the host, Python parses the password as the
    /// port.
    UserinfoPort,
    /// Only Heardback accepts. Node sorts names by UTF-16 units, which puts an emoji before U+FF5E.
    /// Twilio's other libraries, with Python's, sort by code point, which is the order of the
    /// bytes.
    Utf16Order,
}

impl Difference {
    /// The differences that Python's validator must show.
    pub(super) const OF_PYTHON: [Self; 10] = [
        Self::Apostrophe,
        Self::EmptyBody,
        Self::EmptyQuery,
        Self::FormsHash,
        Self::GetEscapes,
        Self::Ipv6Port,
        Self::NotUtf8,
        Self::SchemesCase,
        Self::TwoHashes,
        Self::UserinfoPort,
    ];
    /// The differences that Node's validator must show.
    pub(super) const OF_NODE: [Self; 7] = [
        Self::Apostrophe,
        Self::FormsHash,
        Self::GetEscapes,
        Self::Normalised,
        Self::NotUtf8,
        Self::TwoHashes,
        Self::Utf16Order,
    ];

    /// The difference that permits the result `ours` of Heardback and the opposite of the validator.
    pub(super) fn of(official: Official, request: &Request, ours: bool) -> Option<Self> {
        if ours { Self::taken(official, request) } else { Self::refused(official, request) }
    }

    /// Only Heardback accepts.
    fn taken(official: Official, request: &Request) -> Option<Self> {
        // No difference justifies accepting a request that was changed after signing.
        if request.harmed {
            return None;
        }
        if let Some(difference) = Self::of_parameters(official, request) {
            return Some(difference);
        }
        match (official, request.spelled) {
            (_, Spelled::Apostrophe) => return Some(Self::Apostrophe),
            (_, Spelled::GetEscapes) => return Some(Self::GetEscapes),
            (Official::Node, _) => return None,
            (Official::Python, _) => {}
        }
        let url = request.url();
        let without_port = request.spelled == Spelled::WithoutPort;
        if request.base.starts_with("HTTP") {
            Some(Self::SchemesCase)
        } else if url.ends_with('?') {
            Some(Self::EmptyQuery)
        } else if request.base.contains('@') && without_port {
            Some(Self::UserinfoPort)
        } else if request.base.contains("]:") && without_port {
            Some(Self::Ipv6Port)
        } else {
            None
        }
    }

    /// Only Twilio's validator accepts.
    fn refused(official: Official, request: &Request) -> Option<Self> {
        match (official, request.broken, request.kind) {
            (Official::Node, _, _) if request.spelled == Spelled::Normalised => {
                Some(Self::Normalised)
            }
            (_, Broken::OtherHash | Broken::TwoHashes | Broken::UpperHash, Kind::Form) => {
                Some(Self::FormsHash)
            }
            (_, Broken::TwoHashes, Kind::Json) => Some(Self::TwoHashes),
            (Official::Python, Broken::NoHash, Kind::Json) if request.body.is_empty() => {
                Some(Self::EmptyBody)
            }
            _ => None,
        }
    }

    /// The validator parses different parameters.
    pub(super) fn of_parameters(official: Official, request: &Request) -> Option<Self> {
        if request.kind != Kind::Form {
            return None;
        }
        if request.body.contains("%FF") {
            return Some(Self::NotUtf8);
        }
        // The only generated name or value between U+E000 and U+10000.
        let mixed = request.body.contains("%EF%BD%9E") && request.body.contains("%F0%9F");
        (official == Official::Node && mixed).then_some(Self::Utf16Order)
    }
}
