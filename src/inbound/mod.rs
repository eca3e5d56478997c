//! The public HTTP listener: signed routes and click links.
//!
//! `Signed<T>` (in `signed.rs`) is the only door to a body. Whoever opens a click link (`links/`) signs
//! nothing: the token in the path is all that they have to show, and their body is not looked at.
//! Cannot see `upstream`: a slow Twilio can never slow a webhook. Deliberately absent: `Host`,
//! `X-Forwarded-*` and whatever else a stranger chooses.

mod app;
mod body;
mod call;
mod click;
pub mod connections;
mod decision_log;
pub mod deferred;
pub mod event_budget;
mod events;
mod eviction_pool;
pub mod first_match;
pub mod keyring;
pub mod links;
pub mod near_miss;
pub mod regions;
pub mod rejected_capture;
mod rejection;
pub mod signature_limiter;
mod signed;
mod trace;
mod twilio;
mod view;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::{Next, from_fn};
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::FutureExt;
use jiff::Timestamp;

use crate::domain::click_link::Links;
use crate::domain::findings::ClaimedAccount;
use crate::domain::path_secret::PathSecret;
use crate::domain::route;
use crate::inbound::connections::Connection;
use crate::inbound::deferred::Deferred;
use crate::inbound::event_budget::EventBudget;
use crate::inbound::first_match::FirstMatch;
use crate::inbound::keyring::{CurrentKeyRing, OwnedKey};
use crate::inbound::links::FreshToken;
use crate::inbound::near_miss::NearMisses;
use crate::inbound::regions::HomeRegions;
use crate::inbound::rejected_capture::RejectedCapture;
use crate::inbound::rejection::{LocalizedRejection, Rejection};
use crate::inbound::signature_limiter::SignatureLimiter;
use crate::store::{Clock, Store};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::signature_tally::SignatureTally;
use crate::telemetry::traces::Traces;
use crate::twilio::signature::Mistrust;

/// What the public routes work with.
pub struct Receiver {
    /// Where everything goes.
    pub store: Arc<dyn Store>,
    /// The public origins that Twilio and the app sign, without a trailing slash.
    pub bases: Vec<String>,
    /// Whose signatures are good, and for which accounts. May change while requests are under way.
    pub trust: Arc<CurrentKeyRing>,
    /// Says in the log where the token of the wrong region may be at fault.
    pub home_regions: HomeRegions,
    /// Whether known crawlers' clicks are no evidence.
    pub ignores_crawlers: bool,
    /// The tag of a message that holds its reference, in Event Streams.
    pub reference_tag: Option<String>,
    /// The path of clicks without a signature, where there is one.
    pub click_secret: Option<PathSecret>,
    /// What Twilio hears when somebody calls, in `TwiML`.
    pub call_twiml: String,
    /// What happens when somebody opens one of our click links.
    pub links: Links,
    /// Makes the tokens of click links.
    pub fresh_token: FreshToken,
    /// Tells when a signal came in.
    pub clock: Clock,
    /// Evidence of ringing calls and pressed links that the store could not write.
    pub deferred: Arc<Deferred>,
    /// The share of the store's queue that Event Streams may use.
    pub event_budget: EventBudget,
    pub metrics: Arc<Metrics>,
    /// Where spans go, if they go anywhere.
    pub traces: Option<Arc<Traces>>,
    /// Limits failed signatures, and nothing else.
    pub forgers: SignatureLimiter,
    /// Logs refused requests of a route and account for which no key has matched yet.
    pub first_match: FirstMatch,
    /// Counts verified and refused requests for the findings.
    pub signatures: Arc<SignatureTally>,
    /// Logs signed requests that miss a route by a little.
    pub near_misses: NearMisses,
    /// Records requests that are refused for their signature, while recording is on.
    pub refusals: Arc<RejectedCapture>,
}

impl Receiver {
    /// Notes which key signed, for which account.
    fn matched(
        &self,
        request: &HttpRequest,
        signer: &OwnedKey,
        account: ClaimedAccount,
        now: Timestamp,
    ) {
        let route = route_label(request.match_pattern().as_deref());
        self.first_match.matched(route, account);
        self.signatures.verified((route, account), now);
        self.metrics.key_matched(route, &signer.account, &signer.name, now.as_second());
    }

    /// Notes a request refused for its signature or its account.
    fn refused(
        &self,
        request: &HttpRequest,
        account: ClaimedAccount,
        why: &Rejection,
        now: Timestamp,
    ) {
        let route = route_label(request.match_pattern().as_deref());
        self.first_match.refused(route, account, why, now);
        // Without a configured key, a request for an unknown account may be a scanner's.
        let is_unsigned =
            matches!(why, Rejection::Mistrusted(Mistrust::Missing | Mistrust::Malformed))
                || matches!(why, Rejection::Mistrusted(_)) && account == ClaimedAccount::Unknown;
        if is_unsigned {
            self.signatures.unsigned((route, account));
        } else {
            self.signatures.refused((route, account));
        }
    }
}

