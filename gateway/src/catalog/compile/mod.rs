//! From merged lines and a body to a [`Template`]: everything that must fit together is checked here.
//!
//! A template is built only if nothing in it is wrong. What concerns several templates at once is asked
//! afterwards, in [`check`](super::check).

mod binds;
mod body;
mod relations;
mod rows;
mod slots;
mod sharing;
mod sorting;
mod steps;

use std::time::Duration;

use sha2::{Digest, Sha256};
use slots::Slots;

use super::contract::{Decl, Key, KindDecl};
use super::finding::{Findings, Place, Rule};
use super::resolve::Resolved;
use super::tree::Body;
use super::{BusinessError, Kind, Piece, Plan, Template, WriteContract, check};

/// Most rows of a `many` that does not say.
const ROW_COUNT_DEFAULT: u32 = 1_000;

/// A template and what the checks over all templates need to know of it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) template: Template,
    pub(crate) resolved: Resolved,
    pub(crate) tables_read: Vec<String>,
    pub(crate) tables_written: Vec<String>,
    /// SHA-256 over contract and body.
    pub(crate) digest: [u8; 32],
}

impl Compiled {
    /// Where a key stands, or the file's start.
    pub(crate) fn place(&self, key: Key) -> &Place {
        self.resolved.one(key).map_or(&self.resolved.place, |entry| &entry.place)
    }
}

/// Builds a template; `None` when something is wrong with it, which is then in `findings`.
pub(crate) fn compile(resolved: &Resolved, findings: &mut Findings) -> Option<Compiled> {
    let mut own = Findings::default();
    let compiled = Compiler { resolved, findings: &mut own }.run();
    let broken = own.has_errors();
    findings.0.append(&mut own.0);
    compiled.filter(|_| !broken)
}

struct Compiler<'a, 'f> {
    resolved: &'a Resolved,
    findings: &'f mut Findings,
}

impl Compiler<'_, '_> {
    fn run(&mut self) -> Option<Compiled> {
        self.mandatory();
        self.unbuilt();
        let mut slots = Slots::new(self.resolved, self.findings);
        let (kind, not_found) = match self.kind()? {
            KindDecl::Built(kind, not_found) => (kind, not_found),
            KindDecl::Tx => {
                self.header_of_unbuilt(&slots);
                if let Some(body) = &self.resolved.body {
                    steps::check(body, self.resolved.dialect, &slots, self.findings);
                    slots.unused(None, self.findings);
                }
                return None;
            }
            KindDecl::Later(_) => {
                self.header_of_unbuilt(&slots);
                return None;
            }
        };
        self.fits(kind);
        self.page_slots(kind, &mut slots);
        let body = self.resolved.body.as_ref()?;
        let mut cut = {
            let around = body::Around { body, dialect: self.resolved.dialect, kind, slots: &slots };
            body::cut(around, self.findings)?
        };
        self.statement(kind, body, &cut);
        self.optional_lists(&slots, &cut.pieces, body);
        self.supplied(&cut.supplied);
        let columns = self.columns(kind, body, &cut.statement);
        let orders = self.orders(&columns, &cut.statement);
        let page = self.page(kind, &slots, &columns, &cut);
        let plan = self.plan(&slots, &orders, page.as_ref(), &mut cut);
        let digest = digest(self.resolved, body);
        let template = Template {
            game: self.resolved.game.clone(),
            op: self.resolved.op.clone(),
            dialect: self.resolved.dialect,
            version: version(&digest),
            desc: self.text(Key::Desc).unwrap_or_default(),
            kind,
            not_found,
            version_column: self.version_column(&columns),
            allow: self.allow(&slots),
            http: self.http(kind, &slots),
            cache: self.cache(&slots),
            invalidate: self.invalidate(&slots),
            row_count_max: self.row_count_max(kind, page.as_ref().map(|page| page.count_max)),
            page,
            orders,
            requires: self.requires(&slots),
            on_duplicate: self.on_duplicate(),
            includes: self.includes(&slots, &columns),
            timeout: self.duration(Key::Timeout),
            masked: self.masked(&slots),
            audit: self.resolved.one(Key::Audit).is_some(),
            http_cache: self.duration(Key::HttpCache),
            deprecated: self.text(Key::Deprecated),
            columns,
            slots: Vec::new(),
            plan,
            write: WriteContract::default(),
            contract: 0,
        };
        slots.unused(Some(kind), self.findings);
        self.public(&template);
        Some(Compiled {
            template: Template { slots: slots.list, ..template },
            resolved: self.resolved.clone(),
            tables_read: cut.statement.tables_read(),
            tables_written: cut.statement.tables_written(),
            digest,
        })
    }

