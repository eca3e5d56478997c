//! The sink of Event Streams: batches of events, each handed to the store as if it had come alone.
//!
//! Twilio waits 5 s and repeats a batch for up to four hours. A batch waits for its share of the store's queue
//! (`event_budget.rs`), or gets 503 before its work begins. Work that has begun ends, even if Twilio has closed the
//! connection: what is stored is recognised when the batch comes again. The answer is 204 once all of the batch is on disk.
//! If the store cannot take one event, the others are taken all the same, and the answer is 503.

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;
use tokio::sync::OwnedSemaphorePermit;

use crate::domain::route;
use crate::domain::signal::Malformed;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::{LocalizedRejection, Rejection};
use crate::inbound::signed::{RequestParts, Signed, SignedPayload, Signer};
use crate::inbound::trace;
use crate::inbound::twilio::{observe, remember};
use crate::inbound::{Receiver, wrong_method};
use crate::twilio::callback::ParseContext;
use crate::twilio::event_streams;
use crate::twilio::event_streams::{Event, Incoming};
use crate::twilio::fields::FieldSpelling;

/// 1 MiB: a batch is as large as Twilio makes it.
const CAP: usize = 1 << 20;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource(spellings(route::EVENT_STREAM))
            .route(web::post().to(batch))
            .default_service(web::to(wrong_method)),
    );
}

struct Batch(Vec<Event>);

impl SignedPayload for Batch {
    const RING: Signer = Signer::Account;
    const SPELLING: FieldSpelling = FieldSpelling::Any;
    const JSON: bool = true;
    const FORM: bool = false;
    const CAP: usize = CAP;
    const FIELDS: bool = false;
    fn read(parts: &RequestParts<'_>, reading: &ParseContext<'_>) -> Result<Self, Malformed> {
        event_streams::batch(parts.body, reading).map(Self)
    }
}

async fn batch(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(Batch(events)): Signed<Batch>,
) -> Result<HttpResponse, LocalizedRejection> {
    let admitted = receiver.event_budget.admit(events.len()).await;
    let places = admitted.map_err(|why| LocalizedRejection::of(&request, why))?;
    let work = store_all(request.clone(), receiver, events, places);
    // A task of its own: a request whose client is gone is dropped.
    match actix_web::rt::spawn(work).await {
        Ok(all) => all.map(|()| HttpResponse::NoContent().finish()),
        Err(end) => Err(match end.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => {
                let (reason, label) = (cancelled.to_string(), "closed");
                LocalizedRejection::of(&request, Rejection::Unavailable { reason, label })
            }
        }),
    }
}

/// Hands all events of a batch to the store, as many at a time as it has places, and frees each place that no further
/// event needs.
async fn store_all(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    events: Vec<Event>,
    mut places: OwnedSemaphorePermit,
) -> Result<(), LocalizedRejection> {
    let mut left = events.len();
    let handing = events.into_iter().map(|event| store_event(&request, &receiver, event));
    let mut taken = futures_util::stream::iter(handing).buffer_unordered(places.num_permits());
    // To its end, whatever becomes of one: what the store cannot take must not keep its neighbours out
    // each time that the batch comes again.
    let mut all = Ok(());
    while let Some(end) = taken.next().await {
        all = all.and(end);
        left -= 1;
        if left < places.num_permits() {
            drop(places.split(1));
        }
    }
    all
}

async fn store_event(
    request: &HttpRequest,
    receiver: &Receiver,
    Event { kind, incoming }: Event,
) -> Result<(), LocalizedRejection> {
    let about = kind.as_str();
    let result = match incoming {
        Incoming::Status(sighting) => {
            remember(request, receiver, *sighting).await?;
            "remembered"
        }
        Incoming::Signal(signal) => observe(request, receiver, *signal).await?.as_str(),
        Incoming::Ignored => "ignored",
        Incoming::OtherAccount => "other_account",
        Incoming::Malformed(why) => {
            let trace_id = trace::id(request);
            tracing::warn!(
                source = about, reason = "malformed", detail = %why, trace_id,
                "unreadable event ignored"
            );
            "malformed"
        }
    };
    receiver.metrics.events(about, result);
    Ok(())
}
