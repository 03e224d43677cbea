//! What the service manager hears from a running Latchkey: that it is ready, and that the pipeline gets on. The protocol is
//! systemd's (sd_notify(3)): lines in datagrams to the socket that `NOTIFY_SOCKET` names. Whoever does not hear for too
//! long kills and starts again; without such a socket nothing is said.
//!
//! It is no timer's beat: [`crate::pipeline`] says `alive` only as long as each of its threads has gone round.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager, if there is one.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
}

impl Supervisor {
    /// The one that `NOTIFY_SOCKET` names: a path, or a name behind `@` in the abstract namespace.
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

    /// The loop runs: outputs are held, threads are up. The camera may still be missing.
    pub fn ready(&self) {
        self.say(b"READY=1");
    }

    /// Every thread has gone round since this was last said.
    pub fn alive(&self) {
        self.say(b"WATCHDOG=1");
    }

    /// The end is on purpose.
    pub fn stopping(&self) {
        self.say(b"STOPPING=1");
    }

    /// A message that finds no room is lost: the next one says the same.
    fn say(&self, what: &[u8]) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(what);
        }
    }
}