    /// What every template has.
    fn mandatory(&mut self) {
        let needed = [
            (Key::Kind, "write `-- @kind one` (or optional, many, page, exec)"),
            (Key::Allow, "name the roles: `-- @allow game_server`; `public` needs no credential"),
        ];
        for (key, fix) in needed {
            if self.resolved.one(key).is_none() {
                let message = format!("@{} is missing", key.name());
                self.findings.error(Rule::KeyMissing, &self.resolved.place, message, fix);
            }
        }
        if self.resolved.body.is_none() {
            let (op, dialect) = (&self.resolved.op, self.resolved.dialect);
            let message = format!("`{op}` has no body for {dialect}");
            let file = op.as_str().replace('.', "/");
            let fix = format!("add `{file}.{dialect}.sql`, or name its dialects with @dialects");
            self.findings.error(Rule::BodyMissing, &self.resolved.place, message, fix);
        }
    }

    /// What is well formed and has nothing behind it yet: refused, never ignored.
    fn unbuilt(&mut self) {
        for entry in &self.resolved.entries {
            let what = match &*entry.decl {
                Decl::Unbuilt(_) => format!("@{}", entry.key.name()),
                Decl::Kind(KindDecl::Tx) => "@kind tx".to_owned(),
                Decl::Kind(KindDecl::Later(kind)) => format!("@kind {kind}"),
                Decl::Param(param) if param.rows.is_some() => "the type rows(…)".to_owned(),
                Decl::Cache(cache) if cache.stale => "@cache stale=".to_owned(),
                _ => continue,
            };
            let message = format!("{what} is not built yet");
            let fix = "remove it: nothing would do what it says";
            self.findings.error(Rule::NotBuilt, &entry.place, message, fix);
        }
    }

    fn kind(&self) -> Option<KindDecl> {
        match &*self.resolved.one(Key::Kind)?.decl {
            Decl::Kind(kind) => Some(kind.clone()),
            _ => None,
        }
    }

    /// The header of a template whose kind is not built: its lines are checked all the same.
    fn header_of_unbuilt(&mut self, slots: &Slots) {
        self.allow(slots);
        self.http(Kind::Exec, slots);
        self.cache(slots);
        self.invalidate(slots);
        self.requires(slots);
        self.masked(slots);
        for entry in &self.resolved.entries {
            if let Decl::Unbuilt(names) = &*entry.decl {
                for name in names {
                    slots.need(name, &entry.place, self.findings);
                }
            }
        }
    }

