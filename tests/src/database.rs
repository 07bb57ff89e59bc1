//! The kinds of databases that the sample games run on, and the tests that are the same on each.

use crate::mariadb::Mariadb;
use crate::need::{shared_mariadb, shared_stand_in};
use crate::oracle::Oracle;
use crate::server::Server;
use crate::setup::Setup;
use crate::standin::StandIn;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of its own for each game.
    Sqlite,
    /// MariaDB, or the MySQL that `MYSQL_TEST_DSN` names.
    Mysql,
    /// What stands in for Oracle, and is not Oracle.
    Oracle,
}

impl Database {
    /// Both games on databases of their own. `None` and a word about it when the server is not installed.
    pub fn setup(self) -> Option<Setup<'static>> {
        match self {
            Self::Sqlite => Some(Setup::sqlite()),
            Self::Mysql | Self::Oracle => self.shared().map(Setup::on),
        }
    }

    /// The server that all tests of the program share, and none may stop.
    pub fn shared(self) -> Option<&'static Server> {
        match self {
            Self::Sqlite => None,
            Self::Mysql => shared_mariadb(),
            Self::Oracle => shared_stand_in(),
        }
    }

    /// A server that the test may kill, start and let hang.
    pub fn start(self) -> Option<Server> {
        match self {
            Self::Sqlite => None,
            Self::Mysql => Mariadb::start().map(Server::Mariadb),
            Self::Oracle if Oracle::named().is_some() => {
                eprintln!(
                    "SKIPPED: the server that ORACLE_TEST_DSN names is not killed or stopped; only the stand-in is"
                );
                None
            }
            Self::Oracle => StandIn::start().map(Server::StandIn).inspect(crate::setup::fill),
        }
    }
}

/// Makes of each scenario, a function of a [`Database`], a test on every kind: `sqlite::NAME`,
/// `mysql::NAME`, `oracle_stand_in::NAME`.
#[macro_export]
macro_rules! on_every_database {
    ($($scenario:ident),+ $(,)?) => {
        $crate::on_database!(sqlite Sqlite $($scenario)+);
        $crate::on_database!(mysql Mysql $($scenario)+);
        $crate::on_database!(oracle_stand_in Oracle $($scenario)+);
    };
}

/// The same for scenarios that need a server: something that can be locked from outside, or killed.
#[macro_export]
macro_rules! on_every_server {
    ($($scenario:ident),+ $(,)?) => {
        mod servers {
            use super::{$($scenario),+};
            $crate::on_database!(mysql Mysql $($scenario)+);
            $crate::on_database!(oracle_stand_in Oracle $($scenario)+);
        }
    };
}

/// The same for scenarios that only MySQL can play; say why where they are listed.
#[macro_export]
macro_rules! on_mysql_only {
    ($($scenario:ident),+ $(,)?) => {
        mod server {
            use super::{$($scenario),+};
            $crate::on_database!(mysql Mysql $($scenario)+);
        }
    };
}

/// The tests of one kind of database; use the macros above.
#[macro_export]
macro_rules! on_database {
    ($module:ident $kind:ident $($scenario:ident)+) => {
        mod $module {
            $(
                #[test]
                fn $scenario() {
                    super::$scenario($crate::Database::$kind);
                }
            )+
        }
    };
}
