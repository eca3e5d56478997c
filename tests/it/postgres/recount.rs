//! Counts and statistics of a store, compared with a recount of its rows.

use std::sync::Arc;

use heardback::domain::message::State;
use heardback::domain::stats::{CountedRecord, MessageStats};
use heardback::store::{ExportRecord, RecordCounts, Store};

use crate::overview::seen;
use crate::postgres::Postgres;
use crate::transfer::all;

/// Compares the counts of a store that was opened just now with its rows and with the expected counts.
pub(super) async fn assert_counts(
    postgres: &Postgres<'_>,
    opened: &Arc<dyn Store>,
    expected: &RecordCounts,
) {
    assert_eq!(opened.counts(), *expected);
    assert_recount(postgres, opened).await;
}

/// Compares the counts and the statistics of a store that was opened just now with its rows.
pub(super) async fn assert_recount(postgres: &Postgres<'_>, opened: &Arc<dyn Store>) {
    let count = |rows: String| format!("SELECT count(*) FROM {rows}");
    let by_state = (0..State::ALL.len()).map(|at| count(format!("message WHERE state = {at}")));
    let others = [
        count("parked WHERE waiting AND NOT orphaned".to_owned()),
        count("parked WHERE orphaned".to_owned()),
        count("link".to_owned()),
        "SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM parked WHERE NOT orphaned GROUP BY account) a"
            .to_owned(),
    ];
    let queries: Vec<String> = by_state.chain(others).collect();
    let counts = opened.counts();
    let counted = [counts.parked, counts.orphaned, counts.links, counts.parked_fullest];
    let counted: Vec<u64> = counts.messages.into_iter().chain(counted).collect();
    assert_eq!(counted, postgres.numbers(&queries));
    let mut stats = MessageStats::default();
    for record in all(opened, 1000).await {
        match record {
            ExportRecord::Message(message) => stats.insert(&CountedRecord::of_message(&message)),
            ExportRecord::Parked(parked) => {
                if let Some(record) = CountedRecord::of_parked(&parked) {
                    stats.insert(&record);
                }
            }
            ExportRecord::Link { .. }
            | ExportRecord::DedupKey { .. }
            | ExportRecord::Sender { .. }
            | ExportRecord::Names { .. }
            | ExportRecord::Automatic { .. }
            | ExportRecord::Hold { .. } => {}
        }
    }
    assert_eq!(seen(&opened.stats().await.expect("counted")), seen(&stats));
}
