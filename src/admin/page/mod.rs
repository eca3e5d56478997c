//! The operator's page: health, traffic, outbox, refused messages and accounts, with the actions on them.
//!
//! The server renders whole pages, which work without JavaScript; with JavaScript, `live.rs` sends changes. Only the
//! operator's listener serves it. Deliberately absent: external resources, inline scripts and styles, phone numbers.

#![expect(clippy::disallowed_types, reason = "the operator's page is not on the public listener")]

mod actions;
mod auth;
mod charts;
mod format;
mod health;
mod layout;
mod live;
mod local_access;
mod login_limiter;
mod overview;
mod search;
mod state;
mod tables;

pub use state::PageState;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::admin::page::layout::{PageFrame, PageResult, see_other};
use crate::admin::page::state::SearchQuery;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("icon.svg");
/// The longest body of a form, in bytes.
const MAX_FORM: usize = 4_096;
/// The shortest phone numbers, without the country code, have six digits.
const MIN_PHONE_DIGITS: usize = 6;

/// Registers the page's routes. They must be the last of the listener, because their scope matches every path.
pub fn routes(config: &mut web::ServiceConfig) {
    let scope = web::scope("")
        .wrap(layout::headers())
        .app_data(web::FormConfig::default().limit(MAX_FORM).error_handler(malformed))
        .app_data(web::QueryConfig::default().error_handler(malformed))
        .route("/", web::get().to(index))
        .route("/messages", web::get().to(search))
        .route("/messages/{sid}", web::get().to(message))
        .route("/numbers", web::get().to(numbers))
        .route("/live", web::get().to(live::live))
        .route("/login", web::get().to(login_form))
        .route("/style.css", web::get().to(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/live.js", web::get().to(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .route("/icon.svg", web::get().to(async || asset("image/svg+xml", ICON)))
        .configure(actions::routes);
    config.service(scope);
}

async fn index(request: HttpRequest, page: web::Data<PageState>) -> PageResult {
    show(&request, &page, None).await
}

async fn search(
    request: HttpRequest,
    page: web::Data<PageState>,
    query: web::Query<SearchQuery>,
) -> PageResult {
    match query.q.as_deref().map(str::trim) {
        Some(text) if !text.is_empty() => show(&request, &page, Some(text)).await,
        Some(_) | None => Ok(see_other("/")),
    }
}

async fn message(
    request: HttpRequest,
    page: web::Data<PageState>,
    sid: web::Path<String>,
) -> PageResult {
    show(&request, &page, Some(&sid)).await
}

async fn show(request: &HttpRequest, page: &PageState, query: Option<&str>) -> PageResult {
    let session = page.authenticate(request)?;
    if let Some(query) = query
        && may_be_phone_number(query)
        && !search::has_results(&*page.monitor.sources.store, query).await
    {
        // Do not keep a phone number in the URL or the page.
        return Ok(see_other("/numbers"));
    }
    let result = actions::result(request);
    let content = page.content(query, &session).await;
    let encoded =
        query.map(|query| serde_urlencoded::to_string([("q", query)]).unwrap_or_default());
    let live = encoded.map_or_else(|| "/live".to_owned(), |query| format!("/live?{query}"));
    let frame = PageFrame {
        title: if query.is_some() { "Message" } else { "Overview" },
        session: &session,
        query: query.unwrap_or_default(),
        live: Some(&live),
        result,
    };
    let response = frame.render(&content);
    Ok(if result.is_some() { actions::without_result(response) } else { response })
}

/// The answer to a search for a phone number.
async fn numbers(request: HttpRequest, page: web::Data<PageState>) -> PageResult {
    let (title, session) = ("Numbers", &page.authenticate(&request)?);
    let frame = PageFrame { title, session, query: "", live: None, result: None };
    Ok(frame.render(&search::no_phone_numbers()))
}

/// The answer to a query or a form that cannot be parsed.
fn malformed<E: std::fmt::Debug + std::fmt::Display + 'static>(
    error: E,
    _: &HttpRequest,
) -> actix_web::Error {
    let text =
        "A parameter is missing, repeated or malformed. Start again from the operator's page.";
    let response = layout::notice(StatusCode::BAD_REQUEST, "Bad request", text);
    actix_web::error::InternalError::from_response(error, response).into()
}

async fn login_form(request: HttpRequest, page: web::Data<PageState>) -> HttpResponse {
    if page.auth.has_token() && page.authenticate(&request).is_err() {
        return layout::login_form(StatusCode::OK, None);
    }
    see_other("/")
}

fn asset(media_type: &'static str, content: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(media_type).body(content)
}

/// Whether a text may be a phone number, as people type it or as Twilio writes it: `whatsapp:+1…`.
fn may_be_phone_number(text: &str) -> bool {
    let number = text.rsplit(':').next().unwrap_or_default();
    number.chars().filter(char::is_ascii_digit).count() >= MIN_PHONE_DIGITS
        && number.chars().all(|letter| letter.is_ascii_digit() || "+-(). ".contains(letter))
}
