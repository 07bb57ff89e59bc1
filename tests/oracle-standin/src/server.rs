//! A private PostgreSQL for tests: in a temporary folder, on a free port of 127.0.0.1, gone with the program.
//!
//! PostgreSQL refuses to run as root: then it runs as `postgres` or `nobody`, who own the folder.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Error, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Superuser of the private server.
pub const ADMIN: &str = "system";

/// Every user's password.
pub const PASSWORD: &str = "only-for-tests";

/// How long the server may take to start.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Runs a command until its standard input closes, which is a pipe that the program holds: however that ends, the
/// command is killed.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
log=$1
shift
"$@" >>"$log" 2>&1 </dev/null &
pid=$!
echo "$pid"
read -r _
kill -QUIT "$pid" 2>/dev/null
wait "$pid" 2>/dev/null
"#;

/// A private server.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    port: u16,
    account: Option<Account>,
    keeper: Option<(Child, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Postgres {
    /// Whether PostgreSQL is installed: Debian's `postgresql`.
    pub fn is_installed() -> bool {
        program("postgres").is_some() && program("initdb").is_some()
    }

    /// Makes a server and starts it; returns when it accepts connections.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start: with its log.
    pub fn start() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("oracle-standin-").tempdir()?;
        let account = account(folder.path())?;
        if let Some(account) = account {
            chown(folder.path(), Some(account.user), Some(account.group))?;
        }
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD)?;
        let mut server = Self { folder, port: 0, account, keeper: None };
        let mut initdb = server.command("initdb")?;
        initdb
            .arg("--pgdata")
            .arg(server.data())
            .args(["--username", ADMIN])
            .arg("--pwfile")
            .arg(&password);
        initdb.args([
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--lc-ctype=C.UTF-8",
            "--no-sync",
        ]);
        let output = initdb.output()?;
        if !output.status.success() {
            return Err(Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        fs::remove_file(&password)?;
        server.port = free_port()?;
        server.run()?;
        Ok(server)
    }

    /// Host, port and service, as Oracle's clients take them: `//127.0.0.1:15432/game1`.
    pub fn connect_string(&self, database: &str) -> String {
        format!("//127.0.0.1:{}/{database}", self.port)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), self.port)
    }

    /// Its process. `None`: it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.keeper.as_ref().map(|(_, pid)| *pid)
    }

    /// Makes a database, which is a service to Oracle's clients, and a user of that name who may do everything in it.
    ///
    /// # Errors
    /// The server's own.
    pub fn create_database(&self, name: &str) -> io::Result<()> {
        self.admin(
            "postgres",
            &format!("CREATE ROLE \"{name}\" SUPERUSER LOGIN PASSWORD '{PASSWORD}'"),
        )?;
        self.admin("postgres", &format!("CREATE DATABASE \"{name}\""))?;
        Ok(())
    }

    /// Drops a database and its user, whoever is connected.
    ///
    /// # Errors
    /// The server's own.
    pub fn drop_database(&self, name: &str) -> io::Result<()> {
        self.admin("postgres", &format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"))?;
        self.admin("postgres", &format!("DROP ROLE IF EXISTS \"{name}\""))?;
        Ok(())
    }

    /// Runs SQL of PostgreSQL's as its superuser, behind the clients' backs; returns a line a row.
    ///
    /// # Errors
    /// The server's own.
    pub fn admin(&self, database: &str, sql: &str) -> io::Result<String> {
        let mut client = Command::new(program("psql").ok_or_else(|| missing("psql"))?);
        client.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
        ]);
        client.args(["--host=127.0.0.1", "--username", ADMIN]).arg(format!("--port={}", self.port));
        client.arg(format!("--dbname={database}")).env("PGPASSWORD", PASSWORD);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = client.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(sql.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            return Err(Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        String::from_utf8(output.stdout).map_err(Error::other)
    }

    /// Ends every connection of clients to a database: they are lost.
    ///
    /// # Errors
    /// The server's own.
    pub fn end_connections(&self, database: &str) -> io::Result<()> {
        let sql = format!(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
             WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        );
        self.admin("postgres", &sql).map(drop)
    }

    /// Stops it at once; what was not committed is lost.
    ///
    /// # Errors
    /// Its keeper could not be waited for.
    pub fn stop(&mut self) -> io::Result<()> {
        if let Some((mut keeper, _)) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait()?;
        }
        Ok(())
    }

    /// Starts it again, at the same address and with what it had on disk.
    ///
    /// # Errors
    /// It does not start: with its log.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        self.run()
    }

    fn run(&mut self) -> io::Result<()> {
        let log = self.folder.path().join("log");
        let mut shell = self.command("sh")?;
        shell
            .args(["-c", SCRIPT, "keeper"])
            .arg(&log)
            .arg(program("postgres").ok_or_else(|| missing("postgres"))?);
        shell.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=600",
            "shared_buffers=64MB",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "autovacuum_naptime=10s",
            "deadlock_timeout=100ms",
            "timezone=UTC",
            "max_locks_per_transaction=256",
        ] {
            shell.arg("-c").arg(setting);
        }
        let mut keeper = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = keeper.stdout.take().ok_or_else(|| Error::other("no output"))?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let pid = line.trim().parse().map_err(Error::other)?;
        self.keeper = Some((keeper, pid));
        let started = Instant::now();
        while self.admin("postgres", "SELECT 1").is_err() {
            let is_running = Path::new("/proc").join(pid.to_string()).exists();
            if !is_running || started.elapsed() > START_LIMIT {
                return Err(Error::other(fs::read_to_string(&log).unwrap_or_default()));
            }
            pause();
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A command that runs as the server's account.
    fn command(&self, name: &str) -> io::Result<Command> {
        let mut command = Command::new(program(name).ok_or_else(|| missing(name))?);
        if let Some(account) = self.account {
            command.uid(account.user).gid(account.group);
        }
        command.current_dir(self.folder.path()).env("LC_ALL", "C.UTF-8");
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            // A test that ends has nobody left to tell.
            let _told = writeln!(io::stderr(), "the private PostgreSQL was not stopped: {error}");
        }
    }
}

