//! HTTP requests of the checks, and the check that the public URL leads to Heardback.
//!
//! They start on this machine, which a firewall may separate from the public URL.

use std::time::Duration;

use crate::commands::doctor::live::report::{Check, ok, warn};
use crate::domain::root_cause::root_cause;
use crate::twilio::public_url::PublicUrl;

/// Twilio waits 5 s for a connection.
const TIMEOUT: Duration = Duration::from_secs(5);
const GREETING: &str = "heardback";
/// Bounds the answer of another server.
const MAX_BODY: usize = 1 << 20;

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .user_agent(concat!("heardback/", env!("CARGO_PKG_VERSION"), " doctor"))
        .build()
}

pub(super) async fn public_url_check(http: &reqwest::Client, url: &PublicUrl) -> Check {
    let (mark, says) = match get(http, &format!("{url}/")).await {
        Ok((200, body)) if body.starts_with(GREETING) => {
            ok(format!("{url}/ answers with our greeting"))
        }
        Ok((status, _)) => {
            warn(format!("{url}/ answers {status}, but not as Heardback does: does it lead here?"))
        }
        Err(error) => {
            warn(format!("{url}/ cannot be reached from here ({error}); Twilio has to reach it"))
        }
    };
    Check::new("public url", mark, says)
}

/// Status and body, or the error in words.
pub(crate) async fn get(http: &reqwest::Client, url: &str) -> Result<(u16, String), String> {
    let describe = |error| describe_error(error, TIMEOUT);
    let mut answer = http.get(url).send().await.map_err(describe)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(describe)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_BODY {
            break;
        }
    }
    Ok((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

/// The root cause, without the URL.
pub(crate) fn describe_error(error: reqwest::Error, timeout: Duration) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return format!("no answer within {} s", timeout.as_secs());
    }
    root_cause(&error).to_string()
}
