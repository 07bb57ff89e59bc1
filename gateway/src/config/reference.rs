//! References to the environment and to files: `${NAME}`, `file:PATH`, `$$` for a dollar sign.
//!
//! Invariant: a fault names the variable or the file, never what was found there.

use super::fault::FaultKind;
use super::reading::Reading;
use super::setting::{Segment, path_text};
use super::yaml::{Node, NodeValue};
use super::{Env, Secret};

/// Longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// A text after its references were followed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    /// The text.
    pub(super) value: String,
    /// Whether a part of it came from the environment.
    pub(super) from_env: bool,
}

/// Follows every `${NAME}` of a text.
///
/// # Errors
///
/// What is wrong, in words: the variable is not set, or the reference is not complete.
pub(super) fn expand(written: &str, env: &Env) -> Result<Expanded, String> {
    let mut value = String::new();
    let mut from_env = false;
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('$') {
        value.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            value.push('$');
            rest = tail;
        } else if let Some(reference) = after.strip_prefix('{') {
            let Some((name, tail)) =
                reference.split_once('}').filter(|(name, _)| is_variable(name))
            else {
                return Err(
                    "has an incomplete reference: write `${NAME}`, or `$$` for a dollar sign"
                        .into(),
                );
            };
            let Some(found) = (env.variable)(name) else {
                return Err(format!("needs the environment variable {name}, which is not set"));
            };
            value.push_str(&found);
            from_env = true;
            rest = tail;
        } else {
            value.push('$');
            rest = after;
        }
    }
    value.push_str(rest);
    Ok(Expanded { value, from_env })
}

fn is_variable(name: &str) -> bool {
    name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Reads a secret; a fault or a warning is recorded, neither with the value.
pub(super) fn read_secret(
    reading: &Reading<'_>,
    path: &[Segment],
    node: &Node,
    bytes_min: usize,
) -> Option<Secret> {
    let fault = |reason: String| {
        reading.fault(node.line, path_text(path), FaultKind::Secret(reason.into()));
    };
    let NodeValue::Text(written) = &node.value else {
        fault("has to be a text: `${NAME}` or `file:PATH`".to_owned());
        return None;
    };
    let found = match written.strip_prefix("file:") {
        Some(file) => read_file(reading, file).map(|value| (value, false)),
        None => expand(written, reading.env).map(|text| (text.value, !text.from_env)),
    };
    match found {
        Err(reason) => fault(reason),
        Ok((value, _)) if value.len() < bytes_min => {
            fault(format!("is a secret of {} bytes, but needs {bytes_min} or more", value.len()));
        }
        Ok((value, literal)) => {
            if literal && !value.is_empty() && !is_public(&value) {
                let text = "is a secret written in the file: use `${NAME}` or `file:PATH`";
                reading.warn(node.line, path_text(path), text);
            }
            return Some(Secret::new(value));
        }
    }
    None
}

/// Whether a literal gives nothing away: a public key, or an address without a password.
fn is_public(value: &str) -> bool {
    let is_url = value.split_once("://").is_some_and(|(_, rest)| !rest.contains('@'));
    value.contains("-----BEGIN PUBLIC KEY-----") || is_url
}

fn read_file(reading: &Reading<'_>, file: &str) -> Result<String, String> {
    let path = reading.base_dir.join(file);
    let shown = path.display();
    let bytes =
        (reading.env.read_file)(&path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(format!("cannot use {shown}: it is longer than {SECRET_BYTES_MAX} bytes"));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        format!("cannot use {shown}: not UTF-8 at byte {}", error.utf8_error().valid_up_to())
    })?;
    // Editors and `echo` end a file with a newline that is not part of the secret.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        Env {
            variable: Box::new(|name| (name == "HOST").then(|| "db1".to_owned())),
            read_file: Box::new(|_| Err(std::io::ErrorKind::NotFound.into())),
            is_folder: Box::new(|_| Err(std::io::ErrorKind::NotFound.into())),
            cpu_count: 1,
        }
    }

    #[test]
    fn references_are_followed_where_they_stand_and_a_doubled_dollar_is_one() {
        let check = |written: &str, expected: &str, from_env: bool| {
            let expected = Expanded { value: expected.to_owned(), from_env };
            assert_eq!(expand(written, &env()), Ok(expected), "{written}");
        };
        check("plain", "plain", false);
        check("${HOST}", "db1", true);
        check("a${HOST}b${HOST}", "adb1bdb1", true);
        check("$${HOST} $5 $", "${HOST} $5 $", false);
    }

    #[test]
    fn unset_variable_and_incomplete_reference_are_told_by_name() {
        let told = expand("${NOPE}", &env()).unwrap_err();
        assert_eq!(told, "needs the environment variable NOPE, which is not set");
        for broken in ["${HOST", "${}", "${a-b}", "${1}", "${ HOST}"] {
            assert!(expand(broken, &env()).is_err(), "{broken}");
        }
    }
}
