//! Charts as inline SVG. An SVG stretches with its card, so labels are HTML beside it; a table has all its numbers.
//! Deliberately absent: style attributes, which the page's Content-Security-Policy forbids.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::admin::page::format;
use crate::domain::stats::{BucketCounts, WAIT_BOUNDS};

/// The messages sent in one hour or on one day.
pub(super) struct Period {
    /// `10:00`, `23 Nov`.
    pub(super) label: String,
    pub(super) tally: BucketCounts,
}

/// The height of a chart and the width of a period, in units of the SVG.
const CHART_HEIGHT: f64 = 100.0;
const PERIOD_WIDTH: f64 = 10.0;

/// Conversion as a line, with bars of sent and confirmed messages below it.
pub(super) fn over_time(id: &str, title: &str, periods: &[Period]) -> Markup {
    let all = periods.iter().fold(BucketCounts::default(), |all, period| all + period.tally);
    let max = periods.iter().map(|period| period.tally.sent).max().unwrap_or_default();
    let described = format!(
        "{} sent, {} confirmed, {} altogether; the busiest had {}.",
        format::count(all.sent),
        format::count(all.confirmed),
        format::share(all.conversion()),
        format::count(max)
    );
    let (title_id, desc_id) = (format!("{id}-title"), format!("{id}-desc"));
    let labels = [0, periods.len() / 2, periods.len().saturating_sub(1)];
    html! {
        figure.chart {
            figcaption { (title) }
            div.plot {
                div.axis { span { "100%" } span { "0%" } }
                svg.line viewBox=(view(periods)) preserveAspectRatio="none" role="img"
                    aria-labelledby=(format!("{title_id} {desc_id}")) {
                    title id=(title_id) { (title) }
                    desc id=(desc_id) { (described) }
                    path.grid d=(grid(periods)) {}
                    path.conversion d=(conversion_line(periods)) {}
                    path.dots d=(conversion_dots(periods)) {}
                    (tooltips(periods))
                }
                div.axis { span { (format::count(max)) } span { "0" } }
                svg.bars viewBox=(view(periods)) preserveAspectRatio="none" aria-hidden="true" {
                    path.sent d=(bars(periods, max, |tally| tally.sent)) {}
                    path.confirmed d=(bars(periods, max, |tally| tally.confirmed)) {}
                    (tooltips(periods))
                }
            }
            div.ticks aria-hidden="true" {
                @for at in labels { @if let Some(period) = periods.get(at) { span { (period.label) } } }
            }
            p.legend {
                span.key.conversion {} "conversion " span.key.sent {} "sent " span.key.confirmed {} "confirmed"
            }
            (as_table(id, periods))
        }
    }
}

fn as_table(id: &str, periods: &[Period]) -> Markup {
    html! {
        details id=(format!("{id}-table")) {
            summary { "As a table" }
            div.scroll id=(format!("{id}-scroll")) tabindex="0" role="region" aria-label=(format!("{id}, as a table")) {
                table {
                    thead { tr {
                        th scope="col" { "From" } th.n scope="col" { "Sent" }
                        th.n scope="col" { "Confirmed" } th.n scope="col" { "Conversion" }
                    } }
                    tbody { @for period in periods { tr {
                        th scope="row" { (period.label) }
                        td.n { (format::count(period.tally.sent)) }
                        td.n { (format::count(period.tally.confirmed)) }
                        td.n { (format::share(period.tally.conversion())) }
                    } } }
                }
            }
        }
    }
}

/// A table of the times from sending to proof, with a bar for each bucket.
pub(super) fn waits(tally: &BucketCounts) -> Markup {
    let max = tally.waits.iter().copied().max().unwrap_or_default();
    let mut so_far = 0;
    html! {
        table.bars {
            caption.unseen { "The time from the sending of a message to the act that proved it" }
            thead { tr {
                th scope="col" { "Within" } th.n scope="col" colspan="2" { "Messages" }
                th.n scope="col" { "So far" }
            } }
            tbody { @for (at, count) in tally.waits.iter().copied().enumerate() { tr {
                @let () = so_far += count;
                th scope="row" { (bound(at)) }
                td.wide { (bar(format::part(count, max), "confirmed")) }
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

fn view(periods: &[Period]) -> String {
    format!("0 0 {} {CHART_HEIGHT}", left(periods.len()))
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen")]
fn left(at: usize) -> f64 {
    at as f64 * PERIOD_WIDTH
}

fn grid(periods: &[Period]) -> String {
    let right = left(periods.len());
    [0.0, CHART_HEIGHT / 2.0, CHART_HEIGHT].map(|y| format!("M0 {y}H{right}")).concat()
}

/// The points of the periods that have a conversion.
fn points(periods: &[Period]) -> impl Iterator<Item = (usize, f64, f64)> {
    periods.iter().enumerate().filter_map(|(at, period)| {
        let share = period.tally.conversion()?;
        Some((at, left(at) + PERIOD_WIDTH / 2.0, CHART_HEIGHT * (1.0 - share)))
    })
}

/// The line has gaps at periods without sent messages.
fn conversion_line(periods: &[Period]) -> String {
    let mut path = String::new();
    let mut last = None;
    for (at, x, y) in points(periods) {
        let continues = last.is_some_and(|last: usize| last + 1 == at);
        let _ = write!(path, "{}{x} {y:.2}", if continues { 'L' } else { 'M' });
        last = Some(at);
    }
    path
}

/// A stroke without length is a round dot at every scale of the SVG.
fn conversion_dots(periods: &[Period]) -> String {
    points(periods).map(|(_, x, y)| format!("M{x} {y:.2}h0.01")).collect::<Vec<_>>().concat()
}

fn bars(periods: &[Period], max: u64, of: impl Fn(&BucketCounts) -> u64) -> String {
    let mut path = String::new();
    for (at, period) in periods.iter().enumerate() {
        let height = format::part(of(&period.tally), max).unwrap_or_default() * CHART_HEIGHT;
        let (x, width) = (left(at) + PERIOD_WIDTH * 0.12, PERIOD_WIDTH * 0.76);
        if height > 0.0 {
            let _ = write!(path, "M{x:.1} {CHART_HEIGHT}v-{height:.2}h{width:.1}v{height:.2}z");
        }
    }
    path
}

fn tooltips(periods: &[Period]) -> Markup {
    html! {
        @for (at, period) in periods.iter().enumerate() {
            rect.hover x=(left(at)) width=(PERIOD_WIDTH) height=(CHART_HEIGHT) {
                title { (period.label) ": " (format::count(period.tally.sent)) " sent, "
                    (format::count(period.tally.confirmed)) " confirmed, "
                    (format::share(period.tally.conversion())) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(sent: u64, confirmed: u64) -> Period {
        Period {
            label: "10:00".to_owned(),
            tally: BucketCounts { sent, confirmed, ..BucketCounts::default() },
        }
    }

    #[test]
    fn the_line_has_gaps_at_periods_without_sent_messages() {
        let periods = [period(4, 1), period(2, 2), period(0, 0), period(10, 5)];
        assert_eq!(conversion_line(&periods), "M5 75.00L15 0.00M35 50.00");
        assert_eq!(conversion_dots(&periods).matches('M').count(), 3);
        assert_eq!(bars(&periods, 10, |tally| tally.sent).matches('z').count(), 3);
    }

    #[test]
    fn a_chart_without_messages_has_a_dash_and_no_invalid_number() {
        let chart = over_time("x", "Conversion", &[period(0, 0)]).into_string();
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
