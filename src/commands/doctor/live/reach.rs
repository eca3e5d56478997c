//! Does the public URL lead to us? Asked from here, which may be the wrong side of a firewall.

use std::error::Error;
use std::time::Duration;

use crate::commands::doctor::live::{Check, CheckStatus};
use crate::twilio::public_url::PublicUrl;

/// Whoever takes longer than this for a word would miss Twilio's 5 s for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// What `GET /` answers with.
const GREETING: &str = "heardback";
/// The greeting is ten bytes long; a page of somebody else's is not read to its end.
const LONGEST: usize = 1 << 20;

pub(super) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .user_agent(concat!("heardback/", env!("CARGO_PKG_VERSION"), " doctor"))
        .build()
}

pub(super) async fn public_url(http: &reqwest::Client, url: &PublicUrl) -> Check {
    let (mark, says) = match get(http, &format!("{url}/")).await {
        Ok((200, body)) if body.starts_with(GREETING) => {
            (CheckStatus::Ok, format!("{url}/ answers with our greeting"))
        }
        Ok((status, _)) => (
            CheckStatus::Warn,
            format!("{url}/ answers {status}, but not as Heardback does: does it lead here?"),
        ),
        Err(trouble) => (
            CheckStatus::Warn,
            format!("{url}/ cannot be reached from here ({trouble}); Twilio has to reach it"),
        ),
    };
    Check::new("public url", mark, says)
}

/// Status and body, or what went wrong in words.
pub(crate) async fn get(http: &reqwest::Client, url: &str) -> Result<(u16, String), String> {
    let mut answer = http.get(url).send().await.map_err(describe_error)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(describe_error)? {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST {
            break;
        }
    }
    Ok((answer.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

fn describe_error(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return format!("no answer within {} s", PATIENCE.as_secs());
    }
    let mut root: &dyn Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}
