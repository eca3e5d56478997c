//! Is all well, and if not, why not and what to do: the first thing on the page.
//!
//! Judged from a snapshot alone. Deliberately absent: thresholds to be set; alerts are `ops/alerts.yml`'s.

use jiff::{SignedDuration, Timestamp};

use crate::domain::message::{Message, State};
use crate::domain::veil::veiled;
use crate::inbound::page::snapshot::{JUDGED, Snapshot};
use crate::inbound::page::words;
use crate::telemetry::readiness::{LaneDetail, LaneState};

/// Longer than this, and what is proven should have been reported: retries begin within seconds.
const LATE: SignedDuration = SignedDuration::from_mins(5);
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How it is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mood {
    /// Nothing to do.
    Well,
    /// Somebody should know.
    Doubtful,
    /// Somebody should act.
    Ill,
}

impl Mood {
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Doubtful => "doubtful",
            Self::Ill => "ill",
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Well => "All is well",
            Self::Doubtful => "Worth a look",
            Self::Ill => "Needs attention",
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) mood: Mood,
    pub(super) what: String,
    /// What follows of it, and what to do.
    pub(super) advice: String,
}

/// All that is not as it should be; the worst first.
pub(super) fn findings(now: &Snapshot) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |mood, what: String, advice: &str| {
        found.push(Finding { mood, what, advice: advice.to_owned() });
    };
    if let Some(reason) = &now.sick {
        let what = format!("The store cannot take events: {}", veiled(reason));
        add(Mood::Ill, what, "Webhooks are answered 503 until it can.");
    }
    if now.is_draining {
        let advice = "What is under way is finished; nothing new is taken.";
        add(Mood::Ill, "It is shutting down".to_owned(), advice);
    }
    for (account, lane) in &now.lanes {
        if let Some((mood, what, advice)) = lane_finding(account, lane, now.at) {
            add(mood, what, advice);
        }
    }
    for (account, answers) in &now.foreign {
        let since = words::ago(answers.since, now.at);
        let why = veiled(&answers.why);
        let what =
            format!("Another server answers {account}'s posts instead of Twilio: {why}, {since}");
        add(
            Mood::Ill,
            what,
            "None of these counts as reported; each is retried. Check HEARDBACK_UPSTREAM_URL and the proxies. \
             `heardback requeue --reported-since` posts earlier reports again.",
        );
    }
    for (account, since) in &now.on_hold {
        let what = format!("{account} was put on hold {}", words::ago(*since, now.at));
        add(Mood::Doubtful, what, "Nothing of it is reported until somebody resumes it.");
    }
    if now.is_dry_run {
        let advice = "What is confirmed waits, and is posted once dry run is switched off.";
        add(Mood::Doubtful, "This is a dry run: nothing is posted".to_owned(), advice);
    } else if let Some((mood, what)) = waiting(now) {
        add(
            mood,
            what,
            "What was not taken is tried again by itself, ever more rarely; nothing is lost.",
        );
    }
    if let Some(what) = refusals(now) {
        add(Mood::Doubtful, what, "Each is below, with Twilio's reason.");
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.mood));
    found
}

/// The worst of them.
pub(super) fn mood(findings: &[Finding]) -> Mood {
    findings.iter().map(|finding| finding.mood).max().unwrap_or(Mood::Well)
}

fn lane_finding(
    account: &str,
    lane: &LaneDetail,
    now: Timestamp,
) -> Option<(Mood, String, &'static str)> {
    let why = lane.why.as_deref().map(|why| format!(": {}", veiled(why))).unwrap_or_default();
    let since = lane.since.map(|since| format!(", {}", words::ago(since, now))).unwrap_or_default();
    match lane.state {
        LaneState::Open => None,
        LaneState::Held => {
            let what = format!("Twilio asked {account} to slow down{since}{why}");
            Some((Mood::Doubtful, what, "Posting goes on by itself in a moment."))
        }
        LaneState::Paused => {
            let what = format!("Twilio turns {account} away, so its posts are paused{since}{why}");
            let advice = "Put its credentials right. One post a minute finds out when that is done; \
                          until then everything waits, and nothing is lost.";
            Some((Mood::Ill, what, advice))
        }
    }
}

/// What should have been reported, and was not. What is held back by its lane or by hand is told there.
fn waiting(now: &Snapshot) -> Option<(Mood, String)> {
    let is_open = |message: &&Message| {
        let lane = now.lanes.get(message.account.as_str());
        let lane_is_open = lane.is_none_or(|lane| lane.state == LaneState::Open);
        lane_is_open && !now.on_hold.contains_key(&message.account)
    };
    let open: Vec<&Message> = now.outbox.iter().filter(is_open).collect();
    let confirmed = open.iter().filter_map(|message| Some(message.proof.as_ref()?.confirmed_at));
    let waited = now.at.duration_since(confirmed.min()?);
    let is_late = waited >= LATE;
    let mood = if is_late { Mood::Ill } else { Mood::Doubtful };
    let oldest =
        format!("The oldest confirmation has waited for {} to be reported", words::span(waited));
    match untaken(&open, now.outbox.len() >= JUDGED) {
        Some(untaken) if is_late => Some((mood, format!("{oldest}. {untaken}"))),
        Some(untaken) => Some((mood, untaken)),
        None => is_late.then_some((mood, oldest)),
    }
}

