//! The sink of Event Streams. Each event of a batch is stored as if it had come alone.
//!
//! Twilio waits 5 s for the answer and repeats a batch for up to four hours. A batch waits for its share of the store's queue
//! (`limits/event_budget.rs`), or gets 503. Work that has begun ends, even if Twilio has closed the connection: the
//! repeated batch finds its events stored. The answer is 204 once all events are on disk, and 503 if one is not.

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::signal::Malformed;
use crate::inbound::handlers::observe::{observe, register};
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;
use crate::inbound::rejection_response::RejectionResponse;
use crate::inbound::signed::{FromTwilio, RequestParts, Signed, SignedPayload};
use crate::inbound::trace;
use crate::twilio::callback::ParseContext;
use crate::twilio::event_streams;
use crate::twilio::event_streams::{Event, Incoming};
use crate::twilio::fields::FieldSpelling;

pub(crate) struct Batch(Vec<Event>);

impl SignedPayload for Batch {
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    const FORM: bool = false;
    /// 1 MiB, the largest batch that Twilio sends.
    const MAX_JSON: usize = 1 << 20;
    const JSON_IS_FIELDS: bool = false;
    fn parse(parts: &RequestParts<'_>, context: &ParseContext<'_>) -> Result<Self, Malformed> {
        event_streams::batch(parts.body, context).map(Self)
    }
}

pub(crate) async fn batch(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    batch: Signed<Batch, FromTwilio>,
) -> Result<HttpResponse, RejectionResponse> {
    let Batch(events) = batch.into_inner();
    let admitted = receiver.event_budget.admit(events.len()).await;
    let permits = admitted.map_err(|rejection| RejectionResponse::of(&request, rejection))?;
    let work = store_all(request.clone(), receiver, events, permits);
    // A task of its own, because actix drops the future of a request whose client has gone.
    match actix_web::rt::spawn(work).await {
        Ok(all) => all.map(|()| HttpResponse::NoContent().finish()),
        Err(end) => Err(match end.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => {
                let (reason, label) = (cancelled.to_string(), "closed");
                RejectionResponse::of(&request, Rejection::Unavailable { reason, label })
            }
        }),
    }
}

/// Stores all events of a batch, at most one for each permit at a time. Releases each permit that no further event needs.
async fn store_all(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    events: Vec<Event>,
    mut permits: OwnedSemaphorePermit,
) -> Result<(), RejectionResponse> {
    let mut left = events.len();
    let pending = events.into_iter().map(|event| store_event(&request, &receiver, event));
    let mut stored = futures_util::stream::iter(pending).buffer_unordered(permits.num_permits());
    // Goes on after an error, so that an event that the store never accepts does not block the others of its batch.
    let mut all = Ok(());
    while let Some(result) = stored.next().await {
        all = all.and(result);
        left -= 1;
        if left < permits.num_permits() {
            drop(permits.split(1));
        }
    }
    all
}

async fn store_event(
    request: &HttpRequest,
    receiver: &Receiver,
    Event { kind, incoming }: Event,
) -> Result<(), RejectionResponse> {
    let source = kind.as_str();
    let result = match incoming {
        Incoming::Status(update) => {
            register(request, receiver, *update).await?;
            "remembered"
        }
        Incoming::WithoutReference(update, malformed) => {
            let (sid, trace_id) = (update.sid, trace::id(request));
            register(request, receiver, *update).await?;
            tracing::warn!(
                message_sid = %sid, source, reason = "malformed", detail = %malformed, trace_id,
                "{sid} is not tracked: the reference in its status callback URL or its tag is unusable: {malformed}. \
                 Correct it where the app creates the message"
            );
            "malformed"
        }
        Incoming::Signal(signal) => observe(request, receiver, *signal).await?.as_str(),
        Incoming::Ignored => "ignored",
        Incoming::OtherAccount => "other_account",
        Incoming::Malformed(malformed) => {
            let trace_id = trace::id(request);
            tracing::warn!(
                source, reason = "malformed", detail = %malformed, trace_id,
                "malformed event of Event Streams dropped: {malformed}; the rest of its batch is stored. Twilio may have \
                 changed the schema: report it"
            );
            "malformed"
        }
    };
    receiver.metrics.events(source, result);
    Ok(())
}
