//! Binds each row of `domain/route.rs` to its handler. The row says which methods are allowed; any other method gets 405.
//!
//! [`bind`] accepts only handlers whose arguments are [`VerifiedArgs`], so no handler can read an unsigned body.

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{Handler, HttpRequest, HttpResponse, Resource, Responder, web};

use crate::domain::click_link::Links;
use crate::domain::route;
use crate::inbound::body::UnreadBody;
use crate::inbound::handlers::{app, calls, clicks, event_streams, messages};
use crate::inbound::links;
use crate::inbound::middleware::observe_request;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::send::send;
use crate::inbound::signed::{ByClickSecret, FromApp, FromTwilio, VerifiedArgs};

/// The first segment of the paths of Twilio's API.
const API_VERSION: &str = "2010-04-01/";

/// Adds the public routes, without send through.
pub fn routes(config: &mut web::ServiceConfig) {
    add(config, |_| {});
}

/// Adds the public routes and send through.
pub fn routes_with_send(config: &mut web::ServiceConfig) {
    add(config, |config| {
        config.service(bind(single(route::SEND), send));
    });
}

fn add(config: &mut web::ServiceConfig, more: fn(&mut web::ServiceConfig)) {
    let scope = web::scope("")
        .wrap(from_fn(observe_request))
        // A single path is compared as text. Several paths are a regular expression, so they come later.
        .configure(|config| add_fixed(config, single))
        .configure(|config| add_fixed(config, spellings))
        .service(bind(single("/"), index))
        .service(bind(single(route::SECRET_CLICK), clicks::click::<ByClickSecret>))
        .service(bind(single(route::LOOK_UP), app::look_up))
        .service(bind(single(route::LINK), links::open::open).wrap(links::headers()))
        .configure(more)
        .default_service(web::to(not_found));
    config.service(scope);
    // A request target that is no path (`OPTIONS *`) is in no scope.
    config.default_service(web::to(not_found));
}

/// Adds the routes whose paths have no parameter.
fn add_fixed(config: &mut web::ServiceConfig, paths: fn(&str) -> Vec<String>) {
    config
        .service(bind(paths(route::STATUS), messages::status::<FromTwilio>))
        .service(bind(paths(route::MESSAGE), messages::message::<FromTwilio>))
        .service(bind(paths(route::CALL), calls::call::<FromTwilio>))
        .service(bind(paths(route::CLICK), clicks::click::<FromTwilio>))
        .service(bind(paths(route::EVENT_STREAM), event_streams::batch))
        .service(bind(paths(route::REGISTER), app::register))
        .service(bind(paths(route::APP_EVENT), app::event))
        .service(bind(paths(route::APP_MESSAGE), messages::message::<FromApp>))
        .service(bind(paths(route::APP_STATUS), messages::status::<FromApp>))
        .service(bind(paths(route::APP_CALL), calls::call::<FromApp>));
}

/// Binds a handler to paths, for the methods of the row that has the first path.
#[expect(clippy::needless_pass_by_value, reason = "a handler is a function item without size")]
fn bind<F, Args>(paths: Vec<String>, handler: F) -> Resource
where
    F: Handler<Args>,
    F::Output: Responder + 'static,
    Args: VerifiedArgs,
{
    let methods = allowed(paths.first().map_or("", String::as_str));
    let methods = methods.split(", ").filter_map(|name| name.parse::<Method>().ok());
    methods.fold(web::resource(paths).default_service(web::to(wrong_method)), |resource, method| {
        resource.route(web::method(method).to(handler.clone()))
    })
}

fn single(path: &str) -> Vec<String> {
    vec![path.to_owned()]
}

/// The spellings of a path: with or without a trailing slash, and with one or two leading ones. Two come from a base URL
/// that ends with a slash.
fn spellings(path: &str) -> Vec<String> {
    vec![path.to_owned(), format!("{path}/"), format!("/{path}"), format!("/{path}/")]
}

/// The methods of a route, as the header `Allow` lists them.
fn allowed(path: &str) -> &'static str {
    let row = route::ROUTES.iter().find(|row| row.path == path);
    row.map_or("POST", |row| row.methods)
}

/// HTML, because Twilio would text a `text/plain` answer to the user if a number's webhook points here by mistake.
async fn index() -> HttpResponse {
    HttpResponse::Ok().force_close().content_type("text/html; charset=utf-8").body("heardback\n")
}

async fn not_found(request: HttpRequest, body: UnreadBody) -> RejectionResponse {
    body.drain(&request).await;
    let mut rejection = Rejection::NotFound;
    if let Some(receiver) = request.app_data::<web::Data<Receiver>>() {
        if receiver.sends.is_some() && is_api_path(request.path()) {
            rejection = Rejection::OtherApiPath;
        }
        let missed = receiver.near_misses.record(&request, (receiver.clock)());
        if let Some((path, nearest)) = missed {
            receiver.rejected_capture.record_missed_route(&request, path, nearest);
        }
    }
    RejectionResponse::of(&request, rejection)
}

/// Whether a client of Twilio's API sent the request, also with a base URL that ends with a slash.
fn is_api_path(path: &str) -> bool {
    path.trim_start_matches('/').starts_with(API_VERSION)
}

async fn wrong_method(request: HttpRequest, body: UnreadBody) -> RejectionResponse {
    body.drain(&request).await;
    let path = request.match_pattern().unwrap_or_default();
    let is_disabled =
        request.app_data::<web::Data<Receiver>>().is_none_or(|receiver| match path.as_str() {
            route::SECRET_CLICK => receiver.click_secret.is_none(),
            route::LINK => receiver.links == Links::Off,
            _ => false,
        });
    let rejection = if is_disabled {
        Rejection::NotFound
    } else {
        Rejection::WrongMethod { allowed: allowed(&path) }
    };
    RejectionResponse::of(&request, rejection)
}
