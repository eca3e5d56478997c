//! Classifies a visit to a click link by its headers: a person, a crawler, or a browser that prefetches. A client can claim
//! to be a person, so [`LinkVisit::Person`] is only the absence of a sign to the contrary.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderValue, USER_AGENT};

use crate::domain::click_link::Links;
use crate::twilio::crawlers;

/// Headers that mark a prefetch: `Sec-Purpose` (Fetch standard), `Purpose` (Safari, old Chromium), `X-Purpose` (Safari's
/// previews), `X-Moz` (old Firefox).
const PURPOSES: [&str; 4] = ["Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"];
const PREFETCH_WORDS: [&str; 3] = ["prefetch", "prerender", "preview"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkVisit {
    /// No sign of another kind of visit.
    Person,
    /// A known crawler, previewer or scanner.
    Crawler,
    /// A browser, before the user opens the link.
    Prefetch,
    /// A program or a script, with [`Links::ConfirmOnPress`].
    Script,
}

/// Browsers send `?1` with a navigation that a press, a tap or a key started (Fetch Metadata, 2.4; in all browsers since
/// 2023). A script cannot set it.
const USER_ACTIVATION: &str = "Sec-Fetch-User";

impl LinkVisit {
    pub(super) fn of(request: &HttpRequest, links: Links) -> Self {
        let header = |name: &str| {
            let value = request.headers().get(name).map(HeaderValue::as_bytes);
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let lacks_press = links == Links::ConfirmOnPress && header(USER_ACTIVATION) != "?1";
        if crawlers::is_known(&header(USER_AGENT.as_str())) {
            return if lacks_press { Self::Script } else { Self::Crawler };
        }
        let purposes = PURPOSES.map(|name| header(name).to_ascii_lowercase());
        let is_prefetch =
            |purpose: &String| PREFETCH_WORDS.iter().any(|word| purpose.contains(word));
        if purposes.iter().any(is_prefetch) {
            return Self::Prefetch;
        }
        if lacks_press { Self::Script } else { Self::Person }
    }
}
