//! Authentication of the operator's page, and protection of its forms against other sites.
//!
//! With `HEARDBACK_OPS_TOKEN`: the token as a bearer, or a session cookie after a login. The cookie is a MAC over its own
//! expiry, so the server keeps no sessions and the browser no token. Without the token only this machine has access.
//! Deliberately absent: `Secure` on the cookie, because it would prevent every login over plain HTTP.

use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use crate::admin::page::local_access;
use crate::admin::page::login_limiter::LoginLimiter;
use crate::domain::mac::MacKey;
use crate::domain::rate_limit::RateLimitState;
use crate::telemetry::clock::monotonic;

/// The duration of a session, in seconds: a working day.
const SESSION_SECS: i64 = 12 * 60 * 60;
const SESSION_COOKIE: &str = "heardback_operator";

pub(super) struct Authenticator {
    /// `None`: only this machine has access.
    token: Option<TokenKeys>,
    /// New in each process.
    process_key: MacKey,
    started_at: Instant,
    limiter: LoginLimiter,
}

/// Keys that are derived from the operator's token.
struct TokenKeys {
    token: MacKey,
    sessions: MacKey,
}

pub(super) struct Session {
    /// The session's CSRF token, which its forms must contain.
    pub(super) csrf_token: String,
    pub(super) can_log_out: bool,
    /// A program that sends the token with every request. No other site can make a browser do so.
    is_bearer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no access to the operator's page: {self:?}")]
pub(super) enum DenialReason {
    /// The cookie is missing, expired or invalid.
    NoSession,
    WrongToken,
    /// The client's network has sent too many wrong tokens. The right token is still accepted.
    TooManyAttempts,
    /// `Host` is not a name of this machine: possibly DNS rebinding.
    ForeignHost,
    /// A proxy on this machine forwarded the request of another client.
    Proxied,
    /// The form belongs to another site or another session.
    ForgedForm,
}

impl Authenticator {
    /// `random` must be new in each process.
    pub(super) fn new(token: Option<&SecretString>, random: [u8; 32]) -> Self {
        let token = token.map(|token| {
            let token = MacKey::new(token.expose_secret().as_bytes());
            let sessions = token.tag(["heardback operator's sessions".as_bytes()]);
            TokenKeys { token, sessions: MacKey::new(&sessions) }
        });
        let (process_key, limiter) = (MacKey::new(&random), LoginLimiter::default());
        Self { token, process_key, started_at: monotonic(), limiter }
    }

    /// Whether the page requires a token.
    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub(super) fn authenticate(
        &self,
        request: &HttpRequest,
        now: Timestamp,
    ) -> Result<Session, DenialReason> {
        let Some(keys) = &self.token else {
            if local_access::came_through_a_proxy(request) {
                return Err(DenialReason::Proxied);
            }
            let host = header(request, &HOST);
            if !host.is_some_and(|host| local_access::is_this_machine(request, host)) {
                return Err(DenialReason::ForeignHost);
            }
            let csrf_token = self.process_key.hex_tag("form");
            return Ok(Session { csrf_token, can_log_out: false, is_bearer: false });
        };
        if let Some(value) = header(request, &AUTHORIZATION) {
            let (scheme, token) = value.split_once(' ').unwrap_or_default();
            let token = Some(token.trim()).filter(|_| scheme.eq_ignore_ascii_case("bearer"));
            self.check_token(keys, request, token)?;
            return Ok(Session { csrf_token: String::new(), can_log_out: false, is_bearer: true });
        }
        let cookie = cookie_value(request, SESSION_COOKIE).ok_or(DenialReason::NoSession)?;
        let (signed, tag) = cookie.rsplit_once('.').ok_or(DenialReason::NoSession)?;
        let expiry = signed.split('.').next().and_then(|text| text.parse::<i64>().ok());
        let is_expired = expiry.is_none_or(|expiry| expiry <= now.as_second());
        if !keys.sessions.made_hex(signed, tag) || is_expired {
            return Err(DenialReason::NoSession);
        }
        let csrf_token = keys.sessions.hex_tag(&format!("form {signed}"));
        Ok(Session { csrf_token, can_log_out: true, is_bearer: false })
    }

    /// Checks that a form was sent by a page of this session.
    pub(super) fn authorize_form(
        &self,
        request: &HttpRequest,
        session: &Session,
        csrf_token: &str,
    ) -> Result<(), DenialReason> {
        if session.is_bearer {
            return Ok(());
        }
        check_same_origin(request)?;
        // A comparison of MACs takes constant time.
        let tag = self.process_key.hex_tag(&session.csrf_token);
        let is_ours = self.process_key.made_hex(csrf_token, &tag);
        if is_ours { Ok(()) } else { Err(DenialReason::ForgedForm) }
    }

