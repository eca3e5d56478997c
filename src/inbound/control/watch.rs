//! Refused requests over the control socket, as they arrive. Recording is on while the client is connected.
//!
//! The answer is a line of JSON for each recording and an empty line every second, which reveals a closed
//! connection. A watch is bounded in time and number, and writes nothing to the disk.

#![expect(
    clippy::disallowed_types,
    reason = "the socket authenticates the operator; chunks of a stream"
)]

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

/// The route of a watch: `POST` with [`WatchRequest`], answered with lines of [`WatchLine`].
pub const WATCH_REFUSED: &str = "/refused/watch";

const BEAT: Duration = Duration::from_secs(1);
/// No watch is longer than this, in seconds.
const LONGEST: u64 = 60 * 60;
/// No watch returns more recordings.
const MOST: u32 = 1000;

/// The limits of a watch.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WatchRequest {
    /// The longest duration, in seconds.
    pub seconds: u64,
    /// The highest number of recordings.
    pub count: u32,
}

/// A line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchLine {
    /// A refused request, as the bytes of its `.http` file.
    Recording(Vec<u8>),
    End(WatchEnd),
}

/// Why a watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchEnd {
    /// The time is over.
    Time,
    /// It has returned as many recordings as requested.
    Count,
    /// Another watch has begun.
    Replaced,
}

/// A running watch. When it is dropped, it records no more.
struct RunningWatch {
    recordings: mpsc::Receiver<Recording>,
    left: u32,
    deadline: Instant,
    beat: Interval,
    has_ended: bool,
}

pub(super) async fn watch(
    control: web::Data<Control>,
    asked: web::Json<WatchRequest>,
) -> HttpResponse {
    let (seconds, count) = (asked.seconds.min(LONGEST), asked.count.min(MOST));
    tracing::info!(
        seconds,
        count,
        "refused requests are shown to `heardback doctor --watch`, for at most {seconds} s"
    );
    let watch = RunningWatch {
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

impl RunningWatch {
    /// The next line; `None` after the last.
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

impl Drop for RunningWatch {
    fn drop(&mut self) {
        tracing::info!("refused requests are no longer shown to `heardback doctor --watch`");
    }
}

fn line(line: &WatchLine) -> Bytes {
    // A line holds bytes and words only, so its serialization cannot fail.
    let mut json = serde_json::to_vec(line).unwrap_or_default();
    json.push(b'\n');
    Bytes::from(json)
}
