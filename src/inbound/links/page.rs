//! The pages of click links: continue, unknown link, unavailable. Each is a single file, and works without JavaScript.
//!
//! The script only submits the form. It does not in an automated browser, before the page is visible (scanners run
//! scripts, too), or after the user came back to the page.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::DefaultHeaders;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::domain::click_link::{LinkTarget, Links};
use crate::inbound::rejection_response::RETRY_AFTER_SECONDS;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c1e21;--soft:#5c6370;--paper:#f4f5f7;--card:#fff;--line:#e2e4e9;--blue:#1f5fd6;--on-blue:#fff}\
@media(prefers-color-scheme:dark){:root{--ink:#eceef2;--soft:#a3aab8;--paper:#121418;--card:#1c1f26;--line:#2d323c;--blue:#8ab4ff;--on-blue:#0b1a33}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;min-height:100dvh;display:grid;place-items:center;padding:24px;background:var(--paper);color:var(--ink);\
font:17px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
main{width:100%;max-width:420px;padding:36px 28px;background:var(--card);border:1px solid var(--line);border-radius:18px;text-align:center}\
p{margin:0;color:var(--soft)}\
h1{margin:6px 0 28px;font-size:24px;line-height:1.25;font-weight:650;overflow-wrap:anywhere}\
h1+p{margin-top:-16px}\
form{margin:0}\
button,a{display:block;width:100%;padding:14px 20px;border:0;border-radius:12px;background:var(--blue);color:var(--on-blue);\
font:inherit;font-weight:600;text-decoration:none;cursor:pointer}\
p+a{margin-top:28px}\
button:hover,a:hover{filter:brightness(1.08)}\
button:focus-visible,a:focus-visible{outline:3px solid var(--blue);outline-offset:3px}";

const SCRIPT: &str = "\
(function(){\
var came=performance.getEntriesByType('navigation')[0];\
if(navigator.webdriver||(came&&came.type==='back_forward'))return;\
function go(){\
if(document.visibilityState!=='visible')return;\
document.removeEventListener('visibilitychange',go);\
document.forms[0].submit()}\
document.addEventListener('visibilitychange',go);\
go()})()";

/// The headers of every answer below `/c/`: no caching, no framing, no referrer, and only the script and the style of this
/// file. `form-action` allows https because Chromium applies it to the redirect after a form as well.
pub(crate) fn headers() -> DefaultHeaders {
    let (script, style) = (hash(SCRIPT), hash(STYLE));
    let policy = format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; form-action 'self' https:; \
         base-uri 'none'; frame-ancestors 'none'"
    );
    DefaultHeaders::new()
        .add((CACHE_CONTROL, "no-store"))
        .add((REFERRER_POLICY, "no-referrer"))
        .add((CONTENT_SECURITY_POLICY, policy))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((X_FRAME_OPTIONS, "DENY"))
        .add(("X-Robots-Tag", "noindex, nofollow"))
}

/// A hash source of `script-src` and `style-src` (CSP Level 3, 2.3.1).
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Shows the target's host and a button. The form has no action, so it posts to the page's own address behind any proxy.
pub(super) fn interstitial(target: &LinkTarget, links: Links) -> HttpResponse {
    let host = escaped(target.host());
    let main = format!(
        "<p>This link takes you to</p>\n<h1>{host}</h1>\n\
         <form method=\"post\"><button type=\"submit\">Continue</button></form>"
    );
    let script = match links {
        Links::ConfirmOnPress => String::new(),
        Links::Off | Links::ConfirmOnPost | Links::ConfirmOnGet => {
            format!("<script>{SCRIPT}</script>\n")
        }
    };
    page(StatusCode::OK, &format!("Continue to {host}"), &main, &script)
}

pub(super) fn unknown() -> HttpResponse {
    let main = "<h1>This link does not work</h1>\n\
                <p>It may have expired, or a part of it may be missing. Try to open it from the message \
                again.</p>";
    page(StatusCode::NOT_FOUND, "This link does not work", main, "")
}

pub(super) fn unavailable() -> HttpResponse {
    let main = "<h1>One moment, please</h1>\n\
                <p>We cannot open this link right now.</p>\n<a href=\"\">Try again</a>";
    let mut answer = page(StatusCode::SERVICE_UNAVAILABLE, "One moment, please", main, "");
    let wait = HeaderValue::from_static(RETRY_AFTER_SECONDS);
    answer.headers_mut().insert(RETRY_AFTER, wait);
    answer
}

fn page(status: StatusCode, title: &str, main: &str, script: &str) -> HttpResponse {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"robots\" content=\"noindex, nofollow\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{main}\n</main>\n\
         {script}</body>\n</html>\n"
    );
    HttpResponse::build(status).force_close().content_type("text/html; charset=utf-8").body(html)
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody as _;

    #[test]
    fn a_host_is_escaped_on_the_page() {
        assert_eq!(escaped("a&b<i>\"'"), "a&amp;b&lt;i&gt;&quot;&#39;");
        let target = LinkTarget::parse("https://a&b'c.example/");
        let answer = interstitial(&target.expect("a target"), Links::default());
        let body = answer.into_body().try_into_bytes().expect("a body in memory");
        let html = String::from_utf8(body.to_vec()).expect("UTF-8");
        assert!(html.contains("<h1>a&amp;b&#39;c.example</h1>"), "{html}");
    }

    #[test]
    fn the_script_and_the_style_contain_no_tag_and_fetch_nothing() {
        for text in [SCRIPT, STYLE] {
            assert!(!text.contains('<') && !text.contains("http") && !text.contains("url("));
        }
    }
}
