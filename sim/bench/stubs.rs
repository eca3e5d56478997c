//! Two servers for comparison: bare actix-web, which reads a body and answers 204, and a fake Twilio that accepts all
//! feedback and creates every message.

#![expect(clippy::disallowed_types, reason = "the stub reads a body without parsing it")]

use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use crate::support::fake_twilio::{ApiReply, ApiRequest, FakeTwilio};
use crate::traffic::FORGED;

/// Heardback closes the connection after a forged request, so this server does too.
async fn no_content(request: HttpRequest, _body: Bytes) -> HttpResponse {
    let is_forged = |signature: &HeaderValue| signature.as_bytes().starts_with(FORGED.as_bytes());
    if request.headers().get("x-twilio-signature").is_some_and(is_forged) {
        return HttpResponse::Forbidden().force_close().finish();
    }
    HttpResponse::NoContent().finish()
}

pub(crate) fn bare(listener: TcpListener) -> anyhow::Result<()> {
    let server = HttpServer::new(|| App::new().default_service(web::to(no_content)));
    let server = server.workers(1).max_connections(4096).listen(listener)?.run();
    Ok(actix_web::rt::System::new().block_on(server)?)
}

/// Twilio's answer to "create message", with the fields that Heardback reads.
fn new_message(request: &ApiRequest, number: u64) -> ApiReply {
    let account = request.account();
    let body = format!(
        r#"{{"account_sid":"{account}","to":"+1415{number:07}","from":"+14155550123","sid":"SM{number:032x}","status":"queued"}}"#
    );
    ApiReply { status: 201, headers: "Content-Type: application/json\r\n".to_owned(), body }
}

pub(crate) fn twilio(listener: TcpListener, delay: Duration) -> anyhow::Result<()> {
    let created = AtomicU64::new(0);
    let serve = move |_, mut connection| {
        while let Ok(request) = ApiRequest::read(&mut connection) {
            if !delay.is_zero() {
                std::thread::park_timeout(delay);
            }
            let reply = if request.target().ends_with("/Messages.json") {
                new_message(&request, created.fetch_add(1, Ordering::Relaxed))
            } else {
                ApiReply::accepted(201, &request)
            };
            if connection.send(&reply.to_bytes()).is_err() {
                return;
            }
        }
    };
    FakeTwilio::start(listener, serve)?.join();
    Ok(())
}
