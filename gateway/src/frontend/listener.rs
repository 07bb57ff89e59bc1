//! Listening sockets, one of each protocol for every frontend thread.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted, on each listener. The usual 1024 overflowed at a burst of
/// 9,000 connections; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// The listeners of one frontend thread.
#[derive(Debug)]
pub struct BoundListeners {
    /// Game servers.
    pub tcp: TcpListener,
    /// Web and admin clients.
    pub http: TcpListener,
}

/// Binds the listeners of every thread.
///
/// - `tcp`, `http`: port 0 takes a free one, the same for all threads.
/// - `count`: threads.
///
/// Returns the listeners, and the two addresses that they really have.
///
/// # Errors
///
/// The kernel's, when an address cannot be bound.
pub fn bind(
    tcp: SocketAddr,
    http: SocketAddr,
    count: usize,
) -> io::Result<(Vec<BoundListeners>, SocketAddr, SocketAddr)> {
    let (tcp, tcp_address) = bind_each(tcp, count)?;
    let (http, http_address) = bind_each(http, count)?;
    let pairs = tcp.into_iter().zip(http).map(|(tcp, http)| BoundListeners { tcp, http });
    Ok((pairs.collect(), tcp_address, http_address))
}

fn bind_each(address: SocketAddr, count: usize) -> io::Result<(Vec<TcpListener>, SocketAddr)> {
    let mut address = address;
    let mut listeners = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Ring teardown is asynchronous: after a quick restart the old socket may still be there.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit it: replies are small and must not wait for one another.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok((listeners, address))
}
