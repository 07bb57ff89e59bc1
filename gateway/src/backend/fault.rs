//! What a driver's error means for the statement and for the connection.

use super::BackendError;
#[cfg(feature = "oracle")]
use super::oracle::{Number, OracleFault};

/// Why a statement on a connection did not succeed, and what became of the connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database refused the statement and changed nothing; the connection is well.
    Refused(BackendError),
    /// The statement is not to be had on this connection: rows of it stand unread, or the server behind it takes
    /// no writes and another one may. It is closed.
    Unread(BackendError),
    /// The connection is gone or cannot be trusted; whether the statement took effect is unknown.
    Lost(sqlx::Error),
}

impl From<sqlx::Error> for Failure {
    fn from(source: sqlx::Error) -> Self {
        match verdict(&source) {
            Verdict::Lost => Self::Lost(source),
            Verdict::Interrupted => Self::Unread(BackendError::Query { source }),
            Verdict::NotWritable => Self::Unread(BackendError::NotWritable { source }),
            Verdict::TookTooLong => Self::Refused(BackendError::TimedOut),
            Verdict::Deadlock => Self::Refused(BackendError::Locked { is_deadlock: true, source }),
            Verdict::LockTimeout => {
                Self::Refused(BackendError::Locked { is_deadlock: false, source })
            }
            Verdict::Duplicate => Self::Refused(BackendError::Duplicate { source }),
            Verdict::Refused => Self::Refused(BackendError::Query { source }),
        }
    }
}

/// What a driver's error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "mysql"), expect(dead_code, reason = "SQLite gives some of these only"))]
enum Verdict {
    /// The statement failed, nothing changed.
    Refused,
    /// A unique key is taken.
    Duplicate,
    /// The database's own time limit passed; nothing changed.
    TookTooLong,
    /// Two transactions waited for each other and the database rolled this one back.
    Deadlock,
    /// The database gave up waiting for a lock; the statement changed nothing.
    LockTimeout,
    /// The database as a whole does not take such statements now: it is read-only, full, or not ready, or the
    /// gateway's user lacks a right. No fault of what was sent; nothing changed.
    NotWritable,
    /// Somebody stopped the statement and the connection may be next; or the database may have ended the
    /// whole transaction with it, so that what came next would stand alone.
    Interrupted,
    /// The connection is gone, or its protocol is out of step.
    Lost,
}

/// `ER_NO_SUCH_TABLE`, and the table that the triggers of a mirror's owner write to.
#[cfg(feature = "mysql")]
const NO_SUCH_TABLE: u16 = 1146;
#[cfg(feature = "mysql")]
const OUTBOX: &str = ".gateway_outbox'";

/// `ER_DBACCESS_DENIED`, `ER_ACCESS_DENIED`, `ER_TABLEACCESS_DENIED`, `ER_COLUMNACCESS_DENIED`, `ER_PROCACCESS_DENIED`.
const MYSQL_DENIED: [i32; 5] = [1044, 1045, 1142, 1143, 1370];
/// Insufficient privileges.
#[cfg(feature = "oracle")]
const ORACLE_DENIED: i32 = 1031;

fn verdict(error: &sqlx::Error) -> Verdict {
    match error {
        sqlx::Error::Database(database) => {
            #[cfg(feature = "mysql")]
            if let Some(number) = mysql_number(&**database) {
                return match number {
                    // MariaDB's word to a write that meets the moment in which a trigger of a mirror's is made. The next
                    // attempt finds the table; and where it is gone indeed, that is no fault of what was sent.
                    NO_SUCH_TABLE if database.message().contains(OUTBOX) => Verdict::Lost,
                    number => mysql_verdict(number),
                };
            }
            #[cfg(feature = "sqlite")]
            if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                let code = database.code().and_then(|code| code.parse().ok());
                return sqlite_verdict(code.unwrap_or(0));
            }
            #[cfg(feature = "oracle")]
            if let Some(fault) = database.try_downcast_ref::<OracleFault>() {
                return match fault.number() {
                    Number::Ora(number) => oracle_verdict(number),
                    // DPI-1010: not connected. DPI-1080: closed by the number that it names. DPI-1067: the call took
                    // too long; whether the database has done it is not known.
                    Number::Dpi(1010 | 1080 | 1067) => Verdict::Lost,
                    // Values that never reached the database.
                    Number::Dpi(_) | Number::Driver => Verdict::Refused,
                };
            }
            let _ = database;
            Verdict::Refused
        }
        // Values that never reached the database.
        sqlx::Error::Encode(_) | sqlx::Error::InvalidArgument(_) => Verdict::Refused,
        _ => Verdict::Lost,
    }
}

/// The database's own number of an error: of a procedure that raises one, the one that it raises.
pub(super) fn number(error: &sqlx::Error) -> Option<i32> {
    let sqlx::Error::Database(database) = error else { return None };
    #[cfg(feature = "mysql")]
    if let Some(number) = mysql_number(&**database) {
        return Some(number.into());
    }
    #[cfg(feature = "oracle")]
    if let Some(Number::Ora(number)) =
        database.try_downcast_ref::<OracleFault>().map(OracleFault::number)
    {
        return Some(number);
    }
    let _ = database;
    None
}

