//! `clock`: compares the wall clock with the store's trusted time; with `--confirm`, the operator confirms the wall clock.

use std::io::Write;

use jiff::SignedDuration;

use crate::admin::AdminRequest;
use crate::admin::clock::ClockState;
use crate::cli::operate::ClockArgs;
use crate::commands::store_access::{StoreAccess, shown_time};
use crate::domain::span::humanized;

/// Runs the command. Returns whether both times agree.
pub(super) async fn run(
    store: &StoreAccess,
    args: &ClockArgs,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let state: ClockState = store.request(AdminRequest::Clock { confirm: args.confirm }).await?;
    if args.common.json {
        writeln!(out, "{}", serde_json::to_string(&state)?)?;
    } else {
        write!(out, "{}", text(&state))?;
    }
    Ok(state.jumped_s.is_none())
}

fn text(state: &ClockState) -> String {
    let ClockState { wall, trusted, jumped_s, since } = state;
    let times =
        format!("Wall clock    {}\nTrusted time  {}\n", shown_time(*wall), shown_time(*trusted));
    let since = since.map(|since| format!(", noticed at {} (trusted time)", shown_time(since)));
    let since = since.unwrap_or_default();
    let comparison = match jumped_s {
        None => "They agree: records expire by the wall clock.".to_owned(),
        Some(seconds) => {
            let (direction, effect) = if seconds.is_positive() {
                ("ahead", "Records expire by the trusted time")
            } else {
                ("back", "Records expire later than they should")
            };
            format!(
                "The clock jumped {} {direction}{since}. {effect}. Correct the clock, or run \
                 `heardback clock --confirm` if it is right.",
                humanized(SignedDuration::from_secs(*seconds).abs())
            )
        }
    };
    format!("{times}{comparison}\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn the_text_says_how_far_the_clock_jumped_and_what_to_do() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let state = |jumped_s: Option<i64>| ClockState {
            wall: at(40 * 86_400),
            trusted: at(0),
            jumped_s,
            since: jumped_s.map(|_| at(0)),
        };
        assert!(text(&state(None)).contains("They agree"));
        let ahead = text(&state(Some(40 * 86_400)));
        assert!(ahead.contains("jumped 40 days ahead") && ahead.contains("--confirm"), "{ahead}");
        assert!(text(&state(Some(-7200))).contains("jumped 2 h back"));
    }
}
