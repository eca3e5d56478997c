//! A body: counted against a cap, read under one deadline. actix has neither for a raw payload
//! (docs/design.md, "HTTP"), and an extractor of its own would inflate or wait for ever.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::web::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::inbound::connections::{Connection, LARGE_BODY};
use crate::inbound::rejection::Rejection;

/// How long a body may take, from its first byte to its last. Twilio's are sent in one piece.
const DEADLINE: Duration = Duration::from_secs(5);
/// What is read of a refused body, so that the answer is not lost in a connection reset.
const DRAIN_CAP: usize = 2 << 20;
/// How long that may take.
const DRAIN_DEADLINE: Duration = Duration::from_secs(1);
/// Pieces that a body of any length may come in: chunks of its encoding, or reads of its connection.
const PIECES: usize = 2048;
/// A body may have one more piece for each such number of bytes. A small piece costs as much work as a large one, and a
/// chunk of one byte takes six bytes on the wire.
const PIECE: usize = 256;

/// Counts the pieces of a body, and shuts the connection that sends too many.
struct BodyChunks<'a> {
    request: &'a HttpRequest,
    count: usize,
    bytes: usize,
}

impl<'a> BodyChunks<'a> {
    fn of(request: &'a HttpRequest) -> Self {
        Self { request, count: 0, bytes: 0 }
    }

    /// # Errors
    /// [`Rejection::Fragmented`]: actix would decode the rest for as long as it comes, so the connection is shut.
    fn add(&mut self, piece: &[u8]) -> Result<(), Rejection> {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.count <= PIECES + self.bytes / PIECE {
            return Ok(());
        }
        if let Some(connection) = self.request.conn_data::<Arc<Connection>>() {
            connection.shut();
        }
        Err(Rejection::Fragmented)
    }
}

/// Reads the body.
///
/// # Errors
/// [`Rejection::TooLarge`] where more than `cap` bytes are declared or come; [`Rejection::TooSlow`];
/// [`Rejection::Interrupted`] where it breaks off or is framed wrongly; [`Rejection::Fragmented`].
pub(super) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    cap: usize,
) -> Result<Bytes, Rejection> {
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > cap as u64) {
        drain(request, payload).await;
        return Err(Rejection::TooLarge { cap });
    }
    let gather = async {
        // No more than was declared is taken, and nothing of it is touched before it comes.
        let length = declared.and_then(|declared| usize::try_from(declared).ok());
        let mut body = BytesMut::with_capacity(length.unwrap_or_default());
        let mut pieces = BodyChunks::of(request);
        let mut place = None;
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Rejection::Interrupted)?;
            pieces.add(&chunk)?;
            if body.len() + chunk.len() > cap {
                return Err(Rejection::TooLarge { cap });
            }
            if body.len() + chunk.len() > LARGE_BODY && place.is_none() {
                let connection = request.conn_data::<Arc<Connection>>();
                place = connection.map(|connection| connection.place_for_a_large_body());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let read = tokio::time::timeout(DEADLINE, gather).await;
    let read = read.unwrap_or(Err(Rejection::TooSlow { deadline: DEADLINE }));
    if matches!(read, Err(Rejection::TooLarge { .. })) {
        drain(request, payload).await;
    }
    read
}

/// Reads what little remains of a refused body.
pub(super) async fn drain(request: &HttpRequest, payload: &mut Payload) {
    let swallow = async {
        let mut pieces = BodyChunks::of(request);
        while let Some(Ok(chunk)) = payload.next().await {
            if pieces.add(&chunk).is_err() || pieces.bytes >= DRAIN_CAP {
                break;
            }
        }
    };
    // Whether it came to its end makes no difference: the connection is closed next.
    let _ = tokio::time::timeout(DRAIN_DEADLINE, swallow).await;
}
