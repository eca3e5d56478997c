//! Samples of the running service, and the facts for findings, derived from the samples and a snapshot.
//!
//! A fine history covers the last hour and a coarse one the last day, for the windows of `ops/alerts.yml`. Their sizes are
//! bounded, because their keys are labels of metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::admin::labels::{code_label, sender_label};
use crate::admin::snapshot::{MAX_EVALUATED, Snapshot, Sources};
use crate::domain::findings::{
    ClaimedAccount, FindingInputs, ForeignServer, ForwardFacts, HeldAccount, KeyFacts, OutboxFacts,
    PausedLane, RequestFacts, RouteSignatures, SignatureFacts, SignatureFailures, StoreFacts,
    ThrottledLane, Traffic, TrafficCount, UpstreamFacts,
};
use crate::domain::message::{Message, State};
use crate::domain::route;
use crate::domain::stats::{MessageStats, StatusBucket};
use crate::telemetry::history::History;
use crate::telemetry::readiness::{LaneDetail, LaneReadiness};
use crate::telemetry::signature_tally::{Scope, SignatureCounts};
use crate::telemetry::totals::{Total, Totals};

/// Windows, as in `ops/alerts.yml`.
const TEN_MINUTES: Duration = Duration::from_mins(10);
const QUARTER_HOUR: Duration = Duration::from_mins(15);
const HALF_HOUR: Duration = Duration::from_mins(30);
const ONE_HOUR: Duration = Duration::from_hours(1);
const TWO_HOURS: Duration = Duration::from_hours(2);
const SIX_HOURS: Duration = Duration::from_hours(6);
const DAY: Duration = Duration::from_hours(24);
const FINE_STEP: Duration = Duration::from_secs(15);
const SIGNATURES_STEP: Duration = Duration::from_mins(1);
const COARSE_STEP: Duration = QUARTER_HOUR;
/// A day, and the longest window that is compared with the same window a day before.
const COARSE_SPAN: Duration = Duration::from_hours(26);
const HALF_HOUR_SAMPLES: u32 = 120;

/// Conversion since the start, by name.
type Counts = BTreeMap<String, TrafficCount>;

/// A sample of every 15 seconds.
#[derive(Debug)]
struct FineSample {
    totals: Totals,
    outbox: u64,
    throttled: BTreeSet<String>,
}

/// A sample of every 15 minutes.
#[derive(Debug)]
struct CoarseSample {
    totals: Totals,
    orphaned: u64,
    free: Option<u64>,
    countries: Counts,
    senders: Counts,
}

#[derive(Debug)]
pub(super) struct Trends {
    fine: History<FineSample>,
    coarse: History<CoarseSample>,
    signatures: History<SignatureCounts>,
}

impl Default for Trends {
    fn default() -> Self {
        Self {
            fine: History::new(FINE_STEP, ONE_HOUR),
            coarse: History::new(COARSE_STEP, COARSE_SPAN),
            signatures: History::new(SIGNATURES_STEP, ONE_HOUR),
        }
    }
}

impl Trends {
    /// Adds the samples that are due. `uptime` is the age of the process.
    pub(super) fn record(&mut self, uptime: Duration, now: &Snapshot, totals: Totals) {
        if self.fine.is_due(uptime) {
            let throttled =
                now.lanes.iter().filter(|(_, lane)| lane.state == LaneReadiness::Throttled);
            let throttled = throttled.map(|(account, _)| account.clone());
            let outbox = now.counts.of(State::Confirmed);
            self.fine.note(uptime, FineSample { totals, outbox, throttled: throttled.collect() });
        }
        if self.signatures.is_due(uptime) {
            self.signatures.note(uptime, now.signatures.clone());
        }
        if self.coarse.is_due(uptime) {
            let (countries, senders) = traffic(&now.stats);
            let (orphaned, free) = (now.counts.orphaned, now.free_disk_bytes);
            self.coarse.note(uptime, CoarseSample { totals, orphaned, free, countries, senders });
        }
    }

