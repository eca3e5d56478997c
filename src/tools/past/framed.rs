//! A CSV cut into its records, of a bounded length (RFC 4180): a field in quotes may hold line breaks.
//!
//! A stray quote reads like such a field, and swallows the lines behind it. So a record that spans lines is used
//! only if each quote in it stands where RFC 4180 allows one, and it holds the SID of one message only.

use std::io::{self, BufRead};

use crate::domain::sid::MessageSid;
use crate::tools::past::lines::Bad;

/// The longest record, in bytes. A message with all its columns has a few thousand.
pub(super) const LONGEST: usize = 64 << 10;

/// The number of its first line, and its bytes.
pub(super) type Record = (u64, Result<Vec<u8>, Bad>);

/// The file, line by line.
pub(super) struct Framed {
    file: Box<dyn BufRead + Send>,
    delimiter: u8,
    /// How many lines were read.
    line: u64,
}

impl Framed {
    pub(super) fn new(file: Box<dyn BufRead + Send>) -> Self {
        Self { file, delimiter: b',', line: 0 }
    }

    /// What separates the columns; until then a comma.
    pub(super) fn separate_by(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    /// The next record that is not blank, and the number of its first line. `None` at the file's end.
    ///
    /// # Errors
    /// It cannot be read on.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        loop {
            let mut quotes = Quotes::new(self.delimiter);
            let Some(mut record) = self.one(&mut quotes)? else { return Ok(None) };
            let first = self.line;
            if record.is_empty() {
                continue;
            }
            let mut sids = count_sids(&record);
            while quotes.is_open()
                && let Some(line) = self.one(&mut quotes)?
            {
                sids += count_sids(&line);
                let room = (LONGEST + 1).saturating_sub(record.len());
                record.push(b'\n');
                record.extend(line.into_iter().take(room));
            }
            let spans = self.line > first;
            let is_sound = !quotes.is_open() && !(spans && (sids > 1 || quotes.is_stray()));
            if is_sound && record.len() <= LONGEST {
                return Ok(Some((first, Ok(record))));
            }
            return Ok(Some((first, Err(self.bad(first, quotes.is_open(), is_sound)))));
        }
    }

    fn bad(&self, first: u64, is_open: bool, is_sound: bool) -> Bad {
        let last = self.line;
        if is_sound {
            return Bad::new("line", format!("the record is longer than {LONGEST} bytes"));
        }
        let end =
            if is_open { "is never closed".to_owned() } else { format!("closes on line {last}") };
        let why = format!(
            "a quote opens in it and {end}, and seems to be a stray one: nothing of lines {first} to {last} was \
             used; remove the quote"
        );
        Bad::new("line", why)
    }

    /// A line without its break; of one that is longer than [`LONGEST`] only the beginning.
    fn one(&mut self, quotes: &mut Quotes) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let mut is_there = false;
        loop {
            let bytes = self.file.fill_buf()?;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let part = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
            for byte in part {
                quotes.see(*byte);
            }
            let room = (LONGEST + 1).saturating_sub(line.len()).min(part.len());
            line.extend_from_slice(part.get(..room).unwrap_or_default());
            let (taken, is_end) = (end.map_or(bytes.len(), |at| at + 1), bytes.is_empty());
            self.file.consume(taken);
            is_there |= taken > 0;
            if end.is_some() || is_end {
                break;
            }
        }
        if !is_there {
            return Ok(None);
        }
        self.line += 1;
        quotes.end_line();
        if line.ends_with(b"\r") {
            line.pop();
        }
        Ok(Some(line))
    }
}

fn count_sids(line: &[u8]) -> usize {
    let text = String::from_utf8_lossy(line);
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| MessageSid::parse(word).is_ok()).count()
}

/// Whether a quote is open, as the `csv` crate reads it: one opens at a field's beginning only, and two within
/// are one.
struct Quotes {
    delimiter: u8,
    state: State,
    /// Whether a quote stood where RFC 4180 allows none.
    stray: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At a field's beginning.
    Start,
    Plain,
    Quoted,
    /// Behind a quote within quotes, which closes them unless another one follows.
    Closing,
}

impl Quotes {
    fn new(delimiter: u8) -> Self {
        Self { delimiter, state: State::Start, stray: false }
    }

    fn see(&mut self, byte: u8) {
        let is_quote = byte == b'"';
        self.stray |= match self.state {
            State::Plain => is_quote,
            State::Closing => !is_quote && byte != self.delimiter && byte != b'\r',
            State::Start | State::Quoted => false,
        };
        self.state = match self.state {
            State::Start | State::Closing if is_quote => State::Quoted,
            State::Quoted if is_quote => State::Closing,
            State::Quoted => State::Quoted,
            State::Start | State::Plain | State::Closing if byte == self.delimiter => State::Start,
            State::Start | State::Plain | State::Closing => State::Plain,
        };
    }

    fn end_line(&mut self) {
        self.state = match self.state {
            State::Quoted => State::Quoted,
            State::Start | State::Plain | State::Closing => State::Start,
        };
    }

    fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    fn is_stray(&self) -> bool {
        self.stray
    }
}
