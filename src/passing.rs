//! Messages with open descriptors, between two processes of this program: JSON, with `SCM_RIGHTS` (unix(7)).
//!
//! On a socket of [`pair`], each message arrives completely or not at all. This module is not a protocol: [`crate::broker`] and
//! [`crate::output::guard`] define who sends what.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest number of descriptors in one message: relay, three LEDs, button, and some spare ones.
const MOST_DESCRIPTORS: usize = 8;
/// The largest message, in bytes: a wiring, or the names of all cameras.
const MOST_BYTES: usize = 16 << 10;

/// Two connected sockets that keep message boundaries. Both are closed in programs that are started.
///
/// # Errors
/// The kernel's error, if it provides no descriptor.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends `message` with `fds`. Never waits: a message that does not fit into the socket is an error (`WouldBlock`). A closed
/// socket causes no signal.
///
/// # Errors
/// The kernel's error; `InvalidInput` for more than eight descriptors.
pub fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    loop {
        match sendmsg(&socket, &[IoSlice::new(&bytes)], &mut control, flags) {
            Err(Errno::INTR) => {}
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The next message and its descriptors, which are closed in programs that are started. Waits for the message if `wait`.
///
/// # Errors
/// `WouldBlock` if there is no message, `UnexpectedEof` if the other end is closed, `InvalidData` if the bytes are no such
/// message.
pub fn receive<T: DeserializeOwned>(
    socket: impl AsFd,
    wait: bool,
) -> io::Result<(T, Vec<OwnedFd>)> {
    let mut bytes = [0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    if !wait {
        flags |= RecvFlags::DONTWAIT;
    }
    let received = loop {
        let mut into = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, &mut into, &mut control, flags) {
            Err(Errno::INTR) => {}
            done => break done?,
        }
    };
    let fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok((serde_json::from_slice(&bytes[..received.bytes])?, fds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (ours, theirs) = pair().expect("sockets");
        let (inner, _other) = pair().expect("sockets");
        send(&ours, &("relay", 17), &[inner.as_fd()]).expect("room");
        send(&ours, &"second", &[]).expect("room");
        let ((name, line), fds): ((String, u32), _) = receive(&theirs, false).expect("there");
        assert_eq!((name.as_str(), line, fds.len()), ("relay", 17, 1));
        let (second, fds): (String, _) = receive(&theirs, true).expect("there");
        assert_eq!((second.as_str(), fds.len()), ("second", 0));
        let none = receive::<String>(&theirs, false).expect_err("none");
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        drop(ours);
        let end = receive::<String>(&theirs, true).expect_err("closed");
        assert_eq!(end.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn sending_never_waits() {
        let (ours, _theirs) = pair().expect("sockets");
        let full = (0..100_000).find_map(|_| send(&ours, &"beat", &[]).err());
        assert_eq!(full.expect("full").kind(), io::ErrorKind::WouldBlock);
    }
}
