//! The control socket: a Unix socket in the store's folder, which only its owner can open.
//!
//! Without the socket the service still runs, and logs which commands need it. This process holds the store's lock, so
//! an existing socket file is from an earlier process. The shutdown removes the file.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::web::PayloadConfig;
use actix_web::{App, HttpServer, web};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::admin::socket::{ControlState, SOCKET, routes};
use crate::config::Settings;
use crate::inbound::limits::connections::{Connections, guard_control};
use crate::serve::build::{DISCONNECT_TIMEOUT, HEAD_TIMEOUT};
use crate::serve::fd_limit::FdBudget;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// The largest body of a command, in bytes: a part of an import.
const LARGEST_BODY: usize = 2 << 20;

/// Opens the socket. `None`, with a warning, if the system denies it.
pub(super) fn open(
    settings: &Settings,
    control: web::Data<ControlState>,
    connections: Connections,
    budget: FdBudget,
) -> Option<(PathBuf, Server)> {
    let path = settings.control_folder().join(SOCKET);
    let max = budget.control_connections;
    let server = bind(&path).and_then(|socket| serve(socket, control, connections, max));
    match server {
        Ok(server) => Some((path, server)),
        Err(error) => {
            let consequence = if settings.store.folder().is_some() {
                "commands on the store need this service stopped"
            } else {
                "`doctor --watch` and `replay` do not reach this receiver"
            };
            tracing::warn!(
                path = %path.display(), %error,
                "no control socket at {}: {error}; {consequence} (the path must be shorter than 108 bytes)",
                path.display()
            );
            None
        }
    }
}

/// From now on a command finds no service, and not a socket without an answer.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, "cannot remove the control socket");
    }
}

/// The socket listens only after its mode is 0600, so the folder's mode and the umask do not matter.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let address = SocketAddrUnix::new(path)?;
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &address)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn serve(
    listener: UnixListener,
    control: web::Data<ControlState>,
    connections: Connections,
    max: usize,
) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        let app = App::new().wrap(from_fn(guard_control)).app_data(control.clone());
        app.app_data(PayloadConfig::new(LARGEST_BODY)).configure(routes)
    })
    .on_connect(move |stream, data| connections.add(stream, data))
    .workers(1)
    .max_connections(max)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .disable_signals()
    .listen_uds(listener)?;
    Ok(server.run())
}
