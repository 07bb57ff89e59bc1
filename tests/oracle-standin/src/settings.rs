//! What a session is told about itself: `ALTER SESSION`, and module, action and client of the DBA's views.

use std::collections::BTreeMap;

use crate::connection::Service;
use crate::datetime::{offset_text, parse_offset};
use crate::error::{Failure, OracleError};
use crate::handles::{self, Handle, lock};
use crate::session::{Commits, Session};

/// Attributes that a session tells about itself, and their names in `sys_context('USERENV', …)`.
const TOLD: &[(u32, &str)] = &[
    (366, "module"),
    (367, "action"),
    (278, "client_identifier"),
    (368, "client_info"),
    (485, "dbop"),
];

/// What `DISABLE COMMIT IN PROCEDURE` sets.
pub const COMMIT_IN_PROCEDURE: &str = "COMMIT IN PROCEDURE";

/// `ALTER SESSION SET name = value`: the time zone, the wait for locks of the schema and whether procedures commit are
/// applied, the rest is Oracle's own affair.
///
/// # Errors
/// ORA-01882: no such time zone; ORA-02017: no number.
pub fn set(session: &mut Session, name: &str, value: &str) -> Result<(), OracleError> {
    match name {
        COMMIT_IN_PROCEDURE => {
            session.commits = if value == "DISABLE" { Commits::Client } else { Commits::Anybody };
            Ok(())
        }
        "TIME_ZONE" => set_zone(session, value),
        "DDL_LOCK_TIMEOUT" => {
            let no_number = |_no_number| OracleError::new(2017, "integer value required");
            session.schema_wait_seconds = Some(value.parse().map_err(no_number)?);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A distance from UTC, or a name; moments are told in UTC then, which are the same moments.
fn set_zone(session: &mut Session, value: &str) -> Result<(), OracleError> {
    let unknown = || OracleError::new(1882, "timezone region not found");
    let Some(offset) = parse_offset(value) else {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
        let is_name = value.chars().all(is_plain)
            && (value.contains('/') || value.chars().all(|c| c.is_ascii_alphabetic()));
        if !is_name || value.is_empty() {
            return Err(unknown());
        }
        session.simple(&format!("SET TIME ZONE '{value}'")).map_err(|_unknown| unknown())?;
        session.offset_minutes = 0;
        return Ok(());
    };
    // An interval, because POSIX turns the sign of an offset around.
    session.simple(&format!("SET TIME ZONE INTERVAL '{}' HOUR TO MINUTE", offset_text(offset)))?;
    session.offset_minutes = offset;
    Ok(())
}

/// Tells the server what the client told the session since the last call.
///
/// # Errors
/// What the server says.
pub fn apply(service: &Service, session: &mut Session) -> Result<(), Failure> {
    let number = *lock(&service.user);
    let Ok(found) = handles::find_number(number) else { return Ok(()) };
    let Handle::User(user) = &*found else { return Ok(()) };
    let told: BTreeMap<&str, String> = {
        let user = lock(user);
        TOLD.iter()
            .filter_map(|(attribute, name)| Some((*name, user.told.get(attribute)?.clone())))
            .collect()
    };
    Ok(session.tell(told)?)
}
