//! The report in Markdown: counts of requests and replies, the summary, and the first violations of each promise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::history::Role;
use crate::judge::Finding;
use crate::judge::facts::Facts;
use crate::judge::forwarding::behaviours;
use crate::summary::summary;

/// Violations that the report shows for each promise.
const SHOWN: usize = 3;

pub(crate) fn report(facts: &Facts<'_>, findings: &[Finding]) -> String {
    let mut text = format!("seed {}\n\n", facts.seed);
    rows(&mut text, "requests", &requests(facts));
    let answers = facts.posts.values().map(|post| post.answer.clone());
    rows(&mut text, "Twilio's replies", &counted(answers));
    let forwards = behaviours(facts).into_iter();
    let forwards = forwards.map(|(how, count)| (how.to_owned(), count.to_string())).collect();
    rows(&mut text, "the app's replies", &forwards);
    text.push_str(&summary(facts, findings));
    for Finding { id, broken, .. } in findings {
        for violation in broken.iter().take(SHOWN) {
            let _ = writeln!(text, "\n{id}: {violation}");
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

/// The number of each name.
fn counted(names: impl Iterator<Item = String>) -> Rows {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| (name, count.to_string())).collect()
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
            None => format!("{role}: unknown outcome"),
            Some((_, 200..=299 | 303, _)) => format!("{role}: acknowledged"),
            Some((_, status, _)) => format!("{role}: {status}"),
        }
    }))
}
