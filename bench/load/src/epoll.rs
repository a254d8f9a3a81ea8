//! System calls that std does not offer, with all of the crate's unsafe code. Linux only.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

const BIND_ADDRESS_NO_PORT: libc::c_int = 24;

/// A level-triggered epoll; closing a socket removes it.
pub struct Epoll {
    file: OwnedFd,
    room: Vec<libc::epoll_event>,
}

#[derive(Clone, Copy)]
pub struct Event {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// Reset, or connection refused; a read returns the error.
    pub broken: bool,
}

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is ours alone.
        let file = unsafe { OwnedFd::from_raw_fd(positive(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { file, room: vec![libc::epoll_event { events: 0, u64: 0 }; 1024] })
    }

    pub fn add(&self, socket: &impl AsRawFd, token: u64, wants: Wants) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, wants)
    }

    pub fn change(&self, socket: &impl AsRawFd, token: u64, wants: Wants) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, wants)
    }

    fn control(&self, what: libc::c_int, socket: &impl AsRawFd, token: u64, wants: Wants) -> io::Result<()> {
        let events = match wants {
            Wants::Read => libc::EPOLLIN,
            Wants::ReadAndWrite => libc::EPOLLIN | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: `event` outlives the call.
        positive(unsafe { libc::epoll_ctl(self.file.as_raw_fd(), what, socket.as_raw_fd(), &mut event) }).map(drop)
    }

    /// The events, after at most `longest`. Precise below a millisecond (epoll_pwait2, Linux 5.11).
    pub fn wait(&mut self, longest: Duration) -> Vec<Event> {
        let time = libc::timespec { tv_sec: longest.as_secs() as _, tv_nsec: longest.subsec_nanos() as _ };
        // SAFETY: `room` has the length that is passed, and both outlive the call. There is no signal mask.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.file.as_raw_fd(),
                self.room.as_mut_ptr(),
                self.room.len(),
                &time as *const libc::timespec,
                ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        let has = |event: &libc::epoll_event, flag: libc::c_int| event.events & flag as u32 != 0;
        self.room[..count.max(0) as usize]
            .iter()
            .map(|event| Event {
                token: event.u64,
                readable: has(event, libc::EPOLLIN),
                writable: has(event, libc::EPOLLOUT),
                broken: has(event, libc::EPOLLERR | libc::EPOLLHUP),
            })
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Wants {
    Read,
    ReadAndWrite,
}

/// Begins a connection, which is writable once it is established. `source` is the local address.
pub fn connect(to: SocketAddrV4, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the descriptor is ours alone.
    let stream = unsafe { TcpStream::from_raw_fd(positive(libc::socket(libc::AF_INET, kind, 0))?) };
    stream.set_nodelay(true)?;
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    if let Some(source) = source {
        let yes: libc::c_int = 1;
        let from = socket_address(SocketAddrV4::new(source, 0));
        // SAFETY: both have the sizes that are passed, and outlive their calls.
        unsafe {
            let option = ptr::from_ref(&yes).cast();
            positive(libc::setsockopt(stream.as_raw_fd(), libc::IPPROTO_IP, BIND_ADDRESS_NO_PORT, option, 4))?;
            positive(libc::bind(stream.as_raw_fd(), ptr::from_ref(&from).cast(), length))?;
        }
    }
    let to = socket_address(to);
    // SAFETY: it has the size that is passed, and outlives the call.
    let begun = unsafe { libc::connect(stream.as_raw_fd(), ptr::from_ref(&to).cast(), length) };
    match positive(begun) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(stream),
    }
}

/// Raises the listen backlog above std's 128.
pub fn lengthen_queue(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: no pointers.
    positive(unsafe { libc::listen(listener.as_raw_fd(), 4096) }).map(drop)
}

/// CPU seconds of this process.
pub fn own_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// The number of /proc ticks per second.
pub fn ticks_a_second() -> f64 {
    // SAFETY: no pointers.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

fn socket_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn positive(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
