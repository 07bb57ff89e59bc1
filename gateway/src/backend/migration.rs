//! The files of a schema: found, numbered, read.

use std::fmt::{self, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::config::Dialect;

/// Digits of a file's number.
const NUMBER_DIGITS: usize = 4;

/// One file of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// `_base`, or the game.
    pub scope: Box<str>,
    /// Its number, from 1.
    pub number: u32,
    /// Its name, without number and ending.
    pub name: Box<str>,
    /// SHA-256 of its text with `\n` at the ends of lines, in hexadecimal digits.
    pub checksum: Box<str>,
    /// Its text.
    pub sql: Box<str>,
}

/// Files beside the migrations that are run by other means: sample rows by `gateway migrate --seed`, rights by
/// a DBA.
const COMPANIONS: [&str; 2] = ["seed.sql", "grants.sql"];

impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:04}_{}.sql", self.scope, self.number, self.name)
    }
}

/// Why a schema's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MigrationFault {
    /// A file or folder cannot be read, or is no UTF-8.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file's name is none of a migration.
    #[error("{} is not named NNNN_name.sql: four digits, then letters, digits, `_` or `-`", path.display())]
    Name {
        /// Which.
        path: PathBuf,
    },
    /// Two files have one number.
    #[error("{} has a number that another file has too", path.display())]
    Twice {
        /// The second one.
        path: PathBuf,
    },
    /// A number is missing.
    #[error("{} comes after a gap: number {expected:04} is missing", path.display())]
    Gap {
        /// The file after the gap.
        path: PathBuf,
        /// The number that is missing.
        expected: u32,
    },
}

/// The scope of the gateway's own tables.
const OWN_SCOPE: &str = "_gateway";

/// The gateway's own tables: what `gateway migrate` applies before any schema of a game.
pub fn own_migrations(dialect: Dialect) -> Vec<Migration> {
    let texts: &[(&str, &str)] = match dialect {
        Dialect::Mysql => &[
            ("request", include_str!("schema/0001_request.mysql.sql")),
            ("stream", include_str!("schema/0002_stream.mysql.sql")),
            ("switch", include_str!("schema/0003_switch.mysql.sql")),
            ("flip", include_str!("schema/0004_flip.mysql.sql")),
            ("verify", include_str!("schema/0005_verify.mysql.sql")),
            ("event", include_str!("schema/0006_event.mysql.sql")),
            ("letters", include_str!("schema/0007_letters.mysql.sql")),
        ],
        Dialect::Sqlite => &[
            ("request", include_str!("schema/0001_request.sqlite.sql")),
            ("stream", include_str!("schema/0002_stream.sqlite.sql")),
            ("switch", include_str!("schema/0003_switch.sqlite.sql")),
            ("flip", include_str!("schema/0004_flip.sqlite.sql")),
            ("verify", include_str!("schema/0005_verify.sqlite.sql")),
            ("event", include_str!("schema/0006_event.sqlite.sql")),
            ("letters", include_str!("schema/0007_letters.sqlite.sql")),
        ],
        Dialect::Oracle => &[
            ("request", include_str!("schema/0001_request.oracle.sql")),
            ("stream", include_str!("schema/0002_stream.oracle.sql")),
            ("switch", include_str!("schema/0003_switch.oracle.sql")),
            ("flip", include_str!("schema/0004_flip.oracle.sql")),
            ("verify", include_str!("schema/0005_verify.oracle.sql")),
            ("event", include_str!("schema/0006_event.oracle.sql")),
            ("letters", include_str!("schema/0007_letters.oracle.sql")),
        ],
    };
    let one = |(number, (name, text)): (u32, &(&str, &str))| Migration {
        scope: OWN_SCOPE.into(),
        number,
        name: (*name).into(),
        checksum: checksum(text),
        sql: (*text).into(),
    };
    (1..).zip(texts).map(one).collect()
}

/// SHA-256 of a file's text, in hexadecimal digits.
fn checksum(text: &str) -> Box<str> {
    let mut checksum = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _written = write!(checksum, "{byte:02x}");
    }
    checksum.into()
}

/// The folder that every game's schema begins with.
const BASE_SCOPE: &str = "_base";

/// Everything that a database of these games is made of, in the order to apply: the gateway's own tables, the
/// shared schema, each game's.
///
/// Blocks on files, as [`read_migrations`].
///
/// # Errors
///
/// [`MigrationFault`].
pub fn read_schema(
    templates: &Path,
    games: &[&str],
    dialect: Dialect,
) -> Result<Vec<Migration>, MigrationFault> {
    let mut migrations = own_migrations(dialect);
    for scope in [BASE_SCOPE].iter().chain(games) {
        migrations.extend(read_migrations(templates, scope, dialect)?);
    }
    Ok(migrations)
}

