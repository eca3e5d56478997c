//! The page's actions: log in, log out, requeue a message, put an account on hold, resume it.
//!
//! Each action is a form, which works without JavaScript and redirects to the page that shows its result. `auth.rs`
//! rejects forms of other sites. The actions call the use cases of `admin/`, as the commands do.

#![expect(clippy::disallowed_types, reason = "the operator's page is not on the public listener")]

use actix_web::http::StatusCode;
use actix_web::http::header::SET_COOKIE;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use crate::admin::hold;
use crate::admin::page::auth::{DenialReason, clear_session, cookie, cookie_value};
use crate::admin::page::layout::{self, PageResult, see_other};
use crate::admin::page::state::PageState;
use crate::admin::requeue::{RequeueOutcome, RequeueSelection, requeue};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::store::StoreError;

/// The result of an action: its value in the cookie, and the text on the next page.
type ActionResult = (&'static str, &'static str);

const REQUEUED: ActionResult = ("requeued", "Requeued: the message will be posted again.");
const NOT_REFUSED: ActionResult = ("not_refused", "Nothing requeued: the message is not refused.");
const UNKNOWN: ActionResult = ("unknown", "Nothing changed: there is no such message or account.");
const ON_HOLD: ActionResult =
    ("on_hold", "On hold: nothing of the account is reported until you resume it.");
const RESUMED: ActionResult =
    ("resumed", "Resumed: the account's confirmed messages will be reported.");
const UNAVAILABLE: ActionResult =
    ("unavailable", "Not completed: the store is unavailable. Try again.");
const RESULTS: [ActionResult; 6] = [REQUEUED, NOT_REFUSED, UNKNOWN, ON_HOLD, RESUMED, UNAVAILABLE];

/// The cookie with the result for the next page. A query could be forged by a link; a cookie cannot.
const RESULT_COOKIE: &str = "heardback_done";
/// The lifetime of the cookie in seconds. The browser follows the redirect long before its end.
const RESULT_SECS: i64 = 60;

#[derive(Deserialize)]
struct LoginForm {
    /// `HEARDBACK_OPS_TOKEN`, as the operator typed it.
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
struct ActionForm {
    /// The session's CSRF token.
    #[serde(default)]
    csrf_token: String,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/login", web::post().to(log_in))
        .route("/logout", web::post().to(log_out))
        .route("/messages/{sid}/requeue", web::post().to(requeue_message))
        .route("/accounts/{account}/{action:hold|resume}", web::post().to(hold_or_resume));
}

async fn log_in(
    request: HttpRequest,
    page: web::Data<PageState>,
    form: web::Form<LoginForm>,
) -> PageResult {
    if !page.auth.has_token() {
        return Ok(see_other("/"));
    }
    match page.auth.log_in(&request, form.token.trim(), (page.monitor.sources.clock)()) {
        Ok(cookie) => Ok(with_cookie(see_other("/"), &cookie)),
        Err(DenialReason::WrongToken) => {
            Ok(layout::login_form(StatusCode::FORBIDDEN, Some("Wrong token.")))
        }
        Err(DenialReason::TooManyAttempts) => {
            let error = "Too many wrong tokens came from your network. Wait a minute.";
            Ok(layout::login_form(StatusCode::TOO_MANY_REQUESTS, Some(error)))
        }
        Err(reason) => Err(reason),
    }
}

/// Ends the session in this browser. A copy of the cookie is valid until it expires or the token changes.
async fn log_out(
    request: HttpRequest,
    page: web::Data<PageState>,
    form: web::Form<ActionForm>,
) -> PageResult {
    authorize(&request, &page, &form)?;
    Ok(with_cookie(see_other("/login"), &clear_session()))
}

async fn requeue_message(
    request: HttpRequest,
    page: web::Data<PageState>,
    sid: web::Path<String>,
    form: web::Form<ActionForm>,
) -> PageResult {
    authorize(&request, &page, &form)?;
    let Ok(sid) = MessageSid::parse(&sid) else { return Ok(redirect("/", UNKNOWN)) };
    let selection = RequeueSelection::Named(vec![sid]);
    let requeued = requeue(&*page.monitor.sources.store, &selection, None).await;
    let result = requeued.map(|page| match page.outcomes.first() {
        Some((_, RequeueOutcome::Queued)) => REQUEUED,
        Some((_, RequeueOutcome::NotQueued(_))) => NOT_REFUSED,
        Some((_, RequeueOutcome::Unknown)) | None => UNKNOWN,
    });
    Ok(finish(&page, &format!("/messages/{sid}"), &format!("requeue {sid}"), result).await)
}

async fn hold_or_resume(
    request: HttpRequest,
    page: web::Data<PageState>,
    path: web::Path<(String, String)>,
    form: web::Form<ActionForm>,
) -> PageResult {
    authorize(&request, &page, &form)?;
    let (account, action) = path.into_inner();
    let Ok(account) = AccountSid::parse(&account) else { return Ok(redirect("/", UNKNOWN)) };
    let store = &*page.monitor.sources.store;
    let result = match action.as_str() {
        "hold" => hold::hold(store, account).await.map(|_| ON_HOLD),
        _ => hold::resume(store, account).await.map(|_| RESUMED),
    };
    Ok(finish(&page, "/", &format!("{action} {account}"), result).await)
}

fn authorize(
    request: &HttpRequest,
    page: &PageState,
    form: &ActionForm,
) -> Result<(), DenialReason> {
    let session = page.authenticate(request)?;
    page.auth.authorize_form(request, &session, &form.csrf_token)
}

/// Redirects to the page that shows the result. The log names a failed action as the command of the same effect.
async fn finish(
    page: &PageState,
    location: &str,
    action: &str,
    result: Result<ActionResult, StoreError>,
) -> HttpResponse {
    let result = result.unwrap_or_else(|error| {
        tracing::warn!(%error, "operator's page: {action} failed; try again");
        UNAVAILABLE
    });
    page.monitor.invalidate().await;
    redirect(location, result)
}

fn redirect(location: &str, (value, _): ActionResult) -> HttpResponse {
    with_cookie(see_other(location), &cookie(RESULT_COOKIE, value, RESULT_SECS))
}

/// The text of the result that the request's cookie carries.
pub(super) fn result(request: &HttpRequest) -> Option<&'static str> {
    let wanted = cookie_value(request, RESULT_COOKIE)?;
    RESULTS.into_iter().find(|(value, _)| *value == wanted).map(|(_, text)| text)
}

/// Clears the result, so that only one page shows it.
pub(super) fn without_result(response: HttpResponse) -> HttpResponse {
    with_cookie(response, &cookie(RESULT_COOKIE, "", 0))
}

fn with_cookie(mut response: HttpResponse, cookie: &str) -> HttpResponse {
    if let Ok(value) = cookie.parse() {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}
