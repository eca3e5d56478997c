//! `doctor --watch`: refused requests of a running service, diagnosed as they come in.
//!
//! The service sends them over its control socket while this command is connected, so no restart is needed.
//! They are held in memory, one at a time, unless `--keep` names a folder. The output holds no value of a request,
//! as with recorded ones.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use reqwest::Response;
use serde::Serialize;

use crate::admin::socket::{WATCH_REFUSED, WatchEnd, WatchLine, WatchRequest};
use crate::cli::DoctorArgs;
use crate::commands::control;
use crate::commands::doctor::offline::{Diagnosis, diagnose, shown_url};
use crate::commands::pipe_tolerant_stdout::{Stdout, note};
use crate::config::written;
use crate::config::{Settings, StoreUrl};
use crate::recording::rotating_dir::{KEPT, RecordingValue, RotatingDir, WHEN};
use crate::recording::{AT_NOTE, HASHED_NOTE, REFUSED_NOTE, Recording};

const DEFAULT_TIME: Duration = Duration::from_mins(10);
const DEFAULT_COUNT: u32 = 20;

/// One refused request.
#[derive(Serialize)]
struct Seen<'a> {
    at: Option<&'a str>,
    method: &'a str,
    url: String,
    refused: Option<&'a str>,
    file: Option<String>,
    #[serde(flatten)]
    finding: Diagnosis,
}

/// Watches until `stop` completes, or a bound is reached. Returns whether the cause of every refusal was found.
///
/// # Errors
/// No service has the store open, it ends meanwhile, or the folder cannot be used.
pub async fn run(
    settings: &Settings,
    args: &DoctorArgs,
    out: &mut Stdout<impl Write>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    let StoreUrl::Sled(store) = &settings.store;
    let bounds = WatchRequest {
        seconds: args.watch_for.unwrap_or(DEFAULT_TIME).as_secs(),
        count: args.count.unwrap_or(DEFAULT_COUNT),
    };
    let time = written(Duration::from_secs(bounds.seconds));
    let ring = args.keep.as_deref().map(RotatingDir::open).transpose();
    let ring = ring.context("--keep: the folder cannot be used")?;
    let Some(mut answer) = control::post_to_service(store, WATCH_REFUSED, &bounds).await? else {
        bail!(
            "no service has the store in {} open; start `heardback serve`, or name recorded files",
            store.display()
        )
    };
    note(format_args!("{}", begins(&time, bounds.count, args)));
    let mut watch = WatchSession { settings, json: args.json, ring, all_found: true, seen: 0 };
    let mut stop = std::pin::pin!(stop);
    let end = tokio::select! {
        () = &mut stop => "ended".to_owned(),
        end = watch.follow(&mut answer, out) => match end? {
            Some(WatchEnd::Time) => format!("{time} are over"),
            Some(WatchEnd::Count) => format!("{} requests were seen", bounds.count),
            Some(WatchEnd::Replaced) => "another `heardback doctor --watch` has begun".to_owned(),
            None => "the reader of stdout has gone away".to_owned(),
        },
    };
    let left =
        args.keep.as_ref().filter(|_| watch.seen > 0).map(|folder| {
            format!(" They are in {}: delete them when you are done.", folder.display())
        });
    let seen = watch.seen;
    note(format_args!(
        "Watch over ({end}): {seen} seen, recording is off.{}",
        left.unwrap_or_default()
    ));
    Ok(watch.all_found)
}

fn begins(time: &str, count: u32, args: &DoctorArgs) -> String {
    let place = match &args.keep {
        Some(folder) => format!(
            "Requests may hold phone numbers and texts. The last {KEPT} are kept in {}, for you alone.",
            folder.display()
        ),
        None => "Requests may hold phone numbers and texts. They stay in memory and are not kept."
            .to_owned(),
    };
    format!(
        "Watching for refused requests: for {time}, at most {count}, one a second. Ctrl-C ends it.\n{place}"
    )
}

struct WatchSession<'a> {
    settings: &'a Settings,
    json: bool,
    ring: Option<RotatingDir>,
    all_found: bool,
    seen: u32,
}

impl WatchSession<'_> {
    /// Prints each request up to the last line. `None`: the reader has closed the output.
    async fn follow(
        &mut self,
        answer: &mut Response,
        out: &mut Stdout<impl Write>,
    ) -> anyhow::Result<Option<WatchEnd>> {
        let mut pending = Vec::new();
        while let Some(chunk) = answer.chunk().await.context("the service has ended")? {
            pending.extend_from_slice(&chunk);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                if line == b"\n" {
                    continue;
                }
                let line = serde_json::from_slice(&line);
                match line
                    .context("the service's answer cannot be read; it may be of another release")?
                {
                    WatchLine::End(end) => return Ok(Some(end)),
                    WatchLine::Recording(bytes) => {
                        let text = self.describe(&Recording::parse(&bytes)?)?;
                        out.write_all(text.as_bytes())?;
                        out.flush()?;
                        if out.is_closed() {
                            return Ok(None);
                        }
                    }
                }
            }
        }
        bail!("the service has ended")
    }

    /// Diagnoses a request, and keeps it if `--keep` names a folder.
    fn describe(&mut self, recording: &Recording) -> anyhow::Result<String> {
        self.seen += 1;
        let file = self.ring.as_ref().map(|ring| keep(ring, recording)).transpose();
        let file = file.context("--keep: the request cannot be kept")?;
        let finding = diagnose(self.settings, recording);
        self.all_found &= finding.is_found();
        let base = self.settings.public_urls.first().map_or("", |url| url.as_str());
        let seen = Seen {
            at: recording.note(AT_NOTE),
            method: &recording.method,
            url: shown_url(&format!("{base}{}", recording.target)),
            refused: recording.note(REFUSED_NOTE),
            file,
            finding,
        };
        if self.json {
            return Ok(serde_json::to_string(&seen)? + "\n");
        }
        let Seen { at, method, url, refused, file, finding } = seen;
        let file = file.map(|file| format!("Kept as {file}\n")).unwrap_or_default();
        Ok(format!(
            "{}  {method} {url}  {}\n{}{file}\n",
            at.unwrap_or_default(),
            refused.unwrap_or_default(),
            finding.text()
        ))
    }
}

/// Keeps a request. Returns the name of its file.
fn keep(ring: &RotatingDir, recording: &Recording) -> std::io::Result<String> {
    let at = recording.note(AT_NOTE).and_then(|at| at.parse::<Timestamp>().ok());
    let when = at.unwrap_or(Timestamp::UNIX_EPOCH).strftime(WHEN).to_string();
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let why = recording.note(REFUSED_NOTE).unwrap_or_default();
    let why: String = why.chars().map(|c| if is_word(c) { c } else { '-' }).collect();
    let worth = match recording.note(HASHED_NOTE) {
        Some(_) => RecordingValue::Unverifiable,
        None => RecordingValue::Verifiable,
    };
    ring.keep(&when, &format!("watch-{why}"), worth, recording)
}
