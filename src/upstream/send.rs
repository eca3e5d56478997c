//! Creates a message at Twilio with the caller's own credentials: one request, and its answer as it came.
//!
//! Nothing is sent a second time. The pool's client repeats no request (`client.rs`); the library below it repeats only a
//! request of which no byte was written, because its pooled connection had closed.

use std::cell::OnceCell;

use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};

use crate::domain::outgoing::{ForwardedHeader, OutgoingSend, SendAnswer, SendFailure, Sent};
use crate::upstream::accounts::Upstreams;
use crate::upstream::answer::UpstreamResponse;
use crate::upstream::client::{Timeouts, describe};

/// Twilio's answers have about 1 KiB, and the text of the message. The rest of a longer body is not read.
const MAX_ANSWER: usize = 256 << 10;
/// The headers of an answer that matter to the caller.
const PASSED_ON: [&str; 10] = [
    "content-type",
    "content-encoding",
    "content-language",
    "deprecation",
    "link",
    "retry-after",
    "sunset",
    "warning",
    "www-authenticate",
    "x-home-region",
];
/// The beginnings of the names of further such headers: `Twilio-Request-Id`, `X-RateLimit-Remaining`.
const PASSED_ON_FAMILIES: [&str; 3] = ["twilio-", "x-ratelimit-", "ratelimit"];

impl Upstreams {
    /// Sends the request once.
    ///
    /// # Errors
    /// [`SendFailure`], if there is no complete answer, or a redirect.
    pub async fn create_message(&self, outgoing: OutgoingSend) -> Result<SendAnswer, SendFailure> {
        let OutgoingSend { account, headers, form, timeout } = outgoing;
        let Some(upstream) = self.client_of(account) else {
            return Err(failure(Sent::No, "the account is not among those that are configured"));
        };
        let timeouts = Timeouts { connect: upstream.config.connect_timeout, request: timeout };
        let base = &upstream.config.base;
        let request = upstream
            .client
            .post(format!("{base}/2010-04-01/Accounts/{account}/Messages.json"))
            .timeout(timeout)
            .headers(request_headers(headers))
            .body(form);
        let response = request.send().await.map_err(|error| {
            let sent =
                if error.is_connect() || error.is_builder() { Sent::No } else { Sent::Maybe };
            let is_timeout = error.is_timeout();
            SendFailure { sent, is_timeout, why: describe(error, timeouts) }
        })?;
        read(response, timeouts).await
    }
}

/// Reads the answer to its end.
async fn read(
    mut response: reqwest::Response,
    timeouts: Timeouts,
) -> Result<SendAnswer, SendFailure> {
    let status = response.status();
    let sent = match status.as_u16() {
        200..=299 => Sent::Yes,
        // Also a 408 may come from a server that has read the request.
        400..=499 if status != StatusCode::REQUEST_TIMEOUT => Sent::No,
        _ => Sent::Maybe,
    };
    let is_final = status.is_success() || status.is_client_error() || status.is_server_error();
    if !is_final {
        let (headers, body) = (response.headers().clone(), Vec::new());
        let (json, broken) = (OnceCell::new(), None);
        let answer = UpstreamResponse { status, headers, body, json, broken, is_oversized: false };
        return Err(failure(sent, &why_not_final(&answer)));
    }
    let headers = passed_on(response.headers());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(None) => return Ok(SendAnswer { status: status.as_u16(), headers, body }),
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => {
                let why = format!("{} with a body over {MAX_ANSWER} bytes", status.as_u16());
                return Err(failure(sent, &why));
            }
            Err(error) => {
                let is_timeout = error.is_timeout();
                let why = format!("{}, and then {}", status.as_u16(), describe(error, timeouts));
                return Err(SendFailure { sent, is_timeout, why });
            }
        }
    }
}

fn why_not_final(answer: &UpstreamResponse) -> String {
    if answer.header(&LOCATION).is_some() || answer.status.is_redirection() {
        return format!("{} {}", answer.status.as_u16(), answer.why_redirected().message);
    }
    format!("the status {}", answer.status.as_u16())
}

fn failure(sent: Sent, why: &str) -> SendFailure {
    SendFailure { sent, is_timeout: false, why: why.to_owned() }
}

fn request_headers(headers: Vec<ForwardedHeader>) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if let (Ok(name), Ok(mut value)) =
            (HeaderName::try_from(name), HeaderValue::from_bytes(&value))
        {
            value.set_sensitive(name == AUTHORIZATION);
            map.insert(name, value);
        }
    }
    map
}

fn passed_on(headers: &HeaderMap) -> Vec<ForwardedHeader> {
    let matters = |name: &str| {
        PASSED_ON.contains(&name)
            || PASSED_ON_FAMILIES.iter().any(|family| name.starts_with(family))
    };
    let kept = headers.iter().filter(|(name, _)| matters(name.as_str()));
    kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}
