//! The running service, as its operator's listener shows it: whether it is ready, its findings, and when each key last
//! matched on each route, which says when an old key can be removed.

use jiff::Timestamp;
use serde_json::Value;

use crate::commands::doctor::live::reach::get;
use crate::commands::doctor::live::{Check, CheckStatus};
use crate::config::{ListenAddr, Settings};
use crate::domain::findings::Severity;
use crate::domain::redact::plain;
use crate::domain::span::ago;

/// Seconds since 1970 by route, account and key.
const LAST_MATCHED: &str = "heardback_key_last_matched_timestamp_seconds{";

pub(super) async fn checks(http: &reqwest::Client, settings: &Settings) -> Vec<Check> {
    let at = settings.ops_listen.from_here();
    let ready = match get(http, &format!("http://{at}/readyz")).await {
        Ok((status, body)) => readiness(&at, status, &body, now()),
        Err(trouble) => {
            let says = format!("no running service found at {at} ({trouble})");
            return vec![Check::new("service", CheckStatus::Warn, says)];
        }
    };
    let mut checks = ready;
    if let Ok((200, text)) = get(http, &format!("http://{at}/metrics")).await {
        checks.extend(last_matched(&text, now()));
    }
    checks
}

/// The service as `/readyz` shows it, and a line for each of its findings.
fn readiness(at: &ListenAddr, status: u16, body: &str, now: Timestamp) -> Vec<Check> {
    let body: Option<Value> = serde_json::from_str(body).ok();
    let field = |name: &str| body.as_ref().and_then(|body| body.get(name));
    let Some(word) = field("status").and_then(Value::as_str) else {
        let says = format!("what answers at {at} ({status}) is no Heardback");
        return vec![Check::new("service", CheckStatus::Warn, says)];
    };
    let reason = || field("reason").and_then(Value::as_str).unwrap_or("no reason given");
    let (mark, more) = match status {
        200 => (CheckStatus::Ok, String::new()),
        _ => (CheckStatus::Fail, format!(": {}", reason())),
    };
    let mut checks = vec![Check::new("service", mark, format!("at {at}: {word}{more}"))];
    let Some(findings) = field("findings").and_then(Value::as_array) else {
        let says = "it reports no findings: it is another release of Heardback";
        checks.push(Check::new("service", CheckStatus::Warn, says));
        return checks;
    };
    checks.extend(findings.iter().map(|finding| finding_check(finding, now)));
    if let Some(last) = field("last_verified").and_then(timestamp_of) {
        let says = format!("a signature last verified {}", ago(last, now));
        checks.push(Check::new("service", CheckStatus::Ok, says));
    }
    checks
}

/// A check for one of the service's findings, in the service's words.
fn finding_check(finding: &Value, now: Timestamp) -> Check {
    let word = |name: &str| finding.get(name).and_then(Value::as_str).unwrap_or_default();
    // A severity that this release does not know is a warning.
    let mark = if word("severity") == Severity::Critical.as_str() {
        CheckStatus::Fail
    } else {
        CheckStatus::Warn
    };
    let since = finding.get("since").and_then(timestamp_of);
    let since = since.map(|since| format!(" (since {}, {})", short(since), ago(since, now)));
    let (what, advice, runbook) = (word("what"), word("advice"), word("runbook"));
    let says = format!("{what}{}. {advice} {runbook}", since.unwrap_or_default());
    Check::new("finding", mark, plain(&says))
}

fn timestamp_of(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn short(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
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
                "/app/events app key 2 last matched 26 h ago",
                "/twilio/message token 1 of AC1 last matched 3 min ago",
                "/x old last matched never",
                "/y new last matched just now",
            ]
        );
        assert_eq!(last_matched("heardback_outbox 5\n", now)[0].mark, CheckStatus::Warn);
    }

    #[test]
    fn each_finding_of_the_service_is_a_check_and_a_critical_one_fails() {
        let at = ListenAddr::parse("127.0.0.1:9091").expect("an address");
        let now: Timestamp = "2026-01-01T12:03:00Z".parse().expect("a time");
        let finding = |severity: &str| {
            format!(
                r#"{{"status":"ready","lanes":{{}},"findings":[{{"id":"lane_paused","severity":"{severity}",
                "what":"Paused","since":"2026-01-01T12:00:00Z","advice":"Correct it.","runbook":"docs/x.md#y"}}]}}"#
            )
        };
        let said = "Paused (since 2026-01-01 12:00:00 UTC, 3 min ago). Correct it. docs/x.md#y";
        let verified = r#"{"status":"ready","findings":[],"last_verified":"2026-01-01T12:01:00Z"}"#;
        for (status, body, mark, word) in [
            (200, r#"{"status":"ready","findings":[]}"#, CheckStatus::Ok, "ready"),
            (200, verified, CheckStatus::Ok, "a signature last verified 2 min ago"),
            (200, r#"{"status":"ready","lanes":{}}"#, CheckStatus::Warn, "another release"),
            (200, &finding("info"), CheckStatus::Warn, said),
            (200, &finding("warning"), CheckStatus::Warn, said),
            (200, &finding("critical"), CheckStatus::Fail, said),
            (
                503,
                r#"{"status":"unavailable","reason":"disk full","findings":[]}"#,
                CheckStatus::Fail,
                "disk full",
            ),
            (200, "<html>", CheckStatus::Warn, "no Heardback"),
        ] {
            let checks = readiness(&at, status, body, now);
            let check = checks.last().expect("one");
            assert_eq!(check.mark, mark, "{body}");
            assert!(check.says.contains(word), "{}", check.says);
        }
    }
}
