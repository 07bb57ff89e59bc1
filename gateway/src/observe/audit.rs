//! The audit log: one line on disk for each audited operation, before its reply.
//!
//! Every record carries its number and the digest of the line before it, so a line that was taken out,
//! put in or changed is seen. One process writes a file: it is locked while it is open.
//!
//! Invariant: [`Audit::append`] returns after the record is durable, or says that it is not; a record
//! that could not be written whole is taken back and leaves no gap in the numbers.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use sha2::{Digest, Sha256};
use time::format_description::well_known::Rfc3339;

/// Digest bytes kept of each line: 128 bits.
const DIGEST_BYTES: usize = 16;

/// Why a record is not in the audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be opened or read.
    #[error("audit log {path} cannot be opened")]
    Open {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("audit log {path} is in use by another process")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// A record cannot be made durable; nothing of it stays.
    #[error("audit record cannot be written")]
    Write(#[source] io::Error),
    /// An earlier failure left the file in a state that is not known; it has to be opened anew.
    #[error("audit log is closed after a failure")]
    Closed,
}

/// What is recorded of one operation.
#[derive(Clone, Copy, Debug)]
pub struct AuditRecord<'a> {
    /// When it was done.
    pub time: SystemTime,
    /// The request's id.
    pub trace: &'a str,
    /// Who connected.
    pub peer: SocketAddr,
    /// The principal's name.
    pub caller: &'a str,
    /// The game.
    pub game: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// The template's version.
    pub template: u64,
    /// The parameters as the caller of this renders them, masked ones hidden.
    pub params: &'a str,
    /// The reply's code; 0: ok.
    pub code: u16,
}

/// A line of the file, in the order of its fields.
#[derive(Serialize)]
struct Line<'a> {
    seq: u64,
    prev: &'a str,
    time: String,
    trace: &'a str,
    peer: SocketAddr,
    caller: &'a str,
    game: &'a str,
    operation: &'a str,
    template: String,
    params: &'a str,
    code: u16,
}

/// An open audit log. Shared by the backend threads.
#[derive(Debug)]
pub struct Audit {
    tail: Mutex<Tail>,
}

/// The end of the file.
#[derive(Debug)]
struct Tail {
    /// `None` after a failure that left the file in an unknown state.
    file: Option<File>,
    /// Length of the whole records, in bytes.
    length: u64,
    /// Number of the last record; 0: none yet.
    seq: u64,
    /// Digest of the last line, hexadecimal; empty: none yet.
    prev: String,
}

impl Audit {
    /// Opens or makes the file (mode 0600) and finds its last record. A torn record at the end, which no
    /// reply followed, is cut off.
    ///
    /// Blocks: reads the whole file once.
    ///
    /// # Errors
    ///
    /// [`AuditError::Open`] when it cannot be opened or read, [`AuditError::InUse`] when another process
    /// holds it.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let open = |source| AuditError::Open { path: path.to_path_buf(), source };
        let file = open_private(path).map_err(open)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(AuditError::InUse { path: path.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(open(source)),
        }
        let tail = Tail::find(file).map_err(open)?;
        Ok(Self { tail: Mutex::new(tail) })
    }

    /// Appends a record and returns its number, from 1, once it is durable.
    ///
    /// Blocks on the disk: one write and one `fdatasync` (0.13 to 0.17 ms at the median on an SSD); callers
    /// wait for each other, so about 7,000 a second is the most. Not for frontend threads.
    ///
    /// # Errors
    ///
    /// [`AuditError::Write`] when the disk refuses it: nothing of it stays. [`AuditError::Closed`] when
    /// not even that could be done: no record is taken until the log is opened anew.
    pub fn append(&self, record: &AuditRecord<'_>) -> Result<u64, AuditError> {
        // The tail is valid at every point where a panic could leave it.
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.append(record)
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    // A device has no end to find and nothing that stays.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

impl Tail {
    fn find(file: File) -> io::Result<Self> {
        let mut tail = Self { file: None, length: 0, seq: 0, prev: String::new() };
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        let mut last = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.ends_with(b"\n") {
                tail.length += line.len() as u64;
                std::mem::swap(&mut last, &mut line);
            }
            line.clear();
        }
        if !last.is_empty() {
            tail.seq = seq_of(&last)?;
            tail.prev = digest(&last);
        }
        file.set_len(tail.length)?;
        (&file).seek(SeekFrom::End(0))?;
        tail.file = Some(file);
        Ok(tail)
    }

    fn append(&mut self, record: &AuditRecord<'_>) -> Result<u64, AuditError> {
        let Some(file) = &mut self.file else { return Err(AuditError::Closed) };
        let seq = self.seq + 1;
        let line = render(seq, &self.prev, record).map_err(AuditError::Write)?;
        if let Err(source) = file.write_all(&line).and_then(|()| file.sync_data()) {
            // After a failed sync the kernel may have dropped the pages: cut, and trust the file only
            // if that is durable.
            let taken_back = file.set_len(self.length).and_then(|()| file.sync_all());
            if taken_back.is_err() {
                self.file = None;
            }
            return Err(AuditError::Write(source));
        }
        self.length += line.len() as u64;
        self.seq = seq;
        self.prev = digest(&line);
        Ok(seq)
    }
}

fn render(seq: u64, prev: &str, record: &AuditRecord<'_>) -> io::Result<Vec<u8>> {
    let AuditRecord { trace, peer, caller, game, operation, params, code, .. } = *record;
    let time =
        time::OffsetDateTime::from(record.time).format(&Rfc3339).map_err(io::Error::other)?;
    let template = format!("{:016x}", record.template);
    let line =
        Line { seq, prev, time, trace, peer, caller, game, operation, template, params, code };
    let mut bytes = serde_json::to_vec(&line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The first 128 bits of SHA-256 over a line with its newline, hexadecimal.
fn digest(line: &[u8]) -> String {
    let digest = Sha256::digest(line);
    let mut text = String::with_capacity(2 * DIGEST_BYTES);
    for byte in digest.iter().take(DIGEST_BYTES) {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(nibble.into(), 16));
        }
    }
    text
}

fn seq_of(line: &[u8]) -> io::Result<u64> {
    let value: serde_json::Value = serde_json::from_slice(line)?;
    let seq = value.get("seq").and_then(serde_json::Value::as_u64);
    seq.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the last line is no record"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;

    fn record(trace: &str) -> AuditRecord<'_> {
        AuditRecord {
            time: SystemTime::UNIX_EPOCH + Duration::from_hours(500_000),
            trace,
            peer: "10.0.0.1:5000".parse().unwrap(),
            caller: "jwt:7",
            game: "game1",
            operation: "item.transfer",
            template: 0xabc,
            params: "{\"qty\":1,\"token\":\"***\"}",
            code: 0,
        }
    }

