//! When each key last made a good signature, read back from a page of metrics: for whoever wants to
//! know, from another process, whether an old key can go.
//!
//! Only keys that have matched since the process started are on the page.

/// The metric; `route`, `account` and `key` are its labels, in this order.
const METRIC: &str = "heardback_key_last_matched_timestamp_seconds{";

/// A key, and when it last matched on one route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastMatched {
    /// The route, such as `/twilio/message`.
    pub route: String,
    /// Whose key it is: an `AccountSid`, or `any` for what every account's app signs with.
    pub account: String,
    /// Its name: `token 1`, `app key 1`, `shared webhooks_sharedkey_01…`.
    pub key: String,
    /// Seconds since 1970.
    pub at: i64,
}

/// All of them on a page that [`Metrics::render`](crate::telemetry::metrics::Metrics::render) made.
/// What is not understood is left out.
#[must_use]
pub fn last_matched(page: &str) -> Vec<LastMatched> {
    page.lines().filter_map(read).collect()
}

fn read(line: &str) -> Option<LastMatched> {
    let (labels, value) = line.strip_prefix(METRIC)?.rsplit_once("} ")?;
    // No name of ours needs escaping.
    let of = |name: &str| {
        let (_, rest) = labels.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let at = value.split(' ').next()?.parse().ok()?;
    Some(LastMatched { route: of("route")?, account: of("account")?, key: of("key")?, at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn what_was_counted_is_read_back() {
        let metrics = Metrics::new();
        assert_eq!(last_matched(&metrics.render()), []);
        metrics.key_matched("/twilio/message", "AC1", "token 2", 1_700_000_000);
        metrics.key_matched("/app/messages/{sid}", "any", "app key 1", 1_700_000_001);
        metrics.key_matched("/twilio/message", "AC1", "shared k_1-.x", 1_700_000_002);
        let mut found = last_matched(&metrics.render());
        found.sort_by_key(|one| one.at);
        let expected = [
            ("/twilio/message", "AC1", "token 2", 1_700_000_000),
            ("/app/messages/{sid}", "any", "app key 1", 1_700_000_001),
            ("/twilio/message", "AC1", "shared k_1-.x", 1_700_000_002),
        ];
        let expected = expected.map(|(route, account, key, at)| LastMatched {
            route: route.to_owned(),
            account: account.to_owned(),
            key: key.to_owned(),
            at,
        });
        assert_eq!(found, expected);
    }
}
