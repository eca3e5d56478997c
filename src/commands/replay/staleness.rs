//! Would this count as of now, though it may be long past? Twilio's webhooks say what happens as it happens, and
//! bear no time: replayed, a reply to an old message would be taken for one to the newest. The domain's own
//! readers are asked, so that there is no second opinion of what has a time.

use jiff::Timestamp;

use crate::commands::replay::plan::ReplayRoute;
use crate::commands::store_access::now;
use crate::domain::address::RecipientHashKey;
use crate::domain::matching::later;
use crate::domain::sid::AccountSid;
use crate::domain::signal::{EvidenceTarget, MessageUpdate, Signal};
use crate::twilio::app;
use crate::twilio::call;
use crate::twilio::callback::{self, ParseContext, Relay};
use crate::twilio::fields::Fields;

/// Whether it would be taken for what has just happened, though it may be long past: evidence that names no
/// message, or a message of which nobody says when it was created. Read with another clock, it is as late as that.
pub(super) fn counts_as_of_now(
    route: ReplayRoute,
    fields: &Fields,
    query: &Fields,
    (account, road): (AccountSid, Relay),
) -> bool {
    const AHEAD: std::time::Duration = std::time::Duration::from_hours(24);
    let present: Timestamp = now();
    let reading = ParseContext {
        account,
        others: &[],
        person_key: &RecipientHashKey::new(b"of nobody"),
        code_keys: &[],
        ignores_crawlers: true,
        reference_tag: None,
        road,
        now: later(present, AHEAD),
        trace: None,
    };
    let is_late = |signal: Signal| {
        signal.evidence.is_ok_and(|evidence| {
            !matches!(evidence.named, EvidenceTarget::Message(_)) && evidence.occurred_at > present
        })
    };
    let is_young = |sighting: MessageUpdate| sighting.tracked && sighting.created_at.is_none();
    match route {
        ReplayRoute::Reply => callback::reply(fields, &reading).is_ok_and(is_late),
        ReplayRoute::Call => call::call(fields, &reading).is_ok_and(|call| is_late(call.signal)),
        ReplayRoute::Event => app::event(fields, &reading).is_ok_and(is_late),
        ReplayRoute::Messages => app::message(fields, &reading)
            .is_ok_and(|registered| registered.message.is_some_and(is_young)),
        ReplayRoute::Status => callback::status(fields, query, &reading).is_ok_and(is_young),
        // Each of these names a message, or bears its time; or changes nothing.
        ReplayRoute::Click | ReplayRoute::Events | ReplayRoute::Message => false,
    }
}
