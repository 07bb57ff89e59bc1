//! Listening sockets, one of each protocol for every frontend thread.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted, on each listener. The usual 1024 overflowed at a burst of
/// 9,000 connections; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long a start waits for an address. A ring is torn down after its process has ended: for a moment after a
/// quick restart the old listeners are still there.
const TAKEN_WAIT: Duration = Duration::from_secs(1);

/// From one attempt to the next.
const TAKEN_PAUSE: Duration = Duration::from_millis(10);

/// The listeners of one frontend thread.
#[derive(Debug)]
pub struct BoundListeners {
    /// Game servers.
    pub tcp: TcpListener,
    /// Web and admin clients.
    pub http: TcpListener,
}

/// Who may listen on an address besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// The threads of this process only.
    Own,
    /// Other processes of this user, too: the kernel spreads connections over all of them.
    Processes,
}

/// Listeners of every thread, bound.
#[derive(Debug)]
pub struct Bound {
    /// One pair for each thread.
    pub threads: Vec<BoundListeners>,
    /// The game servers' address.
    pub tcp: SocketAddr,
    /// The web clients' address.
    pub http: SocketAddr,
    /// Keeps those out that would share; to be dropped when the listeners are.
    pub claims: [Claim; 2],
}

/// Says that an address is this process' own.
///
/// The kernel lets a listener in wherever all that are there have `SO_REUSEPORT`, which the threads of one process
/// need. So a process that does not share holds an abstract socket named after the address as well, and one that
/// would share looks for it. Such names end with their process and are of one network namespace, as ports are.
#[derive(Debug)]
pub struct Claim(
    #[expect(dead_code, reason = "held, not read: its name is free once it is dropped")]
    Option<UnixListener>,
);

impl Claim {
    /// Claims an address, or makes sure that nobody has, who does not share it.
    ///
    /// # Errors
    ///
    /// `AddrInUse` when another process has claimed it.
    fn of(address: SocketAddr, sharing: Sharing) -> io::Result<Self> {
        if sharing == Sharing::Own {
            return Self::named(address).map(|listener| Self(Some(listener)));
        }
        let port = address.port();
        let all = [(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()];
        for other in [address].into_iter().chain(all) {
            drop(Self::named(other)?);
        }
        Ok(Self(None))
    }

    fn named(address: SocketAddr) -> io::Result<UnixListener> {
        let name = format!("gateway listens on {address}");
        let name = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
        UnixListener::bind_addr(&name)
    }
}

/// Binds the listeners of every thread.
///
/// - `tcp`, `http`: port 0 takes a free one, the same for all threads.
/// - `count`: threads.
///
/// Blocks for up to a second while an address is taken.
///
/// # Errors
///
/// The kernel's, when an address cannot be bound; `AddrInUse` when another process has it.
pub fn bind(
    tcp: SocketAddr,
    http: SocketAddr,
    count: usize,
    sharing: Sharing,
) -> io::Result<Bound> {
    let (tcp_listeners, tcp, tcp_claim) = bind_each(tcp, count, sharing)?;
    let (http_listeners, http, http_claim) = bind_each(http, count, sharing)?;
    let pairs = tcp_listeners.into_iter().zip(http_listeners);
    let threads = pairs.map(|(tcp, http)| BoundListeners { tcp, http }).collect();
    Ok(Bound { threads, tcp, http, claims: [tcp_claim, http_claim] })
}

fn bind_each(
    address: SocketAddr,
    count: usize,
    sharing: Sharing,
) -> io::Result<(Vec<TcpListener>, SocketAddr, Claim)> {
    let (first, claim) = patiently(|| {
        let first = bind_first(address, sharing)?;
        let claim = Claim::of(first.local_addr()?, sharing)?;
        Ok((first, claim))
    })?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        listeners.push(listen(socket, address)?);
    }
    Ok((listeners, address, claim))
}

/// Binds without `SO_REUSEPORT` unless the address is shared on purpose, so that the kernel refuses it where
/// anybody listens already; the option comes afterwards, and lets the other threads of this process in.
fn bind_first(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(sharing == Sharing::Processes)?;
    let listener = listen(socket, address)?;
    socket2::SockRef::from(&listener).set_reuse_port(true)?;
    Ok(listener)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier process that linger in TIME_WAIT are no reason not to start.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it: replies are small and must not wait for one another.
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

fn listen(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Tries again for a while as long as the address is taken.
#[expect(clippy::disallowed_methods, reason = "before any runtime is started")]
fn patiently<T>(bind: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let until = Instant::now() + TAKEN_WAIT;
    loop {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                std::thread::sleep(TAKEN_PAUSE);
            }
            bound => return bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::path::Path;

    use super::*;
    use crate::machine::{Profile, Question};

    const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn threads_of_one_process_share_an_address_and_all_are_given_connections() {
        let (listeners, address, _claim) = bind_each(FREE, 3, Sharing::Own).unwrap();
        let connections: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted =
            |listener: &TcpListener| std::iter::from_fn(|| listener.accept().ok()).count();
        let counts: Vec<usize> = listeners.iter().map(accepted).collect();
        assert_eq!(counts.iter().sum::<usize>(), connections.len());
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    }

    #[test]
    fn machine_is_asked_for_the_queue_that_listeners_ask_for() {
        let root = Path::new("/nonexistent");
        let profile = Profile::of(root);
        let question = Question { root, profile: &profile, wanted: &[], probed: &[] };
        let found = question.examine(|check| check.id == "net.core.somaxconn");
        let wanted: Vec<_> = found.into_iter().map(|finding| finding.wanted).collect();
        assert_eq!(wanted, [format!("at-least {BACKLOG}")]);
    }

    #[test]
    fn address_where_another_gateway_listens_is_refused() {
        let (_listeners, address, _claim) = bind_each(FREE, 2, Sharing::Own).unwrap();
        let refused = bind_each(address, 2, Sharing::Own).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    /// The kernel alone would let it in: the threads of the first have `SO_REUSEPORT` among themselves.
    #[test]
    fn address_of_a_gateway_that_does_not_share_is_refused_to_one_that_would() {
        for host in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let own = SocketAddr::from((host, 0));
            let (_listeners, address, claim) = bind_each(own, 2, Sharing::Own).unwrap();
            let same = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
            let refused = bind_each(same, 2, Sharing::Processes).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AddrInUse, "{host}");
            drop(claim);
        }
    }

    #[test]
    fn address_is_shared_by_processes_that_all_want_to() {
        let (_listeners, address, _claim) = bind_each(FREE, 2, Sharing::Processes).unwrap();
        assert!(bind_each(address, 2, Sharing::Processes).is_ok());
        assert!(bind_each(address, 2, Sharing::Own).is_err());
    }

    #[test]
    fn address_that_becomes_free_while_it_is_waited_for_is_taken() {
        let (listeners, address, _claim) = bind_each(FREE, 1, Sharing::Own).unwrap();
        let first = std::cell::Cell::new(Some(listeners));
        let attempts = std::cell::Cell::new(0);
        let bound = patiently(|| {
            attempts.set(attempts.get() + 1);
            let bound = bind_first(address, Sharing::Own);
            first.take();
            bound
        });
        assert_eq!((bound.unwrap().local_addr().unwrap(), attempts.get()), (address, 2));
    }
}
