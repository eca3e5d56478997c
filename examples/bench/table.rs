//! The table, as it goes into `docs/performance.md`.

use crate::drive::{Measured, median};
use crate::sides::Side;

/// One side under one load.
pub(crate) struct Row {
    cells: [String; 11],
}

impl Row {
    /// Medians over the rounds; of ratios, the median of those within each round.
    pub(crate) fn of(side: &Side, all: &[Side], ours: &str, yardstick: &str) -> Self {
        let all_of = |read: fn(&Measured) -> f64| median(side.rounds.iter().map(read).collect());
        let other = |name| all.iter().find(|other| other.name == name && other.load == side.load);
        let ratio = |of: Option<&Side>, to: Option<&Side>| {
            let pairs = of.zip(to).map(|(of, to)| of.rounds.iter().zip(&to.rounds));
            pairs.map_or_else(
                || "-".to_owned(),
                |pairs| format!("{:.2}", median(pairs.map(|(of, to)| of.rate / to.rate).collect())),
            )
        };
        let synced = all_of(|m| m.syncs);
        Self {
            cells: [
                side.name.clone(),
                side.load.to_string(),
                format!("{:.0}", all_of(|m| m.rate)),
                format!("{:.2}", all_of(|m| m.p50)),
                format!("{:.2}", all_of(|m| m.p99)),
                format!("{:.1}", all_of(|m| m.cpu)),
                if synced > 0.0 { format!("{synced:.0}") } else { "-".to_owned() },
                format!("{:.0}", all_of(|m| m.written)),
                format!("{}", side.memory / 1024),
                ratio(Some(side), other(yardstick)),
                ratio(other(ours), Some(side)),
            ],
        }
    }
}

pub(crate) fn print(rows: &[Row]) {
    println!(
        "| side | connections | requests/s | p50 ms | p99 ms | CPU µs a request | syncs/s | bytes written a request | \
         memory MiB | × bare | Heardback × this |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for row in rows {
        println!("| {} |", row.cells.join(" | "));
    }
}
