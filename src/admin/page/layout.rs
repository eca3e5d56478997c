//! The frame of every page, pages without content of their own, and the headers of every response.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use actix_web::middleware::DefaultHeaders;
use actix_web::{HttpResponse, ResponseError};
use maud::{DOCTYPE, Markup, html};

use crate::admin::page::auth::{DenialReason, Session};
use crate::domain::redact::plain;

/// Only the page's own scripts, styles, images, forms and connections are allowed, and no frame around it.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                              img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .add((CACHE_CONTROL, "no-store"))
        .add((REFERRER_POLICY, "same-origin"))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((X_FRAME_OPTIONS, "DENY"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        .add(("Cross-Origin-Resource-Policy", "same-origin"))
}

pub(super) struct PageFrame<'a> {
    pub(super) title: &'a str,
    pub(super) session: &'a Session,
    /// The text of the search field.
    pub(super) query: &'a str,
    /// The URL of the event stream with the page's changes.
    pub(super) live: Option<&'a str>,
    /// The result of the action before.
    pub(super) result: Option<&'a str>,
}

impl PageFrame<'_> {
    pub(super) fn render(&self, content: &Markup) -> HttpResponse {
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.name href="/" { "Heardback" }
                span #pulse role="status" hidden { "connecting" }
                span.unseen #news role="status" {}
                form.search method="get" action="/messages" role="search" {
                    label.unseen for="q" { "MessageSid or reference" }
                    input #q type="search" name="q" value=(self.query) placeholder="MessageSid or reference"
                        autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="128";
                    button type="submit" { "Find" }
                }
                @if self.session.can_log_out {
                    form method="post" action="/logout" {
                        (csrf_token_field(self.session))
                        button.quiet type="submit" { "Log out" }
                    }
                }
            }
            main #main tabindex="-1" {
                @if let Some(result) = self.result { p.done role="status" { (result) } }
                div #live data-live=[self.live] { (content) }
            }
            footer { "All times are UTC, and days begin at midnight UTC. Recipients' numbers are not stored. \
                References and event types are shown as your app sent them." }
            script src="/live.js" defer {}
        };
        document(StatusCode::OK, self.title, &body)
    }
}

/// The hidden field that proves that a form belongs to the session.
pub(super) fn csrf_token_field(session: &Session) -> Markup {
    html! { input type="hidden" name="csrf_token" value=(session.csrf_token); }
}

pub(super) fn login_form(status: StatusCode, error: Option<&str>) -> HttpResponse {
    let body = html! {
        main.notice #main {
            h1 { "Heardback" }
            form method="post" action="/login" {
                label for="token" { "The operator's token" }
                input #token type="password" name="token" required autofocus autocomplete="current-password"
                    aria-describedby="hint";
                @if let Some(error) = error { p.error role="alert" { (error) } }
                button type="submit" { "Log in" }
                p #hint { "The token is the value of " code { "HEARDBACK_OPS_TOKEN" } "." }
            }
        }
    };
    document(status, "Log in", &body)
}

pub(super) fn notice(status: StatusCode, title: &str, text: &str) -> HttpResponse {
    let body = html! {
        main.notice #main { h1 { (title) } p { (text) } p { a href="/" { "To the operator's page" } } }
    };
    document(status, title, &body)
}

pub(super) fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

/// The answer of a handler. A reason for denial is answered by [`denied`].
pub(super) type PageResult = Result<HttpResponse, DenialReason>;

impl ResponseError for DenialReason {
    fn error_response(&self) -> HttpResponse {
        denied(*self)
    }
}

fn denied(reason: DenialReason) -> HttpResponse {
    match reason {
        DenialReason::NoSession => see_other("/login"),
        DenialReason::WrongToken => HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, "Bearer realm=\"heardback\""))
            .content_type("text/plain; charset=utf-8")
            .body("the token is not the value of HEARDBACK_OPS_TOKEN\n"),
        DenialReason::TooManyAttempts => HttpResponse::TooManyRequests()
            .insert_header((RETRY_AFTER, "60"))
            .content_type("text/plain; charset=utf-8")
            .body("too many wrong tokens; wait a minute\n"),
        DenialReason::ForeignHost => notice(
            StatusCode::MISDIRECTED_REQUEST,
            "Wrong host name",
            "Without HEARDBACK_OPS_TOKEN only this machine has access to this page: as localhost, 127.0.0.1 or the \
             address of HEARDBACK_OPS_LISTEN.",
        ),
        DenialReason::Proxied => notice(
            StatusCode::FORBIDDEN,
            "No access through a proxy",
            "This request came through a proxy. Without HEARDBACK_OPS_TOKEN only this machine has access to this \
             page. Set HEARDBACK_OPS_TOKEN, or remove the page from the proxy.",
        ),
        DenialReason::ForgedForm => notice(
            StatusCode::FORBIDDEN,
            "Nothing changed",
            "This form does not belong to your session. Open the operator's page and try again.",
        ),
    }
}

fn document(status: StatusCode, title: &str, body: &Markup) -> HttpResponse {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex, nofollow";
                title { (title) " · Heardback" }
                link rel="icon" href="/icon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/style.css";
            }
            body { (body) }
        }
    };
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .body(plain(&page.into_string()))
}