pub fn routes(config: &mut web::ServiceConfig) {
    let scope = web::scope("")
        .wrap(from_fn(account_for))
        .service(
            web::resource("/")
                .route(web::get().to(index))
                .route(web::head().to(index))
                .default_service(web::to(wrong_method)),
        )
        .configure(twilio::routes)
        .configure(call::routes)
        .configure(click::routes)
        .configure(events::routes)
        .configure(app::routes)
        .configure(links::routes)
        .default_service(web::to(not_found));
    config.service(scope);
    // What is no path at all (`OPTIONS *`) is in no scope.
    config.default_service(web::to(not_found));
}

/// A word, so that a person who opens the address sees what lives here. HTML, because Twilio texts
/// a `text/plain` answer to the user where a number's webhook points here by mistake.
async fn index() -> HttpResponse {
    HttpResponse::Ok().force_close().content_type("text/html; charset=utf-8").body("heardback\n")
}

async fn not_found(request: HttpRequest, payload: web::Payload) -> LocalizedRejection {
    body::drain(&request, &mut payload.into_inner()).await;
    if let Some(receiver) = request.app_data::<web::Data<Receiver>>() {
        let missed = receiver.near_misses.note(&request, (receiver.clock)());
        if let Some((path, nearest)) = missed {
            receiver.refusals.note_missed(&request, path, nearest);
        }
    }
    LocalizedRejection::of(&request, Rejection::NotFound)
}

async fn wrong_method(request: HttpRequest, payload: web::Payload) -> LocalizedRejection {
    body::drain(&request, &mut payload.into_inner()).await;
    let receiver = request.app_data::<web::Data<Receiver>>();
    let has_secret = receiver.is_some_and(|receiver| receiver.click_secret.is_some());
    let path = request.match_pattern();
    // Without a secret there is no such route.
    if path.as_deref() == Some(route::SECRET_CLICK) && !has_secret {
        return LocalizedRejection::of(&request, Rejection::NotFound);
    }
    let route = route::ROUTES.iter().find(|route| Some(route.path) == path.as_deref());
    let allowed = route.map_or("POST", |route| route.methods);
    LocalizedRejection::of(&request, Rejection::WrongMethod { allowed })
}

/// The longest path and query, in bytes. On a GET the query holds the whole callback. A text of 1,600 characters of three
/// bytes each has 14,400, escaped; some twenty other fields, ten media URLs and add-ons may come with it.
const MAX_TARGET: usize = 32 << 10;

/// Refuses a target that is too long, before it is compared with any route.
fn check_target(request: &ServiceRequest) -> Result<(), LocalizedRejection> {
    let uri = request.uri();
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let length = authority + uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length <= MAX_TARGET {
        return Ok(());
    }
    Err(LocalizedRejection::of(request.request(), Rejection::TargetTooLong { most: MAX_TARGET }))
}

/// Counts each answer, and tells the connection's watchdog that a request has come to its end. A panic is
/// one caller's trouble: what it left half done is in no store (`store/sled/draft.rs`), and its locks
/// are taken by whoever comes next.
async fn account_for(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let began = crate::telemetry::clock::monotonic();
    let receiver = request.app_data::<web::Data<Receiver>>().cloned();
    let checked = check_target(&request);
    let route = match &checked {
        Ok(()) => route_label(request.match_pattern().as_deref()),
        Err(_) => route_label(None),
    };
    let span = receiver.as_deref().and_then(|receiver| trace::begin(receiver, &request));
    let over =
        request.conn_data::<Arc<Connection>>().is_some_and(|connection| connection.is_over());
    let answered = if over {
        Err(LocalizedRejection::of(request.request(), Rejection::AfterTheEnd).into())
    } else if let Err(rejection) = checked {
        Err(rejection.into())
    } else {
        let answer = AssertUnwindSafe(async move { next.call(request).await }).catch_unwind().await;
        let panicked =
            |_| LocalizedRejection::panicked(receiver.as_ref().map(web::Data::get_ref), route);
        answer.unwrap_or_else(|panic| Err(panicked(panic).into()))
    };
    let status = match &answered {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    if let Some(receiver) = receiver {
        receiver.metrics.http_requests(route, status.as_u16(), began.elapsed());
    }
    if let Some(span) = span {
        span.end(status.as_u16());
    }
    if let Ok(response) = &answered
        && let Some(connection) = response.request().conn_data::<Arc<Connection>>()
    {
        if response.response().head().keep_alive() {
            connection.reset_deadline();
        } else {
            connection.close_soon();
        }
    }
    answered
}

/// Labels are bounded: whatever a stranger asks for that is no route of ours is `other`.
fn route_label(pattern: Option<&str>) -> &'static str {
    route::paths().into_iter().find(|path| Some(*path) == pattern).unwrap_or("other")
}
