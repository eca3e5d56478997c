//! Finds the messages that a person's act may be about, by time.

use std::time::Duration;

use crate::domain::matching::select::{Candidates, newest_first};
use crate::domain::matching::{CLOCK_SKEW, UNSAID_FOR, earlier, later};
use crate::domain::message::Message;
use crate::domain::signal::{Evidence, TimeSource};

/// The messages that an act may be about, newest first.
pub(super) struct Fitting<'m> {
    /// All messages of that time, including those that did not arrive.
    pub(super) all: Vec<&'m Message>,
    /// Messages that were created before the act, and messages without a known creation time that may have been.
    pub(super) older: Vec<&'m Message>,
    /// Messages that were created after the act by the app's clock, but within its allowed skew.
    pub(super) younger: Vec<&'m Message>,
}

/// Whether a message is younger than an act by no more than the app's clock may differ.
pub(super) fn is_within_skew(message: &Message, evidence: &Evidence) -> bool {
    evidence.time_source == TimeSource::App
        && message.created_at <= later(evidence.occurred_at, CLOCK_SKEW)
}

/// Whether a message was created after an act, also if the clocks differ by as much as they may.
pub(super) fn is_younger(message: &Message, evidence: &Evidence) -> bool {
    let slack = match (message.created_at_known, evidence.time_source) {
        (false, _) => UNSAID_FOR,
        (true, TimeSource::Exact) => Duration::ZERO,
        (true, TimeSource::App | TimeSource::Unknown) => CLOCK_SKEW,
    };
    message.created_at > later(evidence.occurred_at, slack)
}

impl Candidates<'_> {
    /// The messages that an act of this person may be about: created before it and within the window, whatever their
    /// state except undelivered.
    pub(super) fn fitting<'m>(&self, evidence: &Evidence, theirs: &[&'m Message]) -> Fitting<'m> {
        let at = evidence.occurred_at;
        let from = earlier(at, self.policy.window_of(evidence));
        let is_app = evidence.time_source == TimeSource::App;
        let mut fitting = Fitting { all: Vec::new(), older: Vec::new(), younger: Vec::new() };
        for message in newest_first(theirs) {
            if message.is_yet_to_go_out() || message.created_at < from {
                continue;
            }
            let is_unsaid =
                !message.created_at_known && message.created_at <= later(at, UNSAID_FOR);
            let is_older = message.created_at <= at || is_unsaid;
            let is_near = is_app && is_within_skew(message, evidence);
            if !is_older && !is_near {
                continue;
            }
            fitting.all.push(message);
            if message.may_have_arrived() {
                let list = if is_older { &mut fitting.older } else { &mut fitting.younger };
                list.push(message);
            }
        }
        fitting
    }
}
