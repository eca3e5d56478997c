//! A visit to a click link, `/c/{token}`. The request has no signature: the token identifies the link.
//!
//! A GET proves nothing by default, because scanners and previews fetch every link: it shows a page (`page.rs`) whose button
//! posts to the same address, and the POST is the evidence. The target is the registered one. Of the request only the
//! token, the method and the headers in `visit.rs` have an effect. The token is in no log and no metric.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::click_link::{Link, LinkId, LinkTarget, LinkToken, Links};
use crate::domain::matching::{ObserveOutcome, Reason};
use crate::domain::signal::{Evidence, EvidenceTarget, Signal, SignalSource, TimeSource};
use crate::domain::timestamp_serde::to_millisecond;
use crate::domain::trace::TraceParent;
use crate::inbound::body::UnreadBody;
use crate::inbound::decision_log::SignalLog;
use crate::inbound::limits::connections::Connection;
use crate::inbound::links::page;
use crate::inbound::links::visit::LinkVisit;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::trace;

/// 4 KiB. The form has no fields.
const MAX_BODY: usize = 4 << 10;
/// The label of the evidence. An app uses the same word for its own links.
const LABEL: &str = "link_opened";

pub(crate) async fn open(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    body: UnreadBody,
) -> Result<HttpResponse, RejectionResponse> {
    if receiver.links == Links::Off {
        body.drain(&request).await;
        return Err(RejectionResponse::of(&request, Rejection::NotFound));
    }
    // Reading to the end keeps the connection usable.
    let discarded = body.discard(&request, MAX_BODY).await;
    discarded.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
    let token = request.match_info().get("token").and_then(LinkToken::parse);
    let Some(id) = token.map(|token| token.id()) else { return Ok(unknown(&receiver)) };
    let link = match receiver.store.link(id).await {
        Ok(Some(link)) => link,
        Ok(None) => return Ok(unknown(&receiver)),
        Err(error) => {
            receiver.metrics.refusals("link_unreadable");
            tracing::warn!(%error, "click link not readable: {error}; answered 503, and the visitor has to try again");
            return Ok(page::unavailable());
        }
    };
    if let Some(connection) = request.conn_data::<Arc<Connection>>() {
        // The request is complete: from here on the service uses the time, not the client.
        connection.reset_deadline();
    }
    let visit = LinkVisit::of(&request, receiver.links);
    let is_followed = match receiver.links {
        // A browser may show a prefetched page without another request.
        Links::ConfirmOnGet => visit != LinkVisit::Prefetch,
        Links::ConfirmOnPost | Links::ConfirmOnPress | Links::Off => {
            request.method() == Method::POST
        }
    };
    if !is_followed && request.method() != Method::POST {
        return Ok(page::interstitial(&link.target, receiver.links));
    }
    if request.method() != Method::HEAD {
        trace::open_visit(receiver.traces.as_deref(), &request);
        observe_best_effort(&receiver, id, &link, visit, trace::own(&request)).await;
    }
    Ok(redirect(&link.target))
}

/// Stores the evidence before the visitor is redirected. If the store cannot write, the evidence is deferred
/// (`deferred.rs`) and the visitor is redirected anyway: a person does not repeat a visit that got 503.
async fn observe_best_effort(
    receiver: &Receiver,
    id: LinkId,
    link: &Link,
    visit: LinkVisit,
    trace: Option<TraceParent>,
) {
    let log = SignalLog {
        source: SignalSource::Link.as_str(),
        account: Some(link.account),
        message: link.message,
        dedup_id: None,
        trace,
    };
    let reason = match visit {
        LinkVisit::Person => None,
        LinkVisit::Crawler => receiver.ignores_crawlers.then_some(Reason::Crawler),
        LinkVisit::Prefetch => Some(Reason::Preview),
        LinkVisit::Script => Some(Reason::Crawler),
    };
    if let Some(reason) = reason {
        return log.outcome(&receiver.metrics, &ObserveOutcome::NotConfirmed(reason));
    }
    let now = to_millisecond((receiver.clock)());
    let evidence = Evidence {
        account: link.account,
        target: EvidenceTarget::Link(id),
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
    receiver.deferred.observe(log, signal).await;
}

fn unknown(receiver: &Receiver) -> HttpResponse {
    receiver.metrics.refusals("unknown_link");
    page::unknown()
}

/// Redirects to the target. The browser follows with GET after any method (RFC 9110, 15.4.4).
fn redirect(target: &LinkTarget) -> HttpResponse {
    HttpResponse::SeeOther().force_close().insert_header((LOCATION, target.as_str())).finish()
}
