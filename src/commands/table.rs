//! Tables in the width of the terminal. Columns that do not fit continue on indented lines below.
//!
//! Only a cell that is wider than the terminal is cut. Without a terminal, a record is one line.

use std::io::IsTerminal;

use terminal_size::Width;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::config::process_env;
pub(super) use crate::domain::redact::plain;

const GAP: usize = 2;
const INDENT: usize = 4;

/// The width of stdout: of its terminal, or in `COLUMNS`. `None` if it has no limit.
pub(super) fn width() -> Option<usize> {
    let stdout = std::io::stdout();
    let terminal = stdout.is_terminal().then(|| terminal_size::terminal_size_of(stdout)).flatten();
    let variable = || process_env("COLUMNS")?.parse().ok();
    terminal.map(|(Width(columns), _)| usize::from(columns)).or_else(variable)
}

/// A table. Empty columns are not shown.
pub(super) struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.iter().map(|head| (*head).to_owned()).collect(), rows: Vec::new() }
    }

    /// Adds a row with one cell for each head.
    pub(super) fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| plain(cell)).collect());
    }

    pub(super) fn render(&self, width: Option<usize>) -> String {
        let shown: Vec<usize> = (0..self.heads.len()).filter(|at| self.has(*at)).collect();
        let widths: Vec<usize> = shown.iter().map(|at| self.widest(*at)).collect();
        let lines = wrapped(&widths, width);
        let mut out = String::new();
        for cells in std::iter::once(&self.heads).chain(&self.rows) {
            let mut columns = shown.iter().filter_map(|at| cells.get(*at));
            for line in &lines {
                let cells: Vec<_> = columns.by_ref().take(line.widths.len()).collect();
                // A continuation line without text is left out.
                if line.indent == 0 || cells.iter().any(|cell| !cell.is_empty()) {
                    line.write(&cells, &mut out);
                }
            }
        }
        out
    }

    fn has(&self, at: usize) -> bool {
        self.rows.iter().any(|row| row.get(at).is_some_and(|cell| !cell.is_empty()))
    }

    fn widest(&self, at: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.width());
        cells.chain(self.heads.get(at).map(|head| head.width())).max().unwrap_or_default()
    }
}

struct Line {
    indent: usize,
    widths: Vec<usize>,
}

fn wrapped(columns: &[usize], width: Option<usize>) -> Vec<Line> {
    let width = width.unwrap_or(usize::MAX);
    let mut lines: Vec<Line> = Vec::new();
    let mut used = 0;
    for column in columns {
        match lines.last_mut() {
            Some(line) if used + GAP + column <= width => {
                line.widths.push(*column);
                used += GAP + column;
            }
            Some(_) | None => {
                let indent = if lines.is_empty() { 0 } else { INDENT };
                let fits = (*column).min(width.saturating_sub(indent).max(1));
                lines.push(Line { indent, widths: vec![fits] });
                used = indent + fits;
            }
        }
    }
    lines
}

impl Line {
    fn write(&self, cells: &[&String], out: &mut String) {
        let mut line = " ".repeat(self.indent);
        for (cell, width) in cells.iter().zip(&self.widths) {
            let cell = cut(cell, *width);
            line.push_str(&cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

fn cut(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.to_owned();
    }
    let mut used = 1;
    let fits = cell.chars().take_while(|c| {
        used += c.width().unwrap_or_default();
        used <= width
    });
    fits.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["message", "state", "nothing", "why"]);
        let long = "Twilio says a great deal about what it does not like".to_owned();
        table.row(&["SM1".to_owned(), "refused".to_owned(), String::new(), long]);
        table.row(&["SM22".to_owned(), "sent".to_owned(), String::new(), String::new()]);
        table
    }

    #[test]
    fn without_a_terminal_a_record_is_one_line() {
        let shown = table().render(None);
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], "message  state    why");
        assert_eq!(lines[2], "SM22     sent");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn columns_that_do_not_fit_go_below_and_no_line_is_wider_than_the_terminal() {
        for width in [12, 20, 40, 60, 80] {
            let shown = table().render(Some(width));
            assert!(shown.lines().all(|line| line.width() <= width), "{width}\n{shown}");
            assert!(shown.contains("SM22") && shown.contains("refused"), "{shown}");
        }
        let shown = table().render(Some(60));
        assert!(
            shown.contains("\n    Twilio says a great deal about what it does not like\n"),
            "{shown}"
        );
    }

    #[test]
    fn the_text_of_a_record_cannot_control_the_terminal() {
        let mut table = Table::new(&["reference"]);
        table.row(&["a\u{1b}[2Jb\nc\u{202e}d 漢字".to_owned()]);
        assert_eq!(table.render(None), "reference\na\u{fffd}[2Jb\u{fffd}c\u{fffd}d 漢字\n");
        assert_eq!(table.render(Some(4)).lines().last(), Some("a\u{fffd}[…"));
    }
}
