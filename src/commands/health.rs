//! `health`: checks that the service on this machine is alive or ready, for container checks.
//!
//! It needs the address of the operator's listener and no secret. It opens neither the store nor its folder.

use std::time::Duration;

use serde_json::Value;

use crate::commands::doctor::live::reach::get;
use crate::config::ListenAddr;

/// The longest wait for a response. Docker and Kubernetes give a probe a few seconds.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Requests `/livez` or `/readyz`. Returns the line to print, as a success or an error.
pub(super) async fn request(listen: &ListenAddr, ready: bool) -> Result<String, String> {
    let at = listen.from_here();
    // The URL is plain HTTP, so no TLS certificates are needed: an image may have none.
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .user_agent(concat!("heardback/", env!("CARGO_PKG_VERSION"), " health"))
        .build()
        .map_err(|error| format!("cannot build an HTTP client: {error}"))?;
    let url = format!("http://{at}/{}", if ready { "readyz" } else { "livez" });
    let response = tokio::time::timeout(RESPONSE_TIMEOUT, get(&client, &url)).await;
    let response = response
        .unwrap_or_else(|_| Err(format!("no answer within {} s", RESPONSE_TIMEOUT.as_secs())));
    let (status, body) = response.map_err(|why| {
        format!(
            "no answer at {at}: {why}; does `heardback serve` run, with this HEARDBACK_OPS_LISTEN?"
        )
    })?;
    let is_ours = if ready { field(&body, "status").is_some() } else { body.trim() == "alive" };
    if !is_ours {
        return Err(format!("not Heardback at {at}: another server answers there, with {status}"));
    }
    match (status, ready) {
        (200, true) => Ok(format!("ready at {at}")),
        (200, false) => Ok(format!("alive at {at}")),
        _ => {
            let reason = field(&body, "reason").unwrap_or_else(|| format!("it answers {status}"));
            Err(format!("not {} at {at}: {reason}", if ready { "ready" } else { "alive" }))
        }
    }
}

fn field(body: &str, name: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body.get(name)?.as_str()?.to_owned())
}
