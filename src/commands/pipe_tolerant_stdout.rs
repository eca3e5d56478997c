//! Standard output and error of the commands. A reader that closes its end of a pipe (`| head`) is no failure: the
//! command continues, and its exit code shows its result.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// Standard output. Once its reader has closed it, further output is dropped.
pub struct Stdout<W> {
    out: W,
    is_closed: bool,
}

impl<W: Write> Stdout<W> {
    pub fn new(out: W) -> Self {
        Self { out, is_closed: false }
    }

    /// Whether the reader has closed it, so that a part of the output was dropped.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    fn unless_closed<T>(&mut self, done: io::Result<T>, instead: T) -> io::Result<T> {
        match done {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(instead)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed {
            return Ok(bytes.len());
        }
        let done = self.out.write(bytes);
        self.unless_closed(done, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_closed {
            return Ok(());
        }
        let done = self.out.flush();
        self.unless_closed(done, ())
    }
}

/// Writes text to standard output, with one line end.
///
/// # Errors
/// The text cannot be written, although the reader of standard output has not closed it.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = Stdout::new(io::stdout());
    writeln!(out, "{}", text.trim_end_matches('\n'))?;
    out.flush()
}

/// Writes a line to standard error. `eprintln!` would panic if the reader has closed it, as in `2>&1 | head`.
pub fn note(line: fmt::Arguments<'_>) {
    // There is no place to report this error.
    let _ = writeln!(io::stderr(), "{line}");
}
