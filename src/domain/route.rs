//! The public routes, one row each: path, methods, signer. The path is also the label of the route in metrics.

/// The signer of a route's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSigner {
    /// Twilio, with an account's auth token or a `SharedKey`.
    Twilio,
    /// The app, with an app key.
    App,
}

#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// The methods, as the header `Allow` lists them.
    pub methods: &'static str,
    /// The signer. On [`SECRET_CLICK`] Twilio sends the secret instead of a signature.
    pub signer: Option<RouteSigner>,
}

pub const MESSAGE: &str = "/twilio/message";
pub const STATUS: &str = "/twilio/status";
pub const CALL: &str = "/twilio/call";
/// A click callback with a signature.
pub const CLICK: &str = "/twilio/click";
/// A click callback whose path holds a secret instead of a signature.
pub const SECRET_CLICK: &str = "/twilio/click/{secret}";
/// A batch of Event Streams.
pub const EVENT_STREAM: &str = "/twilio/events";
/// The app registers a message.
pub const REGISTER: &str = "/app/messages";
/// The app looks up a message.
pub const LOOK_UP: &str = "/app/messages/{sid}";
/// The app reports evidence.
pub const APP_EVENT: &str = "/app/events";
/// An inbound message that the app passes on.
pub const APP_MESSAGE: &str = "/app/twilio/message";
/// A status callback that the app passes on.
pub const APP_STATUS: &str = "/app/twilio/status";
/// An inbound call that the app passes on.
pub const APP_CALL: &str = "/app/twilio/call";
/// A click link, which a person opens.
pub const LINK: &str = "/c/{token}";
/// The app creates a message, as at Twilio's own API. Bound only if sending is on.
pub const SEND: &str = "/2010-04-01/Accounts/{account}/Messages.json";

pub const ROUTES: [Route; 15] = [
    Route { path: "/", methods: "GET, HEAD", signer: None },
    Route { path: MESSAGE, methods: "GET, POST", signer: Some(RouteSigner::Twilio) },
    Route { path: STATUS, methods: "GET, POST", signer: Some(RouteSigner::Twilio) },
    Route { path: CALL, methods: "GET, POST", signer: Some(RouteSigner::Twilio) },
    Route { path: CLICK, methods: "POST", signer: Some(RouteSigner::Twilio) },
    Route { path: SECRET_CLICK, methods: "POST", signer: Some(RouteSigner::Twilio) },
    Route { path: EVENT_STREAM, methods: "POST", signer: Some(RouteSigner::Twilio) },
    Route { path: REGISTER, methods: "POST", signer: Some(RouteSigner::App) },
    Route { path: LOOK_UP, methods: "GET", signer: Some(RouteSigner::App) },
    Route { path: APP_EVENT, methods: "POST", signer: Some(RouteSigner::App) },
    Route { path: APP_MESSAGE, methods: "POST", signer: Some(RouteSigner::App) },
    Route { path: APP_STATUS, methods: "POST", signer: Some(RouteSigner::App) },
    Route { path: APP_CALL, methods: "POST", signer: Some(RouteSigner::App) },
    Route { path: LINK, methods: "GET, HEAD, POST", signer: None },
    Route { path: SEND, methods: "POST", signer: None },
];

/// The paths of all routes.
pub fn paths() -> [&'static str; 15] {
    ROUTES.map(|route| route.path)
}

/// The metric label of a matched pattern. All requests without a route share `other`, so the number of labels is bounded.
pub fn label(pattern: Option<&str>) -> &'static str {
    paths().into_iter().find(|path| Some(*path) == pattern).unwrap_or("other")
}

/// The label of a path that is a route's own. Any other path may still match a route: with another spelling or a parameter.
pub fn by_path(path: &str) -> Option<&'static str> {
    paths().into_iter().find(|known| *known == path && !known.contains('{'))
}

/// The first part of a path whose requests are signed: `twilio` or `app`. `None` for a route without signatures.
pub fn side(path: &str) -> Option<&'static str> {
    let route = ROUTES.iter().find(|route| route.path == path && path != SECRET_CLICK)?;
    Some(match route.signer? {
        RouteSigner::Twilio => "twilio",
        RouteSigner::App => "app",
    })
}

/// The signer of a path with any prefix before the route; `None` for other paths.
///
/// A prefix may contain `/app/` or `/twilio/`, so a whole route at the end of the path is compared first.
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

fn signer_of_route(segments: &[&str]) -> Option<RouteSigner> {
    let is_route = |route: &Route| {
        let parts: Vec<&str> = route.path.split('/').skip(1).collect();
        let mut pairs = parts.iter().zip(segments);
        parts.len() == segments.len()
            && pairs.all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    ROUTES.iter().filter(|route| route.signer.is_some()).find(|route| is_route(route))?.signer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_route_without_parameters_is_known_by_its_path() {
        for path in ["/", "/twilio/status", "/app/messages", "/app/twilio/call"] {
            assert_eq!(by_path(path), Some(path));
            assert_eq!(label(Some(path)), path);
        }
        for path in
            ["", "//", "/twilio/status/", "//twilio/status", "/c/{token}", "/app/messages/SM1"]
        {
            assert_eq!(by_path(path), None, "{path}");
        }
    }

    #[test]
    fn a_route_has_the_side_that_signs_its_requests() {
        let sides = [STATUS, APP_STATUS, LINK, SECRET_CLICK, SEND, "other"].map(side);
        assert_eq!(sides, [Some("twilio"), Some("app"), None, None, None, None]);
    }

    #[test]
    fn the_route_at_the_end_of_a_path_decides_with_any_prefix() {
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
