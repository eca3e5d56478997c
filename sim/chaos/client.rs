//! The HTTP client for the driver: one exchange on a blocking thread, on a connection that may be kept.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::spawn_blocking;

use crate::support::http::{Connection, Response};

/// Longer than any transient fault. After this time, the outcome of the request is unknown.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A response and the local port of its connection. The body is empty if it was cut off.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) port: u16,
}

/// Sends a request, on the kept connection if there is one. `Err`: no complete head arrived.
pub(crate) async fn exchange(
    kept: &mut Option<Connection>,
    to: SocketAddr,
    request: Vec<u8>,
) -> io::Result<Answer> {
    let open = kept.take();
    let exchange = move || {
        let open = open.filter(is_open);
        let mut connection = open.map_or_else(|| Connection::open(to, TIMEOUT), Ok)?;
        connection.send(&request)?;
        let mut response = connection.response_head()?;
        let port = connection.stream.local_addr()?.port();
        // A complete head counts, even if the body is cut off.
        let body = connection.body(&response.head);
        let keeps = body.is_ok() && !response.closes();
        response.body = body.unwrap_or_default();
        io::Result::Ok((keeps.then_some(connection), Answer { response, port }))
    };
    let (connection, answer) = spawn_blocking(exchange).await.map_err(io::Error::other)??;
    *kept = connection;
    Ok(answer)
}

/// Whether the server has not closed the connection since the last response. Every client of HTTP notices that.
fn is_open(connection: &Connection) -> bool {
    let stream = &connection.stream;
    let peek = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let is_silent = peek.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && is_silent
}
