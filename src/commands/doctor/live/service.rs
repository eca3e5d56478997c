//! The running service, as its operator's listener shows it: readiness, findings, and the last match of each key.
//!
//! An old key can be removed once it no longer matches on any route.

use jiff::Timestamp;
use serde_json::Value;

use crate::commands::doctor::live::reach::get;
use crate::commands::doctor::live::report::{Check, CheckStatus};
use crate::config::{ListenAddr, Settings};
use crate::domain::findings::Severity;
use crate::domain::redact::plain;
use crate::domain::span::ago;

/// Seconds since 1970 by route, account and key.
const LAST_MATCHED: &str = "heardback_key_last_matched_timestamp_seconds{";

#[expect(clippy::disallowed_methods, reason = "ages are counted from now")]
pub(super) async fn checks(http: &reqwest::Client, settings: &Settings) -> Vec<Check> {
    let at = settings.ops_listen.from_here();
    let now = Timestamp::now();
    let mut checks = match get(http, &format!("http://{at}/readyz")).await {
        Ok((status, body)) => readiness(&at, status, &body, now),
        Err(error) => return vec![warning(format!("no running service found at {at} ({error})"))],
    };
    if let Ok((200, text)) = get(http, &format!("http://{at}/metrics")).await {
        checks.extend(last_matched(&text, now));
    }
    checks
}

fn warning(says: String) -> Check {
    Check::new("service", CheckStatus::Warn, says)
}

/// The service as `/readyz` shows it, and a line for each of its findings.
fn readiness(at: &ListenAddr, status: u16, body: &str, now: Timestamp) -> Vec<Check> {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let Some(word) = body.get("status").and_then(Value::as_str) else {
        return vec![warning(format!(
            "another server answers at {at} ({status}): it is no Heardback"
        ))];
    };
    let (mark, reason) = match (status, body.get("reason").and_then(Value::as_str)) {
        (200, _) => (CheckStatus::Ok, String::new()),
        (_, reason) => (CheckStatus::Fail, format!(": {}", reason.unwrap_or("no reason given"))),
    };
    let mut checks = vec![Check::new("service", mark, format!("at {at}: {word}{reason}"))];
    let Some(findings) = body.get("findings").and_then(Value::as_array) else {
        checks
            .push(warning("it reports no findings: it is another release of Heardback".to_owned()));
        return checks;
    };
    checks.extend(findings.iter().map(|finding| finding_check(finding, now)));
    if let Some(last) = timestamp(&body, "last_verified") {
        let says = format!("a signature last verified {}", ago(last, now));
        checks.push(Check::new("service", CheckStatus::Ok, says));
    }
    checks
}

/// One of the service's findings, in the service's words.
fn finding_check(finding: &Value, now: Timestamp) -> Check {
    let word = |name: &str| finding.get(name).and_then(Value::as_str).unwrap_or_default();
    // A severity that this release does not know is a warning.
    let is_critical = word("severity") == Severity::Critical.as_str();
    let mark = if is_critical { CheckStatus::Fail } else { CheckStatus::Warn };
    let since = timestamp(finding, "since").map_or_else(String::new, |since| {
        format!(" (since {}, {})", since.strftime("%Y-%m-%d %H:%M:%S UTC"), ago(since, now))
    });
    let (what, advice, runbook) = (word("what"), word("advice"), word("runbook"));
    Check::new("finding", mark, plain(&format!("{what}{since}. {advice} {runbook}")))
}

fn timestamp(object: &Value, name: &str) -> Option<Timestamp> {
    object.get(name)?.as_str()?.parse().ok()
}

/// A line for each key of each route, by route.
fn last_matched(metrics: &str, now: Timestamp) -> Vec<Check> {
    let values = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(LAST_MATCHED)?.rsplit_once("} "))
        .filter_map(|(labels, value)| {
            let label = |name: &str| {
                let (_, rest) = labels.split_once(&format!("{name}=\""))?;
                rest.split('"').next()
            };
            let account = label("account").filter(|account| !account.is_empty());
            let account = account.map_or_else(String::new, |account| format!(" of {account}"));
            let age = age(value.parse().ok()?, now);
            Some(format!("{} {}{account} last matched {age}", label("route")?, label("key")?))
        });
    let mut lines: Vec<String> = values.collect();
    lines.sort_unstable();
    if lines.is_empty() {
        let says = "no key has matched since the service was started";
        return vec![Check::new("keys", CheckStatus::Warn, says)];
    }
    lines.into_iter().map(|line| Check::new("keys", CheckStatus::Ok, line)).collect()
}

fn age(seconds: f64, now: Timestamp) -> String {
    if seconds <= 0.0 {
        return "never".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, and no time is that late")]
    let at = Timestamp::from_second(seconds as i64).unwrap_or(now);
    ago(at, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_shown_with_the_time_since_it_matched() {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let metrics = "\
# TYPE heardback_key_last_matched_timestamp_seconds gauge
heardback_key_last_matched_timestamp_seconds{route=\"/twilio/message\",account=\"AC1\",key=\"token 1\"} 999800
heardback_key_last_matched_timestamp_seconds{key=\"app key 2\",account=\"\",route=\"/app/events\"} 903000.0
heardback_key_last_matched_timestamp_seconds{route=\"/x\",account=\"\",key=\"old\"} 0
heardback_key_last_matched_timestamp_seconds{route=\"/y\",account=\"\",key=\"new\"} 1000007
heardback_outbox 5
";
        let lines = last_matched(metrics, now).into_iter().map(|check| check.says);
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [
                "/app/events app key 2 last matched 26 h ago",
                "/twilio/message token 1 of AC1 last matched 3 min ago",
                "/x old last matched never",
                "/y new last matched just now",
            ]
        );
        assert_eq!(last_matched("heardback_outbox 5\n", now)[0].mark, CheckStatus::Warn);
    }

    #[test]
    fn readiness_shows_the_last_verification_and_names_other_servers_and_releases() {
        let at = ListenAddr::parse("127.0.0.1:9091").expect("an address");
        let now: Timestamp = "2026-01-01T12:03:00Z".parse().expect("a time");
        let verified = r#"{"status":"ready","findings":[],"last_verified":"2026-01-01T12:01:00Z"}"#;
        let full = r#"{"status":"unavailable","reason":"disk full","findings":[]}"#;
        let info = r#"{"status":"ready","findings":[{"severity":"info","what":"Paused"}]}"#;
        for (status, body, mark, word) in [
            (200, r#"{"status":"ready","findings":[]}"#, CheckStatus::Ok, "ready"),
            (200, verified, CheckStatus::Ok, "a signature last verified 2 min ago"),
            (200, info, CheckStatus::Warn, "Paused"),
            (200, r#"{"status":"ready","lanes":{}}"#, CheckStatus::Warn, "another release"),
            (503, full, CheckStatus::Fail, "disk full"),
            (200, "<html>", CheckStatus::Warn, "no Heardback"),
        ] {
            let checks = readiness(&at, status, body, now);
            let check = checks.last().expect("one");
            assert_eq!(check.mark, mark, "{body}");
            assert!(check.says.contains(word), "{}", check.says);
        }
    }
}
