//! Which keys a template must have, which go with its kind, and which nothing runs yet.

use super::Compiler;
use crate::catalog::Kind;
use crate::catalog::contract::{Decl, Key};
use crate::catalog::finding::Rule;
use crate::catalog::tree::BASE;

impl Compiler<'_, '_> {
    /// What every template has.
    pub(super) fn mandatory(&mut self) {
        if self.is_void() {
            return;
        }
        let needed = [
            (Key::Kind, "write `-- @kind one` (or optional, many, page, exec, tx, batch, call)"),
            (Key::Allow, "name the roles: `-- @allow game_server`; `public` needs no credential"),
        ];
        for (key, fix) in needed {
            if self.resolved.lacks(key) {
                let message = format!("@{} is missing", key.name());
                self.findings.error(Rule::KeyMissing, &self.resolved.place, message, fix);
            }
        }
        if self.resolved.body.is_none() {
            let (op, dialect) = (&self.resolved.op, self.resolved.dialect);
            let folder = self.folder();
            let path = format!("{folder}/{}", op.as_str().replace('.', "/"));
            let (message, fix) = if self.resolved.has_any_body {
                let message = format!("`{op}` has no body for {dialect}");
                (
                    message,
                    format!("add `{path}.{dialect}.sql`, or name its dialects with @dialects"),
                )
            } else {
                let message = format!("`{op}` has no statement");
                (message, "write it below the header: the contract is there, and no SQL".to_owned())
            };
            self.findings.error(Rule::BodyMissing, &self.resolved.place, message, fix);
        }
    }

    /// Whether there is nothing that could be an operation, which is told as that alone.
    fn is_void(&mut self) -> bool {
        let resolved = self.resolved;
        if resolved.has_any_body || !resolved.lacks(Key::Kind) {
            return false;
        }
        let (op, folder) = (&resolved.op, self.folder());
        let (message, fix) = if resolved.entries.is_empty() && resolved.faulty.is_empty() {
            let fix = "write a contract (`-- @kind …`) and a statement, or remove the file";
            ("there is neither a contract nor a statement in it".to_owned(), fix)
        } else if folder != BASE {
            let fix =
                "mend the file's name, or write a whole operation: @kind, @allow and a statement";
            (format!("it changes `{op}`, and {BASE} has no such operation"), fix)
        } else {
            return false;
        };
        self.findings.error(Rule::File, &resolved.place, message, fix);
        true
    }

    /// The folder of its most specific file.
    fn folder(&self) -> &str {
        self.resolved.place.file.split('/').next().unwrap_or(BASE)
    }

    /// What is well formed and has nothing behind it yet: refused, never ignored.
    pub(super) fn unbuilt(&mut self) {
        for entry in &self.resolved.entries {
            let what = match &*entry.decl {
                Decl::Unbuilt => format!("@{}", entry.key.name()),
                Decl::Cache(cache) if cache.stale => "@cache stale=".to_owned(),
                _ => continue,
            };
            let message = format!("{what} is not built yet");
            let fix = "remove it: nothing would do what it says";
            self.findings.error(Rule::NotBuilt, &entry.place, message, fix);
        }
    }

    /// Keys that say nothing about this kind would be read by nobody.
    pub(super) fn fits(&mut self, kind: Kind) {
        let is_tx = kind == Kind::Tx;
        let is_call = matches!(kind, Kind::Call { .. });
        for entry in &self.resolved.entries {
            let (fits, goes_with) = match entry.key {
                Key::Result => ((!kind.is_write() || is_tx) && !is_call, "a read, or @kind tx"),
                Key::Out => (is_call || is_tx || kind == Kind::Exec, "@kind call, exec or tx"),
                Key::Guard => (is_call, "@kind call"),
                Key::On if matches!(*entry.decl, Decl::OnRaised(_)) => (is_call, "@kind call"),
                Key::Cache | Key::HttpCache => (!kind.is_write(), "a read"),
                // A batch has a version for each row, and a reply for each.
                Key::Version => {
                    let fits = !matches!(kind, Kind::Batch | Kind::Call { writes: false });
                    (fits, "any kind but batch and `call reads`")
                }
                Key::Current => (
                    matches!(kind, Kind::Exec | Kind::Tx | Kind::Call { writes: true }),
                    "@kind exec, tx or `call writes`",
                ),
                Key::Invalidate
                | Key::On
                | Key::Idempotent
                | Key::Async
                | Key::Lane
                | Key::Retry
                | Key::Status => (kind.is_write(), "a write"),
                Key::Emit => (kind.is_write(), "a write: an event says that something has changed"),
                Key::Page => (kind == Kind::Page, "@kind page"),
                Key::Order => (matches!(kind, Kind::Page | Kind::Many), "@kind page or many"),
                Key::Limit => (kind == Kind::Many || is_tx || is_call, "@kind many, tx or call"),
                Key::Include => {
                    (matches!(kind, Kind::One | Kind::Optional), "@kind one or optional")
                }
                Key::Return | Key::Replace => (is_tx, "@kind tx"),
                _ => continue,
            };
            if !fits {
                let message = format!("@{} goes with {goes_with}", entry.key.name());
                self.findings.error(
                    Rule::KeyValue,
                    &entry.place,
                    message,
                    "remove it, or change the kind",
                );
            }
        }
    }
}
