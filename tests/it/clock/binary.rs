//! The real binary with a wall clock that the test shifts.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::backup::binary::run;
use crate::given::DAY;
use crate::harness::running::{Running, command};
use crate::harness::{Harness, LONG, RECIPIENT, SENDER, eventually, form, sid, status_callback};
use crate::skip::skipped_unless_ci;
use crate::support::preload;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/preload/shift.c");
const JUMP: &str = "heardback_clock_jump_seconds";

/// The folder with the compiled shim (`tests/preload/shift.c`) and the file that the shim reads.
pub(crate) struct Shim(TempDir);

impl Shim {
    pub(crate) fn build() -> Option<Self> {
        if !cfg!(target_os = "linux") {
            skipped_unless_ci("the shim over the clock is for Linux");
            return None;
        }
        let shim = Self(tempfile::tempdir().expect("a folder"));
        shim.shift(0);
        let Ok(built) = preload::compile(Path::new(SOURCE), &shim.path("shift.so")) else {
            skipped_unless_ci("there is no `cc`");
            return None;
        };
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Some(shim)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Sets the wall clock so many seconds ahead.
    pub(crate) fn shift(&self, seconds: i64) {
        // The rename is atomic: the shim never reads half a number.
        std::fs::write(self.path("next"), seconds.to_string()).expect("written");
        std::fs::rename(self.path("next"), self.path("shift")).expect("renamed");
    }

    fn start(&self, harness: &Harness, more: &[(&str, &str)]) -> Running {
        let mut command = command(&harness.store(), &harness.twilio, more);
        command.env("LD_PRELOAD", self.path("shift.so")).env("SHIFT_FILE", self.path("shift"));
        Running::start(command)
    }

    pub(crate) fn restart(&self, harness: &mut Harness, more: &[(&str, &str)]) {
        harness.service.signal(Signal::TERM);
        harness.service.ends_within(LONG);
        harness.service = self.start(harness, more);
    }
}

/// The value of Twilio's `Date` header so many seconds from now.
fn date(shift: i64) -> String {
    let shift = Duration::from_secs(shift.unsigned_abs());
    httpdate::fmt_http_date(SystemTime::now() + shift)
}

fn register(harness: &Harness, number: u32) {
    let fields = [("MessageSid", &*sid(number)), ("To", RECIPIENT), ("From", SENDER)];
    assert!(harness.send(&form("/app/messages", &fields)).status < 300);
}

fn ahead(harness: &Harness) -> u64 {
    harness.service.metric(JUMP)
}

/// A service with three messages: 1 pending, 2 reported, 3 seen only in a callback.
fn filled() -> Harness {
    let harness = Harness::new(&[]);
    register(&harness, 1);
    harness.confirm(2);
    harness.reaches(2, "reported");
    assert_eq!(harness.send(&status_callback(3, "sent")).status, 204);
    harness
}

fn is_untouched(harness: &Harness) {
    for (number, state) in [(1, "pending"), (2, "reported"), (3, "untracked")] {
        assert_eq!(harness.state(number).as_deref(), Some(state), "{number}");
    }
}

#[test]
fn a_start_forty_days_ahead_loses_nothing_and_says_so_until_twilio_agrees() {
    let (Some(shim), mut harness) = (Shim::build(), filled()) else { return };
    shim.shift(40 * DAY);
    shim.restart(&mut harness, &[]);
    harness.service.says("clock jumped 40 days ahead");
    is_untouched(&harness);
    assert!(ahead(&harness) > 39 * DAY.unsigned_abs());
    let (code, told, _) = run(&["clock"], &harness.store());
    assert!(code == Some(1) && told.contains("jumped 40 days ahead"), "{told}");

    // Twilio contradicts the clock.
    harness.twilio.says_it_is(&date(0));
    harness.confirm(4);
    harness.reaches(4, "reported");
    is_untouched(&harness);
    assert!(ahead(&harness) > 39 * DAY.unsigned_abs(), "still");

    // While the service runs, the clock is corrected, and jumps again.
    shim.shift(0);
    eventually("the clock is no longer ahead", LONG, || ahead(&harness) == 0);
    harness.service.says("clock confirmed");
    shim.shift(40 * DAY);
    eventually("the clock is ahead again", LONG, || ahead(&harness) > 0);
    is_untouched(&harness);

    // This time Twilio agrees.
    harness.twilio.says_it_is(&date(40 * DAY));
    harness.confirm(5);
    harness.reaches(5, "reported");
    eventually("Twilio confirmed the clock", LONG, || ahead(&harness) == 0);
    assert_ne!(harness.state(1).as_deref(), Some("pending"));
    shim.restart(&mut harness, &[]);
    harness.service.says("records swept: ");
    assert!((1..=3).all(|number| harness.message(number).is_none()), "all three have expired");
    let line = harness.service.logs();
    let line = line.lines().find(|line| line.contains("records swept")).expect("a line").to_owned();
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["level"], &line["messages"]), (&"INFO".into(), &3.into()), "{line}");
    assert!(!harness.service.logs().contains("clock jumped"), "{}", harness.service.logs());
}

