//! State shared by the public routes.

use std::sync::Arc;

use actix_web::HttpRequest;
use jiff::Timestamp;

use crate::domain::click_link::{LinkToken, Links};
use crate::domain::click_secret::ClickSecret;
use crate::domain::findings::ClaimedAccount;
use crate::forward::Forwarder;
use crate::inbound::deferred::Deferred;
use crate::inbound::keyring::{CurrentKeyRing, OwnedKey};
use crate::inbound::limits::event_budget::EventBudget;
use crate::inbound::limits::first_match::FirstMatch;
use crate::inbound::limits::near_miss::NearMisses;
use crate::inbound::limits::signature_limiter::SignatureLimiter;
use crate::inbound::regions::HomeRegions;
use crate::inbound::rejected_capture::RejectedCapture;
use crate::inbound::rejection::Rejection;
use crate::inbound::route_label::route_label;
use crate::inbound::send::sends::Sends;
use crate::store::{Clock, Store};
use crate::telemetry::forward_failures::ForwardFailures;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::signature_tally::SignatureTally;
use crate::telemetry::traces::Traces;
use crate::twilio::signature::SignatureError;

/// State shared by the public routes.
pub struct Receiver {
    pub store: Arc<dyn Store>,
    /// The public origins that Twilio and the app sign, without a trailing slash.
    pub bases: Vec<String>,
    /// The keys that requests are verified with. A reload replaces them while requests are in flight.
    pub keyring: Arc<CurrentKeyRing>,
    pub home_regions: HomeRegions,
    /// Whether clicks of known crawlers are no evidence.
    pub ignores_crawlers: bool,
    /// The tag of a message that holds its reference, in Event Streams.
    pub reference_tag: Option<String>,
    /// The secret in the path of unsigned clicks. `None` disables that route.
    pub click_secret: Option<ClickSecret>,
    /// The `TwiML` that answers a ringing call.
    pub call_twiml: String,
    /// The kind of visit that counts as evidence, or [`Links::Off`].
    pub links: Links,
    /// Creates the token of a click link. `None` if the system has no randomness.
    pub fresh_token: Arc<dyn Fn() -> Option<LinkToken> + Send + Sync>,
    pub clock: Clock,
    /// Evidence of ringing calls and pressed links that the store could not write.
    pub deferred: Arc<Deferred>,
    /// Passes webhooks on to the app.
    pub forwarder: Arc<Forwarder>,
    /// Whether Twilio has a fallback URL or retries: it then gets an error if the app fails.
    pub has_fallback_url: bool,
    /// The app's failures, for the findings.
    pub forward_failures: Arc<ForwardFailures>,
    /// The share of the store's queue that Event Streams may use.
    pub event_budget: EventBudget,
    /// The state of send through; `None` if it is off.
    pub sends: Option<Arc<Sends>>,
    pub metrics: Arc<Metrics>,
    /// The exporter of spans, if one is configured.
    pub traces: Option<Arc<Traces>>,
    /// Limits failed signatures by network.
    pub failure_limiter: SignatureLimiter,
    /// Logs rejected requests of a route and account for which no key has matched yet.
    pub first_match: FirstMatch,
    /// Counts verified and rejected requests for the findings.
    pub signatures: Arc<SignatureTally>,
    /// Logs signed requests whose path is close to a route.
    pub near_misses: NearMisses,
    /// Records requests with an invalid signature, while recording is on.
    pub rejected_capture: Arc<RejectedCapture>,
}

impl Receiver {
    /// Records which key signed, and for which account.
    pub(super) fn record_verified(
        &self,
        request: &HttpRequest,
        signer: &OwnedKey,
        account: ClaimedAccount,
        now: Timestamp,
    ) {
        let route = route_label(request);
        self.first_match.record_verified(route, account);
        self.signatures.verified((route, account), now);
        self.metrics.key_matched(route, &signer.account, &signer.name, now.as_second());
    }

    /// Records a request that was rejected for its signature or its account.
    pub(super) fn record_rejected(
        &self,
        request: &HttpRequest,
        account: ClaimedAccount,
        rejection: &Rejection,
        now: Timestamp,
    ) {
        let route = route_label(request);
        self.first_match.record_rejected(route, account, rejection, now);
        // Without a configured key, a request for an unknown account may be a scanner's.
        let is_unsigned = matches!(
            rejection,
            Rejection::BadSignature(SignatureError::Missing | SignatureError::Malformed)
        ) || matches!(rejection, Rejection::BadSignature(_))
            && account == ClaimedAccount::Unknown;
        if is_unsigned {
            self.signatures.unsigned((route, account));
        } else {
            self.signatures.refused((route, account));
        }
    }
}
