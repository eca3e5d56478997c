//! Charts as inline SVG. An SVG stretches with its card, so labels are HTML beside it; a table has all its numbers.
//! Deliberately absent: style attributes, which the page's Content-Security-Policy forbids.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::admin::page::format;
use crate::domain::stats::{BucketCounts, WAIT_BOUNDS};

/// The messages sent in one hour or on one day.
pub(super) struct Slot {
    /// `10:00`, `23 Nov`.
    pub(super) label: String,
    pub(super) tally: BucketCounts,
}

/// The height of a chart and the width of a slot, in units of the SVG.
const HEIGHT: f64 = 100.0;
const SLOT: f64 = 10.0;

/// Conversion as a line, with bars of sent and confirmed messages below it.
pub(super) fn over_time(id: &str, title: &str, slots: &[Slot]) -> Markup {
    let all = slots.iter().fold(BucketCounts::default(), |all, slot| all + slot.tally);
    let most = slots.iter().map(|slot| slot.tally.sent).max().unwrap_or_default();
    let described = format!(
        "{} sent, {} confirmed, {} altogether; the busiest had {}.",
        format::count(all.sent),
        format::count(all.confirmed),
        format::share(all.conversion()),
        format::count(most)
    );
    let (title_id, desc_id) = (format!("{id}-title"), format!("{id}-desc"));
    let labels = [0, slots.len() / 2, slots.len().saturating_sub(1)];
    html! {
        figure.chart {
            figcaption { (title) }
            div.plot {
                div.axis { span { "100%" } span { "0%" } }
                svg.line viewBox=(view(slots)) preserveAspectRatio="none" role="img"
                    aria-labelledby=(format!("{title_id} {desc_id}")) {
                    title id=(title_id) { (title) }
                    desc id=(desc_id) { (described) }
                    path.grid d=(grid(slots)) {}
                    path.conversion d=(conversion_line(slots)) {}
                    path.dots d=(conversion_dots(slots)) {}
                    (tooltips(slots))
                }
                div.axis { span { (format::count(most)) } span { "0" } }
                svg.bars viewBox=(view(slots)) preserveAspectRatio="none" aria-hidden="true" {
                    path.sent d=(bars(slots, most, |tally| tally.sent)) {}
                    path.confirmed d=(bars(slots, most, |tally| tally.confirmed)) {}
                    (tooltips(slots))
                }
            }
            div.ticks aria-hidden="true" {
                @for at in labels { @if let Some(slot) = slots.get(at) { span { (slot.label) } } }
            }
            p.legend {
                span.key.conversion {} "conversion " span.key.sent {} "sent " span.key.confirmed {} "confirmed"
            }
            (as_table(id, slots))
        }
    }
}

fn as_table(id: &str, slots: &[Slot]) -> Markup {
    html! {
        details id=(format!("{id}-table")) {
            summary { "As a table" }
            div.scroll id=(format!("{id}-scroll")) tabindex="0" role="region" aria-label=(format!("{id}, as a table")) {
                table {
                    thead { tr {
                        th scope="col" { "From" } th.n scope="col" { "Sent" }
                        th.n scope="col" { "Confirmed" } th.n scope="col" { "Conversion" }
                    } }
                    tbody { @for slot in slots { tr {
                        th scope="row" { (slot.label) }
                        td.n { (format::count(slot.tally.sent)) }
                        td.n { (format::count(slot.tally.confirmed)) }
                        td.n { (format::share(slot.tally.conversion())) }
                    } } }
                }
            }
        }
    }
}

/// A table of the times from sending to proof, with a bar for each bucket.
pub(super) fn waits(tally: &BucketCounts) -> Markup {
    let most = tally.waits.iter().copied().max().unwrap_or_default();
    let mut so_far = 0;
    html! {
        table.bars {
            caption.unseen { "The time from the sending of a message to the act that proved it" }
            thead { tr {
                th scope="col" { "Within" } th scope="col" { span.unseen { "Share" } }
                th.n scope="col" { "Messages" } th.n scope="col" { "So far" }
            } }
            tbody { @for (at, count) in tally.waits.iter().copied().enumerate() { tr {
                @let () = so_far += count;
                th scope="row" { (bound(at)) }
                td.wide { (bar(format::part(count, most), "confirmed")) }
                td.n { (format::count(count)) }
                td.n { (format::share(format::part(so_far, tally.confirmed))) }
            } } }
        }
    }
}

