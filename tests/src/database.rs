//! The kinds of databases that the sample games run on.

use crate::need::shared_mariadb;
use crate::setup::Setup;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of its own for each game.
    Sqlite,
    /// A MySQL-compatible server that all tests of the program share.
    Mysql,
}

impl Database {
    /// Both games on databases of their own. `None` and a word about it when the server is not installed.
    pub fn setup(self) -> Option<Setup<'static>> {
        match self {
            Self::Sqlite => Some(Setup::sqlite()),
            Self::Mysql => shared_mariadb().map(Setup::mariadb),
        }
    }
}
