//! Findings about requests that come in: signatures, refusals, events.

use jiff::SignedDuration;

use crate::domain::findings::{Finding, FindingId, KeyFacts, Severity, SignatureFacts, Situation};
use crate::domain::span::rough;

/// A service that verified nothing for this long is not known to work.
const QUIET: SignedDuration = SignedDuration::from_hours(24);
/// More signed requests than this that fail, while none verifies, are an alert.
const FAILURES: u64 = 10;
/// More failures than this may be far more than a day ago.
const MANY_FAILURES: u64 = 20;
const TIMES_YESTERDAY: u64 = 3;
const UNUSABLE: u64 = 20;
const ORPHANS: u64 = 20;
/// A key is idle after this time …
const IDLE: SignedDuration = SignedDuration::from_hours(24);
/// … if another one of the account matched within this time.
const IN_USE: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn judge(now: &Situation, findings: &mut Vec<Finding>) {
    let before = findings.len();
    findings.extend(nothing_verifies("twilio", &now.twilio));
    findings.extend(nothing_verifies("app", &now.app));
    if findings.len() == before {
        findings.extend(no_verified_request(now));
    }
    let requests = &now.requests;
    findings.extend(signature_failures(
        requests.signature_failures,
        requests.signature_failures_a_day_ago,
    ));
    if requests.server_errors > 0 {
        let what =
            format!("{} requests were answered with 5xx within 10 minutes", requests.server_errors);
        findings.push(Finding::new(FindingId::ServerErrors, what));
    }
    if requests.unusable > UNUSABLE {
        let what = format!("{} signed requests were refused within 30 minutes", requests.unusable);
        findings.push(Finding::new(FindingId::Refusals, what));
    }
    if requests.malformed_events > 0 {
        let what = format!(
            "{} events of Event Streams could not be read within an hour",
            requests.malformed_events
        );
        findings.push(Finding::new(FindingId::MalformedEvents, what));
    }
    if requests.orphaned > ORPHANS {
        let what =
            format!("{} pieces of evidence found no message within 6 hours", requests.orphaned);
        findings.push(Finding::new(FindingId::Orphans, what));
    }
    findings.extend(idle_keys(now));
}

/// Judged for each side: Twilio and the app sign with different keys.
fn nothing_verifies(side: &str, facts: &SignatureFacts) -> Option<Finding> {
    let finding = |what: String| Finding::new(FindingId::NothingVerifies, what).about(side);
    let refused = facts.refused_since_start;
    if facts.last_verified.is_none() && refused > 0 {
        let what = format!(
            "No request to /{side}/ has verified since the start; {refused} were refused for the signature"
        );
        return Some(finding(what));
    }
    if facts.last_verified.is_none() && facts.unsigned_since_start > 0 {
        // These may be a scanner's.
        let unsigned = facts.unsigned_since_start;
        let what = format!(
            "No request to /{side}/ has verified since the start; {unsigned} had no signature"
        );
        return Some(finding(what).at_most(Severity::Warning));
    }
    if facts.verified > 0 || facts.refused == 0 {
        return None;
    }
    let what = format!(
        "No request to /{side}/ has verified for 15 minutes; {} were refused for the signature",
        facts.refused
    );
    let severity = if facts.refused > FAILURES { Severity::Critical } else { Severity::Warning };
    Some(finding(what).at_most(severity))
}

fn no_verified_request(now: &Situation) -> Option<Finding> {
    let finding = |what: String| Finding::new(FindingId::NoVerifiedRequest, what);
    let Some(last) = now.twilio.last_verified.max(now.app.last_verified) else {
        let what = "No request has verified since the start".to_owned();
        return Some(finding(what).since(now.start.started_at));
    };
    let quiet = now.now.duration_since(last);
    let what = || format!("No request has verified for {}", rough(quiet));
    (quiet > QUIET).then(|| finding(what()).since(last))
}

fn signature_failures(now: u64, a_day_ago: Option<u64>) -> Option<Finding> {
    let usual = a_day_ago.unwrap_or_default();
    if now <= MANY_FAILURES || now <= usual.saturating_mul(TIMES_YESTERDAY) {
        return None;
    }
    let compared = a_day_ago.map(|usual| format!("; {usual} a day ago")).unwrap_or_default();
    let what = format!("{now} signatures failed within 15 minutes{compared}");
    Some(Finding::new(FindingId::SignatureFailures, what))
}

fn idle_keys(now: &Situation) -> impl Iterator<Item = Finding> {
    let age = |key: &KeyFacts| now.now.duration_since(key.last_matched);
    let is_in_use =
        move |account: &str| now.keys.iter().any(|key| key.account == account && age(key) < IN_USE);
    let idle = now.keys.iter().filter(move |key| age(key) > IDLE && is_in_use(&key.account));
    idle.map(|key| {
        let what = format!("{} of {} has signed nothing for a day", key.name, key.account);
        let subject = format!("{} {}", key.account, key.name);
        Finding::new(FindingId::KeyIdle, what).about(&subject).since(key.last_matched)
    })
}
