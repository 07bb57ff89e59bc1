//! Faults on demand: what the stand-in is told to do in place of what it was asked.
//!
//! `ORACLE_STANDIN_FAULTS` names a file, else it is `oracle-standin-PID.faults` in the folder of temporary files. It is
//! read again at each call: a running process can be told. A line is `CALL FAULT [times=N] [after=N] [match=TEXT]`; what
//! happened is appended to the file's name with `.fired`.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use crate::error::OracleError;
use crate::handles::lock;

/// Names the file.
const VARIABLE: &str = "ORACLE_STANDIN_FAULTS";

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::var_os(VARIABLE).map_or_else(|| default_file(std::process::id()), PathBuf::from)
});
static RULES: LazyLock<Mutex<Rules>> = LazyLock::new(Mutex::default);

/// The file as it was read last, and what is left of its rules.
#[derive(Debug, Default)]
struct Rules {
    text: String,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    call: String,
    fault: Fault,
    /// How often it still happens.
    times: u32,
    /// How many calls that it would meet go by first.
    after: u32,
    matching: String,
    line: String,
}

/// What happens in place of a call, or with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and this is said.
    Error(OracleError),
    /// Nothing is done, and the connection is lost.
    Lost,
    /// It is done, and the connection is lost before the answer: nobody knows.
    LostAfter,
    /// It is done later.
    Slow(Duration),
}

impl Fault {
    fn parse(word: &str) -> Option<Self> {
        let error = |code, text: &str| Some(Self::Error(OracleError::new(code, text)));
        match word {
            "lost" => Some(Self::Lost),
            "lost-after" => Some(Self::LostAfter),
            "no-listener" => error(12541, "TNS:no listener"),
            "login-refused" => error(1017, "invalid username/password; logon denied"),
            "sessions-exhausted" => error(18, "maximum number of sessions exceeded"),
            "deadlock" => error(60, "deadlock detected while waiting for resource"),
            "busy" => {
                error(54, "resource busy and acquire with NOWAIT specified or timeout expired")
            }
            "not-serializable" => error(8177, "can't serialize access for this transaction"),
            _ => {
                if let Some(millis) = word.strip_prefix("slow=") {
                    return millis
                        .parse()
                        .ok()
                        .map(|millis| Self::Slow(Duration::from_millis(millis)));
                }
                error(
                    word.strip_prefix("ORA-")?.parse().ok()?,
                    "told to fail (stand-in for Oracle)",
                )
            }
        }
    }
}

/// Reads the rules. `Err`: the line that is none.
fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| parse_line(line).ok_or_else(|| line.to_owned())).collect()
}

fn parse_line(line: &str) -> Option<Rule> {
    let (head, matching) = line.split_once(" match=").unwrap_or((line, ""));
    let mut words = head.split_whitespace();
    let call = words.next()?.to_owned();
    let fault = Fault::parse(words.next()?)?;
    let mut rule = Rule {
        call,
        fault,
        times: u32::MAX,
        after: 0,
        matching: matching.to_lowercase(),
        line: line.to_owned(),
    };
    for word in words {
        match word.split_once('=')? {
            ("times", number) => rule.times = number.parse().ok()?,
            ("after", number) => rule.after = number.parse().ok()?,
            _ => return None,
        }
    }
    let known = ["any", "attach", "login", "execute", "fetch", "commit", "rollback", "ping"];
    known.contains(&rule.call.as_str()).then_some(rule)
}

/// The file that a process looks at when nothing else is said.
pub fn default_file(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("oracle-standin-{pid}.faults"))
}

/// The fault that a call meets now.
///
/// - `text`: the statement, or the connect string.
pub fn meet(call: &str, text: &str) -> Option<Fault> {
    let now = fs::read_to_string(&*FILE).unwrap_or_default();
    let mut rules = lock(&RULES);
    if now != rules.text {
        rules.rules = match parse(&now) {
            Ok(read) => read,
            Err(line) => {
                return Some(Fault::Error(OracleError::new(
                    3001,
                    format_args!("no fault: {line}"),
                )));
            }
        };
        rules.text = now;
    }
    let rule = fire(&mut rules.rules, call, text)?;
    let mut fired = FILE.clone().into_os_string();
    fired.push(".fired");
    if let Ok(mut fired) = OpenOptions::new().append(true).create(true).open(fired) {
        // A test that counts what happened misses a line when this fails, and fails.
        let _written = writeln!(fired, "{call}: {}", rule.line);
    }
    Some(rule.fault)
}

fn fire(rules: &mut [Rule], call: &str, text: &str) -> Option<Rule> {
    let text = text.to_lowercase();
    let meets = |rule: &&mut Rule| {
        rule.times > 0 && (rule.call == call || rule.call == "any") && text.contains(&rule.matching)
    };
    let rule = rules.iter_mut().find(meets)?;
    if rule.after > 0 {
        rule.after -= 1;
        return None;
    }
    rule.times = rule.times.saturating_sub(u32::from(rule.times != u32::MAX));
    Some(rule.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_happen_as_often_and_as_late_as_they_are_told_to() {
        let mut rules =
            parse("# none\nexecute deadlock times=2 after=1 match=UPDATE Player\n").unwrap();
        let mut meets = |call, text| fire(&mut rules, call, text).is_some();
        assert!(!meets("execute", "update player set a = 1"), "the first goes by");
        assert!(!meets("commit", ""));
        assert!(!meets("execute", "SELECT 1 FROM dual"));
        assert!(meets("execute", "UPDATE player SET a = 1"));
        assert!(meets("execute", "UPDATE player SET a = 1"));
        assert!(!meets("execute", "UPDATE player SET a = 1"), "twice is all");
    }

    #[test]
    fn rules_are_read_and_what_is_none_is_told() {
        let fault = |line: &str| parse(line).unwrap().remove(0).fault;
        assert_eq!(fault("any lost"), Fault::Lost);
        assert_eq!(fault("commit lost-after"), Fault::LostAfter);
        assert_eq!(fault("ping slow=250"), Fault::Slow(Duration::from_millis(250)));
        assert!(matches!(fault("fetch ORA-1555"), Fault::Error(error) if error.code == 1555));
        assert_eq!(parse("execute explode").unwrap_err(), "execute explode");
        assert_eq!(parse("dance lost").unwrap_err(), "dance lost");
        assert_eq!(parse("ping lost often=1").unwrap_err(), "ping lost often=1");
    }
}