    pub(super) fn finding_inputs(
        &self,
        uptime: Duration,
        now: &Snapshot,
        totals: Totals,
        sources: &Sources,
    ) -> FindingInputs {
        let growth_in = |window, total| self.growth_in(uptime, window, &totals, total);
        let signatures = self.signatures(uptime, now);
        let of = |side: &str| {
            signatures.iter().filter(|one| one.side == side).map(|one| one.facts).sum()
        };
        // A reload may have removed an account since its requests were counted.
        let is_configured = |one: &RouteSignatures| match one.account {
            ClaimedAccount::Configured(account) => (sources.config.has_account)(account),
            ClaimedAccount::Unnamed | ClaimedAccount::Unknown => true,
        };
        let (countries, senders) = traffic(&now.stats);
        let foreign = now.foreign_answers.iter().map(|(account, answers)| ForeignServer {
            account: account.clone(),
            since: answers.since,
            why: answers.why.clone(),
        });
        let on_hold = now.posting.on_hold.iter();
        let on_hold = on_hold
            .map(|(account, since)| HeldAccount { account: account.to_string(), since: *since });
        FindingInputs {
            now: now.taken_at,
            start: sources.start.clone(),
            is_draining: now.is_draining,
            is_dry_run: now.posting.is_dry_run,
            reloads_refused: growth_in(HALF_HOUR, Total::ReloadsRefused),
            twilio: of("twilio"),
            app: of("app"),
            signatures: signatures.into_iter().filter(is_configured).collect(),
            requests: RequestFacts {
                server_errors: growth_in(TEN_MINUTES, Total::ServerErrors),
                signature_failures: growth_in(QUARTER_HOUR, Total::SignatureFailures),
                signature_failures_a_day_ago: self.signature_failures_a_day_ago(uptime),
                unusable: growth_in(HALF_HOUR, Total::Unusable),
                malformed_events: growth_in(ONE_HOUR, Total::MalformedEvents),
                orphaned: self.orphaned_growth(uptime, now.counts.orphaned),
                deferred_evidence: sources.metrics.evidence_deferred(),
                lost_evidence: growth_in(ONE_HOUR, Total::LostEvidence),
                lost_sends: growth_in(ONE_HOUR, Total::LostSends),
                unregistered_sends: growth_in(ONE_HOUR, Total::UnregisteredSends),
            },
            forwards: forwards(now.taken_at, sources),
            keys: keys(sources),
            paused: paused(&now.lanes),
            foreign: foreign.collect(),
            throttled: self.throttled(uptime, now),
            on_hold: on_hold.collect(),
            outbox: self.outbox(uptime, now),
            upstream: UpstreamFacts {
                attempts: growth_in(QUARTER_HOUR, Total::Attempts),
                failures: growth_in(QUARTER_HOUR, Total::Failures),
                refused: growth_in(ONE_HOUR, Total::RefusedByTwilio),
                attempts_in_an_hour: growth_in(ONE_HOUR, Total::Attempts),
                unnamed: growth_in(ONE_HOUR, Total::ForeignAnswers),
                ..refused_today(now)
            },
            store: StoreFacts {
                trouble: now.store_error.clone(),
                free: now.free_disk_bytes,
                free_before: self.free_before(uptime),
                records: now.counts.total(),
                evictable: now.evictable,
                parked: now.counts.parked_fullest,
                parked_share: now.counts.parked_share,
                links: now.counts.links,
                max_records: sources.max_messages,
                forgotten_early: growth_in(ONE_HOUR, Total::Evicted),
                commits: growth_in(TEN_MINUTES, Total::Commits),
                slow_commits: growth_in(TEN_MINUTES, Total::SlowCommits),
            },
            countries: self.traffic_windows(uptime, countries, |sample| &sample.countries),
            senders: self.traffic_windows(uptime, senders, |sample| &sample.senders),
            clock_jump: sources.store.clock_guard().jump(),
        }
    }

    /// The growth of a total in the window that ends now. In a younger process: since its start.
    fn growth_in(&self, uptime: Duration, window: Duration, now: &Totals, total: Total) -> u64 {
        let before = self.fine.before(uptime, window).map_or(&Totals::ZERO, |fine| &fine.totals);
        now.growth(before, total)
    }

