//! The summary: the two tables of `docs/reliability.md`, "Chaos", in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::faults::{BOGUS_SIDS, DATABASE, HANG, REPLACED};
use crate::history::{CommitCut, Role};
use crate::identities::{BOGUS, is};
use crate::judge::Finding;
use crate::judge::excuses::Due;
use crate::judge::facts::{Facts, Request};
use crate::judge::fairness::{Wait, answer_times, waits};
use crate::judge::forwarding;
use crate::judge::posting::{excused_repeats, repeats};
use crate::judge::process::{attempts, backing_off, start_times};
use crate::judge::sending::{SendCounts, counts};
use crate::signals::QUOTING;

pub(crate) fn summary(facts: &Facts<'_>, findings: &[Finding]) -> String {
    let mut text = "| | |\n| --- | --: |\n".to_owned();
    let lost = findings.iter().find(|finding| finding.id == "I1");
    let lost = lost.map_or(0, |finding| finding.broken.len());
    let rows =
        [faults(facts), database(facts), requests(facts), messages(facts, lost), process(facts)];
    for (name, value) in rows.iter().flatten() {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text.push_str("\n| | promise | |\n| --- | --- | --- |\n");
    for Finding { id, promise, broken, is_expected } in findings {
        let verdict = match broken.len() {
            0 => "held".to_owned(),
            count if *is_expected => {
                format!("broken {count} times, as an asynchronous standby does")
            }
            count => format!("**broken {count} times**"),
        };
        let _ = writeln!(text, "| {id} | {promise} | {verdict} |");
    }
    text
}

type Rows = Vec<(String, String)>;

fn row(name: &str, values: &[String]) -> (String, String) {
    (name.to_owned(), values.join(" · "))
}

fn faults(facts: &Facts<'_>) -> Rows {
    let of = |act: &str| facts.faults.values().filter(|fault| fault.name == act).count();
    let count = |act| thousands(of(act));
    let kills = of("SIGKILL");
    let full = of("start on a full disk");
    let name = format!(
        "SIGKILL ({full} starts that failed on a full disk count as kills too: {} in all)",
        thousands(kills + full)
    );
    let raged = facts.healed.map_or(0, |healed| healed / 1_000_000_000);
    vec![
        row("under attack", &[format!("{} s", thousands_of(raged))]),
        row(&name, &[thousands(kills)]),
        row(
            "SIGTERM · SIGSTOP · SIGSTOP for longer than a lease",
            &[count("SIGTERM"), count("SIGSTOP"), count("SIGSTOP longer than a lease")],
        ),
        row(
            "disk full to the last byte · below the store's limit",
            &[count("disk full"), count("disk below the store's limit")],
        ),
        row(
            "credentials rotated · turned away · every connection cut",
            &[
                count("credentials rotated"),
                count("credentials turned away"),
                count("every connection cut"),
            ],
        ),
        row(
            "clock two days ahead · two days back · nine days ahead",
            &[count("clock 2 days ahead"), count("clock 2 days back"), count("clock 9 days ahead")],
        ),
        row(
            "an account hangs · unknown SIDs · bursts of Event Streams · unauthenticated floods",
            &[
                count(HANG),
                count(BOGUS_SIDS),
                count("burst of Event Streams"),
                count("unauthenticated flood"),
            ],
        ),
    ]
}

/// The faults of a database and its receivers. Empty for a store on a disk.
fn database(facts: &Facts<'_>) -> Rows {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let names = facts.faults.values().map(|fault| fault.name.as_str());
    for name in names.filter(|name| name.starts_with(DATABASE) || *name == REPLACED) {
        *counts.entry(name).or_default() += 1;
    }
    if counts.is_empty() {
        return Vec::new();
    }
    let rows = counts.into_iter().map(|(name, count)| row(name, &[thousands(count)]));
    let mut rows: Rows = rows.collect();
    let cuts = |cut| thousands_of(facts.commit_cuts.get(&cut).copied().unwrap_or_default());
    rows.push(row(
        "COMMITs cut off: before the server · at once · after the answer · seconds after the answer",
        &[
            cuts(CommitCut::Before),
            cuts(CommitCut::AtOnce),
            cuts(CommitCut::Answered),
            cuts(CommitCut::Stalled),
        ],
    ));
    let attempts = attempts(facts);
    let failed = |attempts: &&Vec<&Request>| attempts.first().is_some_and(|it| !it.is_acked());
    let lost = |attempts: &&Vec<&Request>| !attempts.iter().any(|it| it.is_acked());
    rows.push(row(
        "requests · not acknowledged at the first attempt · never acknowledged",
        &[
            thousands(attempts.len()),
            thousands(attempts.iter().filter(failed).count()),
            thousands(attempts.iter().filter(lost).count()),
        ],
    ));
    rows
}

fn requests(facts: &Facts<'_>) -> Rows {
    let all = || facts.requests.values();
    let count = |of: &dyn Fn(&&Request) -> bool| thousands(all().filter(of).count());
    let genuine = |it: &&Request| it.role != Role::Hostile;
    let status = |it: &&Request| it.answer.map(|(_, status, _)| status);
    let kinds = |kinds: &[&str]| {
        let proofs = all().filter(|it| it.is_genuine() && it.proves && it.is_acked());
        thousands(proofs.filter(|it| kinds.contains(&it.kind.as_str())).count())
    };
    let flood = |is_in: bool| {
        let answers = facts.unauthenticated.iter();
        let answers = answers.filter(|(shape, ..)| !shape.starts_with(crate::flood::OPERATOR));
        let answers = answers.filter(|(_, answer, _)| answer.starts_with('2') == is_in);
        thousands_of(answers.map(|(.., count)| count).sum())
    };
    let times = |during| {
        let times = answer_times(facts, during);
        let at =
            |part| milliseconds(times.get(times.len().saturating_sub(1) * part / 100).copied());
        format!("{} · {}", at(50), at(99))
    };
    vec![
        row(
            "claims acknowledged · refused 503 · without a known outcome",
            &[
                count(&|it| genuine(it) && it.is_acked()),
                count(&|it| genuine(it) && status(it) == Some(503)),
                count(&|it| genuine(it) && it.answer.is_none()),
            ],
        ),
        row(
            "proofs acknowledged: replies · events of the app · clicks of Twilio's links",
            &[
                kinds(&[QUOTING]),
                kinds(&["event by reference", "event by person", "code entered", "app click"]),
                kinds(&["click"]),
            ],
        ),
        row(
            "by Event Streams · calls, ringing · calls, completed · own links pressed",
            &[
                kinds(&["stream click", "stream reply", "stream call"]),
                kinds(&["call ringing"]),
                kinds(&["call completed"]),
                kinds(&["link pressed"]),
            ],
        ),
        row(
            "hostile requests refused · cut off · let in",
            &[
                count(&|it| !genuine(it) && it.answer.is_some() && !it.is_acked()),
                count(&|it| !genuine(it) && it.answer.is_none()),
                format!("**{}**", count(&|it| !genuine(it) && it.is_acked())),
            ],
        ),
        row(
            "unauthenticated requests of a flood refused or cut off · let in",
            &[flood(false), format!("**{}**", flood(true))],
        ),
        row("honest answers during a flood: median · 99 %", &[times(true)]),
        row("honest answers at other times: median · 99 %", &[times(false)]),
    ]
}

fn messages(facts: &Facts<'_>, lost: usize) -> Rows {
    let all = || facts.messages.values();
    let due = all().filter(|message| facts.due(message) != Due::No).count();
    let excused = |by| thousands(all().filter(|message| facts.is_excused(message, by)).count());
    let bogus = facts.messages.iter().filter(|(sid, _)| is(sid, BOGUS));
    let states = bogus.filter_map(|(_, message)| Some(message.stored.as_ref()?.1.clone()));
    let (refused, others): (Vec<_>, Vec<_>) = states.partition(|state| state == "refused");
    let wait = |act| {
        let waits = waits(facts, act);
        let time = |wait: Option<&Wait<'_>>| milliseconds(wait.map(|wait| wait.time));
        let median = time(waits.get(waits.len() / 2));
        format!("{median} · {} ({})", time(waits.last()), thousands(waits.len()))
    };
    let mut rows = vec![
        row("message and evidence both acknowledged", &[thousands(due)]),
        row("of these lost", &[format!("**{}**", thousands(lost))]),
        row(
            "excused: evidence in memory only when the process was killed · judged by a wrong clock",
            &[excused(Due::LostInMemory), excused(Due::WrongClock)],
        ),
        row(
            "unknown SIDs refused · in another state",
            &[thousands(refused.len()), thousands(others.len())],
        ),
        row("first post while another account hangs: median · longest (messages)", &[wait(HANG)]),
        row("first post beside unknown SIDs: median · longest (messages)", &[wait(BOGUS_SIDS)]),
        row(
            "posts · after Twilio had said 2xx already",
            &[thousands(facts.posts.len()), thousands(repeats(facts))],
        ),
    ];
    let SendCounts { sent, created, unacknowledged, stored } = counts(facts);
    rows.push(row(
        "sent through · created at Twilio · of these the app heard of no registration · of these registered by the callback",
        &[sent, created, unacknowledged, stored].map(thousands),
    ));
    rows.extend(forwards(facts));
    let by_reason = |(reason, count)| format!("{reason} {}", thousands_of(count));
    let repeats: Vec<String> = excused_repeats(facts).into_iter().map(by_reason).collect();
    rows.push(row("messages posted again, by reason", &repeats));
    let bound = milliseconds(Some(facts.settles_within()));
    rows.push(row("a fault excuses a repeat if it followed Twilio's answer within", &[bound]));
    rows
}

fn forwards(facts: &Facts<'_>) -> Rows {
    let forwarding::Counts { forwarded, by_app, accepted, failed, deferred, overlapping } =
        forwarding::counts(facts);
    vec![
        row("webhooks that the app received", &[thousands(forwarded)]),
        row(
            "answers to Twilio: the app's · 2xx in its place · 5xx in its place",
            &[by_app, accepted, failed].map(thousands),
        ),
        row("evidence of forwarded messages and calls in memory", &[thousands(deferred)]),
        row("texts of one person that must reach the app one at a time", &[thousands(overlapping)]),
    ]
}

fn process(facts: &Facts<'_>) -> Rows {
    let times = start_times(facts);
    let at =
        |part: usize| milliseconds(times.get(times.len().saturating_sub(1) * part / 100).copied());
    let name = format!("from start to ready: median · 99 % · worst of {}", thousands(times.len()));
    let most = |of: fn(&(u64, u64, u64)) -> u64| facts.samples.iter().map(of).max().unwrap_or(0);
    let drained = facts.healed.zip(facts.drained).map(|(healed, (at, _))| at - healed);
    vec![
        row(&name, &[at(50), at(99), at(100)]),
        row(
            "backlog empty after the last fault · messages that were not due yet",
            &[milliseconds(drained), thousands_of(backing_off(facts))],
        ),
        row(
            "most memory · most file handles",
            &[
                format!("{} MiB", most(|sample| sample.1) / 1024),
                thousands_of(most(|sample| sample.2)),
            ],
        ),
    ]
}

fn milliseconds(time: Option<u64>) -> String {
    time.map_or("none".to_owned(), |time| format!("{} ms", thousands_of(time / 1_000_000)))
}

fn thousands(number: usize) -> String {
    thousands_of(number as u64)
}

/// With a comma between thousands.
fn thousands_of(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated_by_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands_of(number), text);
        }
    }

    #[test]
    fn an_empty_history_has_every_row() {
        let facts = Facts::of(&[]);
        let findings = crate::judge::judge(&facts);
        let text = summary(&facts, &findings);
        let promises = text.lines().filter(|line| line.starts_with("| I")).count();
        assert_eq!(promises, findings.len(), "{text}");
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with('|')), "{text}");
    }
}
