//! The tables: precision and recall of each kind of evidence, and of each policy.

use std::collections::BTreeMap;

use heardback::domain::message::Basis;

use crate::judge::{Judgement, Score};

/// Prints the table of kinds of evidence.
pub(crate) fn kinds(judgement: &Judgement) {
    let mut rows = BTreeMap::<&str, [Score; 4]>::new();
    for ((kind, basis), score) in &judgement.scores {
        let [direct, shared, inferred, given] = rows.entry(kind).or_default();
        match basis {
            Some(Basis::Direct) => direct.add(*score),
            Some(Basis::Shared) => shared.add(*score),
            Some(Basis::Inferred) => inferred.add(*score),
            None => given.add(*score),
        }
    }
    println!(
        "| evidence | direct: right, wrong | shared: right, wrong | inferred: right, wrong | precision | given | confirmed | recall |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (kind, [direct, shared, inferred, given]) in rows {
        let mut all = direct;
        all.add(shared);
        all.add(inferred);
        let cells = [pair(direct), pair(shared), pair(inferred)].join(" | ");
        let recall = share(given.confirmed, given.given);
        println!(
            "| {kind} | {cells} | {} | {} | {} | {recall} |",
            share(all.right, all.right + all.wrong),
            given.given,
            given.confirmed,
        );
    }
    let [direct, shared, inferred] =
        [Basis::Direct, Basis::Shared, Basis::Inferred].map(|basis| judgement.of(basis));
    println!(
        "| **all** | {} | {} | {} | {} | {} | {} | {} |",
        pair(direct),
        pair(shared),
        pair(inferred),
        share(judgement.overall.right, judgement.overall.right + judgement.overall.wrong),
        judgement.overall.given,
        judgement.overall.confirmed,
        share(judgement.overall.confirmed, judgement.overall.given),
    );
    println!("\n| named by | right, wrong | precision | given | confirmed | recall |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for (name, basis) in [("a reference", Basis::Shared), ("the person", Basis::Inferred)] {
        let mut sum = judgement.of(basis);
        let kinds = judgement.scores.iter().filter(|((kind, of), _)| {
            let by_person = matches!(
                *kind,
                "automatic reply" | "call" | "code, by To" | "code, by To and code" | "reply"
            );
            let by_reference =
                matches!(*kind, "code, by reference" | "code, by reference and code" | "own link");
            of.is_none() && if basis == Basis::Shared { by_reference } else { by_person }
        });
        for (_, score) in kinds {
            sum.given += score.given;
            sum.confirmed += score.confirmed;
        }
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            pair(sum),
            share(sum.right, sum.right + sum.wrong),
            sum.given,
            sum.confirmed,
            share(sum.confirmed, sum.given),
        );
    }
    println!("\n| wrong messages named by an app, not counted above | wrong confirmations |");
    println!("| --- | --- |");
    for (kind, count) in &judgement.app_errors {
        println!("| {kind} | {count} |");
    }
    println!(
        "\n| cause of wrong shared or inferred evidence | wrong confirmations |\n| --- | --- |"
    );
    for (cause, count) in &judgement.wrong_by_cause {
        println!("| {cause} | {count} |");
    }
}

/// Prints the header of the table of policies.
pub(crate) fn policies_head() {
    println!(
        "| policy | direct wrong | shared right | shared wrong | shared precision | inferred right | inferred wrong | inferred precision | precision | recall |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
}

/// Prints the row of a policy.
pub(crate) fn policy(name: &str, judgement: &Judgement) {
    let [direct, shared, inferred] =
        [Basis::Direct, Basis::Shared, Basis::Inferred].map(|basis| judgement.of(basis));
    println!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
        direct.wrong,
        shared.right,
        shared.wrong,
        share(shared.right, shared.right + shared.wrong),
        inferred.right,
        inferred.wrong,
        share(inferred.right, inferred.right + inferred.wrong),
        share(judgement.overall.right, judgement.overall.right + judgement.overall.wrong),
        share(judgement.overall.confirmed, judgement.overall.given),
    );
}

fn pair(score: Score) -> String {
    if score.right + score.wrong == 0 {
        return "–".to_owned();
    }
    format!("{}, {}", score.right, score.wrong)
}

/// A share in percent, cut after the second digit and never rounded up to a whole.
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let share = part * 10_000 / whole;
    format!("{}.{:02} %", share / 100, share % 100)
}
