//! Streams a backup. The end frame of the file shows that it is complete, so a broken connection needs no other signal.

#![expect(clippy::disallowed_types, reason = "chunks of a stream")]

use std::convert::Infallible;

use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::stream;

use crate::admin::socket::state::{ControlState, failed};

pub(super) async fn backup(control: web::Data<ControlState>) -> HttpResponse {
    let mut pieces = match (control.backup)().await {
        Ok(pieces) => pieces,
        Err(error) => return failed(&error),
    };
    let pieces = stream::poll_fn(move |context| {
        pieces
            .poll_recv(context)
            .map(|piece| piece.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))))
    });
    HttpResponse::Ok().content_type("application/octet-stream").streaming(pieces)
}
