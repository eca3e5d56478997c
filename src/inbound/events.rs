//! The sink of Event Streams: batches of events, each handed to the store as if it had come alone.
//!
//! Twilio waits for 5 s and sends a batch again for up to four hours. So a batch is answered when all of
//! it is on disk; if the store cannot take one event, the others are taken all the same, the answer is 503
//! for the whole, and what was taken already is recognised when it comes again.

use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::StreamExt;

use crate::domain::signal::Malformed;
use crate::domain::signal::callback::Reading;
use crate::domain::signal::events;
use crate::domain::signal::events::{Event, Incoming};
use crate::domain::signal::fields::Spelling;
use crate::inbound::near_miss::spellings;
use crate::inbound::rejection::Refused;
use crate::inbound::signed::{Parts, Ring, Signed, Wire};
use crate::inbound::trace;
use crate::inbound::twilio::{observe, remember};
use crate::inbound::{Receiver, wrong_method};

/// 1 MiB: a batch is as large as Twilio makes it.
const CAP: usize = 1 << 20;

/// How many events of one batch wait for the store together: enough to fill its groups (of 128) while one
/// is synced, and far from its queue (of 1024), which others need as well.
const AT_ONCE: usize = 256;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(
        web::resource(spellings("/twilio/events"))
            .route(web::post().to(batch))
            .default_service(web::to(wrong_method)),
    );
}

struct Batch(Vec<Event>);

impl Wire for Batch {
    const RING: Ring = Ring::Account;
    const SPELLING: Spelling = Spelling::Any;
    const JSON: bool = true;
    const FORM: bool = false;
    const CAP: usize = CAP;
    const FIELDS: bool = false;
    fn read(parts: &Parts<'_>, reading: &Reading<'_>) -> Result<Self, Malformed> {
        events::batch(parts.body, reading).map(Self)
    }
}

async fn batch(
    request: HttpRequest,
    receiver: web::Data<Receiver>,
    Signed(Batch(events)): Signed<Batch>,
) -> Result<HttpResponse, Refused> {
    let handing = events.into_iter().map(|event| take_in(&request, &receiver, event));
    let mut taken = futures_util::stream::iter(handing).buffer_unordered(AT_ONCE);
    // To its end, whatever becomes of one: what the store cannot take must not keep its neighbours out
    // each time that the batch comes again.
    let mut all = Ok(());
    while let Some(end) = taken.next().await {
        all = all.and(end);
    }
    all.map(|()| HttpResponse::NoContent().finish())
}

async fn take_in(
    request: &HttpRequest,
    receiver: &Receiver,
    Event { kind, incoming }: Event,
) -> Result<(), Refused> {
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
                "an event that cannot be understood was left out"
            );
            "malformed"
        }
    };
    receiver.metrics.events(about, result);
    Ok(())
}
