//! Findings about conversion: messages sent and confirmed, compared with a day ago.

use crate::domain::findings::finding::Finding;
use crate::domain::findings::id::FindingId;
use crate::domain::findings::inputs::{FindingInputs, Traffic, TrafficCount};

/// The most messages in two hours that prove nothing about their conversion.
const FEW_MESSAGES: u64 = 30;
/// More messages than this to one country may be SMS pumping …
const PUMPING_MESSAGES: u64 = 100;
/// … if they are this many times those of a day ago …
const TIMES_YESTERDAY: u64 = 3;
/// … and fewer than one in so many is confirmed.
const PUMPING_ONE_IN: u64 = 5;

pub(super) fn derive(now: &FindingInputs, findings: &mut Vec<Finding>) {
    let sum = |of: fn(&TrafficCount) -> u64| now.countries.iter().map(|one| of(&one.now)).sum();
    let (sent, confirmed): (u64, u64) = (sum(|count| count.sent), sum(|count| count.confirmed));
    if sent > FEW_MESSAGES && confirmed == 0 {
        let what = format!("{sent} messages were sent within two hours, and none was confirmed");
        findings.push(Finding::new(FindingId::NothingConfirmed, what));
    }
    for country in &now.countries {
        let name = match country.name.as_str() {
            "unknown" => "numbers of an unknown country".to_owned(),
            code => format!("+{code}"),
        };
        if is_pumped(country) {
            let TrafficCount { sent, confirmed } = country.now;
            let what = format!(
                "SMS pumping? {sent} messages to {name} within two hours, {confirmed} confirmed"
            );
            findings.push(Finding::new(FindingId::SmsPumping, what).about(&country.name));
        }
        if has_dropped(country) {
            let what = format!("Conversion to {name} is less than half of yesterday's");
            findings.push(Finding::new(FindingId::ConversionDropped, what).about(&country.name));
        }
    }
    for sender in now.senders.iter().filter(|sender| has_dropped(sender)) {
        let what =
            format!("Conversion of messages from {} is less than half of yesterday's", sender.name);
        findings.push(Finding::new(FindingId::SenderConversionDropped, what).about(&sender.name));
    }
}

/// Less than half of the share of a day ago, where both have enough messages.
fn has_dropped(traffic: &Traffic) -> bool {
    let Some(before) = traffic.a_day_ago else { return false };
    let now = traffic.now;
    let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
    now.sent > FEW_MESSAGES
        && before.sent > FEW_MESSAGES
        && 2 * product(now.confirmed, before.sent) < product(before.confirmed, now.sent)
}

fn is_pumped(traffic: &Traffic) -> bool {
    let now = traffic.now;
    let usual = traffic.a_day_ago.map_or(0, |before| before.sent.saturating_mul(TIMES_YESTERDAY));
    now.sent > PUMPING_MESSAGES
        && now.sent > usual
        && now.confirmed.saturating_mul(PUMPING_ONE_IN) < now.sent
}
