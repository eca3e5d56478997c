//! The file that `export` writes and `import` reads: JSON lines between a header and an end.
//!
//! The header identifies the key of the hashed persons. The end counts the records, so that a cut file is detected.
//! Errors name the number of a line and none of its text.

use std::io::{BufRead, Read as _};

use anyhow::Context;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::ExportRecord;

/// The only format that is written and read.
const FORMAT: u32 = 2;
/// The longest line, in bytes: several times the longest record. The control socket accepts more than a hundred of them
/// in one request.
const MAX_LINE: u64 = 16 << 10;

pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: u32,
    pub(super) release: String,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub(super) at: Timestamp,
    /// The check value of the key that hashed the persons.
    #[serde(rename = "persons")]
    pub(super) key_check: String,
}

impl Head {
    pub(super) fn new(at: Timestamp, key_check: String) -> Self {
        Self { format: FORMAT, release: env!("CARGO_PKG_VERSION").to_owned(), at, key_check }
    }
}

/// The last line: the number of records of each kind.
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
            ExportRecord::DedupKey { .. } => &mut self.counted,
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

    pub(super) fn describe(&self) -> String {
        let rows = [
            (self.messages, "messages"),
            (self.parked, "parked or orphaned"),
            (self.links, "click links"),
            (self.counted, "counted ids"),
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

/// A line that is no record.
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExportLineError {
    #[error("it is longer than {MAX_LINE} bytes, the limit of a record")]
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
    fn read(text: &[u8]) -> Result<Self, ExportLineError> {
        let kind: Kind = serde_json::from_slice(text).map_err(|_| ExportLineError::NotJson)?;
        if matches!(kind.r#type.as_str(), "heardback" | "end") {
            return match serde_json::from_slice(text).map_err(|_| ExportLineError::Unknown)? {
                ExportFrame::Heardback(head) => Ok(Self::Head(head)),
                ExportFrame::End(tally) => Ok(Self::End(tally)),
            };
        }
        let record: ExportRecord =
            serde_json::from_slice(text).map_err(|_| ExportLineError::Unknown)?;
        match record.flaw() {
            Some(why) => Err(ExportLineError::Unfit(why)),
            None => Ok(Self::Record(Box::new(record))),
        }
    }
}

pub(super) struct ExportReader<R> {
    from: R,
    number: u64,
    head: Head,
    tally: RecordTotals,
    ended: bool,
}

impl<R: BufRead> ExportReader<R> {
    /// Reads the header.
    pub(super) fn begin(mut from: R) -> anyhow::Result<Self> {
        let mut first = next_line(&mut from).context("cannot read line 1")?;
        // Some editors write a byte order mark.
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

    pub(super) fn tally(&self) -> RecordTotals {
        self.tally
    }

    /// The next record; `None` after the end.
    ///
    /// # Errors
    /// A line is invalid, or there is no end. The error names the line and none of its text.
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
                let (counted, came) = (tally.total(), self.tally.total());
                anyhow::ensure!(
                    tally == self.tally,
                    "line {number}, the end, counts {counted} records; {came} came, or of other types"
                );
                self.ended = true;
                self.next()
            }
        }
    }
}

/// The release of a header, without characters that control a terminal.
fn plain(release: &str) -> &str {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let is_release = (1..=32).contains(&release.len()) && release.chars().all(is_plain);
    if is_release { release } else { "unknown" }
}

