//! Whether a replayed request would count as of now. Most webhooks of Twilio carry no time: a replayed reply to an old
//! message would be attributed to the newest one. The parsers of the service decide, so there is one rule.

use std::time::Duration;

use crate::commands::replay::route::ReplayRoute;
use crate::commands::store_access::now;
use crate::domain::address::RecipientHashKey;
use crate::domain::matching::later;
use crate::domain::sid::AccountSid;
use crate::domain::signal::{EvidenceTarget, MessageUpdate, Signal};
use crate::twilio::app;
use crate::twilio::call;
use crate::twilio::callback::{self, ParseContext, Relay};
use crate::twilio::fields::Fields;

/// How far the parser's clock is ahead. No request is dated that far in the future by its sender.
const CLOCK_AHEAD: Duration = Duration::from_hours(24);

/// Whether the request is evidence that names no message, or a message without its time of creation; and has no time of
/// its own. Parsed with a clock that is ahead, a request without a time is dated in the future.
pub(super) fn counts_as_of_now(
    route: ReplayRoute,
    fields: &Fields,
    query: &Fields,
    (account, relay): (AccountSid, Relay),
) -> bool {
    let now = now();
    let context = ParseContext {
        account,
        others: &[],
        recipient_hash_key: &RecipientHashKey::new(b"unused"),
        code_keys: &[],
        ignores_crawlers: true,
        reference_tag: None,
        relay,
        now: later(now, CLOCK_AHEAD),
        trace: None,
    };
    let is_undated = |signal: Signal| {
        signal.evidence.is_ok_and(|evidence| {
            !matches!(evidence.target, EvidenceTarget::Message(_)) && evidence.occurred_at > now
        })
    };
    let is_new = |update: MessageUpdate| update.tracked && update.created_at.is_none();
    match route {
        ReplayRoute::Reply => callback::reply(fields, &context).is_ok_and(is_undated),
        ReplayRoute::Call => call::call(fields, &context).is_ok_and(|call| is_undated(call.signal)),
        ReplayRoute::Event => app::event(fields, &context).is_ok_and(is_undated),
        ReplayRoute::Messages => app::message(fields, &context)
            .is_ok_and(|registered| registered.message.is_some_and(is_new)),
        ReplayRoute::Status => callback::status(fields, query, &context).is_ok_and(is_new),
        // Each of these names a message, carries its time, or changes nothing.
        ReplayRoute::Click | ReplayRoute::Events | ReplayRoute::Message => false,
    }
}
