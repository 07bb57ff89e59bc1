//! A database server that tests read, lock, kill and let hang, whichever kind it is.

use std::path::Path;

use serde_json::Value;

use crate::keeper::Signal;
use crate::lock::TableLock;
use crate::mariadb::Mariadb;
use crate::oracle::Oracle;
use crate::session::Session;
use crate::standin::StandIn;

/// No test asks for it: `Database::start` gives no such server.
const NOT_OURS: &str = "a server that is not ours is not stopped";

/// A database server.
#[derive(Debug)]
pub enum Server {
    /// MariaDB, or the MySQL that `MYSQL_TEST_DSN` names.
    Mariadb(Mariadb),
    /// What stands in for Oracle, and is not Oracle.
    StandIn(StandIn),
    /// The Oracle that `ORACLE_TEST_DSN` names.
    Oracle(Oracle),
}

impl Server {
    /// A MariaDB of the test's own that has on disk what it committed. `None` and a word about it when none is
    /// installed.
    pub fn durable_mariadb() -> Option<Self> {
        Mariadb::start_durable().map(Self::Mariadb)
    }

    /// Its folder: tables and log. `None`: it is not ours.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Mariadb(server) => server.folder(),
            Self::StandIn(_) | Self::Oracle(_) => None,
        }
    }

    /// Leaves its folder where it is, for whoever looks into a failure.
    pub fn keep_folder(&mut self) {
        match self {
            Self::Mariadb(server) => server.keep_folder(),
            Self::StandIn(_) | Self::Oracle(_) => {}
        }
    }

    /// Runs SQL and returns what it printed: a line a row, columns apart by a tab.
    pub fn query(&self, schema: &str, sql: &str) -> String {
        match self {
            Self::Mariadb(server) => server.query(schema, sql),
            Self::StandIn(server) => server.query(schema, sql),
            Self::Oracle(server) => server.query(schema, sql),
        }
    }

    /// Locks a table against every other connection until the lock is dropped.
    pub fn lock(&self, schema: &str, table: &str) -> TableLock {
        match self {
            Self::Mariadb(server) => server.lock(schema, table),
            Self::StandIn(server) => server.lock(schema, table),
            Self::Oracle(server) => server.lock(schema, table),
        }
    }

    /// Runs SQL on a connection of its own and keeps that until what is returned is dropped: a transaction that
    /// is begun in it is open so long, and never happened then.
    pub fn hold(&self, schema: &str, sql: &str) -> TableLock {
        match self {
            Self::Mariadb(server) => server.hold(schema, sql),
            Self::StandIn(server) => server.hold(schema, sql),
            Self::Oracle(server) => server.hold(schema, sql),
        }
    }

    /// Whether [`Server::lock`] keeps readers waiting, too. Of a real Oracle nothing does; a test that needs it is
    /// skipped there, and said so.
    pub fn makes_readers_wait(&self) -> bool {
        let makes = !matches!(self, Self::Oracle(_));
        if !makes {
            eprintln!("SKIPPED: no reader of an Oracle waits for a lock; only the stand-in's do");
        }
        makes
    }

    /// A connection that is kept for questions.
    pub fn session(&self, schema: &str) -> Session {
        match self {
            Self::Mariadb(server) => server.session(schema),
            Self::StandIn(server) => server.session(schema),
            Self::Oracle(_) => panic!("{NOT_OURS}"),
        }
    }

    /// Connections that wait for a lock now.
    pub fn waiting_count(&self, schema: &str) -> usize {
        match self {
            Self::Mariadb(server) => server.waiting_count(schema),
            Self::StandIn(server) => server.waiting_count(schema),
            Self::Oracle(server) => server.waiting_count(schema),
        }
    }

    /// Ends every connection to a schema: they are lost.
    pub fn end_connections(&self, schema: &str) {
        match self {
            Self::Mariadb(server) => server.end_connections(schema),
            Self::StandIn(server) => server.end_connections(schema),
            Self::Oracle(server) => server.end_connections(schema),
        }
    }

    /// Kills the server at once.
    pub fn kill(&self) {
        match self {
            Self::Mariadb(server) => server.kill(),
            Self::StandIn(server) => server.kill(),
            Self::Oracle(_) => panic!("{NOT_OURS}"),
        }
    }

    /// Starts it again, with what it had on disk.
    pub fn restart(&self) {
        match self {
            Self::Mariadb(server) => server.restart(),
            Self::StandIn(server) => server.restart(),
            Self::Oracle(_) => panic!("{NOT_OURS}"),
        }
    }

    /// Lets it hang, or go on.
    pub fn signal(&self, signal: Signal) {
        match self {
            Self::Mariadb(server) => server.signal(signal),
            Self::StandIn(server) => server.signal(signal),
            Self::Oracle(_) => panic!("{NOT_OURS}"),
        }
    }

    /// The folder in which a gateway finds the library that this server is spoken to with. `None`: it needs none.
    pub fn library_folder(&self) -> Option<&Path> {
        match self {
            Self::Mariadb(_) | Self::Oracle(_) => None,
            Self::StandIn(server) => Some(server.library_folder()),
        }
    }

    /// Whether its schemas are made with tables and rows in them.
    pub(crate) const fn is_filled(&self) -> bool {
        matches!(self, Self::StandIn(_))
    }

    /// Makes a schema of a game.
    pub(crate) fn create_schema(&self, name: &str, game: &str) {
        match self {
            Self::Mariadb(server) => server.create_schema(name),
            Self::StandIn(server) => server.create_schema(name, game),
            Self::Oracle(server) => server.create_schema(name),
        }
    }

    /// Drops it, if the server runs.
    pub(crate) fn drop_schema(&self, name: &str) {
        match self {
            Self::Mariadb(server) => server.drop_schema(name),
            Self::StandIn(server) => server.drop_schema(name),
            Self::Oracle(server) => server.drop_schema(name),
        }
    }

    /// `database.connections.<game>` of a schema.
    pub(crate) fn connection(&self, schema: &str, game: &str) -> Value {
        match self {
            Self::Mariadb(server) => server.connection(schema),
            Self::StandIn(server) => server.connection(schema, game),
            Self::Oracle(server) => server.connection(schema),
        }
    }
}
