//! A backup over the control socket: the file as it is made. Its end frame says whether it is whole, so
//! a connection that breaks needs no word of its own.

#![expect(clippy::disallowed_types, reason = "chunks of a stream")]

use std::convert::Infallible;
use std::task::Poll;

use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use futures_util::stream;

use crate::inbound::control::{Control, failed};

pub(super) async fn make(control: web::Data<Control>) -> HttpResponse {
    let mut pieces = match (control.backup)().await {
        Ok(pieces) => pieces,
        Err(error) => return failed(&error),
    };
    let pieces = stream::poll_fn(move |context| match pieces.poll_recv(context) {
        Poll::Ready(Some(piece)) => Poll::Ready(Some(Ok::<_, Infallible>(Bytes::from(piece)))),
        Poll::Ready(None) => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    });
    HttpResponse::Ok().content_type("application/octet-stream").streaming(pieces)
}
