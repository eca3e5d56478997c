//! Who signs the requests of a route, by its path: for commands that have only a URL or a recorded request.

/// Who signs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSigner {
    /// Twilio, with an account's auth token or a `SharedKey`.
    Twilio,
    /// The app, with an app key.
    App,
}

/// Who signs for that path, whatever prefix stands before the route. `None` if it is no route of ours.
///
/// A prefix may itself hold `/app/` or `/twilio/`, so a whole route at the path's end decides first.
#[must_use]
pub fn signer_of(path: &str) -> Option<RouteSigner> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut ends = (0..segments.len()).filter_map(|from| segments.get(from..));
    ends.find_map(signer_of_route).or_else(|| {
        let is_in = |word| path.contains(word);
        match (is_in("/app/"), is_in("/twilio/")) {
            (true, _) => Some(RouteSigner::App),
            (false, true) => Some(RouteSigner::Twilio),
            (false, false) => None,
        }
    })
}

/// Who signs for exactly that route.
fn signer_of_route(segments: &[&str]) -> Option<RouteSigner> {
    match segments {
        ["app", "messages" | "events"]
        | ["app", "messages", _]
        | ["app", "twilio", "message" | "status" | "call"] => Some(RouteSigner::App),
        ["twilio", "message" | "status" | "call" | "click" | "events"] | ["twilio", "click", _] => {
            Some(RouteSigner::Twilio)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_at_the_paths_end_decides_whatever_the_prefix_is() {
        use RouteSigner::{App, Twilio};
        for (path, signer) in [
            ("/app/events", Some(App)),
            ("/app/messages", Some(App)),
            ("/app/messages/SM1", Some(App)),
            ("/app/twilio/message", Some(App)),
            ("/twilio/message", Some(Twilio)),
            ("/twilio/events", Some(Twilio)),
            ("/twilio/click/secret", Some(Twilio)),
            ("/hb/app/events", Some(App)),
            ("/hb/twilio/call", Some(Twilio)),
            ("/app/hb/twilio/message", Some(Twilio)),
            ("/twilio/hb/app/events", Some(App)),
            ("/app/later", Some(App)),
            ("/twilio/later", Some(Twilio)),
            ("/c/token", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(signer_of(path), signer, "{path}");
        }
    }
}
