//! Our own click links: `/c/{token}`, which nobody signs: people open them.
//!
//! Fetching one proves nothing, for scanners and previews fetch whatever they see: it shows a page
//! (`page.rs`) whose button posts to the same address, and that is the evidence. Where it leads is
//! what was registered; nothing of the request but the token, the method and a browser's word on what
//! it is doing plays a part. The token is in no log and no metric.

mod page;
mod visit;

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;

use crate::domain::click_link::request;
use crate::domain::click_link::request::LinkRequest;
use crate::domain::click_link::{Link, LinkId, LinkTarget, LinkToken, Links};
use crate::domain::matching::{ObserveOutcome, Reason};
use crate::domain::message::Reference;
use crate::domain::route;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::signal::{
    Evidence, EvidenceTarget, Malformed, Signal, SignalSource, TimeSource,
};
use crate::domain::timestamp_serde::to_millisecond;
use crate::domain::trace::TraceParent;
use crate::inbound::body;
use crate::inbound::connections::Connection;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::links::visit::LinkVisit;
use crate::inbound::rejection::{LocalizedRejection, Rejection};
use crate::inbound::trace;
use crate::inbound::{Receiver, not_found, wrong_method};

/// Makes a token; `None` where the system has no randomness.
pub type FreshToken = Arc<dyn Fn() -> Option<LinkToken> + Send + Sync>;

/// 4 KiB: the form has no field at all.
const CAP: usize = 4 << 10;
/// What the evidence is called, as where an app says it.
const LABEL: &str = "link_opened";

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource(route::LINK)
            .wrap(page::headers())
            .route(web::get().to(open))
            .route(web::head().to(open))
            .route(web::post().to(open))
            .default_service(web::to(other_method)),
    );
}

/// What the app asks for in the field `Link`.
///
/// # Errors
/// That it is no target and no link of ours, or that there are no links here.
pub(super) fn asked(
    receiver: &Receiver,
    text: Option<&str>,
) -> Result<Option<LinkRequest>, Rejection> {
    let Some(text) = text else { return Ok(None) };
    let read = match receiver.links {
        Links::Off => Err("links are switched off here (HEARDBACK_LINKS=off)"),
        Links::ConfirmOnPost | Links::ConfirmOnPress | Links::ConfirmOnGet => {
            LinkRequest::read(text, &receiver.bases)
        }
    };
    read.map(Some).map_err(|expected| {
        Malformed::Field { field: "Link", expected: expected.to_owned() }.into()
    })
}

/// A link that was made.
pub(super) struct CreatedLink {
    pub(super) address: String,
    pub(super) until: Timestamp,
}

/// Makes a link and keeps it.
///
/// # Errors
/// [`Rejection::Unavailable`].
pub(super) async fn make(
    receiver: &Receiver,
    account: AccountSid,
    target: LinkTarget,
    message: Option<MessageSid>,
    reference: Option<Reference>,
) -> Result<CreatedLink, Rejection> {
    let token = (receiver.fresh_token)().ok_or_else(|| Rejection::Unavailable {
        reason: "the system has no randomness to make a link of".to_owned(),
        label: "no_randomness",
    })?;
    let created_at = to_millisecond((receiver.clock)());
    let link = Link { account, target, message, reference, created_at };
    let until = receiver.store.keep_link(token.id(), link).await?;
    Ok(CreatedLink { address: address(receiver, &token), until })
}

/// A link's address, on the first of the public origins.
pub(super) fn address(receiver: &Receiver, token: &LinkToken) -> String {
    request::address(receiver.bases.first().map_or("", String::as_str), token)
}

async fn other_method(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    payload: web::Payload,
) -> LocalizedRejection {
    match receiver.links {
        Links::Off => not_found(request, payload).await,
        Links::ConfirmOnPost | Links::ConfirmOnPress | Links::ConfirmOnGet => {
            wrong_method(request, payload).await
        }
    }
}