/// Reads the files of one scope and dialect, in the order of their numbers. Without a folder there are none.
///
/// - `templates`: the folder of all templates.
/// - `scope`: `_base`, or a game.
///
/// Blocks on files: for start-up and commands.
///
/// # Errors
///
/// [`MigrationFault`]; what is hidden (`.gitkeep`) is passed over, anything else must be a migration.
pub fn read_migrations(
    templates: &Path,
    scope: &str,
    dialect: Dialect,
) -> Result<Vec<Migration>, MigrationFault> {
    let folder = templates.join(scope).join("schema").join(dialect.name());
    let mut paths = match list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.map_err(|source| MigrationFault::Unreadable { path: folder, source })?,
    };
    // Four digits first: the order of names is the order of numbers.
    paths.sort();
    let mut migrations: Vec<Migration> = Vec::with_capacity(paths.len());
    for path in paths {
        let Some((number, name)) = parse_name(&path) else {
            return Err(MigrationFault::Name { path });
        };
        let expected = migrations.last().map_or(1, |last| last.number + 1);
        if number < expected {
            return Err(MigrationFault::Twice { path });
        }
        if number > expected {
            return Err(MigrationFault::Gap { path, expected });
        }
        let text = fs::read_to_string(&path)
            .map_err(|source| MigrationFault::Unreadable { path, source })?
            .replace("\r\n", "\n");
        let (scope, checksum, sql) = (scope.into(), checksum(&text), text.into());
        migrations.push(Migration { scope, number, name, checksum, sql });
    }
    Ok(migrations)
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_companion = COMPANIONS.iter().any(|companion| name == *companion);
        if !is_companion && !name.as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    Ok(paths)
}

/// Number and name of `NNNN_name.sql`; `None` for any other name, and for number 0.
fn parse_name(path: &Path) -> Option<(u32, Box<str>)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".sql")?;
    let (number, name) = stem.split_once('_')?;
    let digits = number.len() == NUMBER_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let named = !name.is_empty() && name.len() <= 100 && name.bytes().all(good);
    let number = number.parse().ok().filter(|number| *number > 0)?;
    (digits && named).then(|| (number, name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Vec<Migration>, MigrationFault> {
        let templates = tempfile::tempdir().expect("a folder");
        let folder = templates.path().join("game1/schema/sqlite");
        fs::create_dir_all(&folder).expect("made");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("written");
        }
        read_migrations(templates.path(), "game1", Dialect::Sqlite)
    }

    #[test]
    fn files_come_in_the_order_of_their_numbers_and_hidden_ones_are_passed_over() {
        let read = read(&[("0002_b.sql", "B"), (".keep", ""), ("0001_a-1.sql", "A")]);
        let names: Vec<String> = read.expect("good").iter().map(ToString::to_string).collect();
        assert_eq!(names, ["game1/0001_a-1.sql", "game1/0002_b.sql"]);
        let none = read_migrations(Path::new("/nowhere"), "game1", Dialect::Mysql);
        assert_eq!(none.expect("no folder is no fault"), []);
    }

    #[test]
    fn checksum_does_not_see_how_lines_end() {
        let unix = read(&[("0001_a.sql", "A;\nB;\n")]).expect("good");
        let windows = read(&[("0001_a.sql", "A;\r\nB;\r\n")]).expect("good");
        let other = read(&[("0001_a.sql", "A;\nC;\n")]).expect("good");
        assert_eq!(unix, windows);
        assert_ne!(unix[0].checksum, other[0].checksum);
        assert_eq!(unix[0].checksum.len(), 64);
    }

    #[test]
    fn gaps_doubles_and_other_names_are_refused() {
        let gap = read(&[("0001_a.sql", ""), ("0003_c.sql", "")]);
        assert!(matches!(gap, Err(MigrationFault::Gap { expected: 2, .. })));
        let late = read(&[("0002_a.sql", "")]);
        assert!(matches!(late, Err(MigrationFault::Gap { expected: 1, .. })));
        let twice = read(&[("0001_a.sql", ""), ("0001_b.sql", "")]);
        assert!(matches!(twice, Err(MigrationFault::Twice { .. })));
        for name in
            ["1_a.sql", "0001a.sql", "0001_.sql", "0001_a.txt", "0000_a.sql", "0001_a b.sql"]
        {
            assert!(matches!(read(&[(name, "")]), Err(MigrationFault::Name { .. })), "{name}");
        }
    }
}
