//! The records of a CSV (RFC 4180), of a bounded length. A field in quotes may contain line breaks.
//!
//! A stray quote looks like the start of such a field, which then includes the lines after it. So a record of several
//! lines is used only if its quotes follow RFC 4180 strictly and it contains at most one message's SID.

use std::fmt::Display;
use std::io::{self, BufRead};

use csv::{ByteRecord, ReaderBuilder};
use csv_core::{ReadRecordResult, Terminator};

use crate::domain::sid::MessageSid;

/// The longest record. A message with all its columns has a few thousand bytes.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// Why a record cannot be used. `why` begins with the field's name, and never contains the field's value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) field: &'static str,
    pub(super) why: String,
}

impl LineError {
    pub(super) fn new(field: &'static str, why: impl Display) -> Self {
        Self { field, why: format!("{field}: {why}") }
    }
}

/// The number of a record's first line, and its fields.
pub(super) type CsvRecord = (u64, Result<ByteRecord, LineError>);

pub(super) struct CsvRecords {
    file: Box<dyn BufRead + Send>,
    delimiter: u8,
    parser: csv_core::Reader,
    line: u64,
}

impl CsvRecords {
    pub(super) fn new(file: Box<dyn BufRead + Send>, delimiter: u8) -> Self {
        let mut parser = csv_core::ReaderBuilder::new();
        let parser = parser.delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self { file, delimiter, parser, line: 0 }
    }

    /// The next record that is not blank. `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<CsvRecord>> {
        loop {
            let mut text = Vec::new();
            self.parser.reset();
            let Some(mut is_whole) = self.read_line(&mut text)? else { return Ok(None) };
            let first = self.line;
            if text.iter().all(|byte| b"\r\n".contains(byte)) {
                continue;
            }
            while !is_whole && let Some(is_end) = self.read_line(&mut text)? {
                is_whole = is_end;
            }
            return Ok(Some((first, self.record(&text, first, is_whole))));
        }
    }

    /// Appends a line, up to one byte more than [`MAX_RECORD_BYTES`]. Returns whether it ends the record; `None` at the end of
    /// the file.
    fn read_line(&mut self, text: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let mut is_empty = true;
        loop {
            let bytes = self.file.fill_buf()?;
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            let part = bytes.get(..end).unwrap_or_default();
            let is_last = part.is_empty() || part.ends_with(b"\n");
            if part.is_empty() && is_empty {
                return Ok(None);
            }
            // The end of the file ends its last line.
            let is_end = ends_record(&mut self.parser, if part.is_empty() { b"\n" } else { part });
            text.extend(part.iter().take((MAX_RECORD_BYTES + 1).saturating_sub(text.len())));
            self.file.consume(end);
            is_empty = false;
            if is_last {
                self.line += 1;
                return Ok(Some(is_end));
            }
        }
    }

    fn record(&self, text: &[u8], first: u64, is_whole: bool) -> Result<ByteRecord, LineError> {
        let last = self.line;
        let stray = |end: String| {
            let why = format!(
                "a quote opens in it and {end}; it is probably a stray quote, so none of lines {first} to {last} \
                 were used; remove the quote"
            );
            LineError::new("line", why)
        };
        if !is_whole {
            return Err(stray("is never closed".to_owned()));
        }
        let spans = last > first;
        if spans && count_sids(text) > 1 {
            return Err(stray(format!("closes on line {last}")));
        }
        if text.len() > MAX_RECORD_BYTES {
            let why = format!("the record is longer than {MAX_RECORD_BYTES} bytes");
            return Err(LineError::new("line", why));
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_lone = |pair: &[u8]| pair.first() == Some(&b'\r') && pair.get(1) != Some(&b'\n');
        if text.windows(2).any(is_lone) || text.ends_with(b"\r") {
            return Err(LineError::new("line", "expected a line feed after each carriage return"));
        }
        let mut reader = ReaderBuilder::new();
        let reader = reader.delimiter(self.delimiter).has_headers(false).flexible(true);
        let mut record = ByteRecord::new();
        let read = reader.from_reader(text).read_byte_record(&mut record);
        read.map_err(|error| LineError::new("line", error))?;
        if spans && !is_strict(text, &record, self.delimiter) {
            return Err(stray(format!("closes on line {last}")));
        }
        record.trim();
        Ok(record)
    }
}

fn ends_record(parser: &mut csv_core::Reader, mut bytes: &[u8]) -> bool {
    let (mut fields, mut ends) = ([0; 1024], [0; 64]);
    loop {
        let (result, read, ..) = parser.read_record(bytes, &mut fields, &mut ends);
        bytes = bytes.get(read..).unwrap_or_default();
        match result {
            ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {}
            ReadRecordResult::InputEmpty => return false,
            ReadRecordResult::Record | ReadRecordResult::End => return true,
        }
    }
}

fn count_sids(text: &[u8]) -> usize {
    let text = String::from_utf8_lossy(text);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| MessageSid::parse(word).is_ok()).count()
}

/// Whether every field is in quotes, or contains none.
fn is_strict(text: &[u8], record: &ByteRecord, delimiter: u8) -> bool {
    let rest = record.iter().try_fold(text, |rest, field| {
        let escaped = field.split(|byte| *byte == b'"').collect::<Vec<_>>().join(&b"\"\""[..]);
        let quoted = [b"\"", &escaped[..], b"\""].concat();
        let plain = || rest.strip_prefix(field).filter(|_| !field.contains(&b'"'));
        let rest = rest.strip_prefix(&quoted[..]).or_else(plain)?;
        rest.strip_prefix(&[delimiter]).or(rest.is_empty().then_some(rest))
    });
    rest.is_some_and(<[u8]>::is_empty)
}
