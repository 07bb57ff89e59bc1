//! Runs a command with a private PostgreSQL and the stand-in for Oracle's client library.
//!
//! `with_standin DATABASE… -- COMMAND ARGUMENT…`: the command finds the stand-in as `libclntsh.so`, and in its
//! environment `ORACLE_STANDIN_DSN` (of the first database) and `ORACLE_STANDIN_PASSWORD`; each database has a user of
//! its own name. Everything is gone when the command ends.

use std::ffi::OsString;
use std::io::{self, Error, Write as _};
use std::process::{Command, ExitCode};

use oracle_standin::server::{PASSWORD, Postgres, library, library_folder};

fn main() -> ExitCode {
    match run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _told = writeln!(io::stderr(), "with_standin: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<u8> {
    let mut arguments = std::env::args_os().skip(1);
    let databases: Vec<OsString> =
        arguments.by_ref().take_while(|argument| argument != "--").collect();
    let usage = || Error::other("usage: with_standin DATABASE... -- COMMAND ARGUMENT...");
    let program = arguments.next().ok_or_else(usage)?;
    let first = databases.first().ok_or_else(usage)?.to_string_lossy().into_owned();
    let folder = library_folder(&library()?)?;
    let server = Postgres::start()?;
    for database in &databases {
        server.create_database(&database.to_string_lossy())?;
    }
    let mut path = folder.path().as_os_str().to_owned();
    if let Some(own) = std::env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(own);
    }
    let mut command = Command::new(program);
    command.args(arguments).env("LD_LIBRARY_PATH", path);
    command
        .env("ORACLE_STANDIN_DSN", server.connect_string(&first))
        .env("ORACLE_STANDIN_PASSWORD", PASSWORD);
    command.env("ORACLE_STANDIN_USER", &first).env("ORACLE_STANDIN_LIBRARY", folder.path());
    let status = command.status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
