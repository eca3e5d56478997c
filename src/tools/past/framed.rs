//! A CSV cut into its records: each on a line of its own, of a bounded length.
//!
//! A record may span lines, if a quote says so, and then a stray quote swallows the lines behind it. Nobody can
//! tell the one from the other, so what spans lines is read to its end and used for nothing.

use std::io::{self, BufRead};

use crate::tools::past::lines::Bad;

/// The longest line, in bytes. A message with all its columns has a few thousand.
pub(super) const LONGEST: usize = 64 << 10;

/// The number of its first line, and its only one.
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
            let mut quotes = Quotes { delimiter: self.delimiter, state: State::Start };
            let Some(line) = self.one(&mut quotes)? else { return Ok(None) };
            let first = self.line;
            if line.is_empty() {
                continue;
            }
            if !quotes.are_open() && line.len() <= LONGEST {
                return Ok(Some((first, Ok(line))));
            }
            while quotes.are_open() && self.one(&mut quotes)?.is_some() {}
            return Ok(Some((first, Err(self.bad(first, quotes.are_open())))));
        }
    }

    fn bad(&self, first: u64, is_open: bool) -> Bad {
        let last = self.line;
        if is_open {
            let why = format!(
                "a quote opens in it and is never closed, so nothing of lines {first} to {last} was used: \
                 take it out"
            );
            return Bad::new("line", why);
        }
        if last > first {
            let why = format!(
                "a quote opens in it and closes on line {last}, so nothing of lines {first} to {last} was \
                 used: take the quote or the line breaks out"
            );
            return Bad::new("line", why);
        }
        Bad::new("line", format!("it is longer than {LONGEST} bytes"))
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

/// Whether a quote is open, as the `csv` crate reads it: one opens at a field's beginning only, and two within
/// are one.
struct Quotes {
    delimiter: u8,
    state: State,
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
    fn see(&mut self, byte: u8) {
        let is_quote = byte == b'"';
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

    fn are_open(&self) -> bool {
        self.state == State::Quoted
    }
}
