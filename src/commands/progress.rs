//! How far long work has come, on standard error where a person watches: what is written to stdout, and what
//! a program reads, is the same with it and without.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// With a known end, and without one.
const MEASURED: &str = "{msg} [{bar:30}] {human_pos}/{human_len}, {eta} left";
const OPEN: &str = "{msg} {human_pos} in {elapsed}";

/// A bar. It clears itself away at the end, also where that comes by an error.
pub(super) struct Bar(ProgressBar);

/// Begins one, of so many where that is known. Where standard error is no terminal nothing is drawn.
pub(super) fn bar(total: Option<u64>, what: &'static str) -> Bar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let template = if total.is_some() { MEASURED } else { OPEN };
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(total, target).with_finish(ProgressFinish::AndClear);
    Bar(bar.with_style(style).with_message(what))
}

impl Bar {
    /// So many more are done.
    pub(super) fn add(&self, n: u64) {
        self.0.inc(n);
    }

    /// All are. Whoever writes to the terminal afterwards finds an empty line.
    pub(super) fn done(self) {
        self.0.finish_and_clear();
    }
}