    fn signatures(&self, uptime: Duration, now: &Snapshot) -> Vec<RouteSignatures> {
        let before = |window| self.signatures.before(uptime, window);
        let (quarter, hour) = (before(QUARTER_HOUR), before(ONE_HOUR));
        let of = |counts: Option<&SignatureCounts>, scope: &Scope| {
            counts.and_then(|counts| counts.get(scope)).copied().unwrap_or_default()
        };
        let facts = now.signatures.iter().filter_map(|(scope, total)| {
            let (quarter, hour) = (of(quarter, scope), of(hour, scope));
            let (route, account) = *scope;
            let facts = SignatureFacts {
                last_verified: total.last_verified,
                verified: total.verified.saturating_sub(quarter.verified),
                refused: total.refused.saturating_sub(quarter.refused),
                in_an_hour: SignatureFailures {
                    refused: total.refused.saturating_sub(hour.refused),
                    unsigned: total.unsigned.saturating_sub(hour.unsigned),
                },
                since_start: SignatureFailures { refused: total.refused, unsigned: total.unsigned },
            };
            Some(RouteSignatures { side: route::side(route)?, route, account, facts })
        });
        facts.collect()
    }

    fn signature_failures_a_day_ago(&self, uptime: Duration) -> Option<u64> {
        let end = &self.coarse.before(uptime, DAY)?.totals;
        let start = self.coarse.before(uptime, DAY + QUARTER_HOUR);
        let start = start.map_or(&Totals::ZERO, |coarse| &coarse.totals);
        Some(end.growth(start, Total::SignatureFailures))
    }

    /// The growth of orphaned evidence. The store keeps the count across restarts, so it is compared with the first sample.
    fn orphaned_growth(&self, uptime: Duration, now: u64) -> u64 {
        let before = self.coarse.oldest(uptime, SIX_HOURS).map(|(_, coarse)| coarse.orphaned);
        now.saturating_sub(before.unwrap_or(now))
    }

    fn free_before(&self, uptime: Duration) -> Option<(SignedDuration, u64)> {
        let (age, coarse) = self.coarse.oldest(uptime, SIX_HOURS)?;
        Some((age.try_into().ok()?, coarse.free?))
    }

    fn throttled(&self, uptime: Duration, now: &Snapshot) -> Vec<ThrottledLane> {
        let share = |account: &String| {
            let samples = self.fine.within(uptime, HALF_HOUR);
            let throttled = samples.filter(|fine| fine.throttled.contains(account)).count();
            f64::from(u32::try_from(throttled).unwrap_or(u32::MAX)) / f64::from(HALF_HOUR_SAMPLES)
        };
        let lanes = now.lanes.iter().filter(|(_, lane)| lane.state != LaneReadiness::Paused);
        let lanes = lanes.map(|(account, lane)| {
            let lane_is_held = lane.state == LaneReadiness::Throttled;
            let oldest = oldest_of(now, account).filter(|_| lane_is_held);
            let account = account.clone();
            (lane_is_held, ThrottledLane { share: share(&account), account, oldest })
        });
        // An open lane is throttled if it was held for most of the time.
        let is_throttled = |(is_held, lane): &(bool, ThrottledLane)| *is_held || lane.share > 0.5;
        lanes.filter(is_throttled).map(|(_, lane)| lane).collect()
    }

    fn outbox(&self, uptime: Duration, now: &Snapshot) -> OutboxFacts {
        let is_open = |message: &&Message| {
            let lane = now.lanes.get(message.account.as_str());
            let is_blocked = lane.is_some_and(|lane| lane.state != LaneReadiness::Posting);
            !is_blocked && !now.posting.on_hold.contains_key(&message.account)
        };
        let open: Vec<&Message> = now.outbox.iter().filter(is_open).collect();
        let failed = open.iter().filter_map(|message| message.last_attempt.as_ref());
        OutboxFacts {
            waiting: now.counts.of(State::Confirmed),
            half_an_hour_ago: self.fine.before(uptime, HALF_HOUR).map(|fine| fine.outbox),
            oldest: oldest(now),
            failed: failed.clone().count() as u64,
            last_failure: failed.max_by_key(|attempt| attempt.ended_at).map(ToString::to_string),
            is_cut: now.outbox.len() >= MAX_EVALUATED,
        }
    }

    /// Traffic by name, now and a day ago, each in a window of two hours.
    fn traffic_windows(
        &self,
        uptime: Duration,
        now: Counts,
        of: impl Fn(&CoarseSample) -> &Counts,
    ) -> Vec<Traffic> {
        let at = |age| self.coarse.before(uptime, age).map(&of);
        let (recent, day) = (at(TWO_HOURS), at(DAY));
        let before = at(DAY + TWO_HOURS);
        let count = |counts: Option<&Counts>, name: &str| {
            counts.and_then(|counts| counts.get(name)).copied().unwrap_or_default()
        };
        now.into_iter()
            .map(|(name, total)| Traffic {
                now: growth(total, count(recent, &name)),
                a_day_ago: day.map(|_| growth(count(day, &name), count(before, &name))),
                name,
            })
            .collect()
    }
}

