//! The results of the images in numbers, and the faults of each image.

use std::fmt;

use crate::power::image::Image;
use crate::power::judge::Verdict;

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) images: usize,
    /// Images with unsynced data.
    pub(super) keep: usize,
    /// Images without some unsynced data.
    pub(super) drop: usize,
    /// Acknowledged facts checked, over all images.
    pub(super) facts: usize,
    /// Images with a missing fact or an unexpected record.
    pub(super) lost: usize,
    /// Images that did not open.
    pub(super) closed: usize,
    wrong: Vec<String>,
}

impl Report {
    pub(super) fn add(&mut self, name: &str, image: &Image, facts: usize, verdict: Verdict) {
        self.images += 1;
        self.keep += usize::from(image.keeps);
        self.drop += usize::from(image.drops);
        self.facts += facts;
        let what = match verdict {
            Verdict::Sound => return,
            Verdict::Closed(why) => {
                self.closed += 1;
                why
            }
            Verdict::Lost(lost) => {
                self.lost += 1;
                let some: Vec<_> = lost.iter().take(5).cloned().collect();
                format!("{} lost, such as {}", lost.len(), some.join("; "))
            }
        };
        self.wrong.push(format!("{name}, {:?}/{:?}: {what}", image.bytes, image.names));
    }

    /// Adds the numbers of another report.
    pub(super) fn take(&mut self, other: Self) {
        self.images += other.images;
        self.keep += other.keep;
        self.drop += other.drop;
        self.facts += other.facts;
        self.lost += other.lost;
        self.closed += other.closed;
        self.wrong.extend(other.wrong);
    }

    pub(super) fn must_be_clean(&self) {
        assert!(self.wrong.is_empty(), "{self}\n{}", self.wrong.join("\n"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, keep, drop, facts, lost, closed, .. } = self;
        write!(to, "{images} images ({drop} lack, {keep} hold something that was not synced), ")?;
        write!(to, "{facts} answered facts looked for, {lost} images with a loss, ")?;
        write!(to, "{closed} that did not open")
    }
}
