//! Streams rejected requests as they arrive. They are recorded while the client is connected, but not on the disk.
//!
//! The answer is a line of JSON for each recording, and an empty line every second, which reveals a closed connection. A
//! watch is limited in time and number.

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

use crate::admin::socket::state::ControlState;
use crate::recording::Recording;

/// The route of a watch: `POST` with [`WatchRequest`], answered with lines of [`WatchLine`].
pub const WATCH_REFUSED: &str = "/refused/watch";

const HEARTBEAT: Duration = Duration::from_secs(1);
const MAX_SECONDS: u64 = 60 * 60;
const MAX_COUNT: u32 = 1000;

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct WatchRequest {
    pub seconds: u64,
    pub count: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchLine {
    /// A rejected request, as the bytes of its `.http` file.
    Recording(Vec<u8>),
    End(WatchEnd),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchEnd {
    Time,
    Count,
    /// Another watch has begun.
    Replaced,
}

/// A running watch. Dropping it ends the recording.
struct RunningWatch {
    recordings: mpsc::Receiver<Recording>,
    left: u32,
    deadline: Instant,
    heartbeat: Interval,
    has_ended: bool,
}

pub(super) async fn watch(
    control: web::Data<ControlState>,
    request: web::Json<WatchRequest>,
) -> HttpResponse {
    let (seconds, count) = (request.seconds.min(MAX_SECONDS), request.count.min(MAX_COUNT));
    tracing::info!(
        seconds,
        most = count,
        "watch of rejected requests began: `heardback doctor --watch` gets them for at most {seconds} s"
    );
    let watch = RunningWatch {
        recordings: (control.watch_rejected)(),
        left: count,
        deadline: Instant::from_std(crate::telemetry::clock::monotonic())
            + Duration::from_secs(seconds),
        heartbeat: interval(HEARTBEAT),
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
            _ = self.heartbeat.tick() => Some(Bytes::from_static(b"\n")),
        }
    }

    fn end(&mut self, why: WatchEnd) -> Bytes {
        self.has_ended = true;
        line(&WatchLine::End(why))
    }
}

impl Drop for RunningWatch {
    fn drop(&mut self) {
        tracing::info!(
            "watch of rejected requests ended: `heardback doctor --watch` gets no more of them"
        );
    }
}

fn line(line: &WatchLine) -> Bytes {
    // Serialisation of bytes and unit variants cannot fail.
    let mut json = serde_json::to_vec(line).unwrap_or_default();
    json.push(b'\n');
    Bytes::from(json)
}
