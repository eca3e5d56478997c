//! Who may see the operator's page, and press its buttons.
//!
//! With `HEARDBACK_OPS_TOKEN`: whoever shows it, as a bearer or once in a form for a cookie. The cookie is a
//! MAC over its own expiry, so that nothing is kept here and the token is in no browser. Without it nobody
//! but this machine is listened to, and then `Host` must name this machine: a page from elsewhere whose
//! name was made to lead here (DNS rebinding) bears its own; and what a proxy passes on is somebody else's.
//! Deliberately absent: `Secure` on the cookie,
//! since nobody tells us whether the road here is https, and over plain http it would log nobody in.

use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::admin::page::local_access;
use crate::admin::page::login_limiter::LoginLimiter;
use crate::domain::mac::MacKey;
use crate::domain::rate_limit::RateLimitState;

/// How long somebody stays logged in, in seconds: a working day.
pub(super) const SESSION_SECS: i64 = 12 * 60 * 60;
const COOKIE_NAME: &str = "heardback_operator";

/// Keeps the door.
pub(super) struct Guard {
    access: Access,
    /// New with each process.
    process: MacKey,
    began: Instant,
    tries: LoginLimiter,
}

enum Access {
    /// Nobody else reaches us.
    ThisMachine,
    Token {
        token: Box<MacKey>,
        sessions: Box<MacKey>,
    },
}

/// Who was let in.
pub(super) struct Visitor {
    /// What the page's forms have to bring along.
    pub(super) form_token: String,
    /// Whether there is a session to end.
    pub(super) has_session: bool,
    /// A program that shows the token with every request. No browser does that for somebody else.
    is_bearer: bool,
}

/// Why somebody was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoginDenied {
    /// They have to log in.
    Anonymous,
    /// What they showed is not the token.
    WrongToken,
    /// Too much of that. What is the token is taken all the same.
    TooManyTries,
    /// They asked for another machine than this one.
    ForeignHost,
    /// Somebody else's request came through a proxy, which is this machine as well.
    Proxied,
    /// The request comes from another site's page, or from a form that is not this session's.
    Forged,
}

impl Guard {
    /// `random` is of this process alone.
    pub(super) fn new(token: Option<&SecretString>, random: [u8; 32]) -> Self {
        let access = token.map_or(Access::ThisMachine, |token| {
            let token = Box::new(MacKey::new(token.expose_secret().as_bytes()));
            let sessions = token.tag(["heardback operator's sessions".as_bytes()]);
            let sessions = Box::new(MacKey::new(&sessions));
            Access::Token { token, sessions }
        });
        let began = Instant::now();
        Self { access, process: MacKey::new(&random), began, tries: LoginLimiter::default() }
    }

    /// Whether there is a token to log in with.
    pub(super) fn wants_token(&self) -> bool {
        matches!(self.access, Access::Token { .. })
    }

    /// Lets somebody in, or not.
    pub(super) fn admit(
        &self,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<Visitor, LoginDenied> {
        let Access::Token { sessions, .. } = &self.access else {
            if local_access::came_through_a_proxy(request) {
                return Err(LoginDenied::Proxied);
            }
            if !header(request, &HOST)
                .is_some_and(|host| local_access::is_this_machine(request, host))
            {
                return Err(LoginDenied::ForeignHost);
            }
            let form_token = self.process.hex_tag("form");
            return Ok(Visitor { form_token, has_session: false, is_bearer: false });
        };
        if let Some(shown) = header(request, &AUTHORIZATION) {
            let (scheme, token) = shown.split_once(' ').unwrap_or_default();
            self.check(request, token.trim(), scheme.eq_ignore_ascii_case("bearer"))?;
            return Ok(Visitor { form_token: String::new(), has_session: false, is_bearer: true });
        }
        let session = cookie_of(request, COOKIE_NAME).ok_or(LoginDenied::Anonymous)?;
        let (signed, tag) = session.rsplit_once('.').ok_or(LoginDenied::Anonymous)?;
        let expiry = signed.split('.').next().and_then(|text| text.parse::<i64>().ok());
        if !sessions.made_hex(signed, tag) || expiry.is_none_or(|expiry| expiry <= now.as_second())
        {
            return Err(LoginDenied::Anonymous);
        }
        let form_token = sessions.hex_tag(&format!("form {signed}"));
        Ok(Visitor { form_token, has_session: true, is_bearer: false })
    }

    /// Whether what somebody wants to change is their own wish: asked for by our own page.
    pub(super) fn allow(
        &self,
        request: &HttpRequest,
        visitor: &Visitor,
        form_token: &str,
    ) -> Result<(), LoginDenied> {
        if visitor.is_bearer {
            return Ok(());
        }
        is_ours(request)?;
        // Compared as MACs, so that it takes as long whatever is presented.
        let tag = self.process.hex_tag(&visitor.form_token);
        if self.process.made_hex(form_token, &tag) { Ok(()) } else { Err(LoginDenied::Forged) }
    }

    /// A session's cookie for whoever shows the token.
    pub(super) fn log_in(
        &self,
        request: &HttpRequest,
        shown: &str,
        now: Timestamp,
    ) -> Result<String, LoginDenied> {
        let Access::Token { sessions, .. } = &self.access else {
            return Err(LoginDenied::Anonymous);
        };
        is_ours(request)?;
        self.check(request, shown, true)?;
        let expiry = now.as_second() + SESSION_SECS;
        // Two that begin in the same second are two.
        let since = format!("{now} {:?}", self.began.elapsed());
        let nonce: String = self.process.hex_tag(&since).chars().take(16).collect();
        let signed = format!("{expiry}.{nonce}");
        let tag = sessions.hex_tag(&signed);
        Ok(cookie(COOKIE_NAME, &format!("{signed}.{tag}"), SESSION_SECS))
    }

    fn check(&self, request: &HttpRequest, shown: &str, is_token: bool) -> Result<(), LoginDenied> {
        let Access::Token { token, .. } = &self.access else { return Err(LoginDenied::WrongToken) };
        let known = token.hex_tag("shown");
        if is_token && MacKey::new(shown.as_bytes()).made_hex("shown", &known) {
            return Ok(());
        }
        let from = request.peer_addr().map(|peer| peer.ip());
        match self.tries.failed(from, self.began.elapsed()) {
            RateLimitState::Within => Err(LoginDenied::WrongToken),
            RateLimitState::JustOver => {
                tracing::warn!(
                    "too many wrong tokens for the operator's page; see HEARDBACK_OPS_TOKEN"
                );
                Err(LoginDenied::TooManyTries)
            }
            RateLimitState::Over => Err(LoginDenied::TooManyTries),
        }
    }
}

/// The cookie that ends a session.
pub(super) fn no_cookie() -> String {
    cookie(COOKIE_NAME, "", 0)
}

/// One that is ours alone, for so long.
pub(super) fn cookie(name: &str, value: &str, seconds: i64) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}")
}

