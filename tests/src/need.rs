//! What a test needs from the machine: missing is a failure in CI, and a stated skip elsewhere.

use std::sync::OnceLock;

use crate::mariadb::Mariadb;
use crate::oracle::Oracle;
use crate::redis::Redis;
use crate::server::Server;
use crate::standin::StandIn;

/// Whether a program is installed.
///
/// # Panics
///
/// When it is not, and `CI` is set: there a test that did not run is a failure.
pub fn is_installed(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .any(|folder| folder.join(program).is_file());
    is_found(found, program)
}

/// The same of something that was looked for elsewhere.
pub(crate) fn is_found(found: bool, what: &str) -> bool {
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{what} is not installed, and CI is set");
        eprintln!("SKIPPED: {what} is not installed");
    }
    found
}

/// The stand-in for Oracle of this test program, with both games' databases to copy. It is not Oracle. Or the Oracle that
/// `ORACLE_TEST_DSN` names.
pub fn shared_stand_in() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER
        .get_or_init(|| {
            if let Some(named) = Oracle::named() {
                eprintln!("on the Oracle that ORACLE_TEST_DSN names, and not on the stand-in");
                return Some(Server::Oracle(named));
            }
            let server = Server::StandIn(StandIn::start_shared()?);
            crate::setup::fill(&server);
            Some(server)
        })
        .as_ref()
}

/// The MariaDB of this test program, or the server that `MYSQL_TEST_DSN` names.
pub fn shared_mariadb() -> Option<&'static Server> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    SERVER.get_or_init(|| Mariadb::start_shared().map(Server::Mariadb)).as_ref()
}

/// The Redis of this test program. Each gateway has a namespace of its own in it.
pub fn shared_redis() -> Option<&'static Redis> {
    static SERVER: OnceLock<Option<Redis>> = OnceLock::new();
    SERVER.get_or_init(Redis::start_shared).as_ref()
}