async fn open(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    payload: web::Payload,
) -> Result<HttpResponse, LocalizedRejection> {
    if receiver.links == Links::Off {
        return Err(not_found(request, payload).await);
    }
    // Read to its end for the connection's sake, and for nothing else.
    let body = body::read(&request, &mut payload.into_inner(), CAP).await;
    body.map_err(|why| LocalizedRejection::of(&request, why))?;
    let token = request.match_info().get("token").and_then(LinkToken::parse);
    let Some(id) = token.map(|token| token.id()) else { return Ok(unknown(&receiver)) };
    let link = match receiver.store.link(id).await {
        Ok(Some(link)) => link,
        Ok(None) => return Ok(unknown(&receiver)),
        Err(error) => {
            receiver.metrics.refusals("link_unreadable");
            tracing::warn!(%error, "click link not readable; answered 503");
            return Ok(page::not_now());
        }
    };
    if let Some(connection) = request.conn_data::<Arc<Connection>>() {
        // What may take its time from here on is ours to answer for, not the visitor's.
        connection.reset_deadline();
    }
    let visit = LinkVisit::of(&request, receiver.links);
    let follows = match receiver.links {
        // A page that was fetched ahead of time may be all that is asked for when its time has come.
        Links::ConfirmOnGet => visit != LinkVisit::Prefetch,
        Links::ConfirmOnPost | Links::ConfirmOnPress | Links::Off => {
            request.method() == Method::POST
        }
    };
    if !follows && request.method() != Method::POST {
        return Ok(page::go_on(&link.target, receiver.links));
    }
    if request.method() != Method::HEAD {
        // Whoever has the token of a link was told it.
        trace::open_visit(&receiver, &request);
        observe_best_effort(&receiver, id, &link, visit, trace::own(&request)).await;
    }
    Ok(redirect(&link.target))
}

/// Hands the evidence to the store before the visitor is redirected. If the store cannot write, the evidence is
/// deferred (`deferred.rs`), and the redirect is sent all the same: the visitor pressed a button to reach the app's
/// page, and cannot repeat a request that got 503.
async fn observe_best_effort(
    receiver: &Receiver,
    id: LinkId,
    link: &Link,
    visit: LinkVisit,
    trace: Option<TraceParent>,
) {
    let heard = SignalLog {
        source: SignalSource::Link.as_str(),
        account: Some(link.account),
        message: link.message,
        once: None,
        trace,
    };
    let reason = match visit {
        LinkVisit::Person => None,
        LinkVisit::Crawler => receiver.ignores_crawlers.then_some(Reason::Crawler),
        LinkVisit::Prefetch => Some(Reason::Preview),
        LinkVisit::Script => Some(Reason::Crawler),
    };
    if let Some(reason) = reason {
        return heard.outcome(&receiver.metrics, &ObserveOutcome::NotConfirmed(reason));
    }
    let now = to_millisecond((receiver.clock)());
    let evidence = Evidence {
        account: link.account,
        named: EvidenceTarget::Link(id),
        label: LABEL.to_owned(),
        occurred_at: now,
        time_source: TimeSource::Exact,
        source: SignalSource::Link,
    };
    let signal = Signal {
        source: SignalSource::Link,
        dedup_ids: Vec::new(),
        code: None,
        evidence: Ok(evidence),
        names: None,
        message_update: None,
        seen_at: now,
        trace,
    };
    receiver.deferred.observe(heard, signal).await;
}

fn unknown(receiver: &Receiver) -> HttpResponse {
    receiver.metrics.refusals("unknown_link");
    page::unknown()
}

/// On to where the link leads; with GET, whatever brought them here (RFC 9110, 15.4.4).
fn redirect(target: &LinkTarget) -> HttpResponse {
    HttpResponse::SeeOther().force_close().insert_header((LOCATION, target.as_str())).finish()
}
