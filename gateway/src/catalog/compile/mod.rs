//! From merged lines and a body to a [`Template`]: everything that must fit together is checked here.
//!
//! A template is built only if nothing in it is wrong. What concerns several templates at once is asked
//! afterwards, in [`check`](super::check).

mod binds;
mod body;
mod chunks;
mod emitting;
mod fits;
mod fold;
mod lists;
mod procedure;
mod relations;
mod returning;
mod rows;
mod slots;
mod sharing;
mod sorting;
mod steps;
mod writing;

use std::time::Duration;

pub(crate) use chunks::{Chunk, chunks};
use sha2::{Digest, Sha256};
use slots::Slots;

use super::contract::{Decl, Key, KindDecl};
use super::finding::{Finding, Findings, Place, Rule};
use super::resolve::Resolved;
use super::tree::Body;
use super::{
    BusinessError, Column, Kind, Order, Output, Page, Plan, Procedure, Returned, Slot, Source,
    Step, Template, WriteContract, check,
};

/// Most rows of a `many` that does not say.
const ROW_COUNT_DEFAULT: u32 = 1_000;

/// A template and what the checks over all templates need to know of it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) template: Template,
    pub(crate) resolved: Resolved,
    pub(crate) tables_read: Vec<String>,
    pub(crate) tables_written: Vec<String>,
    /// Where each step's line stands.
    pub(crate) step_places: Vec<Place>,
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
    own.0.retain(|finding| !follows(finding, &resolved.faulty));
    findings.0.append(&mut own.0);
    // A template without the lines that could not be read is another one: what it would break is not told.
    compiled.filter(|_| !broken && resolved.faulty.is_empty())
}

/// Whether a finding is there only because header lines of these keys could not be read, which is told already.
fn follows(finding: &Finding, faulty: &[Key]) -> bool {
    let asks: &[Key] = match finding.rule {
        Rule::ParamUndeclared | Rule::Http | Rule::Step | Rule::OptionalLine | Rule::List => {
            &[Key::Param]
        }
        Rule::ParamLimit => &[Key::Param, Key::Order],
        Rule::ParamUnused => &[
            Key::Require,
            Key::Idempotent,
            Key::Lane,
            Key::Order,
            Key::Cache,
            Key::Invalidate,
            Key::Version,
        ],
        Rule::Order | Rule::Page => &[Key::Param, Key::Order, Key::Page, Key::Result],
        Rule::ResultColumns => &[Key::Result, Key::Return],
        _ => &[],
    };
    asks.iter().any(|key| faulty.contains(key))
}

struct Compiler<'a, 'f> {
    resolved: &'a Resolved,
    findings: &'f mut Findings,
}

/// What a body became.
#[derive(Debug, Default)]
struct Parts {
    /// Of the one statement, where it is no `tx`.
    plan: Plan,
    steps: Vec<Step>,
    step_places: Vec<Place>,
    returns: Vec<Returned>,
    columns: Vec<Column>,
    outputs: Vec<Output>,
    /// What the one statement's RETURNING gives.
    returning: Vec<Column>,
    procedure: Option<Box<Procedure>>,
    orders: Vec<Order>,
    page: Option<Page>,
    supplied: Vec<(Source, Place)>,
    tables_read: Vec<String>,
    tables_written: Vec<String>,
}

impl Parts {
    /// Takes what a statement reads, writes and is supplied with.
    fn absorb(&mut self, cut: &mut body::CutBody<'_>) {
        self.supplied.append(&mut cut.supplied);
        self.tables_read.append(&mut cut.statement.tables_read());
        self.tables_written.append(&mut cut.statement.tables_written());
        for tables in [&mut self.tables_read, &mut self.tables_written] {
            tables.sort_unstable();
            tables.dedup();
        }
    }
}

impl Compiler<'_, '_> {
    fn run(&mut self) -> Option<Compiled> {
        self.mandatory();
        self.unbuilt();
        let mut slots = Slots::new(self.resolved, self.findings);
        let decl = self.kind()?;
        self.fits(decl.kind);
        self.page_slots(decl.kind, &mut slots);
        self.rows_slots(decl.kind, &slots);
        let mut parts = match decl.kind {
            Kind::Tx => self.steps(&slots)?,
            kind @ Kind::Call { .. } => self.procedure(kind, &slots)?,
            kind => self.single(kind, &slots)?,
        };
        self.supplied(&parts.supplied);
        let digest = digest(self.resolved);
        let (tables_read, tables_written, step_places) = (
            std::mem::take(&mut parts.tables_read),
            std::mem::take(&mut parts.tables_written),
            std::mem::take(&mut parts.step_places),
        );
        let template = self.template(&decl, &slots, parts, &digest);
        slots.unused(decl.kind, self.findings);
        self.public(&template);
        let contract = contract(&template, &slots.list);
        Some(Compiled {
            template: Template { slots: slots.list, contract, ..template },
            resolved: self.resolved.clone(),
            tables_read,
            tables_written,
            step_places,
            digest,
        })
    }

