//! Signatures by route and account: a finding for each scope without a verified request.

use super::*;
use crate::domain::findings::derive_findings;
use crate::domain::findings::tests::{at, well};

fn account(digit: &str) -> ClaimedAccount {
    ClaimedAccount::Configured(format!("AC{}", digit.repeat(32)).parse().expect("valid"))
}

/// A route and account with these requests in the last 15 minutes.
fn scope(
    side: &'static str,
    route: &'static str,
    account: ClaimedAccount,
    [verified, refused, unsigned]: [u64; 3],
) -> RouteSignatures {
    let failures = SignatureFailures { refused, unsigned };
    let facts = SignatureFacts {
        last_verified: (verified > 0).then(|| at(9_999)),
        verified,
        refused,
        in_an_hour: failures,
        since_start: failures,
    };
    RouteSignatures { side, route, account, facts }
}

/// Subject and severity of the findings about these requests.
fn unverified(signatures: Vec<RouteSignatures>) -> Vec<(Option<String>, Severity)> {
    let of = |side| signatures.iter().filter(move |one| one.side == side).map(|one| one.facts);
    let (twilio, app) = (of("twilio").sum(), of("app").sum());
    let found = derive_findings(&FindingInputs { twilio, app, signatures, ..well() });
    assert!(found.iter().all(|finding| finding.id == FindingId::NothingVerifies), "{found:?}");
    found.into_iter().map(|finding| (finding.subject, finding.severity)).collect()
}

#[test]
fn a_route_or_an_account_of_which_no_request_verifies_has_a_finding_of_its_own() {
    let (one, two) = (account("1"), account("2"));
    let (message, status) = ("/twilio/message", "/twilio/status");
    let found = unverified(vec![
        scope("twilio", message, one, [1, 0, 0]),
        scope("twilio", status, one, [0, 10, 0]),
    ]);
    assert_eq!(found, [(Some(status.to_owned()), Severity::Warning)], "a route");
    let found = unverified(vec![
        scope("twilio", message, one, [9, 0, 0]),
        scope("twilio", message, two, [0, 11, 0]),
    ]);
    let of_two = format!("AC{} /twilio/", "2".repeat(32));
    assert_eq!(found, [(Some(of_two), Severity::Critical)], "an account");
    let found = unverified(vec![
        scope("twilio", message, one, [9, 0, 0]),
        scope("twilio", message, two, [0, 3, 0]),
        scope("twilio", status, two, [4, 0, 0]),
    ]);
    let of_both = format!("AC{} /twilio/message", "2".repeat(32));
    assert_eq!(found, [(Some(of_both), Severity::Warning)], "an account on a route");
    let refused = scope("twilio", message, one, [0, 11, 0]);
    let whole_side = [(Some("twilio".to_owned()), Severity::Critical)];
    assert_eq!(unverified(vec![refused]), whole_side, "a whole side has one finding");
    assert_eq!(unverified(vec![scope("twilio", message, one, [1, 1_000, 0])]), []);
}

#[test]
fn a_scanner_neither_hides_a_refused_account_nor_is_one() {
    let (one, two) = (account("1"), account("2"));
    let message = "/twilio/message";
    let scanner = || {
        vec![
            scope("twilio", message, one, [9, 0, 500]),
            scope("twilio", message, ClaimedAccount::Unknown, [0, 0, 500]),
            scope("twilio", message, ClaimedAccount::Unnamed, [0, 500, 500]),
            scope("twilio", "/twilio/call", ClaimedAccount::Unnamed, [0, 0, 500]),
        ]
    };
    assert_eq!(unverified(scanner()), []);
    let mut both = scanner();
    both.push(scope("twilio", message, two, [0, 3, 0]));
    assert_eq!(unverified(both).len(), 1);
    let mut signed = scanner();
    signed.push(scope("twilio", message, ClaimedAccount::Unknown, [0, 3, 0]));
    let unknown = Some("unknown account /twilio/".to_owned());
    assert_eq!(unverified(signed), [(unknown, Severity::Warning)], "signed by a configured key");
}
