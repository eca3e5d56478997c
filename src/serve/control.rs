//! The control socket's place: made in the store's folder, for its owner alone, and gone when we are.
//!
//! A service that cannot have one serves all the same, and says what cannot be done then. Whatever lies
//! under its name is left over from a process that has ended: the store's lock is ours.

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

use crate::inbound::control::{Control, SOCKET, routes};
use crate::inbound::limits::connections::{Connections, guard_control};
use crate::serve::build::{DISCONNECT_TIMEOUT, HEAD_TIMEOUT};
use crate::serve::fd_limit::FdBudget;

/// Connections that wait to be taken: a command or two.
const BACKLOG: i32 = 16;
/// The largest body of a command, in bytes: a piece of an import.
const LARGEST_BODY: usize = 2 << 20;

/// The socket, as long as it is there.
pub(super) struct ControlSocket {
    path: PathBuf,
    server: Server,
}

impl ControlSocket {
    /// `None`, said in the log, where the system refuses.
    pub(super) fn open(
        folder: &Path,
        control: web::Data<Control>,
        connections: Connections,
        descriptors: FdBudget,
    ) -> Option<Self> {
        let path = folder.join(SOCKET);
        let most = descriptors.control_connections;
        let server = bind(&path).and_then(|socket| serve(socket, control, connections, most));
        match server {
            Ok(server) => Some(Self { path, server }),
            Err(error) => {
                tracing::warn!(
                    path = %path.display(), %error,
                    "no control socket at {}: {error}; `heardback backup` and `verify-store` will \
                     need this service stopped (a path has to be shorter than 108 bytes)",
                    path.display()
                );
                None
            }
        }
    }

    /// Whoever asks from now on finds nobody, and not a socket that does not answer.
    pub(super) fn remove(path: &Path) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(%error, "cannot remove the control socket");
        }
    }

    pub(super) fn into_parts(self) -> (PathBuf, Server) {
        (self.path, self.server)
    }
}

/// Whatever the folder's mode is, and the process's umask: nobody is let in before it listens, and it
/// listens only once it is for its owner alone.
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

/// `most`: commands at a time; others wait.
fn serve(
    listener: UnixListener,
    control: web::Data<Control>,
    connections: Connections,
    most: usize,
) -> io::Result<Server> {
    let server = HttpServer::new(move || {
        let app = App::new().wrap(from_fn(guard_control)).app_data(control.clone());
        app.app_data(PayloadConfig::new(LARGEST_BODY)).configure(routes)
    })
    .on_connect(move |stream, data| connections.add(stream, data))
    .workers(1)
    .max_connections(most)
    .client_request_timeout(HEAD_TIMEOUT)
    .client_disconnect_timeout(DISCONNECT_TIMEOUT)
    .disable_signals()
    .listen_uds(listener)?;
    Ok(server.run())
}
