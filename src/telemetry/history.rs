//! A rolling history of samples, to compare the state of the process with an earlier one. Its size is bounded.
//!
//! Times are durations since the start of the process, so a jump of the wall clock moves no window.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples, at least one step apart, over one span of time.
#[derive(Debug)]
pub struct History<T> {
    step: Duration,
    span: Duration,
    samples: VecDeque<(Duration, T)>,
}

impl<T> History<T> {
    pub fn new(step: Duration, span: Duration) -> Self {
        Self { step, span, samples: VecDeque::new() }
    }

    /// Whether a step has passed since the last sample.
    pub fn is_due(&self, now: Duration) -> bool {
        self.samples.back().is_none_or(|(last, _)| now.saturating_sub(*last) >= self.step)
    }

    /// Adds a sample if one is due, and drops those that are older than the span.
    pub fn note(&mut self, now: Duration, sample: T) {
        if !self.is_due(now) {
            return;
        }
        self.samples.push_back((now, sample));
        // The oldest sample lies at the beginning of the span, or before it.
        let begins = now.saturating_sub(self.span);
        while self.samples.get(1).is_some_and(|(second, _)| *second <= begins) {
            self.samples.pop_front();
        }
    }

    /// The last sample at this time or before; `None` if the process is younger.
    pub fn at(&self, time: Duration) -> Option<&T> {
        let older = self.samples.partition_point(|(at, _)| *at <= time);
        self.samples.get(older.checked_sub(1)?).map(|(_, sample)| sample)
    }

    /// The last sample from before a window that ends now; `None` if the process is younger than the window.
    pub fn before(&self, now: Duration, window: Duration) -> Option<&T> {
        self.at(now.checked_sub(window)?)
    }

    /// The oldest sample of a window that ends now, and how old it is.
    pub fn oldest(&self, now: Duration, window: Duration) -> Option<(Duration, &T)> {
        let begins = now.saturating_sub(window);
        let (at, sample) = self.samples.iter().find(|(at, _)| *at >= begins)?;
        Some((now.saturating_sub(*at), sample))
    }

    /// The samples of a window that ends now.
    pub fn within(&self, now: Duration, window: Duration) -> impl Iterator<Item = &T> {
        let begins = now.saturating_sub(window);
        self.samples.iter().filter(move |(at, _)| *at >= begins).map(|(_, sample)| sample)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_last_sample_before_a_window_is_the_base_of_its_count() {
        let mut history = History::new(seconds(10), seconds(60));
        assert_eq!(history.before(seconds(5), seconds(0)), None);
        for at in 0..=200 {
            history.note(seconds(at), at);
        }
        assert_eq!(history.before(seconds(205), seconds(60)), Some(&140));
        assert_eq!(history.before(seconds(200), seconds(60)), Some(&140));
        assert_eq!(history.before(seconds(205), seconds(500)), None, "the process is younger");
        assert_eq!(history.oldest(seconds(205), seconds(60)), Some((seconds(55), &150)));
        assert_eq!(
            history.within(seconds(205), seconds(30)).collect::<Vec<_>>(),
            [&180, &190, &200]
        );
        assert_eq!(history.samples.len(), 7, "older ones are dropped");
    }

    #[test]
    fn a_window_that_begins_before_the_kept_samples_has_no_sample() {
        let mut history = History::new(seconds(10), seconds(60));
        history.note(seconds(300), "first");
        assert_eq!(history.before(seconds(320), seconds(60)), None);
        assert_eq!(history.before(seconds(320), seconds(20)), Some(&"first"));
    }
}
