//! Reports to the service manager that Latchkey is ready, and that the pipeline makes progress. The protocol is systemd's
//! (sd_notify(3)): lines in datagrams to the socket that `NOTIFY_SOCKET` names. A manager that receives no report for too long
//! kills Latchkey and starts it again. Without such a socket nothing is sent.
//!
//! No timer sends these reports: [`crate::pipeline`] calls `alive` only when each of its threads has completed a round.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
}

impl Supervisor {
    /// The manager that `NOTIFY_SOCKET` names: a path, or a name after `@` in the abstract namespace.
    #[must_use]
    pub fn from_environment() -> Self {
        let name = std::env::var("NOTIFY_SOCKET").unwrap_or_default();
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None if name.is_empty() => return Self::default(),
            None => SocketAddr::from_pathname(&name),
        };
        let connected = address.and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&address)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        if let Err(error) = &connected {
            log::warn!(
                "supervisor_deaf socket={name:?} why={:?}",
                error.to_string()
            );
        }
        Self {
            socket: connected.ok(),
        }
    }

    /// Reports that the loop runs, with outputs held and threads started. The camera may still be missing.
    pub fn ready(&self) {
        self.send(b"READY=1");
    }

    /// Reports that every thread has completed a round since the last report.
    pub fn alive(&self) {
        self.send(b"WATCHDOG=1");
    }

    /// Reports that the program ends on purpose.
    pub fn stopping(&self) {
        self.send(b"STOPPING=1");
    }

    /// A message that does not fit into the socket is lost; the next message has the same content.
    fn send(&self, message: &[u8]) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(message);
        }
    }
}
