//! The file that `export` writes and `import` reads: JSON, a line a record, between a header that says whose
//! persons these are and an end that says how many records came, so that a file that was cut is known by it.
//!
//! Whatever is wrong with a line is said by its number alone: what stands in it may be anything.

use std::io::{BufRead, Read as _};

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::ExportRecord;

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 2;
/// The longest line, in bytes: several times the longest record. A hundred of them are less than what the control
/// socket takes at once.
const MAX_LINE: u64 = 16 << 10;

/// A byte order mark.
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    /// Of the program that wrote it.
    pub(super) release: String,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub(super) at: Timestamp,
    /// The check of the key that hashed the persons in it.
    pub(super) persons: String,
}

impl Head {
    pub(super) fn new(at: Timestamp, persons: String) -> Self {
        Self { format: FORMAT, release: env!("CARGO_PKG_VERSION").to_owned(), at, persons }
    }
}

/// The last line: how many records there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordTotals {
    holds: u64,
    counted: u64,
    messages: u64,
    links: u64,
    senders: u64,
    names: u64,
    automatic: u64,
    parked: u64,
}

impl RecordTotals {
    pub(super) fn add(&mut self, record: &ExportRecord) {
        *match record {
            ExportRecord::Message(_) => &mut self.messages,
            ExportRecord::Parked(_) => &mut self.parked,
            ExportRecord::Link { .. } => &mut self.links,
            ExportRecord::Counted { .. } => &mut self.counted,
            ExportRecord::Sender { .. } => &mut self.senders,
            ExportRecord::Names { .. } => &mut self.names,
            ExportRecord::Automatic { .. } => &mut self.automatic,
            ExportRecord::Hold { .. } => &mut self.holds,
        } += 1;
    }

    pub(super) fn total(&self) -> u64 {
        let known = self.senders + self.names + self.automatic + self.holds;
        self.counted + self.messages + self.links + self.parked + known
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let rows = [
            (self.messages, "messages"),
            (self.parked, "parked or orphaned"),
            (self.links, "click links"),
            (self.counted, "counted once"),
            (self.senders, "senders"),
            (self.names, "people with several names"),
            (self.automatic, "automatic repliers"),
            (self.holds, "accounts on hold"),
        ];
        let rows = rows.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = rows.map(|(count, what)| format!("{count} {what}")).collect();
        let what = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{} records{what}", self.total())
    }
}

/// What a line but a record may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ExportFrame {
    Heardback(Head),
    End(RecordTotals),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum ExportLine {
    Head(Head),
    Record(Box<ExportRecord>),
    End(RecordTotals),
}

/// What is wrong with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it is longer than {MAX_LINE} bytes, which no record is")]
    TooLong,
    #[error("it is no JSON object with a \"type\"")]
    NotJson,
    #[error("unknown record type or missing field")]
    Unknown,
    #[error("{0}")]
    Unfit(&'static str),
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

impl ExportLine {
    fn read(text: &[u8]) -> Result<Self, Flaw> {
        let kind: Kind = serde_json::from_slice(text).map_err(|_| Flaw::NotJson)?;
        if matches!(kind.r#type.as_str(), "heardback" | "end") {
            return match serde_json::from_slice(text).map_err(|_| Flaw::Unknown)? {
                ExportFrame::Heardback(head) => Ok(Self::Head(head)),
                ExportFrame::End(tally) => Ok(Self::End(tally)),
            };
        }
        let record: ExportRecord = serde_json::from_slice(text).map_err(|_| Flaw::Unknown)?;
        match record.flaw() {
            Some(flaw) => Err(Flaw::Unfit(flaw)),
            None => Ok(Self::Record(Box::new(record))),
        }
    }
}

/// A file, line by line.
pub(super) struct ExportReader<R> {
    from: R,
    number: u64,
    head: Head,
    tally: RecordTotals,
    ended: bool,
}

impl<R: BufRead> ExportReader<R> {
    /// Reads its header.
    ///
    /// # Errors
    /// It has none that this release reads.
    pub(super) fn begin(mut from: R) -> anyhow::Result<Self> {
        let mut first = next_line(&mut from).context("cannot read line 1")?;
        // Some editors put a mark in front of what they save.
        if let Some(Ok(text)) = &mut first
            && text.starts_with(BOM)
        {
            text.drain(..BOM.len());
        }
        let first = first.and_then(|text| ExportLine::read(&text.ok()?).ok());
        let Some(ExportLine::Head(head)) = first else {
            anyhow::bail!("line 1 is no header: expected what `heardback export` wrote")
        };
        let (found, by) = (head.format, plain(&head.release));
        anyhow::ensure!(
            found == FORMAT,
            "it has export format {found} of release {by}, and this release reads format {FORMAT} only: export the \
             store with a release that writes format {FORMAT}, or import the file with release {by}"
        );
        Ok(Self { from, number: 1, head, tally: RecordTotals::default(), ended: false })
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// What was read so far.
    pub(super) fn tally(&self) -> RecordTotals {
        self.tally
    }

    /// The next record; `None` at the end, if it is one.
    ///
    /// # Errors
    /// A line is not what it has to be, or there is no end; which, but not what stands there.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<ExportRecord>> {
        let (read, number) = (next_line(&mut self.from), self.number + 1);
        let text = read.with_context(|| format!("cannot read line {number}"))?;
        let Some(text) = text else {
            anyhow::ensure!(self.ended, "it has no end: it was cut after line {}", self.number);
            return Ok(None);
        };
        self.number = number;
        let line = text.and_then(|text| ExportLine::read(&text));
        let line = line.with_context(|| format!("line {number} cannot be read"))?;
        anyhow::ensure!(!self.ended, "line {number} comes after the end");
        match line {
            ExportLine::Record(record) => {
                self.tally.add(&record);
                Ok(Some(*record))
            }
            ExportLine::Head(_) => anyhow::bail!("line {number} is a second header"),
            ExportLine::End(tally) => {
                let (said, came) = (tally.total(), self.tally.total());
                anyhow::ensure!(
                    tally == self.tally,
                    "line {number}, its end, counts {said} records; {came} came, or of other types"
                );
                self.ended = true;
                self.next()
            }
        }
    }
}

/// What a stranger's header says, so that it does nothing to a terminal.
fn plain(release: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let is_release = (1..=32).contains(&release.len()) && release.chars().all(is_plain);
    if is_release { release } else { "unknown" }
}

/// Without its end; `None` where there is none.
fn next_line(from: &mut impl BufRead) -> std::io::Result<Option<Result<Vec<u8>, Flaw>>> {
    let mut text = Vec::new();
    from.take(MAX_LINE + 1).read_until(b'\n', &mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    if text.ends_with(b"\n") {
        text.pop();
    }
    let is_long = u64::try_from(text.len()).is_ok_and(|length| length > MAX_LINE);
    Ok(Some(if is_long { Err(Flaw::TooLong) } else { Ok(text) }))
}

#[cfg(test)]
#[path = "export_format_tests.rs"]
mod tests;