/// How many of them were tried in vain, and what the last try came to. Whatever waits and was tried is one.
fn untaken(open: &[&Message], are_there_more: bool) -> Option<String> {
    let failed: Vec<_> = open.iter().filter_map(|message| message.last_attempt.as_ref()).collect();
    let last = failed.iter().max_by_key(|attempt| attempt.ended_at)?;
    let words = veiled(&words::attempt(last));
    let at_least = if are_there_more { "At least " } else { "" };
    Some(match failed.len() {
        1 => format!("{at_least}1 report was not taken: {words}"),
        many => format!("{at_least}{many} reports were not taken, the last with {words}"),
    })
}

fn refusals(now: &Snapshot) -> Option<String> {
    let is_new = |message: &&Message| now.at.duration_since(message.since) < DAY;
    let new = now.refused.iter().filter(is_new).count();
    let all = now.counts.of(State::Refused);
    let many = if new == now.refused.len() && all > new as u64 { "at least " } else { "" };
    let what = if new == 1 { "message" } else { "messages" };
    (new > 0).then(|| format!("Twilio refused {many}{new} {what} in the last 24 hours"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::message::{Attempt, Basis, Proof};

    const ONE: &str = "AC0123456789abcdef0123456789abcdef";
    const OTHER: &str = "AC1123456789abcdef0123456789abcdef";

    fn lane(state: LaneState) -> LaneDetail {
        LaneDetail { state, why: Some("401, code 20003".to_owned()), since: None }
    }

    /// Now is minute 100.
    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_750_000_000 + minute * 60).expect("a time")
    }

    fn confirmed(account: &str, minute: i64, tried: bool) -> Message {
        let confirmed_at = at(minute);
        let proof = Proof {
            label: "reply".to_owned(),
            basis: Basis::Direct,
            occurred_at: confirmed_at,
            confirmed_at,
        };
        let attempt = Attempt {
            number: 1,
            ended_at: at(minute),
            took_ms: 1,
            status: Some(503),
            code: None,
            message: String::new(),
        };
        Message {
            account: account.parse().expect("valid"),
            proof: Some(proof),
            last_attempt: tried.then_some(attempt),
            ..Message::example(State::Confirmed, confirmed_at)
        }
    }

    #[test]
    fn an_account_is_not_judged_by_anothers_messages() {
        let mut now = Snapshot { at: at(100), ..Snapshot::default() };
        now.on_hold.insert(OTHER.parse().expect("valid"), at(0));
        // Those of the account on hold are old, and many.
        now.outbox = (0..30).map(|minute| confirmed(OTHER, minute, true)).collect();
        now.outbox.push(confirmed(ONE, 99, false));
        assert_eq!(waiting(&now), None);
        now.outbox.push(confirmed(ONE, 98, true));
        let one = "1 report was not taken: HTTP 503".to_owned();
        assert_eq!(waiting(&now), Some((Mood::Doubtful, one)));
        now.outbox.push(confirmed(ONE, 97, true));
        let two = "2 reports were not taken, the last with HTTP 503".to_owned();
        assert_eq!(waiting(&now), Some((Mood::Doubtful, two.clone())));
        now.outbox.push(confirmed(ONE, 93, false));
        let late = format!("The oldest confirmation has waited for 7 min to be reported. {two}");
        assert_eq!(waiting(&now), Some((Mood::Ill, late)));
        now.lanes.insert(ONE.to_owned(), lane(LaneState::Paused));
        assert_eq!(waiting(&now), None, "its lane tells that");
    }

    #[test]
    fn nothing_to_tell_is_well_and_the_worst_comes_first() {
        let mut now = Snapshot::default();
        assert_eq!((findings(&now), mood(&findings(&now))), (Vec::new(), Mood::Well));
        now.is_dry_run = true;
        now.lanes.insert("AC1".to_owned(), lane(LaneState::Open));
        assert_eq!(mood(&findings(&now)), Mood::Doubtful);
        now.lanes.insert("AC2".to_owned(), lane(LaneState::Paused));
        now.sick = Some("no room".to_owned());
        let found = findings(&now);
        let moods: Vec<Mood> = found.iter().map(|finding| finding.mood).collect();
        assert_eq!(moods, [Mood::Ill, Mood::Ill, Mood::Doubtful]);
        assert!(found[0].what.contains("no room") && found[1].what.contains("AC2"), "{found:?}");
        assert!(found[1].what.contains("401, code 20003"), "{found:?}");
    }
}
