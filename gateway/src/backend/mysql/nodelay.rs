//! `TCP_NODELAY` on the driver's sockets.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on (its issue 4335; mended behind that version, and not released yet). Its driver
//! closes a prepared statement in a packet that nobody answers, and sends the next one behind it: the kernel holds that
//! back until the server acknowledges the first one, which Linux does after 40 ms. So each statement for which an older
//! one left the connection's cache took 40 ms, and so did each statement that is prepared for one run.
//!
//! The driver shows nobody its socket. So the process is looked through for sockets whose other end is a port that it
//! connects to.

use std::collections::BTreeSet;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

use nix::sys::socket::{SockaddrStorage, getpeername, setsockopt, sockopt};

/// What the driver has connected to.
static OPENED: Mutex<Opened> = Mutex::new(Opened { ports: BTreeSet::new(), count: 0 });
/// How many connections had a socket when the last look began.
static SEEN: Mutex<u64> = Mutex::new(0);

struct Opened {
    ports: BTreeSet<u16>,
    count: u64,
}

/// Switches Nagle's algorithm off for a connection to that port that was just opened.
///
/// A look takes a system call or two for each open file, and is a part of opening a connection; many that are opened at once
/// share one.
pub(super) async fn set(port: u16) {
    let own = {
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        opened.ports.insert(port);
        opened.count += 1;
        opened.count
    };
    let look = tokio::task::spawn_blocking(move || {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen < own {
            let (ports, count) = {
                let opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
                (opened.ports.clone(), opened.count)
            };
            look(&ports);
            *seen = count;
        }
    });
    // Without it the connection is slower, and works.
    drop(look.await);
}

fn look(ports: &BTreeSet<u16>) {
    let Ok(files) = std::fs::read_dir("/proc/self/fd") else { return };
    let number = |file: std::fs::DirEntry| file.file_name().to_str()?.parse::<RawFd>().ok();
    for file in files.flatten().filter_map(number) {
        if peer_port(file).is_some_and(|port| ports.contains(&port)) {
            // What is no TCP socket says so, and stays as it is; of another connection to there it is no harm.
            let _is_tcp = setsockopt(file, sockopt::TcpNoDelay, &true);
        }
    }
}

fn peer_port(file: RawFd) -> Option<u16> {
    let peer: SockaddrStorage = getpeername(file).ok()?;
    let v4 = peer.as_sockaddr_in().map(nix::sys::socket::SockaddrIn::port);
    v4.or_else(|| peer.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port))
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use nix::sys::socket::getsockopt;

    use super::*;
    use crate::backend::connection::Statement;
    use crate::backend::mysql::Session;
    use crate::backend::testing::Server;

    const ESTABLISHED: &str = "01";

    /// The number of the file that is the TCP socket with that port of its own.
    fn socket_of(port: &str) -> RawFd {
        let port = format!(":{:04X}", port.parse::<u16>().unwrap());
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        let is_own = |line: &Vec<&str>| line[1].ends_with(&port) && line[3] == ESTABLISHED;
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let inode = lines.find(is_own).expect("a socket")[9].to_owned();
        let target = format!("socket:[{inode}]");
        let mut files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let is_it = |file: &std::fs::DirEntry| {
            std::fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == &*target)
        };
        let file = files.find(is_it).expect("this process has it");
        file.file_name().to_str().unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn nothing_that_a_connection_sends_waits_for_what_was_sent_before() {
        let Some(server) = Server::get() else { return };
        let _shared = server.share().await;
        let config = server.database("nodelay").await;
        let opened = tokio::join!(Session::open(&config), Session::open(&config));
        for session in [opened.0, opened.1] {
            let mut session = session.expect("a session");
            let question = "SELECT SUBSTRING_INDEX(host, ':', -1) FROM information_schema.processlist \
                 WHERE id = CONNECTION_ID()";
            let rows = session.fetch_named(&Statement::plain(question)).await.expect("a row");
            let port = rows[0][0].1.clone().expect("a port");
            assert!(getsockopt(socket_of(&port), sockopt::TcpNoDelay).expect("a socket"));
        }
    }
}
