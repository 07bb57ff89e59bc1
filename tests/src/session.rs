//! A connection that is kept and asked again and again: fast enough to see a state that lasts a few milliseconds.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command};

/// A connection for questions; dropping it ends it.
#[derive(Debug)]
pub struct Session {
    client: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Session {
    /// - `client`: prints bare rows as they come; its standard input and output are pipes.
    pub(crate) fn of(mut client: Command) -> Self {
        let mut client = client.spawn().expect("the client starts");
        let stdin = client.stdin.take();
        let stdout = BufReader::new(client.stdout.take().expect("piped"));
        Self { client, stdin, stdout }
    }

    /// Asks for one row, which has to be there; its columns apart by tabs.
    pub fn ask(&mut self, sql: &str) -> String {
        let stdin = self.stdin.as_mut().expect("open");
        writeln!(stdin, "{sql};").expect("the client reads");
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("an answer");
        line.trim_end_matches('\n').to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.stdin.take());
        self.client.wait().expect("the client ends");
    }
}
