//! The table of settings, one row each. The flag, the help, the default, the parser, the value that `check` prints and
//! the list of known names come from the row.
//!
//! A problem shows a value only if it cannot be a secret that was pasted into the wrong setting.

mod forward;
mod http;
mod logs;
mod matching;
mod send;
mod store;
mod twilio;

use crate::config::reader::Setting;

/// Every setting, in the order of the help.
pub fn every_setting() -> impl Iterator<Item = &'static Setting> {
    [twilio::ROWS, http::ROWS, send::ROWS, forward::ROWS, matching::ROWS, store::ROWS, logs::ROWS]
        .into_iter()
        .flatten()
}