/// The stand-in as it was built, beside the program that runs or in the folders of its build.
///
/// # Errors
/// It was not built.
pub fn library() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folders = program
        .ancestors()
        .skip(1)
        .take(2)
        .flat_map(|folder| [folder.to_path_buf(), folder.join("deps")]);
    let mut libraries = folders.map(|folder| folder.join("liboracle_standin.so"));
    let not_built = || {
        Error::new(io::ErrorKind::NotFound, "liboracle_standin.so: cargo build -p oracle-standin")
    };
    libraries.find(|library| library.is_file()).ok_or_else(not_built)
}

/// A folder in which a library has the name that the driver looks for: for `LD_LIBRARY_PATH`.
///
/// # Errors
/// The folder's own.
pub fn library_folder(library: &Path) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("libclntsh-").tempdir()?;
    symlink(library, folder.path().join("libclntsh.so"))?;
    Ok(folder)
}

#[expect(clippy::disallowed_methods, reason = "a test waits for a server, with a bound")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn missing(name: &str) -> Error {
    Error::new(
        io::ErrorKind::NotFound,
        format!("{name} is not installed: apt-get install postgresql"),
    )
}

/// Where a program is: on the path, or where Debian keeps PostgreSQL's, the newest version first.
fn program(name: &str) -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| {
            entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect()
        })
        .unwrap_or_default();
    versions.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = versions.into_iter().rev().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Who the server runs as. `None`: as whoever runs the test, who is not root.
fn account(own_folder: &Path) -> io::Result<Option<Account>> {
    if fs::metadata(own_folder)?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd")?;
    let find = |name: &str| {
        let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some(Account { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    };
    let found = find("postgres").or_else(|| find("nobody"));
    found.map(Some).ok_or_else(|| Error::other("there is neither a user `postgres` nor `nobody`"))
}

/// A port that nothing listens on now, below those that Linux gives to outgoing connections.
fn free_port() -> io::Result<u16> {
    let first = std::process::id().wrapping_mul(97) % 20_000;
    let is_free = |port: &u16| {
        TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err()
            && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    let ports = (0..20_000).filter_map(|step| u16::try_from(12_000 + (first + step) % 20_000).ok());
    ports.into_iter().find(is_free).ok_or_else(|| Error::other("no port is free"))
}
