//! Counters as rows: the number of records by kind, and the statistics.

use std::collections::BTreeMap;

use crate::domain::matching::Parked;
use crate::domain::message::{Message, State};
use crate::domain::sid::AccountSid;
use crate::domain::stats::cells::StatsCell;
use crate::domain::stats::{BucketCounts, CountedRecord, MessageStats, StatusBucket};
use crate::store::RecordCounts;
use crate::store::engine::{Mutation, ParkedRows};

/// Adds the differences that a mutation makes to the sums by key.
pub(super) fn add(sums: &mut BTreeMap<String, i64>, mutation: &Mutation) {
    for (key, n) in record_differences(mutation) {
        *sums.entry(key).or_default() += n;
    }
    for (before, after) in &mutation.parked {
        for (parked, step) in [(before, -1), (after, 1)] {
            if let Some(Parked { evidence, .. }) = parked.as_ref().filter(|row| !row.orphaned) {
                *sums.entry(format!("parked:{}", evidence.account)).or_default() += step;
            }
        }
    }
    for (before, after) in &mutation.messages {
        add_record(sums, before.as_ref(), -1);
        add_record(sums, after.as_ref(), 1);
    }
}

fn add_record(sums: &mut BTreeMap<String, i64>, message: Option<&Message>, sign: i64) {
    let cells = message.map(CountedRecord::of_message).map(|record| record.cells());
    for (cell, counts) in cells.into_iter().flatten() {
        let cell = cell.to_text();
        for (at, number) in counts.to_numbers().into_iter().enumerate().filter(|(_, n)| *n > 0) {
            *sums.entry(format!("stats:{at}:{cell}")).or_default() += sign * number.cast_signed();
        }
    }
}

/// The differences of the number of records.
fn record_differences(mutation: &Mutation) -> Vec<(String, i64)> {
    // Large enough that no difference is cut off at zero.
    const BASE: u64 = 1 << 40;
    let mut counts = RecordCounts {
        messages: [BASE; State::ALL.len()],
        parked: BASE,
        orphaned: BASE,
        links: BASE,
        ..RecordCounts::default()
    };
    mutation.count(&mut counts);
    let difference = |count: u64| count.cast_signed() - BASE.cast_signed();
    let states = State::ALL.into_iter().zip(counts.messages);
    let states =
        states.map(|(state, count)| (format!("state:{}", state.as_str()), difference(count)));
    let others = [
        ("waiting".to_owned(), difference(counts.parked)),
        ("orphaned".to_owned(), difference(counts.orphaned)),
        ("links".to_owned(), difference(counts.links)),
    ];
    states.chain(others).filter(|(_, n)| *n != 0).collect()
}

/// The number of records and the rows of parked evidence by account, from the sums by key.
pub(super) fn record_counts(sums: &[(String, i64)]) -> (RecordCounts, ParkedRows) {
    let mut counts = RecordCounts::default();
    let mut parked = Vec::new();
    for (key, n) in sums {
        let n = u64::try_from(*n).unwrap_or_default();
        match key.split_once(':') {
            None if key == "waiting" => counts.parked = n,
            None if key == "orphaned" => counts.orphaned = n,
            None if key == "links" => counts.links = n,
            Some(("state", name)) => {
                let at = State::ALL.iter().position(|state| state.as_str() == name);
                if let Some(count) = at.and_then(|at| counts.messages.get_mut(at)) {
                    *count = n;
                }
            }
            Some(("parked", account)) => {
                parked.extend(account.parse::<AccountSid>().ok().map(|account| (account, n)));
            }
            Some(_) | None => {}
        }
    }
    (counts, ParkedRows::from_counts(parked))
}

/// The statistics, from the sums by key.
pub(super) fn stats(
    since_start: &MessageStats,
    sums: &[(String, i64)],
    oldest: Vec<(StatusBucket, i64)>,
) -> MessageStats {
    let mut cells: BTreeMap<StatsCell, BucketCounts> = BTreeMap::new();
    for (key, n) in sums {
        let Some((at, cell)) = key.strip_prefix("stats:").and_then(|key| key.split_once(':'))
        else {
            continue;
        };
        if let (Ok(at), Some(cell), Ok(n)) = (at.parse(), StatsCell::parse(cell), u64::try_from(*n))
            && n > 0
        {
            cells.entry(cell).or_default().add_number(at, n);
        }
    }
    since_start.with_cells(cells, oldest)
}
