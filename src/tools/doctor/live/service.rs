//! The service that runs, as its operator's listener tells: is it ready, and which key did each route
//! match last? That says when an old key can go.

use jiff::Timestamp;
use serde_json::Value;

use crate::config::{ListenAddr, Settings};
use crate::tools::check::human;
use crate::tools::doctor::live::reach::get;
use crate::tools::doctor::live::{Check, Mark};

/// Seconds since 1970 by route, account and key.
const LAST_MATCHED: &str = "heardback_key_last_matched_timestamp_seconds{";

pub(super) async fn checks(http: &reqwest::Client, settings: &Settings) -> Vec<Check> {
    let at = settings.ops_listen.from_here();
    let ready = match get(http, &format!("http://{at}/readyz")).await {
        Ok((status, body)) => readiness(&at, status, &body),
        Err(trouble) => {
            let says = format!("no running service found at {at} ({trouble})");
            return vec![Check::new("service", Mark::Warn, says)];
        }
    };
    let mut checks = vec![ready];
    if let Ok((200, text)) = get(http, &format!("http://{at}/metrics")).await {
        checks.extend(last_matched(&text, now()));
    }
    checks
}

fn readiness(at: &ListenAddr, status: u16, body: &str) -> Check {
    let body: Option<Value> = serde_json::from_str(body).ok();
    let field = |name: &str| body.as_ref().and_then(|body| body.get(name));
    let Some(word) = field("status").and_then(Value::as_str) else {
        let says = format!("what answers at {at} ({status}) is no Heardback");
        return Check::new("service", Mark::Warn, says);
    };
    let lanes = field("lanes").and_then(Value::as_object);
    let paused = lanes.into_iter().flatten().find_map(|(_, lane)| {
        (lane.get("state")? == "paused").then(|| {
            let why = lane.get("why").and_then(Value::as_str).unwrap_or("no reason given");
            format!("; but posting is paused: {why}")
        })
    });
    let reason = field("reason").and_then(Value::as_str);
    let (mark, more) = match (status, paused, reason) {
        (200, None, _) => (Mark::Ok, String::new()),
        (200, Some(paused), _) => (Mark::Fail, paused),
        (_, _, reason) => (Mark::Fail, format!(": {}", reason.unwrap_or("no reason given"))),
    };
    Check::new("service", mark, format!("at {at}: {word}{more}"))
}

/// A line for each key of each route, by route.
fn last_matched(metrics: &str, now: Timestamp) -> Vec<Check> {
    let mut lines: Vec<String> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(LAST_MATCHED)?.rsplit_once("} "))
        .filter_map(|(labels, value)| {
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\""))?;
                rest.split('"').next()
            };
            let seconds: f64 = value.parse().ok()?;
            let account = label("account").filter(|account| !account.is_empty());
            let account = account.map_or_else(String::new, |account| format!(" of {account}"));
            let age = age(seconds, now);
            Some(format!("{} {}{account} last matched {age}", label("route")?, label("key")?))
        })
        .collect();
    lines.sort_unstable();
    if lines.is_empty() {
        let says = "no key has matched since the service was started";
        return vec![Check::new("keys", Mark::Warn, says)];
    }
    lines.into_iter().map(|line| Check::new("keys", Mark::Ok, line)).collect()
}

fn age(seconds: f64, now: Timestamp) -> String {
    if seconds <= 0.0 {
        return "never".to_owned();
    }
    // A fraction of a second is of no interest.
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and then no such time is")]
    let at = Timestamp::from_second(seconds as i64).unwrap_or(now);
    let since = now.duration_since(at);
    match since.as_secs() {
        ..1 => "just now".to_owned(),
        seconds => {
            let seconds = u64::try_from(seconds).unwrap_or_default();
            // Two units are enough: `1d 3h`, not to the second.
            let rounded = match seconds {
                ..60 => seconds,
                60..3_600 => seconds / 60 * 60,
                _ => seconds / 3_600 * 3_600,
            };
            format!("{} ago", human(std::time::Duration::from_secs(rounded)))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long ago is counted from now")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_told_with_how_long_ago_it_matched() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let metrics = "\
# TYPE heardback_key_last_matched_timestamp_seconds gauge
heardback_key_last_matched_timestamp_seconds{route=\"/twilio/message\",account=\"AC1\",key=\"token 1\"} 999800
heardback_key_last_matched_timestamp_seconds{key=\"app key 2\",account=\"\",route=\"/app/events\"} 903000.0
heardback_key_last_matched_timestamp_seconds{route=\"/x\",account=\"\",key=\"old\"} 0
heardback_key_last_matched_timestamp_seconds{route=\"/y\",account=\"\",key=\"new\"} 1000007
heardback_outbox 5
";
        let lines: Vec<String> =
            last_matched(metrics, now).into_iter().map(|check| check.says).collect();
        assert_eq!(
            lines,
            [
                "/app/events app key 2 last matched 1d 2h ago",
                "/twilio/message token 1 of AC1 last matched 3m ago",
                "/x old last matched never",
                "/y new last matched just now",
            ]
        );
        assert_eq!(last_matched("heardback_outbox 5\n", now)[0].mark, Mark::Warn);
    }

    #[test]
    fn readiness_is_told_as_the_service_tells_it() {
        let at = ListenAddr::parse("127.0.0.1:9091").expect("an address");
        for (status, body, mark, word) in [
            (200, r#"{"status":"ready","lanes":{}}"#, Mark::Ok, "ready"),
            (
                200,
                r#"{"status":"ready","lanes":{"AC1":{"state":"paused","why":"401, 20003"}}}"#,
                Mark::Fail,
                "posting is paused: 401, 20003",
            ),
            (503, r#"{"status":"unavailable","reason":"disk full"}"#, Mark::Fail, "disk full"),
            (200, "<html>", Mark::Warn, "no Heardback"),
        ] {
            let check = readiness(&at, status, body);
            assert_eq!(check.mark, mark, "{body}");
            assert!(check.says.contains(word), "{}", check.says);
        }
    }
}