/// The number of an error of MySQL's, by whichever driver.
#[cfg(feature = "mysql")]
fn mysql_number(error: &dyn sqlx::error::DatabaseError) -> Option<u16> {
    let driver = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>();
    let own = error.try_downcast_ref::<super::mysql::wire::ServerFault>();
    driver
        .map(sqlx::mysql::MySqlDatabaseError::number)
        .or(own.map(super::mysql::wire::ServerFault::number))
}

/// Whether the database denies the gateway's account a right.
pub(super) fn is_denied(error: &sqlx::Error) -> bool {
    let Some(number) = number(error) else { return false };
    match error {
        #[cfg(feature = "oracle")]
        sqlx::Error::Database(database) if database.try_downcast_ref::<OracleFault>().is_some() => {
            number == ORACLE_DENIED
        }
        _ => MYSQL_DENIED.contains(&number),
    }
}

/// Whether a connection was refused for its user or password, by a database that locks accounts for that.
pub(super) fn is_login_refused(error: &sqlx::Error) -> bool {
    #[cfg(feature = "oracle")]
    if let Some(fault) =
        error.as_database_error().and_then(|error| error.try_downcast_ref::<OracleFault>())
    {
        // No such user and password; an empty one; no right to connect; account locked; password expired.
        return matches!(fault.number(), Number::Ora(1017 | 1005 | 1045 | 28000 | 28001));
    }
    let _ = error;
    false
}

/// Numbers: MySQL's and MariaDB's "Error message reference".
#[cfg(feature = "mysql")]
const fn mysql_verdict(number: u16) -> Verdict {
    match number {
        // ER_DUP_KEY, ER_DUP_ENTRY, ER_DUP_UNIQUE, ER_DUP_ENTRY_WITH_KEY_NAME
        1022 | 1062 | 1169 | 1586 => Verdict::Duplicate,
        // MariaDB ER_STATEMENT_TIMEOUT, MySQL ER_QUERY_TIMEOUT
        1969 | 3024 => Verdict::TookTooLong,
        // ER_LOCK_DEADLOCK; ER_CHECKREAD: the row changed since the snapshot of MariaDB's stricter isolation
        1213 | 1020 => Verdict::Deadlock,
        // ER_LOCK_WAIT_TIMEOUT
        1205 => Verdict::LockTimeout,
        // ER_OPTION_PREVENTS_STATEMENT (--read-only), ER_READ_ONLY_MODE, ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION;
        // ER_UNKNOWN_COM_ERROR, which is a Galera node's word while it belongs to no cluster;
        // ER_DISK_FULL, ER_RECORD_FILE_FULL; ER_DBACCESS_DENIED, ER_ACCESS_DENIED, ER_TABLEACCESS_DENIED,
        // ER_COLUMNACCESS_DENIED, ER_PROCACCESS_DENIED: after a switchover rights may follow later.
        1290 | 1836 | 1792 | 1047 | 1021 | 1114 | 1044 | 1045 | 1142 | 1143 | 1370 => {
            Verdict::NotWritable
        }
        // ER_QUERY_INTERRUPTED: also the last words to a connection that is being killed.
        // ER_LOCK_TABLE_FULL: ends the transaction.
        1317 | 1206 => Verdict::Interrupted,
        // ER_SERVER_SHUTDOWN, ER_NORMAL_SHUTDOWN, ER_ABORTING_CONNECTION, network errors of the
        // server's side, ER_NEW_ABORTING_CONNECTION, MariaDB ER_CONNECTION_KILLED, MySQL
        // ER_CLIENT_INTERACTION_TIMEOUT
        1053 | 1077 | 1152 | 1153..=1161 | 1184 | 1927 | 4031 => Verdict::Lost,
        _ => Verdict::Refused,
    }
}

/// Numbers: Oracle's "Database Error Messages".
#[cfg(feature = "oracle")]
const fn oracle_verdict(number: i32) -> Verdict {
    match number {
        // Unique constraint violated.
        1 => Verdict::Duplicate,
        // Cancelled by somebody, or by the resource manager (40); snapshot too old: the query ran for too long.
        1013 | 40 | 1555 => Verdict::TookTooLong,
        // Deadlock; can't serialize access: somebody changed the row since the transaction began.
        60 | 8177 => Verdict::Deadlock,
        // Busy (NOWAIT); WAIT n is over; of a lock on an object; of a distributed transaction.
        54 | 30006 | 4021 | 2049 => Verdict::LockTimeout,
        // Open for reading only; read-only standby; insufficient privileges: they may follow later; tablespace,
        // quota, undo or temporary space full; archiver stuck.
        16000 | 16456 | 1031 | 1653 | 1654 | 1655 | 1691 | 1536 | 30036 | 1652 | 257 => {
            Verdict::NotWritable
        }
        // Session killed; not logged on; hostdef gone; idle, CPU or session limit of a profile; connection lost in its
        // forms; instance starting, stopping, terminated; not available.
        28 | 1012 | 1041 | 2391..=2399 | 3113 | 3114 | 3135 | 1033 | 1034 | 1089 | 1090 | 1092
        // Of the network layer: no listener, no service, no route, time-outs, broken pipe.
        | 12150..=12699 | 25401..=25409
        // Login refused: wrong password, account locked, password expired.
        | 1017 | 28000 | 28001 => Verdict::Lost,
        // The template's (942 no table, 904 no column), or a value's (1400 NULL, 1438 and 12899 too large, 2290 to
        // 2292 a constraint).
        _ => Verdict::Refused,
    }
}

