//! A CSV cut into its records, of a bounded length (RFC 4180): a field in quotes may hold line breaks.
//!
//! `csv_core` says where a record ends. A stray quote reads like such a field, and swallows the lines behind it. So a
//! record that spans lines is used only if each field of it stands as RFC 4180 writes it, and if it holds the SID of
//! one message only.

use std::io::{self, BufRead};

use csv::{ByteRecord, ReaderBuilder};
use csv_core::{ReadRecordResult, Terminator};

use crate::commands::csv_import::lines::Bad;
use crate::domain::sid::MessageSid;

/// The longest record, in bytes. A message with all its columns has a few thousand.
const LONGEST: usize = 64 << 10;

/// The number of a record's first line, and its fields.
pub(super) type CsvRecord = (u64, Result<ByteRecord, Bad>);

/// The file, record by record.
pub(super) struct Framed {
    file: Box<dyn BufRead + Send>,
    delimiter: u8,
    framing: csv_core::Reader,
    /// The number of lines read.
    line: u64,
}

impl Framed {
    pub(super) fn new(file: Box<dyn BufRead + Send>, delimiter: u8) -> Self {
        let mut framing = csv_core::ReaderBuilder::new();
        let framing = framing.delimiter(delimiter).terminator(Terminator::Any(b'\n')).build();
        Self { file, delimiter, framing, line: 0 }
    }

    /// The next record that is not blank. `None` at the file's end.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(super) fn next(&mut self) -> io::Result<Option<CsvRecord>> {
        loop {
            let mut text = Vec::new();
            self.framing.reset();
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

    /// Appends a line, but no more than a byte beyond [`LONGEST`]. Returns whether it ends the record; `None` at the
    /// file's end.
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
            // The file's end ends its last line.
            let is_end = ends_record(&mut self.framing, if part.is_empty() { b"\n" } else { part });
            text.extend(part.iter().take((LONGEST + 1).saturating_sub(text.len())));
            self.file.consume(end);
            is_empty = false;
            if is_last {
                self.line += 1;
                return Ok(Some(is_end));
            }
        }
    }

    fn record(&self, text: &[u8], first: u64, is_whole: bool) -> Result<ByteRecord, Bad> {
        let last = self.line;
        let stray = |end: String| {
            let why = format!(
                "a quote opens in it and {end}, and seems to be a stray one: nothing of lines {first} to {last} was \
                 used; remove the quote"
            );
            Bad::new("line", why)
        };
        if !is_whole {
            return Err(stray("is never closed".to_owned()));
        }
        let spans = last > first;
        if spans && count_sids(text) > 1 {
            return Err(stray(format!("closes on line {last}")));
        }
        if text.len() > LONGEST {
            return Err(Bad::new("line", format!("the record is longer than {LONGEST} bytes")));
        }
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_lone = |pair: &[u8]| pair.first() == Some(&b'\r') && pair.get(1) != Some(&b'\n');
        if text.windows(2).any(is_lone) || text.ends_with(b"\r") {
            return Err(Bad::new("line", "expected no carriage return but before a line feed"));
        }
        let mut reader = ReaderBuilder::new();
        let reader = reader.delimiter(self.delimiter).has_headers(false).flexible(true);
        let mut record = ByteRecord::new();
        let read = reader.from_reader(text).read_byte_record(&mut record);
        read.map_err(|error| Bad::new("line", error))?;
        if spans && !is_strict(text, &record, self.delimiter) {
            return Err(stray(format!("closes on line {last}")));
        }
        record.trim();
        Ok(record)
    }
}

/// Feeds the bytes to the parser. Whether a record ends with them.
fn ends_record(framing: &mut csv_core::Reader, mut bytes: &[u8]) -> bool {
    let (mut fields, mut ends) = ([0; 1024], [0; 64]);
    loop {
        let (result, read, ..) = framing.read_record(bytes, &mut fields, &mut ends);
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

/// Whether each field stands in quotes, or holds none.
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
