//! The operator's page: is all well, what happened, what waits, and the few buttons that go with it.
//!
//! Rendered here, whole, so that it works without JavaScript; with it, `live.rs` sends changes. It shows the
//! snapshots of the board (`inbound/board.rs`), and decides nothing. On the operator's listener alone: the public routes do
//! not know that it exists. Deliberately absent: anything from elsewhere, anything inline, any phone number.

#![expect(clippy::disallowed_types, reason = "the query of an authenticated page")]

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
mod tables;

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use maud::Markup;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::inbound::board::Board;
use crate::inbound::ops::Operator;
use crate::inbound::page::actions::Done;
use crate::inbound::page::auth::{Guard, LoginDenied, Visitor};
use crate::inbound::page::layout::PageFrame;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("live.js");
const ICON: &str = include_str!("icon.svg");
/// A form of ours is far smaller, in bytes.
const FORM_CAP: usize = 4_096;
/// No phone number has fewer, without its country.
const NUMBER_DIGITS: usize = 6;
/// Browsers that are told what changes, at the same time.
const VIEWERS: usize = 32;

/// What the page works with.
pub struct PageState {
    board: Arc<Board>,
    guard: Guard,
    viewers: Arc<Semaphore>,
}

/// What a page is made of.
pub struct PageParts {
    /// The snapshots that it shows.
    pub board: Arc<Board>,
    /// What it asks for before it shows anything. `None`: it is for this machine alone.
    pub token: Option<SecretString>,
    /// Of this process alone.
    pub random: [u8; 32],
}

impl PageState {
    /// Shows nothing yet.
    #[must_use]
    pub fn new(parts: PageParts) -> Self {
        let PageParts { board, token, random } = parts;
        Self {
            board,
            guard: Guard::new(token.as_ref(), random),
            viewers: Arc::new(Semaphore::new(VIEWERS)),
        }
    }

    fn admit(&self, request: &HttpRequest) -> Result<Visitor, LoginDenied> {
        self.guard.admit(request, (self.board.sources.clock)())
    }

    /// What stands on a page, as of now: on the first one, or where something is looked for.
    async fn main(&self, asked: Option<&str>, visitor: &Visitor) -> Markup {
        let Some(asked) = asked else {
            return overview::overview(&*self.board.snapshot().await, visitor);
        };
        let sources = &self.board.sources;
        let (store, now) = (&*sources.store, (sources.clock)());
        search::found(store, &sources.readiness, asked, now, visitor).await
    }
}

/// The page's routes. The last on the listener: whatever nobody else answers comes here.
pub fn routes(config: &mut web::ServiceConfig) {
    let scope = web::scope("")
        .wrap(layout::headers())
        .app_data(web::FormConfig::default().limit(FORM_CAP).error_handler(not_understood))
        .app_data(web::QueryConfig::default().error_handler(not_understood))
        .route("/", web::get().to(first))
        .route("/messages", web::get().to(search))
        .route("/messages/{sid}", web::get().to(message))
        .route("/numbers", web::get().to(numbers))
        .route("/live", web::get().to(live::live))
        .route("/login", web::get().to(door))
        .route("/style.css", web::get().to(style))
        .route("/live.js", web::get().to(script))
        .route("/icon.svg", web::get().to(icon))
        .configure(actions::routes);
    config.service(scope);
}

#[derive(Deserialize)]
struct PageQuery {
    /// What to look for.
    q: Option<String>,
}

async fn first(request: HttpRequest, operator: web::Data<Operator>) -> HttpResponse {
    show(&request, &operator.page, None).await
}

async fn search(
    request: HttpRequest,
    operator: web::Data<Operator>,
    asked: web::Query<PageQuery>,
) -> HttpResponse {
    match asked.q.as_deref().map(str::trim) {
        Some(text) if !text.is_empty() => show(&request, &operator.page, Some(text)).await,
        Some(_) | None => see_other("/"),
    }
}

async fn message(
    request: HttpRequest,
    operator: web::Data<Operator>,
    sid: web::Path<String>,
) -> HttpResponse {
    show(&request, &operator.page, Some(&sid)).await
}