/// A line without its line feed; `None` at the end of the file.
fn next_line(from: &mut impl BufRead) -> std::io::Result<Option<Result<Vec<u8>, ExportLineError>>> {
    let mut text = Vec::new();
    from.take(MAX_LINE + 1).read_until(b'\n', &mut text)?;
    if text.is_empty() {
        return Ok(None);
    }
    if text.ends_with(b"\n") {
        text.pop();
    }
    let is_long = u64::try_from(text.len()).is_ok_and(|length| length > MAX_LINE);
    Ok(Some(if is_long { Err(ExportLineError::TooLong) } else { Ok(text) }))
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    const HEAD: &str = r#"{"type":"heardback","format":2,"release":"0.1.0","at":"2026-01-31T12:00:00.000Z","persons":"00"}"#;
    const HOLD: &str = r#"{"type":"hold","account":"AC0123456789abcdef0123456789abcdef","since":"2026-01-31T12:00:00.123Z"}"#;
    const END: &str = r#"{"type":"end","holds":1,"counted":0,"messages":0,"links":0,"senders":0,"names":0,"automatic":0,"parked":0}"#;

    /// The number of records in these lines, or their error.
    fn read(lines: &[&str]) -> Result<u64, String> {
        let text = lines.join("\n");
        let text_of = |error: anyhow::Error| format!("{error:#}");
        let mut lines = ExportReader::begin(BufReader::new(text.as_bytes())).map_err(text_of)?;
        while lines.next().map_err(text_of)?.is_some() {}
        Ok(lines.tally().total())
    }

    #[test]
    fn totals_name_only_the_kinds_with_records() {
        let tally = RecordTotals { messages: 2, holds: 1, ..RecordTotals::default() };
        assert_eq!(tally.describe(), "3 records: 2 messages, 1 accounts on hold");
        assert_eq!(RecordTotals::default().describe(), "0 records");
    }

    #[test]
    fn a_whole_file_is_read() {
        assert_eq!(read(&[HEAD, HOLD, END]), Ok(1));
        assert_eq!(read(&[HEAD, HOLD, END, ""]), Ok(1));
        assert_eq!(read(&[&format!("\u{feff}{HEAD}"), HOLD, END]), Ok(1));
    }

    #[test]
    fn an_error_names_its_line_and_never_its_text() {
        let secret = "+15551234567";
        let odd = format!(r#"{{"type":"{secret}"}}"#);
        let short = format!(r#"{{"type":"hold","account":"{secret}"}}"#);
        let long = format!(r#"{{"type":"hold","account":"{}"}}"#, secret.repeat(2_000));
        let unproven = r#"{"type":"sender","account":"AC0123456789abcdef0123456789abcdef","address":"","service":"MG0123456789abcdef0123456789abcdef"}"#;
        let later = HEAD.replace(r#""format":2"#, r#""format":3"#);
        let earlier = HEAD.replace(r#""format":2"#, r#""format":1"#);
        for (lines, words) in [
            (&[secret][..], "line 1 is no header"),
            (&[HOLD, END], "line 1 is no header"),
            (&[&later], "it has export format 3 of release 0.1.0"),
            (&[&earlier], "this release reads format 2 only"),
            (&[HEAD], "it has no end: it was cut after line 1"),
            (&[HEAD, HOLD], "it has no end: it was cut after line 2"),
            (&[HEAD, HOLD, secret], "line 3 cannot be read: it is no JSON"),
            (&[HEAD, HOLD, "", END], "line 3 cannot be read: it is no JSON"),
            (&[HEAD, HOLD, &odd], "line 3 cannot be read: unknown record type"),
            (&[HEAD, &short], "line 2 cannot be read: unknown record type"),
            (&[HEAD, &long], "line 2 cannot be read: it is longer than"),
            (&[HEAD, unproven], "line 2 cannot be read: a sender has"),
            (&[HEAD, HEAD], "line 2 is a second header"),
            (&[HEAD, END], "line 2, the end, counts 1 records; 0 came"),
            (&[HEAD, HOLD, END, HOLD], "line 4 comes after the end"),
        ] {
            let error = read(lines).expect_err(words);
            assert!(error.contains(words), "{error}");
            assert!(!error.contains("555"), "{error}");
        }
    }

    #[test]
    fn a_header_cannot_control_the_terminal() {
        let later = HEAD.replace(r#""format":2"#, r#""format":3"#);
        let error = read(&[&later.replace("0.1.0", r"\u001b[2J")]).expect_err("another format");
        assert!(error.contains("release unknown") && !error.contains('\u{1b}'), "{error:?}");
        assert!(read(&[&later]).expect_err("another format").contains("release 0.1.0"));
    }
}
