//! The table, as it goes into `docs/performance.md`.

use crate::drive::{Measured, median};
use crate::sides::Side;

/// One side at one number of connections.
pub(crate) struct Row {
    cells: [String; 10],
}

impl Row {
    /// Medians over the rounds, and the median of the rates' ratios within each round.
    pub(crate) fn of(side: &Side, all: &[Side], yardstick: &str) -> Self {
        let all_of = |read: fn(&Measured) -> f64| median(side.rounds.iter().map(read).collect());
        // Forged requests are measured against good ones of the same number of connections.
        let connections = side.connections.or(Some(32));
        let beside =
            all.iter().find(|other| other.name == yardstick && other.connections == connections);
        let ratios = beside.map(|beside| {
            let pairs = side.rounds.iter().zip(&beside.rounds);
            median(pairs.map(|(ours, theirs)| ours.rate / theirs.rate).collect())
        });
        let many =
            side.connections.map_or_else(|| "32, forged".to_owned(), |count| count.to_string());
        let synced = median(side.syncs.clone());
        Self {
            cells: [
                side.name.clone(),
                many,
                format!("{:.0}", all_of(|m| m.rate)),
                format!("{:.2}", all_of(|m| m.p50)),
                format!("{:.2}", all_of(|m| m.p99)),
                format!("{:.1}", all_of(|m| m.cpu)),
                if synced > 0.0 { format!("{synced:.0}") } else { "-".to_owned() },
                format!("{:.0}", all_of(|m| m.written)),
                format!("{}", side.memory / 1024),
                ratios.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            ],
        }
    }
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "| side | connections | requests/s | p50 ms | p99 ms | CPU µs a request | syncs/s | bytes written a request | \
         memory MiB | × bare |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in rows {
        println!("| {} |", row.cells.join(" | "));
    }
}
