//! A message's story: every line of the history that is about it, for whoever wants to know what went
//! wrong.

use crate::history::{Event, What};
use crate::judge::facts::Facts;

/// A story longer than this tells no more.
const LINES: usize = 40;

impl Facts<'_> {
    /// All that is known about a message, in its order.
    pub(crate) fn story(&self, sid: &str) -> String {
        let lines = self.events.iter().filter_map(|Event { at, what }| {
            let line = serde_json::to_string(what).unwrap_or_default();
            let about = line.contains(sid) || self.is_about(what, sid);
            about.then(|| format!("    {:>9} ms {line}", at / 1_000_000))
        });
        lines.take(LINES).collect::<Vec<_>>().join("\n")
    }

    fn is_about(&self, what: &What, sid: &str) -> bool {
        if let What::Answered { req, .. } | What::Unknown { req, .. } = what {
            return self.requests.get(req).is_some_and(|request| request.sid == sid);
        }
        if let What::Decided { post, .. } | What::Told { post, .. } = what {
            return self.posts.get(post).is_some_and(|post| post.sid == sid);
        }
        false
    }
}
