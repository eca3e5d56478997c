//! A progress bar on standard error, if it is a terminal. Standard output does not change.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

/// The templates with a known total and without one.
const MEASURED: &str = "{msg} [{bar:30}] {human_pos}/{human_len}, {eta} left";
const OPEN: &str = "{msg} {human_pos} in {elapsed}";

/// A bar, which is cleared at the end and after an error.
pub(super) fn bar(total: Option<u64>, what: &'static str) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let template = if total.is_some() { MEASURED } else { OPEN };
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(total, target).with_finish(ProgressFinish::AndClear);
    bar.with_style(style).with_message(what)
}
