//! What stands around: bare actix-web, which reads a body and answers 204, and a Twilio that takes every
//! feedback at once.

use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};

use crate::traffic::FORGED;

/// A forged request is answered as Heardback does it, which ends the connection.
async fn nothing(request: HttpRequest, _body: Bytes) -> HttpResponse {
    let forged = |signature: &HeaderValue| signature.as_bytes().starts_with(FORGED.as_bytes());
    if request.headers().get("x-twilio-signature").is_some_and(forged) {
        return HttpResponse::Forbidden().force_close().finish();
    }
    HttpResponse::NoContent().finish()
}

async fn taken(request: HttpRequest, _body: Bytes, after: web::Data<Duration>) -> HttpResponse {
    if !after.is_zero() {
        tokio::time::sleep(**after).await;
    }
    let mut parts = request.path().split('/').skip_while(|part| *part != "Accounts").skip(1);
    let (account, message) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    HttpResponse::Created().content_type("application/json").body(format!(
        r#"{{"account_sid":"{account}","message_sid":"{message}","outcome":"confirmed"}}"#
    ))
}

pub(crate) fn bare(listener: TcpListener) -> anyhow::Result<()> {
    let server = HttpServer::new(|| App::new().default_service(web::to(nothing)));
    run(server.workers(1).max_connections(4096).listen(listener)?.run())
}

pub(crate) fn twilio(listener: TcpListener, after: Duration) -> anyhow::Result<()> {
    let after = web::Data::new(after);
    let app = move || App::new().app_data(after.clone()).default_service(web::to(taken));
    let server = HttpServer::new(app);
    run(server.workers(1).max_connections(4096).listen(listener)?.run())
}

fn run(server: Server) -> anyhow::Result<()> {
    Ok(actix_web::rt::System::new().block_on(server)?)
}