async fn show(request: &HttpRequest, page: &PageState, asked: Option<&str>) -> HttpResponse {
    let visitor = match page.admit(request) {
        Ok(visitor) => visitor,
        Err(denied) => return refuse(denied),
    };
    if let Some(asked) = asked
        && looks_like_a_number(asked)
        && !search::is_known(&*page.board.sources.store, asked).await
    {
        // It is left in no address, and told again in none.
        return see_other("/numbers");
    }
    let done = actions::done(request);
    let main = page.main(asked, &visitor).await;
    let query = asked.map(|asked| serde_urlencoded::to_string([("q", asked)]).unwrap_or_default());
    let live = query.map_or_else(|| "/live".to_owned(), |query| format!("/live?{query}"));
    let frame = PageFrame {
        title: if asked.is_some() { "Message" } else { "Overview" },
        visitor: &visitor,
        asked: asked.unwrap_or_default(),
        live: Some(&live),
        done: done.map(Done::describe),
    };
    let answer = frame.around(&main);
    // It is told once.
    if done.is_some() { actions::without_done(answer) } else { answer }
}

/// Where a search for a phone number leads.
async fn numbers(request: HttpRequest, operator: web::Data<Operator>) -> HttpResponse {
    match operator.page.admit(&request) {
        Ok(visitor) => {
            let frame = PageFrame {
                title: "Numbers",
                visitor: &visitor,
                asked: "",
                live: None,
                done: None,
            };
            frame.around(&search::no_numbers())
        }
        Err(denied) => refuse(denied),
    }
}

/// An address, or a form, that none of our pages has.
fn not_understood<E: std::fmt::Debug + std::fmt::Display + 'static>(
    error: E,
    _: &HttpRequest,
) -> actix_web::Error {
    let words = "This asks for something twice, or in a way that is not understood. Begin again \
                 from the operator's page.";
    let answer = layout::says(StatusCode::BAD_REQUEST, "Not understood", words);
    actix_web::error::InternalError::from_response(error, answer).into()
}

async fn door(request: HttpRequest, operator: web::Data<Operator>) -> HttpResponse {
    let page = &operator.page;
    if page.guard.wants_token() && page.admit(&request).is_err() {
        return layout::log_in(StatusCode::OK, None);
    }
    see_other("/")
}

async fn style() -> HttpResponse {
    HttpResponse::Ok().content_type("text/css; charset=utf-8").body(STYLE)
}

async fn script() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(SCRIPT)
}

async fn icon() -> HttpResponse {
    HttpResponse::Ok().content_type("image/svg+xml").body(ICON)
}

/// As somebody would type one, or as Twilio writes one: `whatsapp:+1…`.
fn looks_like_a_number(text: &str) -> bool {
    let number = text.rsplit(':').next().unwrap_or_default();
    number.chars().filter(char::is_ascii_digit).count() >= NUMBER_DIGITS
        && number.chars().all(|letter| letter.is_ascii_digit() || "+-(). ".contains(letter))
}

fn see_other(place: &str) -> HttpResponse {
    HttpResponse::SeeOther().insert_header((LOCATION, place)).finish()
}

/// What somebody sees who was not let in.
fn refuse(denied: LoginDenied) -> HttpResponse {
    match denied {
        LoginDenied::Anonymous => see_other("/login"),
        LoginDenied::WrongToken => HttpResponse::Unauthorized()
            .insert_header((WWW_AUTHENTICATE, "Bearer realm=\"heardback\""))
            .content_type("text/plain; charset=utf-8")
            .body("that is not what HEARDBACK_OPS_TOKEN holds\n"),
        LoginDenied::TooManyTries => HttpResponse::TooManyRequests()
            .insert_header((RETRY_AFTER, "60"))
            .content_type("text/plain; charset=utf-8")
            .body("too many wrong tokens; wait a minute\n"),
        LoginDenied::ForeignHost => layout::says(
            StatusCode::MISDIRECTED_REQUEST,
            "Not here",
            "Without HEARDBACK_OPS_TOKEN this page is for this machine alone, as localhost, 127.0.0.1 or the address \
             of HEARDBACK_OPS_LISTEN.",
        ),
        LoginDenied::Proxied => layout::says(
            StatusCode::FORBIDDEN,
            "Not through a proxy",
            "This came through a proxy. Without HEARDBACK_OPS_TOKEN this page is for this machine alone, and \
             whoever reaches the proxy would be. Set HEARDBACK_OPS_TOKEN, or do not pass this page on.",
        ),
        LoginDenied::Forged => layout::says(
            StatusCode::FORBIDDEN,
            "Not done",
            "This did not come from a page of this session. Open the operator's page and try again.",
        ),
    }
}
