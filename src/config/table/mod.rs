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

use crate::config::names::{STORE, TWILIO};
use crate::config::reader::Setting;

/// The settings under each heading of the help, in its order.
pub(super) fn sections() -> [(&'static str, &'static [Setting]); 7] {
    [
        (TWILIO, twilio::ROWS),
        ("HTTP", http::ROWS),
        ("Sending", send::ROWS),
        ("Forward", forward::ROWS),
        ("Matching", matching::ROWS),
        (STORE, store::ROWS),
        ("Logs", logs::ROWS),
    ]
}

/// Every setting, in the order of the help.
pub fn every_setting() -> impl Iterator<Item = &'static Setting> {
    settings_under(|_| true)
}

pub(super) fn settings_under(
    is_wanted: impl Fn(&str) -> bool,
) -> impl Iterator<Item = &'static Setting> {
    let wanted = sections().into_iter().filter(move |(heading, _)| is_wanted(heading));
    wanted.flat_map(|(_, settings)| settings)
}
