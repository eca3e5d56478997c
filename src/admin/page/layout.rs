//! The frame that every page of the operator's stands in, and the headers that every answer carries.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use actix_web::middleware::DefaultHeaders;
use maud::{DOCTYPE, Markup, html};

use crate::admin::page::auth::Visitor;
use crate::domain::redact::plain;

/// Nothing runs, loads or is asked but what is ours, and nobody frames it.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every answer of the page carries.
pub(super) fn headers() -> DefaultHeaders {
    DefaultHeaders::new()
        .add((CONTENT_SECURITY_POLICY, POLICY))
        .add((CACHE_CONTROL, "no-store"))
        .add((REFERRER_POLICY, "same-origin"))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((X_FRAME_OPTIONS, "DENY"))
        .add(("Cross-Origin-Opener-Policy", "same-origin"))
        .add(("Cross-Origin-Resource-Policy", "same-origin"))
}

/// What stands around a page for somebody who was let in.
pub(super) struct PageFrame<'a> {
    pub(super) title: &'a str,
    pub(super) visitor: &'a Visitor,
    /// What was searched for.
    pub(super) asked: &'a str,
    /// Where the same is told again and again.
    pub(super) live: Option<&'a str>,
    /// What a button that was just pressed has done.
    pub(super) done: Option<&'a str>,
}

impl PageFrame<'_> {
    pub(super) fn around(&self, main: &Markup) -> HttpResponse {
        let body = html! {
            a.skip href="#main" { "Skip to the content" }
            header.top {
                a.name href="/" { "Heardback" }
                span #pulse role="status" hidden { "connecting" }
                span.unseen #news role="status" {}
                form.search method="get" action="/messages" role="search" {
                    label.unseen for="q" { "MessageSid or reference" }
                    input #q type="search" name="q" value=(self.asked) placeholder="MessageSid or reference"
                        autocomplete="off" autocapitalize="off" spellcheck="false" maxlength="128";
                    button type="submit" { "Find" }
                }
                @if self.visitor.has_session {
                    form method="post" action="/logout" {
                        (form_token(self.visitor))
                        button.quiet type="submit" { "Log out" }
                    }
                }
            }
            main #main tabindex="-1" {
                @if let Some(done) = self.done { p.done role="status" { (done) } }
                div #live data-live=[self.live] { (main) }
            }
            footer { "All times are UTC. Days begin at midnight UTC. No recipient's number is kept. References and \
                types are your app's words, shown as it gave them." }
            script src="/live.js" defer {}
        };
        whole(StatusCode::OK, self.title, &body)
    }
}

/// What shows that a form is of this session.
pub(super) fn form_token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="token" value=(visitor.form_token); }
}

/// The page where somebody logs in.
pub(super) fn log_in(status: StatusCode, trouble: Option<&str>) -> HttpResponse {
    let body = html! {
        main.door #main {
            h1 { "Heardback" }
            form method="post" action="/login" {
                label for="token" { "The operator's token" }
                input #token type="password" name="token" required autofocus autocomplete="current-password"
                    aria-describedby="hint";
                @if let Some(trouble) = trouble { p.trouble role="alert" { (trouble) } }
                button type="submit" { "Log in" }
                p #hint { "It is what " code { "HEARDBACK_OPS_TOKEN" } " holds." }
            }
        }
    };
    whole(status, "Log in", &body)
}

/// A page that only says something.
pub(super) fn says(status: StatusCode, title: &str, words: &str) -> HttpResponse {
    let body = html! {
        main.door #main { h1 { (title) } p { (words) } p { a href="/" { "To the operator's page" } } }
    };
    whole(status, title, &body)
}

fn whole(status: StatusCode, title: &str, body: &Markup) -> HttpResponse {
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