/// A bar whose length is a share of its table cell.
pub(super) fn bar(share: Option<f64>, class: &str) -> Markup {
    let width = format!("{:.1}", share.unwrap_or_default().clamp(0.0, 1.0) * 100.0);
    html! {
        svg.bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="10" {}
            rect class=(class) width=(width) height="10" {}
        }
    }
}

fn bound(at: usize) -> String {
    match WAIT_BOUNDS.get(at) {
        None => "longer".to_owned(),
        Some(seconds @ 0..60) => format!("{seconds} s"),
        Some(seconds @ 60..3_600) => format!("{} min", seconds / 60),
        Some(seconds) => format!("{} h", seconds / 3_600),
    }
}

fn view(slots: &[Slot]) -> String {
    format!("0 0 {} {HEIGHT}", left(slots.len()))
}

/// The horizontal position of a slot.
#[expect(clippy::cast_precision_loss, reason = "a few dozen")]
fn left(at: usize) -> f64 {
    at as f64 * SLOT
}

fn grid(slots: &[Slot]) -> String {
    let right = left(slots.len());
    [0.0, HEIGHT / 2.0, HEIGHT].map(|y| format!("M0 {y}H{right}")).concat()
}

/// The points of the slots that have a conversion.
fn points(slots: &[Slot]) -> impl Iterator<Item = (usize, f64, f64)> {
    slots.iter().enumerate().filter_map(|(at, slot)| {
        let share = slot.tally.conversion()?;
        Some((at, left(at) + SLOT / 2.0, HEIGHT * (1.0 - share)))
    })
}

/// The line has gaps at slots without sent messages.
fn conversion_line(slots: &[Slot]) -> String {
    let mut path = String::new();
    let mut last = None;
    for (at, x, y) in points(slots) {
        let continues = last.is_some_and(|last: usize| last + 1 == at);
        let _ = write!(path, "{}{x} {y:.2}", if continues { 'L' } else { 'M' });
        last = Some(at);
    }
    path
}

/// A stroke without length is a round dot at every scale of the SVG.
fn conversion_dots(slots: &[Slot]) -> String {
    points(slots).map(|(_, x, y)| format!("M{x} {y:.2}h0.01")).collect::<Vec<_>>().concat()
}

fn bars(slots: &[Slot], most: u64, of: impl Fn(&BucketCounts) -> u64) -> String {
    let mut path = String::new();
    for (at, slot) in slots.iter().enumerate() {
        let height = format::part(of(&slot.tally), most).unwrap_or_default() * HEIGHT;
        let (x, width) = (left(at) + SLOT * 0.12, SLOT * 0.76);
        if height > 0.0 {
            let _ = write!(path, "M{x:.1} {HEIGHT}v-{height:.2}h{width:.1}v{height:.2}z");
        }
    }
    path
}

/// The tooltips of the slots.
fn tooltips(slots: &[Slot]) -> Markup {
    html! {
        @for (at, slot) in slots.iter().enumerate() {
            rect.hover x=(left(at)) width=(SLOT) height=(HEIGHT) {
                title { (slot.label) ": " (format::count(slot.tally.sent)) " sent, "
                    (format::count(slot.tally.confirmed)) " confirmed, "
                    (format::share(slot.tally.conversion())) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(sent: u64, confirmed: u64) -> Slot {
        Slot {
            label: "10:00".to_owned(),
            tally: BucketCounts { sent, confirmed, ..BucketCounts::default() },
        }
    }

    #[test]
    fn the_line_has_gaps_at_slots_without_sent_messages() {
        let slots = [slot(4, 1), slot(2, 2), slot(0, 0), slot(10, 5)];
        assert_eq!(conversion_line(&slots), "M5 75.00L15 0.00M35 50.00");
        assert_eq!(conversion_dots(&slots).matches('M').count(), 3);
        assert_eq!(bars(&slots, 10, |tally| tally.sent).matches('z').count(), 3);
    }

    #[test]
    fn a_chart_without_messages_has_a_dash_and_no_invalid_number() {
        let chart = over_time("x", "Conversion", &[slot(0, 0)]).into_string();
        assert!(chart.contains("0 sent, 0 confirmed, – altogether"), "{chart}");
        assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
    }

    #[test]
    fn a_bucket_is_labelled_with_its_bound() {
        let names: Vec<String> = (0..=WAIT_BOUNDS.len()).map(bound).collect();
        assert_eq!(
            (&*names[0], &*names[4], &*names[10], &*names[11]),
            ("5 s", "1 min", "6 h", "longer")
        );
    }
}
