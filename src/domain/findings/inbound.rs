//! Findings about requests that come in: signatures, refusals, events.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::domain::findings::finding::Finding;
use crate::domain::findings::id::{FindingId, Severity};
use crate::domain::findings::inputs::{
    ClaimedAccount, FindingInputs, ForwardFacts, KeyFacts, RouteSignatures, SignatureFacts,
    SignatureFailures,
};
use crate::domain::span::rough;

/// Without a verified request for this long, the service is not known to work.
const QUIET: SignedDuration = SignedDuration::from_hours(24);
/// More requests than this with an invalid signature, while none verifies, are critical.
const MAX_FAILURES: u64 = 10;
/// So many failures or fewer are not reported, whatever the number of a day ago was.
const MANY_FAILURES: u64 = 20;
const TIMES_YESTERDAY: u64 = 3;
const MAX_UNUSABLE: u64 = 20;
const MAX_ORPHANS: u64 = 20;
/// A key is idle after this time …
const IDLE: SignedDuration = SignedDuration::from_hours(24);
/// … if another one of the account matched within this time.
const IN_USE: SignedDuration = SignedDuration::from_hours(1);

pub(super) fn derive(now: &FindingInputs, findings: &mut Vec<Finding>) {
    let before = findings.len();
    let is_nothing_verified = now.twilio.last_verified.max(now.app.last_verified).is_none();
    for (side, facts) in [("twilio", &now.twilio), ("app", &now.app)] {
        match nothing_verifies(side, facts, is_nothing_verified) {
            Some(finding) => findings.push(finding),
            None => findings.extend(narrower(side, &now.signatures)),
        }
    }
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
    if requests.unusable > MAX_UNUSABLE {
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
    if requests.orphaned > MAX_ORPHANS {
        let what =
            format!("{} pieces of evidence found no message within 6 hours", requests.orphaned);
        findings.push(Finding::new(FindingId::Orphans, what));
    }
    if requests.deferred_evidence > 0 {
        let what = format!(
            "The evidence of {} answered calls, clicks and forwarded messages is in memory only, because the store does not write",
            requests.deferred_evidence
        );
        findings.push(Finding::new(FindingId::EvidenceDeferred, what));
    }
    if requests.lost_evidence > 0 {
        let what = format!(
            "The evidence of {} answered calls, clicks and forwarded messages was lost within an hour",
            requests.lost_evidence
        );
        findings.push(Finding::new(FindingId::EvidenceLost, what));
    }
    if requests.lost_sends > 0 {
        let what =
            format!("Twilio's answer to {} sends was lost within an hour", requests.lost_sends);
        findings.push(Finding::new(FindingId::SendsLost, what));
    }
    if requests.unregistered_sends > 0 {
        let what = format!(
            "{} messages were sent and not registered within an hour",
            requests.unregistered_sends
        );
        findings.push(Finding::new(FindingId::SendsUnregistered, what));
    }
    for facts in &now.forwards {
        let ForwardFacts { account, kind, failures, since, last } = facts;
        let what = format!(
            "{failures} {kind} webhooks of {account} failed at the app within 15 minutes; the latest: {last}"
        );
        let finding = Finding::new(FindingId::AppFailing, what);
        findings.push(finding.about(&format!("{account} {kind}")).since(*since));
    }
    findings.extend(idle_keys(now));
}

/// Judged for each side, because Twilio and the app sign with different keys. Until any request verifies, all failures
/// count. Later a side without a verified request counts those of the last hour: otherwise one forged request to an unused
/// side would look like a lasting outage.
fn nothing_verifies(
    side: &str,
    facts: &SignatureFacts,
    is_nothing_verified: bool,
) -> Option<Finding> {
    let finding = |what: String| Finding::new(FindingId::NothingVerifies, what).about(side);
    if facts.last_verified.is_none() {
        let failed = if is_nothing_verified { facts.since_start } else { facts.in_an_hour };
        let start = format!("No request to /{side}/ has verified since the start");
        let period = if is_nothing_verified { "" } else { " in the last hour" };
        return match failed {
            SignatureFailures { refused: 0, unsigned: 0 } => None,
            // A scanner may have sent these.
            SignatureFailures { refused: 0, unsigned } => {
                let what = format!(
                    "{start}; {unsigned}{period} had no readable signature, or named an account that is not configured"
                );
                Some(finding(what).at_most(Severity::Warning))
            }
            SignatureFailures { refused, .. } => {
                Some(finding(format!("{start}; {refused}{period} had an invalid signature")))
            }
        };
    }
    if facts.verified > 0 || facts.refused == 0 {
        return None;
    }
    let what = format!(
        "No request to /{side}/ has verified for 15 minutes; {} had an invalid signature",
        facts.refused
    );
    let severity =
        if facts.refused > MAX_FAILURES { Severity::Critical } else { Severity::Warning };
    Some(finding(what).at_most(severity))
}

/// A part of a side's requests: the subject of its finding, and the words for it.
type FindingScope = (String, String);

/// Reports routes, then accounts, then accounts on one route, that have refused requests and no verified one, on a side
/// that verifies others. What one finding covers starts no further finding, but may count in one.
fn narrower(side: &str, all: &[RouteSignatures]) -> Vec<Finding> {
    let all: Vec<_> = all.iter().filter(|one| one.side == side).collect();
    let mut uncovered = all.clone();
    let mut findings = Vec::new();
    let scopes: [fn(&RouteSignatures) -> Option<FindingScope>; 3] =
        [|one| Some(of_route(one)), of_account, of_account_on_route];
    for scope in scopes {
        let scopes: BTreeSet<FindingScope> =
            uncovered.iter().filter_map(|one| scope(one)).collect();
        for known in scopes {
            let is_within = |one: &&RouteSignatures| scope(one).as_ref() == Some(&known);
            let within = all.iter().filter(|one| is_within(one));
            let facts = within.map(|one| one.facts).sum();
            if let Some(finding) = nothing_verifies_of(&known, &facts) {
                findings.push(finding);
                uncovered.retain(|one| !is_within(one));
            }
        }
    }
    findings
}

fn of_route(one: &RouteSignatures) -> FindingScope {
    (one.route.to_owned(), format!("to {}", one.route))
}

fn of_account(one: &RouteSignatures) -> Option<FindingScope> {
    let side = one.side;
    match one.account {
        ClaimedAccount::Unnamed => None,
        ClaimedAccount::Unknown => Some((
            format!("unknown account /{side}/"),
            format!("to /{side}/ for an account that is not configured"),
        )),
        ClaimedAccount::Configured(account) => {
            Some((format!("{account} /{side}/"), format!("to /{side}/ for {account}")))
        }
    }
}

fn of_account_on_route(one: &RouteSignatures) -> Option<FindingScope> {
    let ClaimedAccount::Configured(account) = one.account else { return None };
    Some((format!("{account} {}", one.route), format!("to {} for {account}", one.route)))
}

/// Critical only above [`MAX_FAILURES`], because one forged request to an unused route is no outage.
fn nothing_verifies_of((subject, words): &FindingScope, facts: &SignatureFacts) -> Option<Finding> {
    let (refused, (quiet, period)) = match facts.last_verified {
        None => (facts.in_an_hour.refused, ("since the start", " in the last hour")),
        Some(_) => (facts.refused, ("for 15 minutes", "")),
    };
    let what = format!(
        "No request {words} has verified {quiet}; {refused}{period} had an invalid signature"
    );
    let severity = if refused > MAX_FAILURES { Severity::Critical } else { Severity::Warning };
    let finding = Finding::new(FindingId::NothingVerifies, what).about(subject).at_most(severity);
    (facts.verified == 0 && refused > 0).then_some(finding)
}

fn no_verified_request(now: &FindingInputs) -> Option<Finding> {
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

fn idle_keys(now: &FindingInputs) -> impl Iterator<Item = Finding> {
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

#[cfg(test)]
#[path = "inbound_tests.rs"]
mod tests;
