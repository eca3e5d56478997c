//! The report: what was done, how often, and what came of it, as Markdown that a terminal shows well
//! enough.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::history::Role;
use crate::judge::Finding;
use crate::judge::excuses::Due;
use crate::judge::facts::Facts;
use crate::judge::manners::{excused_repeats, repeats};
use crate::judge::process::recoveries;

/// So many violations of each promise are told.
const TOLD: usize = 3;

/// All of it.
pub(crate) fn report(facts: &Facts<'_>, findings: &[Finding]) -> String {
    let mut text = format!("seed {}\n\n", facts.seed);
    rows(&mut text, "run", &run(facts));
    rows(&mut text, "requests", &requests(facts));
    rows(&mut text, "messages", &messages(facts));
    let repeats = excused_repeats(facts).into_iter();
    let repeats: Rows = repeats.map(|(why, count)| (why, count.to_string())).collect();
    rows(&mut text, "repeats, by what explains them", &repeats);
    rows(&mut text, "acknowledged signals, by kind", &signals(facts));
    let answers = facts.posts.values().map(|post| post.answer.clone());
    rows(&mut text, "Twilio's answers", &counted(answers));
    rows(&mut text, "acts", &counted(facts.faults.values().map(|fault| fault.act.clone())));
    let _ = writeln!(text, "| promise | | |\n| --- | --- | --- |");
    for Finding { id, promise, broken } in findings {
        let verdict = match broken.len() {
            0 => "held".to_owned(),
            count => format!("BROKEN {count} times"),
        };
        let _ = writeln!(text, "| {id} | {promise} | {verdict} |");
    }
    for Finding { id, broken, .. } in findings {
        for story in broken.iter().take(TOLD) {
            let _ = writeln!(text, "\n{id}: {story}");
        }
    }
    text
}

type Rows = Vec<(String, String)>;

fn rows(text: &mut String, title: &str, rows: &Rows) {
    let _ = writeln!(text, "| {title} | |\n| --- | --: |");
    for (name, value) in rows {
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text.push('\n');
}

fn counted(of: impl Iterator<Item = String>) -> Rows {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for name in of {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| (name, count.to_string())).collect()
}

fn run(facts: &Facts<'_>) -> Rows {
    let last = facts.events.last().map_or(0, |event| event.at);
    let times = recoveries(facts);
    let at = |part: usize| times.get(times.len().saturating_sub(1) * part / 100);
    let ms = |time: Option<&u64>| format!("{} ms", time.map_or(0, |time| time / 1_000_000));
    let seconds = |time: u64| {
        format!("{:.1} s", f64::from(u32::try_from(time / 1_000_000).unwrap_or(u32::MAX)) / 1000.0)
    };
    let most = |of: fn(&(u64, u64, u64)) -> u64| facts.samples.iter().map(of).max().unwrap_or(0);
    let drain = facts.healed.zip(facts.drained).map(|(healed, (at, _))| at - healed);
    let raged = facts.healed.unwrap_or(last);
    vec![
        ("under attack for".to_owned(), seconds(raged)),
        ("starts".to_owned(), facts.runs.len().to_string()),
        ("from start to ready, median".to_owned(), ms(at(50))),
        ("from start to ready, 99 %".to_owned(), ms(at(99))),
        ("from start to ready, worst".to_owned(), ms(times.last())),
        ("backlog empty after healing".to_owned(), drain.map_or_else(String::new, seconds)),
        ("most memory".to_owned(), format!("{} MiB", most(|sample| sample.1) / 1024)),
        ("most file handles".to_owned(), most(|sample| sample.2).to_string()),
        ("events in the history".to_owned(), facts.events.len().to_string()),
    ]
}

fn requests(facts: &Facts<'_>) -> Rows {
    counted(facts.requests.values().map(|request| {
        let role = match request.role {
            Role::Honest => "honest",
            Role::Replay => "replayed",
            Role::Bait => "bait",
            Role::Hostile => "hostile",
        };
        match request.answer {
            None => format!("{role}: nobody knows"),
            Some((_, 200..=299 | 303, _)) => format!("{role}: acknowledged"),
            Some((_, status, _)) => format!("{role}: {status}"),
        }
    }))
}

fn signals(facts: &Facts<'_>) -> Rows {
    let proofs = facts.requests.values().filter(|it| it.proves && it.is_acked());
    counted(proofs.map(|request| request.kind.clone()))
}

fn messages(facts: &Facts<'_>) -> Rows {
    let all = facts.messages.values();
    let due: Vec<Due> = all.map(|message| facts.due(message)).collect();
    let count = |of| due.iter().filter(|due| **due == of).count().to_string();
    let states = facts.messages.values().filter_map(|message| message.kept.as_ref());
    let mut rows = vec![
        ("pairs acknowledged in full".to_owned(), count(Due::Yes)),
        (
            "of which in memory only when the process was killed".to_owned(),
            count(Due::LostInMemory),
        ),
        ("of which judged by a wrong clock".to_owned(), count(Due::WrongClock)),
        ("posts".to_owned(), facts.posts.len().to_string()),
        ("posts after the first 2xx (repeats)".to_owned(), repeats(facts).to_string()),
    ];
    rows.extend(counted(states.map(|(_, state, _)| format!("in the store at the end: {state}"))));
    rows
}