    /// Everything but the slots, which are still marked, and what is hashed of them.
    fn template(
        &mut self,
        decl: &KindDecl,
        slots: &Slots,
        parts: Parts,
        digest: &[u8; 32],
    ) -> Template {
        let write = self.write(decl, slots, &parts);
        let procedure = parts.procedure.clone();
        let Parts { plan, steps, returns, columns, outputs, returning, orders, page, .. } = parts;
        let kind = decl.kind;
        Template {
            game: self.resolved.game.clone(),
            op: self.resolved.op.clone(),
            dialect: self.resolved.dialect,
            version: version(digest),
            desc: self.text(Key::Desc).unwrap_or_default(),
            kind,
            not_found: decl.not_found.clone(),
            version_column: self.version_column(kind, &columns),
            allow: self.allow(slots),
            http: self.http(kind, slots),
            cache: self.cache(slots),
            invalidate: self.invalidate(slots),
            row_count_max: self.row_count_max(kind, page.as_ref().map(|page| page.count_max)),
            page,
            orders,
            requires: self.requires(slots),
            on_duplicate: self.on_duplicate(),
            includes: self.includes(slots, &columns),
            timeout: self.duration(Key::Timeout),
            masked: self.masked(slots),
            audit: self.resolved.one(Key::Audit).is_some(),
            http_cache: self.duration(Key::HttpCache),
            deprecated: self.text(Key::Deprecated),
            columns,
            outputs,
            procedure,
            slots: Vec::new(),
            plan,
            write: WriteContract { steps, returns, returning, ..write },
            contract: 0,
        }
    }

    /// Compiles a body of one statement.
    fn single(&mut self, kind: Kind, slots: &Slots) -> Option<Parts> {
        let body = self.resolved.body.as_ref()?;
        let around = body::Around {
            body,
            dialect: self.resolved.dialect,
            writes: kind.is_write(),
            slots,
            rows: writing::batch_slot(kind, slots),
            earlier: None,
        };
        let mut cut = body::cut(around, self.findings)?;
        self.statement(kind, body, &cut);
        self.optional_lists(slots, &cut.pieces, body);
        let columns = self.columns(kind, body, &cut.statement);
        let orders = self.orders(&columns, &cut.statement);
        let page = self.page(kind, slots, &columns, &cut);
        let mut plan = self.plan(slots, &orders, page.as_ref(), &mut cut);
        self.placeholders(&plan, slots, body);
        if kind.is_write() && cut.returning.names.is_empty() {
            plan.fold = fold::fold(&plan.pieces, self.resolved.dialect);
        }
        let mut parts = Parts { plan, columns, orders, page, ..Parts::default() };
        if kind == Kind::Exec {
            self.exec_outputs(&cut.returning, &mut parts);
        }
        parts.absorb(&mut cut);
        Some(parts)
    }

    fn kind(&self) -> Option<KindDecl> {
        match &*self.resolved.one(Key::Kind)?.decl {
            Decl::Kind(kind) => Some(kind.clone()),
            _ => None,
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
        if self.resolved.lacks(Key::Page) {
            let fix = "write `-- @page keyset = created_at DESC, id DESC  default=20 max=100`";
            self.findings.error(Rule::KeyMissing, &self.resolved.place, "@page is missing", fix);
        }
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
        if let Some(word) = cut.statement.conflict_that_leaves_half() {
            let message =
                format!("`OR {word}` ends the transaction, or leaves half of a statement");
            let fix =
                "write OR ABORT, which is what SQLite does by itself, or OR IGNORE, OR REPLACE";
            self.findings.error(Rule::Statement, &place, message, fix);
        }
        check::predicate(kind, &cut.statement, &place, self.findings);
    }

    fn row_count_max(&self, kind: Kind, page: Option<u32>) -> u32 {
        let limit = self.resolved.one(Key::Limit).and_then(|entry| match &*entry.decl {
            Decl::Count(count) => Some(*count),
            _ => None,
        });
        match kind {
            Kind::One | Kind::Optional => 1,
            Kind::Page => page.unwrap_or(1),
            Kind::Many | Kind::Exec | Kind::Tx | Kind::Batch | Kind::Call { .. } => {
                limit.unwrap_or(ROW_COUNT_DEFAULT)
            }
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
        self.resolved.all(Key::On).find_map(|entry| match &*entry.decl {
            Decl::OnDuplicate(error) => Some(error.clone()),
            _ => None,
        })
    }

    fn plan(
        &self,
        slots: &Slots,
        orders: &[Order],
        page: Option<&Page>,
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

/// SHA-256 over the merged lines, by key, and the bodies. Where a line stands does not count.
fn digest(resolved: &Resolved) -> [u8; 32] {
    let mut hash = Sha256::new();
    for key in Key::ALL {
        for entry in resolved.all(key) {
            put(&mut hash, key.name());
            put(&mut hash, &entry.value);
        }
    }
    put(&mut hash, resolved.dialect.name());
    for body in resolved.bodies() {
        put(&mut hash, &body.text);
    }
    hash.finalize().into()
}

/// First 8 bytes of SHA-256 over what a queued record is applied by; see [`Template::contract`].
fn contract(template: &Template, slots: &[Slot]) -> u64 {
    let mut hash = Sha256::new();
    put(&mut hash, template.kind.name());
    for slot in slots {
        put(&mut hash, &slot.name);
        put(&mut hash, &slot.ty.as_written());
    }
    let write = &template.write;
    let named = [write.idempotent.map(|idempotent| idempotent.key_slot), write.lane];
    for index in named {
        put(&mut hash, "");
        put(&mut hash, index.and_then(|index| slots.get(index)).map_or("", |slot| &slot.name));
    }
    // Which of the ids that a record carries is whose.
    hash.update([u8::from(template.uses_id()), u8::from(template.uses_row_ids())]);
    version(&hash.finalize().into())
}

/// A text with its length before it, so that no two rows of texts are one.
fn put(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

fn version(digest: &[u8; 32]) -> u64 {
    digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}