/// Whether a browser says that our own page asked. One that says nothing of it is too old to send either,
/// or no browser; the form's token holds then.
fn is_ours(request: &HttpRequest) -> Result<(), LoginDenied> {
    let site = request.headers().get("Sec-Fetch-Site").map(HeaderValue::as_bytes);
    let origin = header(request, &ORIGIN).map(|origin| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && host == header(request, &HOST)
    });
    match (site, origin) {
        (Some(b"same-origin"), _) | (None, Some(true) | None) => Ok(()),
        (Some(_), _) | (None, Some(false)) => Err(LoginDenied::Forged),
    }
}

/// What a browser keeps under this name.
pub(super) fn cookie_of<'a>(request: &'a HttpRequest, wanted: &str) -> Option<&'a str> {
    let cookies = header(request, &COOKIE)?.split(';').map(str::trim);
    cookies.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted).map(|it| it.1)
}

/// What a header says, if it says it once.
fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    let mut values = request.headers().get_all(name);
    let value = values.next()?.to_str().ok();
    value.filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const TOKEN: &str = "a token of more than sixteen bytes";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time")
    }

    fn guard(token: &str) -> Guard {
        Guard::new(Some(&SecretString::from(token)), [7; 32])
    }

    fn with(name: &'static str, value: &str) -> HttpRequest {
        TestRequest::default().insert_header((name, value)).to_http_request()
    }

    #[test]
    fn a_session_lasts_for_its_time_and_for_its_token() {
        let guard = guard(TOKEN);
        let cookie = guard.log_in(&with("Accept", "x"), TOKEN, at(0)).expect("logged in");
        let pair = cookie.split(';').next().expect("a pair").to_owned();
        let request = with("Cookie", &pair);
        assert!(guard.admit(&request, at(SESSION_SECS - 1)).is_ok());
        assert_eq!(guard.admit(&request, at(SESSION_SECS)).err(), Some(LoginDenied::Anonymous));
        let other = super::tests::guard("another token that is long enough");
        assert_eq!(other.admit(&request, at(1)).err(), Some(LoginDenied::Anonymous));
        // Nobody lengthens it.
        let longer = with("Cookie", &pair.replacen("=43200.", "=99999.", 1));
        assert_ne!(pair, pair.replacen("=43200.", "=99999.", 1));
        assert_eq!(guard.admit(&longer, at(1)).err(), Some(LoginDenied::Anonymous));
        assert!(!cookie.contains(TOKEN));
    }

    #[test]
    fn two_sessions_forms_are_not_each_others() {
        let guard = guard(TOKEN);
        let visitor = || {
            let cookie = guard.log_in(&with("Accept", "x"), TOKEN, at(0)).expect("logged in");
            let pair = cookie.split(';').next().expect("a pair").to_owned();
            guard.admit(&with("Cookie", &pair), at(1)).expect("admitted")
        };
        let (one, two) = (visitor(), visitor());
        let request = with("Accept", "x");
        assert_eq!(guard.allow(&request, &one, &one.form_token), Ok(()));
        assert_eq!(guard.allow(&request, &one, &two.form_token), Err(LoginDenied::Forged));
        assert_eq!(guard.allow(&request, &one, ""), Err(LoginDenied::Forged));
    }

    #[test]
    fn without_a_token_only_this_machines_names_are_answered() {
        let guard = Guard::new(None, [7; 32]);
        for host in ["localhost:9091", "127.0.0.1:9091", "[::1]:9091", "[::1]", "LOCALHOST"] {
            assert!(guard.admit(&with("Host", host), at(0)).is_ok(), "{host}");
        }
        for host in ["evil.example:9091", "127.0.0.1.evil.example", "", "localhost.evil:80"] {
            assert!(guard.admit(&with("Host", host), at(0)).is_err(), "{host}");
        }
    }
}
