//! The report in Markdown: the details, then the summary, then the first violations of each promise.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::history::Role;
use crate::judge::Finding;
use crate::judge::facts::Facts;
use crate::summary::summary;

/// Violations that the report shows for each promise.
const SHOWN: usize = 3;

pub(crate) fn report(facts: &Facts<'_>, findings: &[Finding]) -> String {
    let mut text = format!("seed {}\n\n", facts.seed);
    rows(&mut text, "requests", &requests(facts));
    rows(&mut text, "messages", &messages(facts));
    let floods = facts.unauthenticated.iter();
    let floods = floods.map(|(shape, answer, count)| (format!("{shape}: {answer}"), *count));
    rows(&mut text, "unauthenticated requests", &summed(floods));
    rows(&mut text, "acknowledged signals, by kind", &signals(facts));
    let answers = facts.posts.values().map(|post| post.answer.clone());
    rows(&mut text, "Twilio's answers", &counted(answers));
    rows(&mut text, "acts", &counted(facts.faults.values().map(|fault| fault.name.clone())));
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

/// Sums the counts with the same name.
fn summed(of: impl Iterator<Item = (String, u64)>) -> Rows {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in of {
        *sums.entry(name).or_default() += count;
    }
    sums.into_iter().map(|(name, count)| (name, count.to_string())).collect()
}

fn counted(of: impl Iterator<Item = String>) -> Rows {
    summed(of.map(|name| (name, 1)))
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

fn signals(facts: &Facts<'_>) -> Rows {
    let proofs = facts.requests.values().filter(|it| it.proves && it.is_acked());
    counted(proofs.map(|request| request.kind.clone()))
}

fn messages(facts: &Facts<'_>) -> Rows {
    let states = facts.messages.values().filter_map(|message| message.stored.as_ref());
    counted(states.map(|(_, state, _)| format!("in the store at the end: {state}")))
}
