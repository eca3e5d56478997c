//! `doctor --watch`: diagnoses the rejected requests of a running service as they arrive.
//!
//! The service sends them over its control socket while this command is connected, so no restart is needed. They stay in
//! memory, one at a time, unless `--keep` names a folder. The output holds no value of a request.

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
use crate::config::Settings;
use crate::config::written;
use crate::recording::rotating_dir::{KEPT, RecordingValue, RotatingDir, WHEN};
use crate::recording::{AT_NOTE, HASHED_NOTE, REFUSED_NOTE, Recording};

const DEFAULT_TIME: Duration = Duration::from_mins(10);
const DEFAULT_COUNT: u32 = 20;

#[derive(Serialize)]
struct WatchedRequest<'a> {
    at: Option<&'a str>,
    method: &'a str,
    url: String,
    refused: Option<&'a str>,
    file: Option<String>,
    #[serde(flatten)]
    diagnosis: Diagnosis,
}

/// Watches until `stop` completes, or a bound is reached. Returns whether the cause of every rejection was found.
pub(crate) async fn run(
    settings: &Settings,
    args: &DoctorArgs,
    out: &mut Stdout<impl Write>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    let store = settings.control_folder();
    let bounds = WatchRequest {
        seconds: args.watch_for.unwrap_or(DEFAULT_TIME).as_secs(),
        count: args.count.unwrap_or(DEFAULT_COUNT),
    };
    let time = written(Duration::from_secs(bounds.seconds));
    let kept = args.keep.as_deref().map(RotatingDir::open).transpose();
    let kept = kept.context("--keep: the folder cannot be used")?;
    let Some(mut answer) = control::post_to_service(store, WATCH_REFUSED, &bounds).await? else {
        bail!(
            "no service has the store in {} open; start `heardback serve`, or name recorded files",
            store.display()
        )
    };
    let folder = args.keep.as_ref().map(|folder| folder.display());
    let place = match &folder {
        Some(folder) => format!("The last {KEPT} are kept in {folder}, readable by you alone."),
        None => "They stay in memory and are not kept.".to_owned(),
    };
    note(format_args!(
        "Watching for refused requests: for {time}, at most {}, one a second. Ctrl-C ends it.\n\
         Requests may hold phone numbers and texts. {place}",
        bounds.count
    ));
    let mut watch = WatchSession { settings, json: args.json, kept, all_found: true, seen: 0 };
    let end = tokio::select! {
        () = stop => "ended".to_owned(),
        end = watch.follow(&mut answer, out) => match end? {
            Some(WatchEnd::Time) => format!("{time} are over"),
            Some(WatchEnd::Count) => format!("{} requests were seen", bounds.count),
            Some(WatchEnd::Replaced) => "another `heardback doctor --watch` has begun".to_owned(),
            None => "the reader of stdout has closed it".to_owned(),
        },
    };
    let left = folder.filter(|_| watch.seen > 0).map_or_else(String::new, |folder| {
        format!(" They are in {folder}: delete them when you are done.")
    });
    note(format_args!("Watch over ({end}): {} seen, recording is off.{left}", watch.seen));
    Ok(watch.all_found)
}

struct WatchSession<'a> {
    settings: &'a Settings,
    json: bool,
    kept: Option<RotatingDir>,
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
                let line = serde_json::from_slice(&line)
                    .context("the service's answer cannot be read; it may be of another release")?;
                match line {
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
        let file = self.kept.as_ref().map(|folder| keep(folder, recording)).transpose();
        let file = file.context("--keep: the request cannot be kept")?;
        let diagnosis = diagnose(self.settings, recording);
        self.all_found &= diagnosis.is_found();
        let base = self.settings.public_urls.first().map_or("", |url| url.as_str());
        let url = shown_url(&format!("{base}{}", recording.target));
        let (at, refused) = (recording.note(AT_NOTE), recording.note(REFUSED_NOTE));
        let method = recording.method.as_str();
        if self.json {
            let request = WatchedRequest { at, method, url, refused, file, diagnosis };
            return Ok(serde_json::to_string(&request)? + "\n");
        }
        let file = file.map_or_else(String::new, |file| format!("Kept as {file}\n"));
        let (at, refused) = (at.unwrap_or_default(), refused.unwrap_or_default());
        Ok(format!("{at}  {method} {url}  {refused}\n{}{file}\n", diagnosis.text()))
    }
}

/// Keeps a request. Returns the name of its file.
fn keep(folder: &RotatingDir, recording: &Recording) -> std::io::Result<String> {
    let at = recording.note(AT_NOTE).and_then(|at| at.parse::<Timestamp>().ok());
    let when = at.unwrap_or(Timestamp::UNIX_EPOCH).strftime(WHEN).to_string();
    let reason = recording.note(REFUSED_NOTE).unwrap_or_default();
    let reason = reason.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let value = match recording.note(HASHED_NOTE) {
        Some(_) => RecordingValue::Unverifiable,
        None => RecordingValue::Verifiable,
    };
    folder.keep(&when, &format!("watch-{reason}"), value, recording)
}
