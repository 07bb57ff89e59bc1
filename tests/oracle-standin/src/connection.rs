//! Servers and service contexts: what a client connects to, and its calls on it.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{Failure, OracleError};
use crate::handles::{User, lock};
use crate::session::{Canceller, Session};
use crate::sqlstate;

/// How long the listener may take to answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Oracle's port: where none is given.
const DEFAULT_PORT: u16 = 1521;

/// Where a connect string leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port of PostgreSQL.
    pub port: u16,
    /// Service name: the database.
    pub service: String,
}

impl Target {
    /// Reads `//host:port/service` and `host:port/service`; the port may be left out.
    ///
    /// # Errors
    /// ORA-12154: anything else, a name to look up among them.
    pub fn parse(text: &str) -> Result<Self, OracleError> {
        let unresolved =
            || OracleError::new(12154, "TNS:could not resolve the connect identifier specified");
        let rest = text.trim().trim_start_matches("tcp:").trim_start_matches("//");
        let (place, service) = rest.split_once('/').ok_or_else(unresolved)?;
        let service = service.split(['?', ':']).next().unwrap_or_default();
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_no_port| unresolved())?),
            None => (place, DEFAULT_PORT),
        };
        if host.is_empty() || service.is_empty() {
            return Err(unresolved());
        }
        Ok(Self { host: host.to_owned(), port, service: service.to_lowercase() })
    }
}

/// A server handle: attached or not.
#[derive(Debug, Default)]
pub struct Server {
    /// Where it is attached.
    pub target: Mutex<Option<Target>>,
    /// The connection was lost: `OCI_ATTR_SERVER_STATUS`.
    pub is_lost: AtomicBool,
}

impl Server {
    /// `OCIServerAttach`: the listener answers.
    ///
    /// # Errors
    /// ORA-12154, ORA-12545 (no such host), ORA-12541 (nobody listens), ORA-12170 (no answer).
    pub fn attach(&self, connect_string: &str) -> Result<(), Failure> {
        let target = Target::parse(connect_string)?;
        let unknown = |error| {
            OracleError::new(
                12545,
                format_args!(
                    "Connect failed because target host or object does not exist ({error})"
                ),
            )
        };
        let mut addresses =
            (target.host.as_str(), target.port).to_socket_addrs().map_err(unknown)?;
        let address = addresses.next().ok_or_else(|| OracleError::new(12545, "Connect failed"))?;
        TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(|error| {
            if error.kind() == std::io::ErrorKind::TimedOut {
                OracleError::new(12170, "TNS:Connect timeout occurred")
            } else {
                OracleError::new(12541, "TNS:no listener")
            }
        })?;
        self.is_lost.store(false, Ordering::Relaxed);
        *lock(&self.target) = Some(target);
        Ok(())
    }
}

/// A service context: its server, its user, and the session between them.
#[derive(Debug, Default)]
pub struct Service {
    /// Number of the server's handle.
    pub server: Mutex<usize>,
    /// Number of the user's handle.
    pub user: Mutex<usize>,
    /// `OCI_ATTR_CALL_TIMEOUT`, milliseconds; 0 for none.
    pub call_timeout: AtomicU32,
    /// `OCI_ATTR_STMTCACHESIZE`.
    pub statement_cache: AtomicU32,
    /// The session, once it has begun.
    session: Mutex<Option<Session>>,
    /// How a running call is cancelled, from any thread.
    cancel: Mutex<Option<Canceller>>,
}

impl Service {
    /// `OCISessionBegin`: logs on.
    ///
    /// # Errors
    /// ORA-01017, ORA-12514, and what else PostgreSQL refuses a connection with.
    pub fn begin(&self, target: &Target, user: &User) -> Result<(), Failure> {
        let timeout = self.timeout().unwrap_or(CONNECT_TIMEOUT);
        let session = Session::connect(target, &user.name, &user.password, timeout)?;
        *lock(&self.cancel) = Some(session.canceller());
        *lock(&self.session) = Some(session);
        Ok(())
    }

    /// `OCISessionEnd`: what is not committed is rolled back.
    pub fn end(&self) {
        lock(&self.cancel).take();
        lock(&self.session).take();
    }

    /// Makes a call on the session; the server is marked as lost when the call found it so.
    ///
    /// # Errors
    /// ORA-03114: there is no session; or what the call returns.
    pub fn call<T>(
        &self,
        call: impl FnOnce(&mut Session) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut guard = lock(&self.session);
        let session = guard.as_mut().ok_or_else(sqlstate::not_connected)?;
        session.set_timeout(self.timeout());
        let result = call(session);
        if session.is_lost()
            && let Ok(server) = crate::handles::find_number(*lock(&self.server))
            && let crate::handles::Handle::Server(server) = &*server
        {
            server.is_lost.store(true, Ordering::Relaxed);
        }
        result
    }

    /// `OCIBreak`: asks the server to cancel what runs now.
    ///
    /// # Errors
    /// The request could not be sent.
    pub fn cancel(&self) -> Result<(), Failure> {
        let canceller = lock(&self.cancel).clone();
        Ok(canceller.map_or(Ok(()), |canceller| canceller.cancel())?)
    }

    /// Whether a transaction is open. `None`: a call runs, or there is no session.
    pub fn in_transaction(&self) -> Option<bool> {
        let guard = self.session.try_lock().ok()?;
        guard.as_ref().map(Session::in_transaction)
    }

    fn timeout(&self) -> Option<Duration> {
        let millis = self.call_timeout.load(Ordering::Relaxed);
        (millis > 0).then(|| Duration::from_millis(u64::from(millis)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings_are_read_with_and_without_slashes_and_port() {
        let target = |host: &str, port, service: &str| Target {
            host: host.to_owned(),
            port,
            service: service.to_owned(),
        };
        assert_eq!(
            Target::parse("//127.0.0.1:5433/Game1").unwrap(),
            target("127.0.0.1", 5433, "game1")
        );
        assert_eq!(Target::parse("db.local/x?a=b").unwrap(), target("db.local", 1521, "x"));
        assert_eq!(Target::parse("tcp://h:1/s:dedicated").unwrap(), target("h", 1, "s"));
        for text in ["orcl", "", "//h:x/s", "//h:1/", "/s"] {
            assert_eq!(Target::parse(text).unwrap_err().code, 12154, "{text}");
        }
    }
}