    /// The cookie of a new session, for a client with the right token.
    pub(super) fn log_in(
        &self,
        request: &HttpRequest,
        token: &str,
        now: Timestamp,
    ) -> Result<String, DenialReason> {
        let keys = self.token.as_ref().ok_or(DenialReason::NoSession)?;
        check_same_origin(request)?;
        self.check_token(keys, request, Some(token))?;
        let expiry = now.as_second() + SESSION_SECS;
        // Sessions that begin in the same second differ by the nonce.
        let unique = format!("{now} {:?}", self.started_at.elapsed());
        let nonce: String = self.process_key.hex_tag(&unique).chars().take(16).collect();
        let signed = format!("{expiry}.{nonce}");
        let tag = keys.sessions.hex_tag(&signed);
        Ok(cookie(SESSION_COOKIE, &format!("{signed}.{tag}"), SESSION_SECS))
    }

    fn check_token(
        &self,
        keys: &TokenKeys,
        request: &HttpRequest,
        token: Option<&str>,
    ) -> Result<(), DenialReason> {
        let expected = keys.token.hex_tag("shown");
        if token.is_some_and(|token| MacKey::new(token.as_bytes()).made_hex("shown", &expected)) {
            return Ok(());
        }
        let client = request.peer_addr().map(|peer| peer.ip());
        match self.limiter.failed(client, self.started_at.elapsed()) {
            RateLimitState::Within => return Err(DenialReason::WrongToken),
            RateLimitState::JustOver => tracing::warn!(
                "operator's page: too many wrong tokens from one network; further ones are answered 429; \
                 compare the client's token with HEARDBACK_OPS_TOKEN"
            ),
            RateLimitState::Over => {}
        }
        Err(DenialReason::TooManyAttempts)
    }
}

pub(super) fn clear_session() -> String {
    cookie(SESSION_COOKIE, "", 0)
}

/// A cookie that neither scripts nor other sites' requests get.
pub(super) fn cookie(name: &str, value: &str, seconds: i64) -> String {
    format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}")
}

/// Checks that a page of ours sent the request, if the client says so. Old browsers and programs send neither header; the
/// form's token protects them.
fn check_same_origin(request: &HttpRequest) -> Result<(), DenialReason> {
    let site = request.headers().get("Sec-Fetch-Site").map(HeaderValue::as_bytes);
    let is_same_origin = header(request, &ORIGIN).map(|origin| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && host == header(request, &HOST)
    });
    match (site, is_same_origin) {
        (Some(b"same-origin"), _) | (None, Some(true) | None) => Ok(()),
        (Some(_), _) | (None, Some(false)) => Err(DenialReason::ForgedForm),
    }
}

pub(super) fn cookie_value<'a>(request: &'a HttpRequest, wanted: &str) -> Option<&'a str> {
    let cookies = header(request, &COOKIE)?.split(';').map(str::trim);
    cookies.filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted).map(|it| it.1)
}

/// The value of a header that occurs once.
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

    fn auth(token: &str) -> Authenticator {
        Authenticator::new(Some(&SecretString::from(token)), [7; 32])
    }

    fn with(name: &'static str, value: &str) -> HttpRequest {
        TestRequest::default().insert_header((name, value)).to_http_request()
    }

    #[test]
    fn a_session_ends_at_its_expiry_and_with_another_token() {
        let auth = auth(TOKEN);
        let cookie = auth.log_in(&with("Accept", "x"), TOKEN, at(0)).expect("logged in");
        let pair = cookie.split(';').next().expect("a pair").to_owned();
        let request = with("Cookie", &pair);
        assert!(auth.authenticate(&request, at(SESSION_SECS - 1)).is_ok());
        assert_eq!(
            auth.authenticate(&request, at(SESSION_SECS)).err(),
            Some(DenialReason::NoSession)
        );
        let other = super::tests::auth("another token that is long enough");
        assert_eq!(other.authenticate(&request, at(1)).err(), Some(DenialReason::NoSession));
        // A changed expiry invalidates the cookie.
        let longer = with("Cookie", &pair.replacen("=43200.", "=99999.", 1));
        assert_ne!(pair, pair.replacen("=43200.", "=99999.", 1));
        assert_eq!(auth.authenticate(&longer, at(1)).err(), Some(DenialReason::NoSession));
        assert!(!cookie.contains(TOKEN));
    }

    #[test]
    fn without_a_token_only_names_of_this_machine_have_access() {
        let auth = Authenticator::new(None, [7; 32]);
        for host in ["localhost:9091", "127.0.0.1:9091", "[::1]:9091", "[::1]", "LOCALHOST"] {
            assert!(auth.authenticate(&with("Host", host), at(0)).is_ok(), "{host}");
        }
        for host in ["evil.example:9091", "127.0.0.1.evil.example", "", "localhost.evil:80"] {
            assert!(auth.authenticate(&with("Host", host), at(0)).is_err(), "{host}");
        }
    }
}
