//! A connection of a test's own that keeps locks and an open transaction.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command};

/// A connection that holds locks; dropping it ends it.
#[derive(Debug)]
pub struct TableLock {
    _holder: Holder,
}

#[derive(Debug)]
enum Holder {
    Client {
        client: Child,
        stdin: Option<ChildStdin>,
        _stdout: BufReader<ChildStdout>,
    },
    /// Its end rolls back.
    Session {
        _session: oracle::Connection,
    },
}

impl TableLock {
    /// Runs SQL in a client that prints bare rows, and returns when it has run.
    ///
    /// - `client`: its standard input and output are pipes.
    pub(crate) fn of(mut client: Command, sql: &str) -> Self {
        let mut client = client.spawn().expect("the client starts");
        let mut stdin = client.stdin.take().expect("piped");
        let stdout = client.stdout.take().expect("piped");
        writeln!(stdin, "{sql}; SELECT 'held';").expect("the client reads");
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        assert_eq!(line.trim(), "held");
        Self { _holder: Holder::Client { client, stdin: Some(stdin), _stdout: reader } }
    }

    /// Keeps a session whose statements have run.
    pub(crate) const fn of_session(session: oracle::Connection) -> Self {
        Self { _holder: Holder::Session { _session: session } }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if let Self::Client { client, stdin, .. } = self {
            drop(stdin.take());
            client.wait().expect("the client ends");
        }
    }
}
