//! The kinds of database that the gateway speaks to.

use std::fmt;

/// A database's dialect of SQL. Also the name in file names and configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    /// Oracle Database.
    Oracle,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite, the embedded default.
    Sqlite,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 3] = [Self::Oracle, Self::Mysql, Self::Sqlite];

    /// The name in file names and configuration: `oracle`, `mysql`, `sqlite`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Mysql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }

    /// The dialect of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
