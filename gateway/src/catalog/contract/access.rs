//! `@allow` and `@http`: who may call, and under which address.

use super::reader::{Fault, Reader};
use crate::catalog::{HttpMethod, HttpRoute};

/// Longest path of a route, in bytes.
const PATH_BYTES_MAX: usize = 256;

/// One entry of `@allow`, with the parameters' names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowDecl {
    pub(crate) role: Box<str>,
    /// Parameter and claim.
    pub(crate) claims: Vec<(Box<str>, Box<str>)>,
}

pub(super) fn allow(reader: &mut Reader<'_>) -> Result<AllowDecl, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let role = reader.name()?;
    if role.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(Fault::new(
            at,
            format!("`{role}` is not a role's name"),
            "write it in lower case",
        ));
    }
    let mut claims = Vec::new();
    if reader.eat("(") {
        claims = reader.list(|reader| {
            let param = reader.name()?.into();
            reader.expect("=")?;
            reader.expect_word("claim")?;
            reader.expect(".")?;
            Ok((param, reader.name()?.into()))
        })?;
        reader.expect(")")?;
    }
    Ok(AllowDecl { role: role.into(), claims })
}

pub(super) fn http(reader: &mut Reader<'_>) -> Result<HttpRoute, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let method = match reader.until(&[' ', '\t']) {
        "GET" => HttpMethod::Get,
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        other => {
            let message = format!("`{other}` is not a method of a route");
            return Err(Fault::new(at, message, "use GET, POST, PUT, PATCH, DELETE"));
        }
    };
    let at = {
        reader.rest();
        reader.at()
    };
    let path = reader.until(&[' ', '\t']);
    check_path(path).map_err(|message| {
        Fault::new(at, message, "write a path like `/v1/{game}/players/{player_id}`")
    })?;
    Ok(HttpRoute { method, path: path.into() })
}

/// What stands between two slashes of a route's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathSegment<'p> {
    /// Itself.
    Text(&'p str),
    /// `{name}`, or `{name}:verb`.
    Param {
        /// What stands in the braces.
        name: &'p str,
        /// `:verb`, or nothing.
        verb: &'p str,
    },
}

/// What stands between the slashes of a route's path; first of all the nothing before the first one.
pub(crate) fn path_segments(path: &str) -> impl Iterator<Item = PathSegment<'_>> {
    path.split('/').map(|segment| {
        let braces = segment.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        braces.map_or(PathSegment::Text(segment), |(name, verb)| PathSegment::Param { name, verb })
    })
}

/// The names in a path's braces, in order, with `game` first.
pub(crate) fn path_names(path: &str) -> impl Iterator<Item = &str> {
    path_segments(path).filter_map(|segment| match segment {
        PathSegment::Text(_) => None,
        PathSegment::Param { name, .. } => Some(name),
    })
}

fn check_path(path: &str) -> Result<(), String> {
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("the path is longer than {PATH_BYTES_MAX} bytes"));
    }
    let Some(own) = path.strip_prefix("/v1/{game}/") else {
        return Err("the path does not begin with `/v1/{game}/`".to_owned());
    };
    if matches!(own.split('/').next(), Some("call" | "batch")) {
        return Err("`call` and `batch` are the gateway's own".to_owned());
    }
    for segment in own.split('/') {
        check_segment(segment)?;
    }
    let names: Vec<&str> = path_names(path).collect();
    let twice =
        names.iter().enumerate().find(|(i, name)| names.iter().take(*i).any(|n| n == *name));
    twice.map_or(Ok(()), |(_, name)| Err(format!("`{{{name}}}` stands twice")))
}

/// `text`, `{name}`, or `{name}:verb`.
fn check_segment(segment: &str) -> Result<(), String> {
    let plain = |text: &str| {
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | ':'))
    };
    if segment.is_empty() {
        return Err("a part of the path is empty".to_owned());
    }
    let Some(rest) = segment.strip_prefix('{') else {
        return if plain(segment) {
            Ok(())
        } else {
            Err(format!("`{segment}` is not a part of a path"))
        };
    };
    let Some((name, verb)) = rest.split_once('}') else {
        return Err(format!("`{segment}` has no `}}`"));
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_verb = verb.is_empty() || (verb.starts_with(':') && plain(verb));
    if is_name && is_verb {
        Ok(())
    } else {
        Err(format!("`{segment}` is not `{{name}}` or `{{name}}:verb`"))
    }
}
