//! Refused requests over the control socket, as they come in: recording is on while the connection is there.
//!
//! The answer is a line of JSON for each recording and an empty line every second, so that a client that has gone
//! is noticed. It is bounded in time and number, and nothing of it touches the disk.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, interval, sleep_until};

use crate::inbound::control::Control;
use crate::recording::Recording;

/// Asks for refused requests: `POST` with [`WatchRefused`], answered with lines of [`WatchLine`].
pub const WATCH_REFUSED: &str = "/refused/watch";

const BEAT: Duration = Duration::from_secs(1);
/// No watch is longer than this, in seconds.
const LONGEST: u64 = 60 * 60;
/// No watch takes more recordings.
const MOST: u32 = 1000;

/// How long and how many to watch.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WatchRefused {
    /// At most so long, in seconds.
    pub seconds: u64,
    /// At most so many recordings.
    pub count: u32,
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchLine {
    /// A refused request, as the bytes of its `.http` file.
    Recording(Vec<u8>),
    /// The last line.
    End(WatchEnd),
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchEnd {
    /// Its time is over.
    Time,
    /// It has seen as many as it asked for.
    Count,
    /// Another watch has begun.
    Replaced,
}

/// A watch that runs. When it is dropped, recording is off again.
struct Watch {
    recordings: mpsc::Receiver<Recording>,
    left: u32,
    deadline: Instant,
    beat: Interval,
    has_ended: bool,
}

pub(super) async fn watch(
    control: web::Data<Control>,
    asked: web::Json<WatchRefused>,
) -> HttpResponse {
    let (seconds, count) = (asked.seconds.min(LONGEST), asked.count.min(MOST));
    tracing::info!(
        seconds,
        count,
        "refused requests are shown to `heardback doctor --watch`, for at most {seconds} s"
    );
    let watch = Watch {
        recordings: control.refusals.watch(),
        left: count,
        deadline: Instant::now() + Duration::from_secs(seconds),
        beat: interval(BEAT),
        has_ended: false,
    };
    let lines = stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, Infallible>(line), watch))
    });
    HttpResponse::Ok().content_type("application/x-ndjson").streaming(lines)
}

impl Watch {
    /// The next line; `None` behind the last.
    async fn next(&mut self) -> Option<Bytes> {
        if self.has_ended {
            return None;
        }
        if self.left == 0 {
            return Some(self.end(WatchEnd::Count));
        }
        tokio::select! {
            recording = self.recordings.recv() => Some(match recording {
                Some(recording) => {
                    self.left -= 1;
                    line(&WatchLine::Recording(recording.to_bytes()))
                }
                None => self.end(WatchEnd::Replaced),
            }),
            () = sleep_until(self.deadline) => Some(self.end(WatchEnd::Time)),
            _ = self.beat.tick() => Some(Bytes::from_static(b"\n")),
        }
    }

    fn end(&mut self, why: WatchEnd) -> Bytes {
        self.has_ended = true;
        line(&WatchLine::End(why))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        tracing::info!("refused requests are no longer shown to `heardback doctor --watch`");
    }
}

fn line(line: &WatchLine) -> Bytes {
    // Bytes and words: there is nothing in it that JSON cannot hold.
    let mut json = serde_json::to_vec(line).unwrap_or_default();
    json.push(b'\n');
    Bytes::from(json)
}
