//! What stands around: bare actix-web, which reads a body and answers 204, and a Twilio that takes every
//! feedback at once.

use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::web::{self, Bytes};
use actix_web::{App, HttpResponse, HttpServer};

async fn nothing(_body: Bytes) -> HttpResponse {
    HttpResponse::NoContent().finish()
}

async fn taken(_body: Bytes) -> HttpResponse {
    HttpResponse::Created().content_type("application/json").body("{\"outcome\":\"confirmed\"}")
}

pub(crate) fn bare(listener: TcpListener) -> anyhow::Result<()> {
    let server = HttpServer::new(|| App::new().default_service(web::to(nothing)));
    run(server.workers(1).max_connections(4096).listen(listener)?.run())
}

pub(crate) fn twilio(listener: TcpListener) -> anyhow::Result<()> {
    let server = HttpServer::new(|| App::new().default_service(web::to(taken)));
    run(server.workers(1).max_connections(4096).listen(listener)?.run())
}

fn run(server: Server) -> anyhow::Result<()> {
    Ok(actix_web::rt::System::new().block_on(server)?)
}
