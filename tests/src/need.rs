//! What a test needs from the machine: missing is a failure in CI, and a stated skip elsewhere.

use std::sync::OnceLock;

use crate::mariadb::Mariadb;
use crate::redis::Redis;

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
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed, and CI is set");
        eprintln!("SKIPPED: {program} is not installed");
    }
    found
}

/// The MariaDB of this test program, or the server that `MYSQL_TEST_DSN` names.
pub fn shared_mariadb() -> Option<&'static Mariadb> {
    static SERVER: OnceLock<Option<Mariadb>> = OnceLock::new();
    SERVER.get_or_init(Mariadb::start_shared).as_ref()
}

/// The Redis of this test program. Each gateway has a namespace of its own in it.
pub fn shared_redis() -> Option<&'static Redis> {
    static SERVER: OnceLock<Option<Redis>> = OnceLock::new();
    SERVER.get_or_init(Redis::start_shared).as_ref()
}
