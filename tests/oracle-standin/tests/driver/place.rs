//! Where the tests run: one server for all of them, a database for each, and the library under its name.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use oracle::{Connection, InitParams};
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

/// Lets the driver find the stand-in: as `libclntsh.so`, in a folder of its own.
pub(crate) fn load_library() {
    let folder = library_folder(&library().unwrap()).unwrap();
    InitParams::new().oracle_client_lib_dir(folder.path()).unwrap().init().unwrap();
    // The library is loaded by now: its name is not needed any more.
    Connection::connect("x", "x", "nowhere").unwrap_err();
}

/// A database of a test's own, dropped at its end.
pub(crate) struct Place {
    pub(crate) server: &'static Postgres,
    pub(crate) name: String,
}

impl Place {
    /// `None`: PostgreSQL is not installed.
    pub(crate) fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let server = server()?;
        let name = format!("game{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        server.create_database(&name).unwrap();
        Some(Self { server, name })
    }

    pub(crate) fn connect_string(&self) -> String {
        self.server.connect_string(&self.name)
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::connect(&self.name, PASSWORD, self.connect_string()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let dropped = self.server.drop_database(&self.name);
        if !std::thread::panicking() {
            dropped.unwrap();
        }
    }
}

/// The number of an Oracle error; 0 for the driver's own.
pub(crate) fn code(error: &oracle::Error) -> i32 {
    error.oci_code().unwrap_or_default()
}
