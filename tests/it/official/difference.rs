//! Where we and Twilio's validators differ on purpose, and why. Each is recognised by what a request is,
//! never by how it was judged, and each says who is the stricter one.

use crate::official::Official;
use crate::official::requests::{Broken, Kind, Request, Spelled};

/// A difference, in the order of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// We take it, they do not. The apostrophe in a query was escaped before it was signed, or after:
    /// twilio-ruby signs one way, others the other (twilio-node #1059). We try both; Python neither, Node
    /// only what `new URL` and `querystring` make of the whole query.
    Apostrophe,
    /// They take it, we do not. A body without a byte and without a hash: Python takes "" for no
    /// parameters at all and looks at the URL alone. For us nothing vouches for a body that is no form.
    EmptyBody,
    /// We take it, they do not. Python's `urlparse` drops a `?` behind which nothing stands, and so
    /// signs another URL than it was given.
    EmptyQuery,
    /// They take it, we do not. A form's URL bears the hash of another body. It is signed, and says what
    /// the body is, so we believe it; they never look at it where the body is a form.
    FormsHash,
    /// We take it, they do not. Of a GET, `@` and `:` may have been escaped after signing (twilio-node's
    /// pull request #621). Python does not try that, Node only by escaping the whole query.
    GetEscapes,
    /// We take it, they do not. Python cannot tell the port of an IPv6 literal: it cuts at the first colon.
    Ipv6Port,
    /// They take it, we do not. Node also tries what `new URL` makes of the URL: host in lower case, dots
    /// resolved. No back end of Twilio's is known to sign that; a public URL is signed as it was given
    /// (twilio-csharp refuses these too, and its tests are our vectors v067 and v068).
    Normalised,
    /// We take it, they do not. A parameter that is no UTF-8 is signed as the bytes that it has; they have
    /// replaced them with U+FFFD before they sign.
    NotUtf8,
    /// We take it, they do not. Python writes the scheme in lower case before it signs.
    SchemesCase,
    /// They take it, we do not. The URL bears two hashes, of which the first is the body's. Which of them
    /// counts is left open, so for us both have to.
    TwoHashes,
    /// We take it, they do not. With `user:pass@` before the host, Python takes the password for the port.
    UserinfoPort,
    /// We take it, they do not. Node sorts names by UTF-16 units, where an emoji stands before U+FF5E; Twilio's
    /// other libraries, Python's among them, sort by code point, which is the order of the bytes.
    Utf16Order,
}

impl Difference {
    /// Those that Python's validator must show.
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
    /// Those that Node's validator must show.
    pub(super) const OF_NODE: [Self; 7] = [
        Self::Apostrophe,
        Self::FormsHash,
        Self::GetEscapes,
        Self::Normalised,
        Self::NotUtf8,
        Self::TwoHashes,
        Self::Utf16Order,
    ];

    /// Why we may say `ours` of this request, and they the opposite.
    pub(super) fn of(official: Official, request: &Request, ours: bool) -> Option<Self> {
        if ours { Self::taken(official, request) } else { Self::refused(official, request) }
    }

    /// We take it, they do not.
    fn taken(official: Official, request: &Request) -> Option<Self> {
        // No difference is a reason to take what was tampered with.
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

    /// They take it, we do not.
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

    /// The parameters themselves mean something else to them.
    pub(super) fn of_parameters(official: Official, request: &Request) -> Option<Self> {
        if request.kind != Kind::Form {
            return None;
        }
        if request.body.contains("%FF") {
            return Some(Self::NotUtf8);
        }
        // The only name or value that is drawn from beyond U+E000 but below U+10000.
        let mixed = request.body.contains("%EF%BD%9E") && request.body.contains("%F0%9F");
        (official == Official::Node && mixed).then_some(Self::Utf16Order)
    }
}
