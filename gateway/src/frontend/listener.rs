//! Listening sockets, one of each protocol for every frontend thread.

use std::io;
use std::net::{SocketAddr, TcpListener};
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

/// Binds the listeners of every thread.
///
/// - `tcp`, `http`: port 0 takes a free one, the same for all threads.
/// - `count`: threads.
///
/// Returns the listeners, and the two addresses that they really have. Blocks for up to a second while
/// an address is taken.
///
/// # Errors
///
/// The kernel's, when an address cannot be bound; `AddrInUse` when another process has it.
pub fn bind(
    tcp: SocketAddr,
    http: SocketAddr,
    count: usize,
    sharing: Sharing,
) -> io::Result<(Vec<BoundListeners>, SocketAddr, SocketAddr)> {
    let (tcp, tcp_address) = bind_each(tcp, count, sharing)?;
    let (http, http_address) = bind_each(http, count, sharing)?;
    let pairs = tcp.into_iter().zip(http).map(|(tcp, http)| BoundListeners { tcp, http });
    Ok((pairs.collect(), tcp_address, http_address))
}

fn bind_each(
    address: SocketAddr,
    count: usize,
    sharing: Sharing,
) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    let first = patiently(|| bind_first(address, sharing))?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        let socket = socket(address)?;
        socket.set_reuse_port(true)?;
        listeners.push(listen(socket, address)?);
    }
    Ok((listeners, address))
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
fn patiently(bind: impl Fn() -> io::Result<TcpListener>) -> io::Result<TcpListener> {
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

    use super::*;

    const FREE: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn threads_of_one_process_share_an_address_and_all_are_given_connections() {
        let (listeners, address) = bind_each(FREE, 3, Sharing::Own).unwrap();
        let connections: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let accepted =
            |listener: &TcpListener| std::iter::from_fn(|| listener.accept().ok()).count();
        let counts: Vec<usize> = listeners.iter().map(accepted).collect();
        assert_eq!(counts.iter().sum::<usize>(), connections.len());
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    }

    #[test]
    fn address_where_another_gateway_listens_is_refused() {
        let (_listeners, address) = bind_each(FREE, 2, Sharing::Own).unwrap();
        let refused = bind_each(address, 2, Sharing::Own).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn address_is_shared_by_processes_that_all_want_to() {
        let (_listeners, address) = bind_each(FREE, 2, Sharing::Processes).unwrap();
        assert!(bind_each(address, 2, Sharing::Processes).is_ok());
        assert!(bind_each(address, 2, Sharing::Own).is_err());
    }

    #[test]
    fn address_that_becomes_free_while_it_is_waited_for_is_taken() {
        let (listeners, address) = bind_each(FREE, 1, Sharing::Own).unwrap();
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
