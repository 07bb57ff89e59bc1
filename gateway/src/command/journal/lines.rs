//! What `gateway journal` prints of the JSON that tells of records.

use std::fmt::Write as _;

use serde_json::Value;

/// What a running gateway lists: dead letters, then what waits, as far as it tells.
pub(super) fn listed(told: &Value) -> String {
    let mut text = String::new();
    for kind in ["dead", "waiting"] {
        for entry in told.get(kind).and_then(Value::as_array).into_iter().flatten() {
            line(&mut text, entry);
        }
    }
    let count = |kind: &str| told.pointer(&format!("/backlog/{kind}")).unwrap_or(&Value::Null);
    let _written = writeln!(text, "{} dead, {} waiting", count("dead"), count("records"));
    text
}

/// One record with its parameters.
pub(super) fn shown(entry: &Value) -> String {
    let mut text = String::new();
    line(&mut text, entry);
    let of = |pointer| member(entry, pointer);
    let _written = writeln!(
        text,
        "caller   {}\ntrace    {}\ntemplate {}, contract {}",
        of("/caller"),
        of("/trace"),
        of("/template"),
        of("/contract"),
    );
    for (name, value) in entry.get("params").and_then(Value::as_object).into_iter().flatten() {
        let _written = writeln!(text, "{name} = {}", value.as_str().unwrap_or_default());
    }
    text
}

/// A record on one line.
pub(super) fn line(text: &mut String, entry: &Value) {
    let of = |pointer| member(entry, pointer);
    // Writing to a string does not fail.
    let _written = write!(
        text,
        "{:>10}  {:<10}  {} {}  key={:?}  lane={}  age={}s  {} bytes",
        of("/sequence"),
        of("/state"),
        of("/game"),
        of("/operation"),
        of("/key"),
        lane(entry),
        of("/age_s"),
        of("/bytes"),
    );
    if entry.pointer("/dead/code").is_some() {
        let behind = match entry.pointer("/dead/needs_force") {
            Some(Value::Bool(true)) => "  (behind later records of its lane)",
            _ => "",
        };
        let _written = write!(text, "  {} {}{behind}", of("/dead/code"), of("/dead/message"));
        if let Some(Value::String(detail)) = entry.pointer("/dead/detail") {
            let _written = write!(text, "  ({detail:?})");
        }
    }
    waits(text, entry);
    text.push('\n');
}

/// Why a record waits.
fn waits(text: &mut String, entry: &Value) {
    let of = |pointer| member(entry, pointer);
    let state = match entry.pointer("/waits/state").and_then(Value::as_str) {
        None => return,
        Some("running") => "in a transaction now".to_owned(),
        Some("again") => format!("next try in {}s", of("/waits/next_s")),
        Some("behind") => format!("behind record {} of its lane", of("/waits/behind")),
        Some("away") => format!("its database is away, asked in {}s", of("/waits/next_s")),
        Some(_) => "its turn comes".to_owned(),
    };
    let _written = write!(text, "  {state}");
    if entry.pointer("/waits/last/code").is_some() {
        let (tries, code) = (of("/waits/tries"), of("/waits/last/code"));
        let _written =
            write!(text, "; tried {tries} times, last {code} {}", of("/waits/last/message"));
        if let Some(Value::String(detail)) = entry.pointer("/waits/last/detail") {
            let _written = write!(text, " ({detail:?})");
        }
    }
}

/// A member as text, without the quotes of JSON.
fn member(entry: &Value, pointer: &str) -> String {
    match entry.pointer(pointer) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A lane's value with its hash behind it, as far as they are told.
fn lane(entry: &Value) -> String {
    match entry.pointer("/lane_value") {
        Some(Value::String(value)) => format!("{value:?} ({})", member(entry, "/lane")),
        _ => member(entry, "/lane"),
    }
}
