//! Reads a request body under a size cap, a deadline and a limit on its pieces. actix has none of these for a raw payload
//! (docs/design.md, "HTTP"), and its own extractors decompress bodies.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{FromRequest, HttpRequest};
use futures_util::{FutureExt as _, StreamExt};

use crate::inbound::limits::connections::{Connection, LARGE_BODY};
use crate::inbound::rejection::Rejection;

/// The longest time from the first byte of a body to its last. Twilio sends a body in one piece.
const BODY_DEADLINE: Duration = Duration::from_secs(5);
/// The most bytes that are read of a rejected body, so that a connection reset does not destroy the answer.
const DRAIN_CAP: usize = 2 << 20;
/// The longest time for reading a rejected body.
const DRAIN_DEADLINE: Duration = Duration::from_secs(1);
/// The pieces that a body of any length may have: chunks of its encoding, or reads of its connection.
const BASE_PIECES: usize = 2048;
/// The number of bytes that allows a body one more piece. A small piece costs as much work as a large one, and a
/// chunk of one byte takes six bytes on the wire.
const BYTES_PER_PIECE: usize = 256;

/// A body that a handler can only discard.
pub(super) struct UnreadBody(Payload);

impl FromRequest for UnreadBody {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(_: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(Ok(Self(payload.take())))
    }
}

impl UnreadBody {
    /// Reads the body to its end, as [`read`] does, and drops it.
    pub(super) async fn discard(
        mut self,
        request: &HttpRequest,
        cap: usize,
    ) -> Result<(), Rejection> {
        read(request, &mut self.0, cap).await.map(drop)
    }

    /// Reads the body of a rejected request, as [`drain`] does.
    pub(super) async fn drain(mut self, request: &HttpRequest) {
        drain(request, &mut self.0).await;
    }
}

/// Counts the pieces of a body, and shuts a connection that sends too many.
struct PieceCount<'a> {
    request: &'a HttpRequest,
    count: usize,
    bytes: usize,
}

impl<'a> PieceCount<'a> {
    fn of(request: &'a HttpRequest) -> Self {
        Self { request, count: 0, bytes: 0 }
    }

    /// # Errors
    /// [`Rejection::Fragmented`]. The connection is shut, because actix would go on to decode the rest.
    fn add(&mut self, piece: &[u8]) -> Result<(), Rejection> {
        self.count += 1;
        self.bytes = self.bytes.saturating_add(piece.len());
        if self.count <= BASE_PIECES + self.bytes / BYTES_PER_PIECE {
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
/// [`Rejection::TooLarge`] if more than `cap` bytes are declared or sent, [`Rejection::TooSlow`],
/// [`Rejection::Interrupted`] if the body is incomplete or badly framed, [`Rejection::Fragmented`].
pub(super) async fn read(
    request: &HttpRequest,
    payload: &mut Payload,
    cap: usize,
) -> Result<Vec<u8>, Rejection> {
    let declared = request.headers().get(CONTENT_LENGTH);
    let declared = declared.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|declared| declared > cap as u64) {
        drain(request, payload).await;
        return Err(Rejection::TooLarge { cap });
    }
    let collect = async {
        // The declared length is at most the cap, and unused capacity takes no physical memory.
        let length = declared.and_then(|declared| usize::try_from(declared).ok());
        let mut body = Vec::with_capacity(length.unwrap_or_default());
        let mut pieces = PieceCount::of(request);
        let mut slot = None;
        while let Some(piece) = payload.next().await {
            let piece = piece.map_err(|_| Rejection::Interrupted)?;
            pieces.add(&piece)?;
            if body.len() + piece.len() > cap {
                return Err(Rejection::TooLarge { cap });
            }
            if body.len() + piece.len() > LARGE_BODY && slot.is_none() {
                let connection = request.conn_data::<Arc<Connection>>();
                slot = connection.map(|connection| connection.slot_for_large_body());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    };
    let result = {
        let mut collect = std::pin::pin!(collect);
        // Most bodies come with their heads, and need no timer.
        match collect.as_mut().now_or_never() {
            Some(result) => Ok(result),
            None => tokio::time::timeout(BODY_DEADLINE, collect).await,
        }
    };
    let result = result.unwrap_or(Err(Rejection::TooSlow { deadline: BODY_DEADLINE }));
    if matches!(result, Err(Rejection::TooLarge { .. })) {
        drain(request, payload).await;
    }
    result
}

/// Reads the rest of a rejected body, within [`DRAIN_CAP`] and [`DRAIN_DEADLINE`].
pub(super) async fn drain(request: &HttpRequest, payload: &mut Payload) {
    let discard = async {
        let mut pieces = PieceCount::of(request);
        while let Some(Ok(piece)) = payload.next().await {
            if pieces.add(&piece).is_err() || pieces.bytes >= DRAIN_CAP {
                break;
            }
        }
    };
    // A timeout makes no difference: the connection is closed next.
    let _ = tokio::time::timeout(DRAIN_DEADLINE, discard).await;
}
