//! Findings about the process and its machine.

use jiff::SignedDuration;

use crate::domain::findings::finding::Finding;
use crate::domain::findings::id::FindingId;
use crate::domain::findings::inputs::FindingInputs;
use crate::domain::span::humanized;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// The number of earlier starts within an hour, this one excluded, that is an alert.
const ALERTING_RESTARTS: usize = 3;

pub(super) fn derive(now: &FindingInputs, findings: &mut Vec<Finding>) {
    if now.is_draining {
        findings.push(Finding::new(FindingId::Draining, "The process is shutting down"));
    }
    findings.extend(restarting(now));
    if now.reloads_refused > 0 {
        let what = "New settings were refused within the last 30 minutes";
        findings.push(Finding::new(FindingId::ReloadRefused, what));
    }
    if let Some(limit) = now.start.fd_limit {
        let what = format!("{} files may be open, and {} are needed", limit.limit, limit.needed);
        findings.push(Finding::new(FindingId::FdLimit, what).since(now.start.started_at));
    }
    if let Some(jump) = now.clock_jump {
        let by = humanized(jump.ahead.abs());
        let way = if jump.ahead.is_negative() { "back" } else { "forward" };
        let sweep = if jump.holds_back() {
            "; no record expires or is removed by it until Twilio's Date or the operator agrees"
        } else {
            ""
        };
        let what = format!("The system clock jumped {way} by {by}{sweep}");
        findings.push(Finding::new(FindingId::ClockJump, what).since(jump.since));
    }
}

fn restarting(now: &FindingInputs) -> Option<Finding> {
    let is_recent = |start: &&jiff::Timestamp| now.now.duration_since(**start) < HOUR;
    let earlier: Vec<_> = now.start.earlier_starts.iter().filter(is_recent).collect();
    let is_young = now.now.duration_since(now.start.started_at) < HOUR;
    let what = format!("The process started {} times within an hour", earlier.len() + 1);
    let first = earlier.iter().min().map(|first| **first);
    (is_young && earlier.len() >= ALERTING_RESTARTS)
        .then(|| Finding::new(FindingId::Restarting, what).since(first))
}
