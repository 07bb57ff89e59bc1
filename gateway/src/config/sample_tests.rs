//! The shipped sample and the reader hold each other to account.

use std::collections::HashMap;

use super::fault::FaultKind;
use super::setting::{Segment, Setting};
use super::tests::{env, parse};
use super::*;

const SAMPLE: &str = include_str!("../../../config/gateway.yaml");

/// The sample with its alternatives switched on: `#key` becomes `key`, prose (`# text`) stays.
fn with_alternatives() -> String {
    let switch_on = |line: &str| match line.trim_start().strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '-') => {
            format!("{}{rest}\n", " ".repeat(line.len() - line.trim_start().len()))
        }
        _ => format!("{line}\n"),
    };
    SAMPLE.lines().map(switch_on).collect::<String>().replace("api_keys: []", "api_keys:")
}

/// The path with names and numbers left out: `games.*.id`.
fn pattern(setting: &Setting) -> String {
    let step = |segment: &Segment| match segment {
        Segment::Key(key) => format!(".{key}"),
        Segment::Name(_) => ".*".to_owned(),
        Segment::Item(_) => "[]".to_owned(),
    };
    setting.path.iter().map(step).collect()
}

fn settings_of(text: &str) -> Vec<Setting> {
    let root = yaml::parse(text).expect("the sample is YAML");
    let (_, report) = read(&root, Path::new("config"), &env(), |_, _| {});
    let strange: Vec<_> = report
        .faults
        .iter()
        .filter(|fault| !matches!(fault.kind, FaultKind::Conflict(_)))
        .collect();
    assert!(strange.is_empty(), "{strange:#?}");
    report.settings
}

#[test]
fn sample_as_shipped_is_good_and_without_warnings() {
    let (config, warnings) = parse(SAMPLE).expect("the sample is good");
    assert_eq!(warnings, []);
    assert_eq!(config.games.len(), 2);
    assert_eq!(config.database.connections.len(), 2);
    assert!(config.cache.redis.is_some() && config.auth.jwt.is_some());
}

#[test]
fn sample_holds_every_key_that_the_reader_knows_and_no_other() {
    let settings = settings_of(&with_alternatives());
    let mut written: HashMap<String, bool> = HashMap::new();
    for setting in &settings {
        *written.entry(pattern(setting)).or_default() |= setting.line > 0;
    }
    let missing: Vec<_> = written.iter().filter(|(_, written)| !**written).collect();
    assert!(missing.is_empty(), "not in the sample: {missing:?}");
}

#[test]
fn sample_says_the_default_range_and_effect_of_every_key_as_the_reader_has_them() {
    let text = with_alternatives();
    let lines: Vec<&str> = text.lines().collect();
    let mut said: HashMap<String, bool> = HashMap::new();
    let mut notes: HashMap<String, String> = HashMap::new();
    let settings = settings_of(&text);
    for setting in settings.iter().filter(|setting| setting.line > 0) {
        let index = setting.line as usize - 1;
        let note = format!("# {}", setting.note);
        let above = index.checked_sub(1).map_or("", |above| lines[above].trim());
        *said.entry(pattern(setting)).or_default() |= above == note;
        let place = || format!("above line {}: {note}", setting.line);
        notes.entry(pattern(setting)).or_insert_with(place);
    }
    let mut silent: Vec<_> = said.iter().filter(|(_, said)| !**said).map(|(key, _)| key).collect();
    silent.sort();
    let told: Vec<_> = silent.iter().map(|key| notes[*key].as_str()).collect();
    assert!(told.is_empty(), "the sample does not say\n{}", told.join("\n"));
}