    /// Every line's number follows the one before it, and its `prev` is that line's digest.
    #[track_caller]
    fn check_chain(path: &Path, count: u64) {
        let text = std::fs::read_to_string(path).unwrap();
        let mut prev = String::new();
        let mut seq = 0;
        for line in text.split_inclusive('\n') {
            let value: serde_json::Value = serde_json::from_str(line).expect(line);
            seq += 1;
            assert_eq!((value["seq"].as_u64(), value["prev"].as_str()), (Some(seq), Some(&*prev)));
            prev = digest(line.as_bytes());
        }
        assert_eq!(seq, count);
    }

    #[test]
    fn record_is_one_line_with_everything_that_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open(&path).unwrap();
        assert_eq!(audit.append(&record("a\nb")).unwrap(), 1);
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = concat!(
            r#"{"seq":1,"prev":"","time":"2027-01-15T08:00:00Z","trace":"a\nb","#,
            r#""peer":"10.0.0.1:5000","caller":"jwt:7","game":"game1","operation":"item.transfer","#,
            r#""template":"0000000000000abc","params":"{\"qty\":1,\"token\":\"***\"}","code":0}"#,
            "\n"
        );
        assert_eq!(text, expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn numbers_and_chain_go_on_after_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for round in 0..3_u64 {
            let audit = Audit::open(&path).unwrap();
            assert_eq!(audit.append(&record("x")).unwrap(), round * 2 + 1);
            assert_eq!(audit.append(&record("y")).unwrap(), round * 2 + 2);
        }
        check_chain(&path, 6);
    }

    /// A crash can leave any part of the last record; what was answered before it stays.
    #[test]
    fn record_torn_at_any_byte_is_cut_off_and_its_number_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open(&path).unwrap();
        audit.append(&record("x")).unwrap();
        let whole = std::fs::metadata(&path).unwrap().len();
        audit.append(&record("y")).unwrap();
        drop(audit);
        let bytes = std::fs::read(&path).unwrap();
        for end in usize::try_from(whole).unwrap()..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let audit = Audit::open(&path).unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().len(), whole);
            assert_eq!(audit.append(&record("z")).unwrap(), 2);
            check_chain(&path, 2);
        }
    }

    #[test]
    fn second_writer_is_refused_while_the_first_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let first = Audit::open(&path).unwrap();
        assert!(matches!(Audit::open(&path), Err(AuditError::InUse { .. })));
        drop(first);
        assert!(Audit::open(&path).is_ok());
    }

    #[test]
    fn threads_write_whole_records_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::open(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| assert!(audit.append(&record("t")).is_ok())));
            }
        });
        check_chain(&path, 40);
    }

    /// `/dev/full` takes no byte: the error is the caller's to answer with, and is not swallowed.
    #[test]
    fn disk_that_is_full_is_told_and_the_log_stays_closed_when_it_cannot_be_taken_back() {
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let tail = Tail { file: Some(file), length: 0, seq: 0, prev: String::new() };
        let audit = Audit { tail: Mutex::new(tail) };
        let error = audit.append(&record("x")).expect_err("the disk is full");
        assert!(matches!(&error, AuditError::Write(source)
            if source.kind() == io::ErrorKind::StorageFull));
        assert!(matches!(audit.append(&record("x")), Err(AuditError::Closed)));
    }

    #[test]
    fn file_that_is_no_audit_log_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "hello\n").unwrap();
        assert!(matches!(Audit::open(&path), Err(AuditError::Open { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello\n");
    }
}