/// Starts a service with nothing to post and a clock that is these days ahead. It requests the time
/// from Twilio, which confirms the clock.
fn only_requests_the_time(days: i64, more: &[(&str, &str)]) {
    let (Some(shim), mut harness) = (Shim::build(), filled()) else { return };
    harness.twilio.says_it_is(&date(days * DAY));
    let before = harness.twilio.posts().len();
    shim.shift(days * DAY);
    shim.restart(&mut harness, more);
    harness.service.says(&format!("clock jumped {days} days ahead"));
    harness.service.says("clock confirmed");
    let asked = harness.twilio.posts().split_off(before);
    assert!(asked.iter().all(|line| line.starts_with("GET /2010-04-01/Accounts/")), "{asked:?}");
}

#[test]
fn a_service_with_nothing_to_post_requests_the_time_from_twilio() {
    only_requests_the_time(40, &[]);
}

#[test]
fn a_dry_run_requests_the_time_from_twilio_and_posts_nothing() {
    only_requests_the_time(20, &[("HEARDBACK_DRY_RUN", "true")]);
}

#[test]
fn the_operator_confirms_a_clock_that_twilio_contradicts() {
    let (Some(shim), mut harness) = (Shim::build(), filled()) else { return };
    let dry = [("HEARDBACK_DRY_RUN", "true")];
    harness.twilio.says_it_is(&date(0));
    shim.shift(20 * DAY);
    shim.restart(&mut harness, &dry);
    harness.service.says("clock jumped 20 days ahead");
    is_untouched(&harness);
    let (code, told, talk) = run(&["clock", "--confirm"], &harness.store());
    assert!(code == Some(0) && told.contains("They agree"), "{told}{talk}");
    assert_eq!((ahead(&harness), harness.state(1).as_deref()), (0, Some("expired")));
    shim.restart(&mut harness, &dry);
    harness.service.says("records swept: ");
    assert!(!harness.service.logs().contains("clock jumped"), "the confirmation was stored");
}

#[test]
fn records_from_a_clock_that_was_behind_outlive_its_correction() {
    let (Some(shim), mut harness) = (Shim::build(), filled()) else { return };
    harness.twilio.says_it_is(&date(0));
    shim.shift(-40 * DAY);
    shim.restart(&mut harness, &[]);
    harness.service.says("clock jumped 40 days back");
    register(&harness, 7);
    shim.shift(0);
    harness.confirm(8);
    harness.reaches(8, "reported");
    eventually("Twilio confirmed the clock", LONG, || ahead(&harness) == 0);
    shim.restart(&mut harness, &[]);
    is_untouched(&harness);
    assert_eq!(harness.state(7).as_deref(), Some("pending"));
    let created = harness.message(7).expect("there")["created_at"].to_string();
    let other = harness.message(8).expect("there")["created_at"].to_string();
    assert_eq!(created.get(..8), other.get(..8), "dated by the expected time");
}
