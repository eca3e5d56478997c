//! The real binary with a wall clock that the test shifts.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::backup::binary::run;
use crate::given::DAY;
use crate::harness::running::{Running, command};
use crate::harness::{LONG, RECIPIENT, SENDER, Scene, eventually, form, sid, status_callback};
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

    fn start(&self, scene: &Scene, more: &[(&str, &str)]) -> Running {
        let mut command = command(&scene.store(), &scene.twilio, more);
        command.env("LD_PRELOAD", self.path("shift.so")).env("SHIFT_FILE", self.path("shift"));
        Running::start(command)
    }

    pub(crate) fn restart(&self, scene: &mut Scene, more: &[(&str, &str)]) {
        scene.service.signal(Signal::TERM);
        scene.service.ends_within(LONG);
        scene.service = self.start(scene, more);
    }
}

/// The value of Twilio's `Date` header so many seconds from now.
fn date(shift: i64) -> String {
    let shift = Duration::from_secs(shift.unsigned_abs());
    httpdate::fmt_http_date(SystemTime::now() + shift)
}

fn register(scene: &Scene, number: u32) {
    let fields = [("MessageSid", &*sid(number)), ("To", RECIPIENT), ("From", SENDER)];
    assert!(scene.send(&form("/app/messages", &fields)).status < 300);
}

fn ahead(scene: &Scene) -> u64 {
    scene.service.metric(JUMP)
}

/// A service with three messages: 1 pending, 2 reported, 3 seen only in a callback.
fn filled() -> Scene {
    let scene = Scene::new(&[]);
    register(&scene, 1);
    scene.confirm(2);
    scene.reaches(2, "reported");
    assert_eq!(scene.send(&status_callback(3, "sent")).status, 204);
    scene
}

fn is_untouched(scene: &Scene) {
    for (number, state) in [(1, "pending"), (2, "reported"), (3, "untracked")] {
        assert_eq!(scene.state(number).as_deref(), Some(state), "{number}");
    }
}

#[test]
fn a_start_forty_days_ahead_loses_nothing_and_says_so_until_twilio_agrees() {
    let (Some(shim), mut scene) = (Shim::build(), filled()) else { return };
    shim.shift(40 * DAY);
    shim.restart(&mut scene, &[]);
    scene.service.says("clock jumped 40 days ahead");
    is_untouched(&scene);
    assert!(ahead(&scene) > 39 * DAY.unsigned_abs());
    let (code, told, _) = run(&["clock"], &scene.store());
    assert!(code == Some(1) && told.contains("jumped 40 days ahead"), "{told}");

    // Twilio contradicts the clock.
    scene.twilio.says_it_is(&date(0));
    scene.confirm(4);
    scene.reaches(4, "reported");
    is_untouched(&scene);
    assert!(ahead(&scene) > 39 * DAY.unsigned_abs(), "still");

    // While the service runs, the clock is corrected, and jumps again.
    shim.shift(0);
    eventually("the clock is no longer ahead", LONG, || ahead(&scene) == 0);
    scene.service.says("clock confirmed");
    shim.shift(40 * DAY);
    eventually("the clock is ahead again", LONG, || ahead(&scene) > 0);
    is_untouched(&scene);

    // This time Twilio agrees.
    scene.twilio.says_it_is(&date(40 * DAY));
    scene.confirm(5);
    scene.reaches(5, "reported");
    eventually("Twilio confirmed the clock", LONG, || ahead(&scene) == 0);
    assert_ne!(scene.state(1).as_deref(), Some("pending"));
    shim.restart(&mut scene, &[]);
    scene.service.says("records swept: ");
    assert!((1..=3).all(|number| scene.message(number).is_none()), "all three have expired");
    let line = scene.service.logs();
    let line = line.lines().find(|line| line.contains("records swept")).expect("a line").to_owned();
    let line: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&line["level"], &line["messages"]), (&"INFO".into(), &3.into()), "{line}");
    assert!(!scene.service.logs().contains("clock jumped"), "{}", scene.service.logs());
}

/// Starts a service with nothing to post and a clock that is these days ahead. It requests the time
/// from Twilio, which confirms the clock.
fn only_requests_the_time(days: i64, more: &[(&str, &str)]) {
    let (Some(shim), mut scene) = (Shim::build(), filled()) else { return };
    scene.twilio.says_it_is(&date(days * DAY));
    let before = scene.twilio.posts().len();
    shim.shift(days * DAY);
    shim.restart(&mut scene, more);
    scene.service.says(&format!("clock jumped {days} days ahead"));
    scene.service.says("clock confirmed");
    let asked = scene.twilio.posts().split_off(before);
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
    let (Some(shim), mut scene) = (Shim::build(), filled()) else { return };
    let dry = [("HEARDBACK_DRY_RUN", "true")];
    scene.twilio.says_it_is(&date(0));
    shim.shift(20 * DAY);
    shim.restart(&mut scene, &dry);
    scene.service.says("clock jumped 20 days ahead");
    is_untouched(&scene);
    let (code, told, talk) = run(&["clock", "--confirm"], &scene.store());
    assert!(code == Some(0) && told.contains("They agree"), "{told}{talk}");
    assert_eq!((ahead(&scene), scene.state(1).as_deref()), (0, Some("expired")));
    shim.restart(&mut scene, &dry);
    scene.service.says("records swept: ");
    assert!(!scene.service.logs().contains("clock jumped"), "the confirmation was stored");
}

#[test]
fn records_from_a_clock_that_was_behind_outlive_its_correction() {
    let (Some(shim), mut scene) = (Shim::build(), filled()) else { return };
    scene.twilio.says_it_is(&date(0));
    shim.shift(-40 * DAY);
    shim.restart(&mut scene, &[]);
    scene.service.says("clock jumped 40 days back");
    register(&scene, 7);
    shim.shift(0);
    scene.confirm(8);
    scene.reaches(8, "reported");
    eventually("Twilio confirmed the clock", LONG, || ahead(&scene) == 0);
    shim.restart(&mut scene, &[]);
    is_untouched(&scene);
    assert_eq!(scene.state(7).as_deref(), Some("pending"));
    let created = scene.message(7).expect("there")["created_at"].to_string();
    let other = scene.message(8).expect("there")["created_at"].to_string();
    assert_eq!(created.get(..8), other.get(..8), "dated by the expected time");
}
