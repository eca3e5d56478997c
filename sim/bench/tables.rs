//! The tables of `docs/performance.md`. Each number is a median over the rounds; a ratio is the median of the ratios
//! within each round.

use crate::breakdown::Group;
use crate::compare::Side;
use crate::measurement::{Measured, median};
use crate::write_cost::Backend;

fn middle(side: &Side, read: fn(&Measured) -> f64) -> f64 {
    median(side.rounds.iter().map(read).collect())
}

/// The results of each side under each load.
pub(crate) fn sides(all: &[Side]) {
    println!(
        "| side | connections | requests/s | sustained/s | p50 · p99 ms | CPU µs a request | syncs/s | \
         bytes written a request | memory MiB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for side in all {
        let syncs = middle(side, |m| m.syncs);
        let cells = [
            side.name.clone(),
            side.load.to_string(),
            format!("{:.0}", middle(side, |m| m.rate)),
            format!("{:.0}", middle(side, |m| m.sustained)),
            format!("{:.2} · {:.2}", middle(side, |m| m.p50), middle(side, |m| m.p99)),
            format!("{:.1}", middle(side, |m| m.cpu)),
            if syncs > 0.0 { format!("{syncs:.0}") } else { "-".to_owned() },
            format!("{:.0}", middle(side, |m| m.bytes_written)),
            format!("{}", side.memory / 1024),
        ];
        println!("| {} |", cells.join(" | "));
    }
}

/// The entries that a store wrote, if a side reports them.
pub(crate) fn entries(all: &[Side]) {
    println!();
    let wrote = |side: &&Side| middle(side, |m| m.entries) > 0.0;
    let reporting: Vec<_> = all.iter().filter(wrote).collect();
    for of_one in reporting.chunk_by(|one, next| one.name == next.name) {
        let loads = of_one.iter().map(|side| {
            let (each, grouped) = (middle(side, |m| m.entries), middle(side, |m| m.grouped));
            format!("{}: {each:.2} · {grouped:.1}", side.load)
        });
        let name = of_one.first().map(|side| side.name.as_str()).unwrap_or_default();
        let loads = loads.collect::<Vec<_>>().join("; ");
        println!("{name}, entries a request · entries a group, by connections: {loads}.");
    }
}

/// Ratios of the rates, during the load and sustained.
pub(crate) fn ratios(all: &[Side], ours: &str, yardstick: &str) {
    println!(
        "\n| side | connections | × bare | sustained × bare | Heardback × this | Heardback sustained × this |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for side in all {
        let other = |name| all.iter().find(|other| other.name == name && other.load == side.load);
        let ratio = |of: Option<&Side>, to: Option<&Side>, read: fn(&Measured) -> f64| {
            let (Some(of), Some(to)) = (of, to) else { return "-".to_owned() };
            let pairs = of.rounds.iter().zip(&to.rounds);
            format!("{:.2}", median(pairs.map(|(of, to)| read(of) / read(to)).collect()))
        };
        let cells = [
            side.name.clone(),
            side.load.to_string(),
            ratio(Some(side), other(yardstick), |m| m.rate),
            ratio(Some(side), other(yardstick), |m| m.sustained),
            ratio(other(ours), Some(side), |m| m.rate),
            ratio(other(ours), Some(side), |m| m.sustained),
        ];
        println!("| {} |", cells.join(" | "));
    }
}

/// The cost of a message that is written in groups.
pub(crate) fn groups(all: &[Group]) {
    let sizes: Vec<_> = all.iter().map(|group| group.size.to_string()).collect();
    println!("\n| CPU µs a message, in groups of | {} |", sizes.join(" | "));
    println!("| --- |{}", " ---: |".repeat(all.len()));
    for (at, backend) in Backend::ALL.into_iter().enumerate() {
        let cells = all.iter().filter_map(|group| group.cpu.get(at));
        let cells: Vec<_> = cells.map(|cpu| format!("{:.1}", median(cpu.clone()))).collect();
        println!("| {} | {} |", backend.name(), cells.join(" | "));
    }
}
