//! Who fetches a click link, by their own word: a person's browser, a crawler, or a browser that
//! fetches ahead of time. None of these words is to be believed when it says "person".

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderValue, USER_AGENT};

use crate::domain::click_link::Links;
use crate::twilio::crawlers;

/// Headers with which browsers say that nobody has asked for this yet: `Sec-Purpose` (Fetch
/// standard), `Purpose` (Chromium's of old, Safari), `X-Purpose` (Safari's previews), `X-Moz`
/// (Firefox's of old).
const PURPOSES: [&str; 4] = ["Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"];
const AHEAD_OF_TIME: [&str; 3] = ["prefetch", "prerender", "preview"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkVisit {
    /// Nothing speaks against it.
    Person,
    /// A known crawler, previewer or scanner.
    Crawler,
    /// A browser, before anybody has asked it to.
    Prefetch,
    /// A program or a script, where only a person's press counts.
    Script,
}

/// Browsers send it with a navigation that a person's press, tap or key began (Fetch Metadata, 2.4; all of them
/// since 2023). A script cannot set it.
const PRESSED: &str = "Sec-Fetch-User";

impl LinkVisit {
    pub(super) fn of(request: &HttpRequest, links: Links) -> Self {
        let said = |name: &str| {
            let value = request.headers().get(name).map(HeaderValue::as_bytes);
            String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
        };
        let lacks_press = links == Links::ConfirmOnPress && said(PRESSED) != "?1";
        if crawlers::is_known(&said(USER_AGENT.as_str())) {
            return if lacks_press { Self::Script } else { Self::Crawler };
        }
        let purposes = PURPOSES.map(|name| said(name).to_ascii_lowercase());
        let ahead = |said: &String| AHEAD_OF_TIME.iter().any(|word| said.contains(word));
        if purposes.iter().any(ahead) {
            return Self::Prefetch;
        }
        if lacks_press { Self::Script } else { Self::Person }
    }
}
