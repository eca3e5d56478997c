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
use actix_web::{App, HttpServer, web};

use crate::inbound::control::{Control, SOCKET, routes};
use crate::serve::{DISCONNECT_TIMEOUT, HEAD_TIMEOUT};

/// The socket, as long as it is there.
pub(super) struct ControlSocket {
    path: PathBuf,
    server: Server,
}

impl ControlSocket {
    /// `None`, said in the log, where the system refuses.
    pub(super) fn open(folder: &Path, control: web::Data<Control>) -> Option<Self> {
        let path = folder.join(SOCKET);
        let server = bind(&path).and_then(|listener| serve(listener, control));
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

/// Until it is for its owner alone, the folder keeps others out, as it does from sled's own files.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn serve(listener: UnixListener, control: web::Data<Control>) -> io::Result<Server> {
    let server = HttpServer::new(move || App::new().app_data(control.clone()).configure(routes))
        .workers(1)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
        .disable_signals()
        .listen_uds(listener)?;
    Ok(server.run())
}