    /// Keys that say nothing about this kind would be read by nobody.
    fn fits(&mut self, kind: Kind) {
        for entry in &self.resolved.entries {
            let (fits, goes_with) = match entry.key {
                Key::Result | Key::Version | Key::Cache | Key::HttpCache => {
                    (!kind.is_write(), "a read")
                }
                Key::Invalidate | Key::On => (kind.is_write(), "a write"),
                Key::Page => (kind == Kind::Page, "@kind page"),
                Key::Order => (matches!(kind, Kind::Page | Kind::Many), "@kind page or many"),
                Key::Limit => (kind == Kind::Many, "@kind many"),
                Key::Include => {
                    (matches!(kind, Kind::One | Kind::Optional), "@kind one or optional")
                }
                Key::Return | Key::Replace => (false, "@kind tx"),
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

    fn page_slots(&mut self, kind: Kind, slots: &mut Slots) {
        if kind != Kind::Page {
            return;
        }
        let entry = self.resolved.one(Key::Page).map(|entry| (&*entry.decl, &entry.place));
        if let Some((Decl::Page(page), place)) = entry {
            slots.add_page((page.default_count, page.count_max), place, self.findings);
            return;
        }
        let fix = "write `-- @page keyset = created_at DESC, id DESC  default=20 max=100`";
        self.findings.error(Rule::KeyMissing, &self.resolved.place, "@page is missing", fix);
        slots.add_page((1, 1), &self.resolved.place, self.findings);
    }

    /// The verb must do what the kind says.
    fn statement(&mut self, kind: Kind, body: &Body, cut: &body::CutBody<'_>) {
        let verb = cut.statement.verb();
        let place = cut.statement.code.first().map_or_else(
            || body.place(),
            |code| Place { line: code.token.line, column: code.token.column, ..body.place() },
        );
        let (fits, fix) = if kind.is_write() {
            let writes = ["insert", "update", "delete", "replace", "merge"];
            (writes.contains(&verb.as_str()), "write INSERT, UPDATE, DELETE, REPLACE or MERGE")
        } else {
            (verb == "select", "write SELECT (or WITH … SELECT), or declare @kind exec")
        };
        if !fits {
            let message = format!("`{verb}` is not what this kind runs");
            self.findings.error(Rule::Statement, &place, message, fix);
        }
        check::predicate(kind, &cut.statement, &place, self.findings);
    }

    /// An optional list that is not given has no items: on a line that stays it would match nothing.
    fn optional_lists(&mut self, slots: &Slots, pieces: &[Piece], body: &Body) {
        for piece in pieces {
            let Piece::List(index) = piece else { continue };
            let Some(slot) = slots.list.get(*index).filter(|slot| !slot.required) else { continue };
            let message = format!("`{}` is optional and stands on a line that is not", slot.name);
            let fix = "end the line with `-- ?`, or make the list required";
            self.findings.error(Rule::List, &body.place(), message, fix);
        }
    }

    fn row_count_max(&self, kind: Kind, page: Option<u32>) -> u32 {
        let limit = self.resolved.one(Key::Limit).and_then(|entry| match &*entry.decl {
            Decl::Count(count) => Some(*count),
            _ => None,
        });
        match kind {
            Kind::One | Kind::Optional => 1,
            Kind::Page => page.unwrap_or(1),
            Kind::Many | Kind::Exec | Kind::Tx | Kind::Batch => limit.unwrap_or(ROW_COUNT_DEFAULT),
        }
    }

    fn text(&self, key: Key) -> Option<Box<str>> {
        match &*self.resolved.one(key)?.decl {
            Decl::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    fn duration(&self, key: Key) -> Option<Duration> {
        match &*self.resolved.one(key)?.decl {
            Decl::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    fn on_duplicate(&self) -> Option<BusinessError> {
        match &*self.resolved.one(Key::On)?.decl {
            Decl::OnDuplicate(error) => Some(error.clone()),
            _ => None,
        }
    }

    fn plan(
        &self,
        slots: &Slots,
        orders: &[super::Order],
        page: Option<&super::Page>,
        cut: &mut body::CutBody<'_>,
    ) -> Plan {
        let fixed = page.and_then(|page| match &page.keyset {
            super::Keyset::Fixed(columns) => Some(vec![columns.clone()]),
            super::Keyset::Sorted { .. } => None,
        });
        let is_fixed = fixed.is_some();
        let sort = slots.list.iter().position(|slot| &*slot.name == "sort").filter(|_| !is_fixed);
        let names: Box<[Box<str>]> = orders.iter().map(|order| order.name.clone()).collect();
        let plan = Plan {
            pieces: std::mem::take(&mut cut.pieces),
            fixed: None,
            orders: fixed
                .unwrap_or_else(|| orders.iter().map(|order| order.columns.clone()).collect()),
            sort: sort.map(|slot| (slot, names)),
            paged: page.is_some(),
            nonempty: cut.nonempty,
            fold: None,
        };
        plan.sealed(self.resolved.dialect)
    }
}

/// SHA-256 over the merged lines, by key, and the body. Where a line stands does not count.
fn digest(resolved: &Resolved, body: &Body) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut put = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    };
    for key in Key::ALL {
        for entry in resolved.all(key) {
            put(key.name());
            put(&entry.value);
        }
    }
    put(resolved.dialect.name());
    put(&body.text);
    hash.finalize().into()
}

fn version(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