/// Numbers: SQLite's "Result and Error Codes", extended.
#[cfg(feature = "sqlite")]
const fn sqlite_verdict(code: i32) -> Verdict {
    match code {
        // SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_ROWID
        2067 | 1555 | 2579 => Verdict::Duplicate,
        // SQLITE_BUSY, SQLITE_LOCKED, in any variant
        _ if matches!(code & 0xff, 5 | 6) => Verdict::LockTimeout,
        // SQLITE_INTERRUPT; SQLITE_NOMEM, SQLITE_FULL: may end the transaction.
        _ if matches!(code & 0xff, 7 | 9 | 13) => Verdict::Interrupted,
        // SQLITE_READONLY
        _ if code & 0xff == 8 => Verdict::NotWritable,
        // SQLITE_IOERR, SQLITE_CORRUPT, SQLITE_CANTOPEN, SQLITE_NOTADB
        _ if matches!(code & 0xff, 10 | 11 | 14 | 26) => Verdict::Lost,
        _ => Verdict::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_reached_the_database_leaves_the_connection_well() {
        assert_eq!(verdict(&sqlx::Error::Encode("too far".into())), Verdict::Refused);
        assert_eq!(verdict(&sqlx::Error::Protocol("out of step".into())), Verdict::Lost);
        let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        assert_eq!(verdict(&sqlx::Error::Io(cut)), Verdict::Lost);
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn numbers_of_mysql_are_sorted_by_what_became_of_the_statement() {
        assert_eq!(mysql_verdict(1062), Verdict::Duplicate);
        assert_eq!(mysql_verdict(1205), Verdict::LockTimeout);
        assert_eq!(mysql_verdict(1213), Verdict::Deadlock);
        assert_eq!(mysql_verdict(1969), Verdict::TookTooLong);
        assert_eq!(mysql_verdict(1317), Verdict::Interrupted);
        assert_eq!(mysql_verdict(1927), Verdict::Lost);
        assert_eq!(mysql_verdict(1146), Verdict::Refused);
        for number in [1290, 1836, 1792, 1047, 1021, 1114, 1044, 1045, 1142, 1143] {
            assert_eq!(mysql_verdict(number), Verdict::NotWritable, "{number}");
        }
        for number in MYSQL_DENIED {
            let verdict = mysql_verdict(u16::try_from(number).expect("one of MySQL's"));
            assert_eq!(verdict, Verdict::NotWritable, "{number}");
        }
    }

    #[cfg(feature = "oracle")]
    #[test]
    fn numbers_of_oracle_are_sorted_by_what_became_of_the_statement() {
        let check = |numbers: &[i32], expected| {
            for number in numbers {
                assert_eq!(oracle_verdict(*number), expected, "ORA-{number:05}");
            }
        };
        check(&[1], Verdict::Duplicate);
        check(&[1013], Verdict::TookTooLong);
        check(&[60, 8177], Verdict::Deadlock);
        check(&[54, 30006], Verdict::LockTimeout);
        check(&[1031, 1653, 16000], Verdict::NotWritable);
        check(&[28, 1012, 3113, 3114, 3135, 12170, 12514, 12541, 12899 - 200], Verdict::Lost);
        check(&[1017, 28000], Verdict::Lost);
        check(&[904, 942, 1400, 1438, 2291, 12899], Verdict::Refused);
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn codes_of_sqlite_are_sorted_with_their_extensions() {
        assert_eq!(sqlite_verdict(2067), Verdict::Duplicate);
        assert_eq!(sqlite_verdict(1555), Verdict::Duplicate);
        assert_eq!(sqlite_verdict(5), Verdict::LockTimeout);
        assert_eq!(sqlite_verdict(517), Verdict::LockTimeout);
        assert_eq!(sqlite_verdict(13), Verdict::Interrupted);
        assert_eq!(sqlite_verdict(787), Verdict::Refused);
        assert_eq!(sqlite_verdict(522), Verdict::Lost);
        assert_eq!(sqlite_verdict(8), Verdict::NotWritable);
        assert_eq!(sqlite_verdict(1032), Verdict::NotWritable);
    }
}
