//! Rule 3: a write whose table is read by a cached template invalidates a tag of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::compile::Compiled;
use crate::catalog::contract::Key;
use crate::catalog::finding::{Findings, Rule};
use crate::catalog::{TagPart, TagPattern};

pub(super) fn check(compiled: &[Compiled], findings: &mut Findings) {
    let mut readers: BTreeMap<&str, Vec<(&Compiled, Vec<String>)>> = BTreeMap::new();
    let accepts = |one: &Compiled| one.resolved.one(Key::StaleOk).is_some();
    for read in compiled.iter().filter(|one| one.template.cache.is_some() && !accepts(one)) {
        let tags = read.template.cache.iter().flat_map(|cache| &cache.tags);
        let tags: Vec<String> = tags.map(shape).collect();
        for table in &read.tables_read {
            readers.entry(table).or_default().push((read, tags.clone()));
        }
    }
    for write in compiled.iter().filter(|one| one.template.kind.is_write() && !accepts(one)) {
        let told: BTreeSet<String> = write.template.invalidate.iter().map(shape).collect();
        for table in &write.tables_written {
            for (read, tags) in readers.get(table.as_str()).into_iter().flatten() {
                if tags.iter().any(|tag| told.contains(tag)) {
                    continue;
                }
                let op = &read.template.op;
                let message = format!("it writes `{table}`, which `{op}` reads and caches");
                let fix = match tags.first() {
                    Some(tag) => format!("add `-- @invalidate {tag}`, or `-- @stale_ok reason`"),
                    None => format!(
                        "give the @cache of `{op}` a tag and invalidate it, or write `-- @stale_ok reason`"
                    ),
                };
                findings.error(Rule::Stale, write.place(Key::Invalidate), message, fix);
            }
        }
    }
}

/// A tag without what varies in it: a read's and a write's parameters have names of their own.
fn shape(tag: &TagPattern) -> String {
    let part = |part: &TagPart| match part {
        TagPart::Text(text) => text.to_string(),
        TagPart::Slot(_) | TagPart::Field { .. } => "{…}".to_owned(),
    };
    tag.parts.iter().map(part).collect()
}
