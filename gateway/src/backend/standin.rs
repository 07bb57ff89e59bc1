//! The stand-in for Oracle that tests share: a test-only client library over a private PostgreSQL. **It is not
//! Oracle**; `tests/oracle-standin` says what it imitates.
//!
//! It lives as long as the test binary: its keeper ends the server then, and removes its folder.

use std::sync::{Arc, OnceLock};

use oracle_standin::server::{PASSWORD, Postgres, library, library_folder};

use super::testing::config;
use crate::config::{ConnectionConfig, Dialect, Endpoint, Secret, Zone};

/// The server behind the stand-in.
#[derive(Debug)]
pub(super) struct Standin {
    postgres: Postgres,
}

impl Standin {
    /// The stand-in; `None`, with a word on it, where there is no PostgreSQL. On a build machine that is a failure.
    pub(super) fn get() -> Option<Arc<Self>> {
        static RUNNING: OnceLock<Arc<Standin>> = OnceLock::new();
        if !Postgres::is_installed() {
            assert!(std::env::var_os("CI").is_none(), "CI needs PostgreSQL");
            println!("SKIPPED: PostgreSQL is not installed (apt-get install postgresql)");
            return None;
        }
        let standin = RUNNING.get_or_init(|| {
            load();
            Arc::new(Self { postgres: Postgres::start().expect("it starts") })
        });
        Some(Arc::clone(standin))
    }

    /// An empty schema of that name, whose user is named so too.
    pub(super) fn database(&self, name: &str) -> ConnectionConfig {
        self.postgres.drop_database(name).expect("may do that");
        self.postgres.create_database(name).expect("may do that");
        self.existing(name)
    }

    /// The schema of that name, as it is.
    pub(super) fn existing(&self, name: &str) -> ConnectionConfig {
        let endpoint = Endpoint::Oracle {
            connect: self.postgres.connect_string(name).into(),
            username: name.into(),
            password: Secret::new(PASSWORD),
            time_zone: Zone::default(),
        };
        config(Dialect::Oracle, endpoint)
    }

    /// The server itself, to do things behind the library's back.
    pub(super) fn postgres(&self) -> &Postgres {
        &self.postgres
    }
}

/// Has the driver load the stand-in, which it does once a process.
fn load() {
    let folder = library_folder(&library().expect("it was built")).expect("a folder");
    let mut wanted = oracle::InitParams::new();
    wanted.oracle_client_lib_dir(folder.path()).expect("a path").init().expect("it loads");
}
