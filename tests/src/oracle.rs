//! An Oracle that is there already: the one that `ORACLE_TEST_DSN` names, in the stand-in's place.
//!
//! Its user (`ORACLE_TEST_USER`, `ORACLE_TEST_PASSWORD`) makes a user for each game of each test and drops it at the
//! end; it needs CREATE USER, DROP USER, ALTER SYSTEM, SELECT on `v$session`, and what it grants WITH ADMIN OPTION:
//! SYSTEM has that. The client library is found where the environment says. What only the stand-in can do (being
//! killed, hanging, keeping readers waiting) is skipped, and said so.

use oracle::Connection;
use serde_json::{Value, json};

use crate::lock::TableLock;

/// Every user's password.
const PASSWORD: &str = "Only4tests";
/// What the user of a game may do.
const RIGHTS: &str = "CREATE SESSION, CREATE TABLE, CREATE SEQUENCE, CREATE TRIGGER, CREATE PROCEDURE, \
    CREATE VIEW, UNLIMITED TABLESPACE";
/// What texts of moments look like, whatever the client's own settings are.
const FORMATS: &str = "ALTER SESSION SET TIME_ZONE = '+00:00' NLS_NUMERIC_CHARACTERS = '.,' \
    NLS_DATE_FORMAT = 'YYYY-MM-DD HH24:MI:SS' NLS_TIMESTAMP_FORMAT = 'YYYY-MM-DD HH24:MI:SS.FF6'";

/// A server that is not ours.
#[derive(Debug)]
pub struct Oracle {
    connect: String,
    user: String,
    password: String,
}

impl Oracle {
    /// The one that the environment names; `None`: it names none.
    pub fn named() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok();
        let connect = variable("ORACLE_TEST_DSN")?;
        let user =
            variable("ORACLE_TEST_USER").expect("ORACLE_TEST_USER goes with ORACLE_TEST_DSN");
        let password = variable("ORACLE_TEST_PASSWORD");
        let password = password.expect("ORACLE_TEST_PASSWORD goes with ORACLE_TEST_DSN");
        Some(Self { connect, user, password })
    }

    fn admin(&self) -> Connection {
        Connection::connect(&self.user, &self.password, &self.connect).expect("it answers")
    }

    fn session(&self, schema: &str) -> Connection {
        let session = Connection::connect(schema, PASSWORD, &self.connect).expect("it answers");
        session.execute(FORMATS, &[]).expect("set");
        session
    }

    /// Makes a user, whose schema is empty.
    pub(crate) fn create_schema(&self, name: &str) {
        let admin = self.admin();
        for sql in [
            format!("CREATE USER {name} IDENTIFIED BY \"{PASSWORD}\""),
            format!("GRANT {RIGHTS} TO {name}"),
        ] {
            admin.execute(&sql, &[]).expect("made");
        }
    }

    /// Drops a user and all that is theirs; a session that is at work still keeps it.
    pub(crate) fn drop_schema(&self, name: &str) {
        self.end_connections(name);
        if let Err(error) = self.admin().execute(&format!("DROP USER {name} CASCADE"), &[]) {
            eprintln!("user {name} was not dropped: {error}");
        }
    }

    /// `database.connections.<game>` of a user.
    pub(crate) fn connection(&self, name: &str) -> Value {
        json!({
            "type": "oracle", "connect": self.connect, "username": name, "password": PASSWORD,
            "max_open_conns": 4,
        })
    }

    /// Runs statements with `;` between them, commits, and returns what queries found: a line a row, columns apart by
    /// a tab.
    pub fn query(&self, schema: &str, sql: &str) -> String {
        let session = self.session(schema);
        let found = run(&session, sql);
        session.commit().expect("committed");
        found
    }

    /// As [`crate::Server::hold`].
    pub(crate) fn hold(&self, schema: &str, sql: &str) -> TableLock {
        let session = self.session(schema);
        run(&session, sql);
        TableLock::of_session(session)
    }

    /// Keeps every writer of a table waiting, and no reader: nothing does that here.
    pub(crate) fn lock(&self, schema: &str, table: &str) -> TableLock {
        self.hold(schema, &format!("LOCK TABLE {table} IN EXCLUSIVE MODE"))
    }

    /// Sessions of a user that wait for another one.
    pub(crate) fn waiting_count(&self, schema: &str) -> usize {
        let sql =
            "SELECT COUNT(*) FROM v$session WHERE username = :1 AND blocking_session IS NOT NULL";
        let count = self.admin().query_row_as::<u32>(sql, &[&schema.to_uppercase()]);
        count.expect("a number") as usize
    }

    /// Ends every session of a user: they are lost.
    pub(crate) fn end_connections(&self, schema: &str) {
        let admin = self.admin();
        let sql = "SELECT sid, serial# FROM v$session WHERE username = :1";
        let rows = admin.query_as::<(u32, u32)>(sql, &[&schema.to_uppercase()]).expect("sessions");
        for (sid, serial) in rows.map(|row| row.expect("a session")) {
            let kill = format!("ALTER SYSTEM KILL SESSION '{sid},{serial}' IMMEDIATE");
            // It may have gone by itself.
            let _killed = admin.execute(&kill, &[]).is_ok();
        }
    }
}

/// Runs statements one by one.
fn run(session: &Connection, sql: &str) -> String {
    let mut found = String::new();
    let parts = sql.split(';').map(str::trim).filter(|part| !part.is_empty());
    // A transaction begins by itself.
    for part in parts.filter(|part| !part.eq_ignore_ascii_case("BEGIN")) {
        let mut statement = session.statement(part).build().expect(part);
        if !statement.is_query() {
            statement.execute(&[]).expect(part);
            continue;
        }
        for row in statement.query(&[]).expect(part) {
            let row = row.expect("a row");
            let values = row.sql_values().iter();
            let texts = values.map(|value| value.get::<Option<String>>().expect("a text"));
            let texts: Vec<String> = texts.map(Option::unwrap_or_default).collect();
            found.push_str(&texts.join("\t"));
            found.push('\n');
        }
    }
    found
}
