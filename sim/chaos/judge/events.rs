//! The events about one message, for the explanation of a violation.

use crate::history::{Event, EventKind};
use crate::judge::facts::Facts;

/// The most events of an explanation.
const LINES: usize = 40;

impl Facts<'_> {
    /// The events about a message, in order.
    pub(crate) fn events_about(&self, sid: &str) -> String {
        let lines = self.events.iter().filter_map(|Event { at, kind }| {
            let line = serde_json::to_string(kind).unwrap_or_default();
            let about = line.contains(sid) || self.is_about(kind, sid);
            about.then(|| format!("    {:>9} ms {line}", at / 1_000_000))
        });
        lines.take(LINES).collect::<Vec<_>>().join("\n")
    }

    fn is_about(&self, kind: &EventKind, sid: &str) -> bool {
        if let EventKind::Answered { req, .. } | EventKind::Unknown { req, .. } = kind {
            return self.requests.get(req).is_some_and(|request| request.sid == sid);
        }
        if let EventKind::Decided { post, .. } | EventKind::Replied { post, .. } = kind {
            return self.posts.get(post).is_some_and(|post| post.sid == sid);
        }
        if let EventKind::Forwarded { forward, .. } | EventKind::AppEnded { forward, .. } = kind {
            let form = self.forwards.get(forward).map(|forward| &forward.form);
            let mut requests = self.requests.values().filter(|request| request.sid == sid);
            return requests.any(|request| Some(&request.form) == form);
        }
        false
    }
}
