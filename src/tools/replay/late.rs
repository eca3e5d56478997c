//! Would this count as of now, though it may be long past? Twilio's webhooks say what happens as it happens, and
//! bear no time: replayed, a reply to an old message would be taken for one to the newest. The domain's own
//! readers are asked, so that there is no second opinion of what has a time.

use jiff::Timestamp;

use crate::domain::address::PersonKey;
use crate::domain::matching::later;
use crate::domain::sid::AccountSid;
use crate::domain::signal::call;
use crate::domain::signal::callback::{self, Reading, Road};
use crate::domain::signal::fields::Fields;
use crate::domain::signal::{Named, Sighting, Signal, app};
use crate::tools::reach::now;
use crate::tools::replay::aim::Route;

/// Whether it would be taken for what has just happened, though it may be long past: evidence that names no
/// message, or a message of which nobody says when it was created. Read with another clock, it is as late as that.
pub(super) fn counts_as_of_now(
    route: Route,
    fields: &Fields,
    query: &Fields,
    (account, road): (AccountSid, Road),
) -> bool {
    const AHEAD: std::time::Duration = std::time::Duration::from_hours(24);
    let present: Timestamp = now();
    let reading = Reading {
        account,
        others: &[],
        person_key: &PersonKey::new(b"of nobody"),
        code_keys: &[],
        ignores_crawlers: true,
        reference_tag: None,
        road,
        now: later(present, AHEAD),
        trace: None,
    };
    let is_late = |signal: Signal| {
        signal.evidence.is_ok_and(|evidence| {
            !matches!(evidence.named, Named::Message(_)) && evidence.occurred_at > present
        })
    };
    let is_young = |sighting: Sighting| sighting.tracked && sighting.created_at.is_none();
    match route {
        Route::Reply => callback::reply(fields, &reading).is_ok_and(is_late),
        Route::Call => call::call(fields, &reading).is_ok_and(|call| is_late(call.signal)),
        Route::Event => app::event(fields, &reading).is_ok_and(is_late),
        Route::Messages => app::message(fields, &reading)
            .is_ok_and(|registered| registered.message.is_some_and(is_young)),
        Route::Status => callback::status(fields, query, &reading).is_ok_and(is_young),
        // Each of these names a message, or bears its time; or changes nothing.
        Route::Click | Route::Events | Route::Message => false,
    }
}
