//! The buttons: log in and out, requeue a message, put an account on hold and resume it.
//!
//! Each is a form that works without JavaScript, and leads back to where one sees what came of it. None is
//! pressed for somebody by another site's page (`auth.rs`). What it does, and says in the log, is what the
//! command of that name does.

#![expect(clippy::disallowed_types, reason = "forms of the authenticated page")]

use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use crate::admin::hold;
use crate::admin::requeue;
use crate::admin::requeue::{RequeueOutcome, RequeueSelection};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::inbound::ops::Operator;
use crate::inbound::page::auth::{LoginDenied, cookie, no_cookie};
use crate::inbound::page::{PageState, auth, layout, refuse, see_other};
use crate::store::StoreError;

/// What a button has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Done {
    /// A message is tried again.
    Requeued,
    /// It was not refused, or is not any more.
    NotRefused,
    /// Nobody knows it.
    Unknown,
    /// An account is on hold.
    OnHold,
    /// It is not any more.
    Resumed,
    /// The store would not.
    NotNow,
}

/// Tells the next page what a button has done: a cookie, which no link can bring along, unlike a query.
const DONE: &str = "heardback_done";
/// In seconds: by then the browser has long followed.
const DONE_SECS: i64 = 60;

impl Done {
    const ALL: [Self; 6] = [
        Self::Requeued,
        Self::NotRefused,
        Self::Unknown,
        Self::OnHold,
        Self::Resumed,
        Self::NotNow,
    ];

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Requeued => "Requeued: it is tried again.",
            Self::NotRefused => "Nothing to requeue: the message is not refused (any more).",
            Self::Unknown => "There is no such message.",
            Self::OnHold => "On hold: nothing of the account is reported until you resume it.",
            Self::Resumed => "Resumed: what waited is reported.",
            Self::NotNow => "Nothing was changed: the store does not take it right now.",
        }
    }

    /// As it stands in a cookie.
    fn word(self) -> &'static str {
        match self {
            Self::Requeued => "requeued",
            Self::NotRefused => "not_refused",
            Self::Unknown => "unknown",
            Self::OnHold => "on_hold",
            Self::Resumed => "resumed",
            Self::NotNow => "not_now",
        }
    }
}

/// Whatever a form of ours brings along.
#[derive(Deserialize)]
struct Brought {
    #[serde(default)]
    token: String,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/login", web::post().to(log_in))
        .route("/logout", web::post().to(log_out))
        .route("/messages/{sid}/requeue", web::post().to(requeue))
        .route("/accounts/{account}/pause", web::post().to(pause))
        .route("/accounts/{account}/resume", web::post().to(resume));
}

async fn log_in(
    request: HttpRequest,
    operator: web::Data<Operator>,
    brought: web::Form<Brought>,
) -> HttpResponse {
    let page = &operator.page;
    if !page.guard.wants_token() {
        return see_other("/");
    }
    match page.guard.log_in(&request, brought.token.trim(), (page.board.sources.clock)()) {
        Ok(cookie) => with_cookie(see_other("/"), &cookie),
        Err(LoginDenied::WrongToken) => {
            layout::log_in(StatusCode::FORBIDDEN, Some("That is not the token."))
        }
        Err(LoginDenied::TooManyTries) => {
            let trouble = "Too many wrong tokens came from your network. Wait a minute.";
            layout::log_in(StatusCode::TOO_MANY_REQUESTS, Some(trouble))
        }
        Err(
            denied @ (LoginDenied::Anonymous
            | LoginDenied::ForeignHost
            | LoginDenied::Proxied
            | LoginDenied::Forged),
        ) => refuse(denied),
    }
}

/// Ends it in this browser. A copy of the cookie lives until its expiry, or until the token is changed.
async fn log_out(
    request: HttpRequest,
    operator: web::Data<Operator>,
    brought: web::Form<Brought>,
) -> HttpResponse {
    match allowed(&request, &operator.page, &brought) {
        Ok(()) => with_cookie(see_other("/login"), &no_cookie()),
        Err(denied) => refuse(denied),
    }
}

async fn requeue(
    request: HttpRequest,
    operator: web::Data<Operator>,
    sid: web::Path<String>,
    brought: web::Form<Brought>,
) -> HttpResponse {
    if let Err(denied) = allowed(&request, &operator.page, &brought) {
        return refuse(denied);
    }
    let Ok(sid) = MessageSid::parse(&sid) else { return back("/", Done::Unknown) };
    let selection = RequeueSelection::Named(vec![sid]);
    let done = match requeue::requeue(&*operator.store, &selection, None).await {
        Ok(page) => match page.outcomes.first() {
            Some((_, RequeueOutcome::Queued)) => Done::Requeued,
            Some((_, RequeueOutcome::Otherwise(_))) => Done::NotRefused,
            Some((_, RequeueOutcome::Unknown)) | None => Done::Unknown,
        },
        Err(error) => not_now(&error),
    };
    operator.page.board.forget().await;
    back(&format!("/messages/{sid}"), done)
}

async fn pause(
    request: HttpRequest,
    operator: web::Data<Operator>,
    account: web::Path<String>,
    brought: web::Form<Brought>,
) -> HttpResponse {
    hold(&request, &operator, &account, &brought, Done::OnHold).await
}

async fn resume(
    request: HttpRequest,
    operator: web::Data<Operator>,
    account: web::Path<String>,
    brought: web::Form<Brought>,
) -> HttpResponse {
    hold(&request, &operator, &account, &brought, Done::Resumed).await
}

async fn hold(
    request: &HttpRequest,
    operator: &Operator,
    account: &str,
    brought: &Brought,
    wanted: Done,
) -> HttpResponse {
    if let Err(denied) = allowed(request, &operator.page, brought) {
        return refuse(denied);
    }
    let Ok(account) = AccountSid::parse(account) else { return back("/", Done::Unknown) };
    let store = &*operator.store;
    let held = match wanted {
        Done::Resumed => hold::resume(store, account).await,
        Done::OnHold | Done::Requeued | Done::NotRefused | Done::Unknown | Done::NotNow => {
            hold::pause(store, account).await
        }
    };
    let done = held.map_or_else(|error| not_now(&error), |_| wanted);
    operator.page.board.forget().await;
    back("/", done)
}

fn allowed(request: &HttpRequest, page: &PageState, brought: &Brought) -> Result<(), LoginDenied> {
    let visitor = page.admit(request)?;
    page.guard.allow(request, &visitor, &brought.token)
}

fn not_now(error: &StoreError) -> Done {
    tracing::warn!(%error, "operator's action failed: {error}");
    Done::NotNow
}

fn back(place: &str, done: Done) -> HttpResponse {
    with_cookie(see_other(place), &cookie(DONE, done.word(), DONE_SECS))
}

/// What a button has just done.
pub(super) fn done(request: &HttpRequest) -> Option<Done> {
    let word = auth::cookie_of(request, DONE)?;
    Done::ALL.into_iter().find(|done| done.word() == word)
}

/// Has the browser forget it.
pub(super) fn without_done(answer: HttpResponse) -> HttpResponse {
    with_cookie(answer, &cookie(DONE, "", 0))
}

fn with_cookie(mut answer: HttpResponse, cookie: &str) -> HttpResponse {
    if let Ok(value) = cookie.parse() {
        answer.headers_mut().append(SET_COOKIE, value);
    }
    answer
}