/// The failures of the app, as facts for findings.
fn forwards(now: Timestamp, sources: &Sources) -> Vec<ForwardFacts> {
    let recent = sources.forward_failures.recent(now).into_iter();
    let facts = recent.map(|((account, kind), failures)| ForwardFacts {
        account: account.to_string(),
        kind: kind.as_str(),
        failures: failures.count,
        since: failures.since,
        last: format!("{} ({})", failures.last.as_str(), failures.detail),
    });
    facts.collect()
}

/// The time of the oldest unreported confirmation, without accounts on hold. The stats have it only for all accounts
/// together, so during a hold it comes from the messages of the snapshot.
fn oldest(now: &Snapshot) -> Option<Timestamp> {
    if now.posting.on_hold.is_empty() {
        return now.stats.oldest(StatusBucket::Message(State::Confirmed));
    }
    let posted =
        now.outbox.iter().filter(|message| !now.posting.on_hold.contains_key(&message.account));
    posted.map(confirmed_at).min()
}

fn confirmed_at(message: &Message) -> Timestamp {
    message.proof.as_ref().map_or(message.since, |proof| proof.confirmed_at)
}

/// The time of the oldest unreported confirmation of one account. If the snapshot does not have all messages, the oldest
/// of all accounts counts as well.
fn oldest_of(now: &Snapshot, account: &str) -> Option<Timestamp> {
    let is_on_hold = now.posting.on_hold.keys().any(|held| held.as_str() == account);
    if is_on_hold {
        return None;
    }
    let own = now.outbox.iter().filter(|message| message.account.as_str() == account);
    let own = own.map(confirmed_at).min();
    let is_cut = now.outbox.len() >= MAX_EVALUATED;
    let of_all = oldest(now).filter(|_| is_cut);
    own.into_iter().chain(of_all).min()
}

fn growth(now: TrafficCount, before: TrafficCount) -> TrafficCount {
    TrafficCount {
        sent: now.sent.saturating_sub(before.sent),
        confirmed: now.confirmed.saturating_sub(before.confirmed),
    }
}

/// Conversion since the start, by calling code and by sender.
fn traffic(stats: &MessageStats) -> (Counts, Counts) {
    let (mut countries, mut senders) = (Counts::new(), Counts::new());
    for (code, sender, tally) in stats.since_start() {
        for (counts, name) in
            [(&mut countries, code_label(code)), (&mut senders, sender_label(sender))]
        {
            let count = counts.entry(name).or_default();
            count.sent += tally.sent;
            count.confirmed += tally.confirmed;
        }
    }
    (countries, senders)
}

/// Keys that have matched since the start.
fn keys(sources: &Sources) -> Vec<KeyFacts> {
    let matched = (sources.config.key_names)().into_iter().filter_map(|(account, name)| {
        let last = sources.metrics.key_last_matched(&route::paths(), &account, &name)?;
        Some(KeyFacts { account, name, last_matched: Timestamp::from_second(last).ok()? })
    });
    matched.collect()
}

fn paused(lanes: &BTreeMap<String, LaneDetail>) -> Vec<PausedLane> {
    let paused = lanes.iter().filter(|(_, lane)| lane.state == LaneReadiness::Paused);
    let paused = paused.map(|(account, lane)| PausedLane {
        account: account.clone(),
        since: lane.since,
        status: lane.status,
        code: lane.code,
        message: lane.why.clone().unwrap_or_default(),
    });
    paused.collect()
}

/// Refused messages of the last day that the store still has.
fn refused_today(now: &Snapshot) -> UpstreamFacts {
    let is_new =
        |message: &&Message| now.taken_at.duration_since(message.since).unsigned_abs() < DAY;
    let today: Vec<_> = now.refused.iter().filter(is_new).collect();
    let all = now.counts.of(State::Refused);
    UpstreamFacts {
        refused_today: today.len() as u64,
        refused_since: today.iter().map(|message| message.since).min(),
        is_cut: today.len() == now.refused.len() && all > today.len() as u64,
        ..UpstreamFacts::default()
    }
}

#[cfg(test)]
#[path = "trends_tests.rs"]
mod tests;
