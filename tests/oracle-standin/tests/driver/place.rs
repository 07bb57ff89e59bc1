//! Where the tests run: one server for all of them, a database for each, and the library under its name.
//!
//! Where `ORACLE_TEST_DSN` names an Oracle, with `ORACLE_TEST_USER` and `ORACLE_TEST_PASSWORD`, they run there, with the
//! client library that the environment has, each as a user of its own. What only the stand-in can do is skipped then.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use oracle::{Connection, InitParams};
use oracle_standin::fault::default_file;
use oracle_standin::server::{PASSWORD, Postgres, library, library_folder};

/// The server of this test program. `None`: PostgreSQL is not installed, which is a failure in CI.
fn server() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        if !Postgres::is_installed() {
            assert!(std::env::var_os("CI").is_none(), "postgresql is not installed, and CI is set");
            eprintln!("SKIPPED: postgresql is not installed");
            return None;
        }
        load_library();
        Some(Postgres::start().unwrap())
    });
    server.as_ref()
}

/// Replaces the faults of this program. A test matches its own calls only: the others run at the same time.
pub(crate) fn set_faults(rules: &str) {
    let file = default_file(std::process::id());
    let next = file.with_extension("next");
    std::fs::write(&next, rules).unwrap();
    std::fs::rename(next, file).unwrap();
}

/// Ends the faults; returns those that happened.
pub(crate) fn take_faults() -> String {
    let file = default_file(std::process::id());
    let fired = file.with_extension("faults.fired");
    let told = std::fs::read_to_string(&fired).unwrap();
    std::fs::remove_file(fired).unwrap();
    std::fs::remove_file(file).unwrap();
    told
}

/// Lets the driver find the stand-in: as `libclntsh.so`, in a folder of its own.
pub(crate) fn load_library() {
    let folder = library_folder(&library().unwrap()).unwrap();
    InitParams::new().oracle_client_lib_dir(folder.path()).unwrap().init().unwrap();
    // The library is loaded by now: its name is not needed any more.
    Connection::connect("x", "x", "nowhere").unwrap_err();
}

/// An Oracle that is there already, and who may make users in it.
#[derive(Clone)]
struct Named {
    connect: String,
    user: String,
    password: String,
}

impl Named {
    /// The one that the environment names.
    #[expect(clippy::expect_used, reason = "tests cannot run on a place that is named by half")]
    fn get() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let connect = variable("ORACLE_TEST_DSN")?;
        let user = variable("ORACLE_TEST_USER").expect("it goes with ORACLE_TEST_DSN");
        let password = variable("ORACLE_TEST_PASSWORD").expect("it goes with ORACLE_TEST_DSN");
        Some(Self { connect, user, password })
    }

    fn admin(&self) -> Connection {
        Connection::connect(&self.user, &self.password, &self.connect).unwrap()
    }

    fn run(&self, sql: &str) {
        self.admin().execute(sql, &[]).unwrap();
    }

    /// A user who is connected is not dropped.
    fn end_sessions(&self, name: &str) {
        let admin = self.admin();
        let sql = "SELECT sid, serial# FROM v$session WHERE username = :1";
        let rows = admin.query_as::<(u32, u32)>(sql, &[&name.to_uppercase()]).unwrap();
        for (sid, serial) in rows.map(Result::unwrap) {
            // It may have gone by itself.
            let _killed = admin
                .execute(&format!("ALTER SYSTEM KILL SESSION '{sid},{serial}' IMMEDIATE"), &[])
                .is_ok();
        }
    }
}

/// What a test's user may do.
const RIGHTS: &str = "CREATE SESSION, CREATE TABLE, CREATE SEQUENCE, CREATE TRIGGER, CREATE PROCEDURE, \
    CREATE VIEW, UNLIMITED TABLESPACE";

enum Home {
    StandIn(&'static Postgres),
    Named(Named),
}

/// A database, or a user, of a test's own, dropped at its end.
pub(crate) struct Place {
    home: Home,
    pub(crate) name: String,
}

impl Place {
    /// `None`: PostgreSQL is not installed.
    pub(crate) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        if let Some(named) = Named::get() {
            let name = format!("driver_{}_{number}", std::process::id());
            named.run(&format!("CREATE USER {name} IDENTIFIED BY \"{PASSWORD}\""));
            named.run(&format!("GRANT {RIGHTS} TO {name}"));
            return Some(Self { home: Home::Named(named), name });
        }
        let server = server()?;
        let name = format!("game{number}");
        server.create_database(&name).unwrap();
        Some(Self { home: Home::StandIn(server), name })
    }

    /// The stand-in's server. `None`, with a word on it: the tests run on a real Oracle.
    pub(crate) fn stand_in(&self) -> Option<&'static Postgres> {
        match &self.home {
            Home::StandIn(server) => Some(server),
            Home::Named(_) => {
                eprintln!("SKIPPED, the rest of this test: only the stand-in can do that");
                None
            }
        }
    }

    pub(crate) fn connect_string(&self) -> String {
        match &self.home {
            Home::StandIn(server) => server.connect_string(&self.name),
            Home::Named(named) => named.connect.clone(),
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::connect(&self.name, PASSWORD, self.connect_string()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match &self.home {
            Home::StandIn(server) => {
                let dropped = server.drop_database(&self.name);
                if !std::thread::panicking() {
                    dropped.unwrap();
                }
            }
            Home::Named(_) if std::thread::panicking() => {}
            Home::Named(named) => {
                named.end_sessions(&self.name);
                named.run(&format!("DROP USER {} CASCADE", self.name));
            }
        }
    }
}

/// The number of an Oracle error; 0 for the driver's own.
pub(crate) fn code(error: &oracle::Error) -> i32 {
    error.oci_code().unwrap_or_default()
}
