//! Whether the databases take the statements of the templates, asked before a player does.
//!
//! Each statement is prepared once, in its fullest form, over one connection a database and one statement at a
//! time: after the start, after each reload, and when a database's schema became current. What a database
//! refuses is shown and told, and stops nothing: the other operations work. It is asked about again, since a person
//! may mend it in the database.

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_protocol::{GameId, OpId};
use serde_json::{Value, json};

use super::schema::{moment, now_micros};
use crate::backend::Examiner;
use crate::catalog::{Template, combinations};
use crate::config::ConnectionConfig;
use crate::observe::{Event, emit};
use crate::snapshot::{Game, Snapshot, Which};

/// How long all statements of one database may take.
const PREPARE_TIMEOUT: Duration = Duration::from_mins(1);

/// Most refused statements that `/readyz` lists; the log has each.
const SHOWN_MAX: usize = 20;

/// What one database said to its statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    /// The snapshot that they are of.
    pub(super) generation: u64,
    /// How many were asked about.
    count: usize,
    refused: Vec<RefusedStatement>,
    /// When, in microseconds since 1970.
    at_micros: i64,
}

/// A statement that a database does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RefusedStatement {
    game: GameId,
    op: OpId,
    /// `game operation`, and the step where it has one.
    operation: String,
    /// The database's words.
    fault: String,
}

/// By the connections' names; one that is not there was not asked yet.
pub(super) type PreparedStatements = BTreeMap<Box<str>, Prepared>;

impl Prepared {
    /// As `/readyz` shows it.
    pub(super) fn shown(&self) -> Value {
        let refused = self.refused.iter().take(SHOWN_MAX);
        let refused: Vec<Value> =
            refused.map(|one| json!({ "operation": one.operation, "fault": one.fault })).collect();
        json!({
            "count": self.count,
            "refused_count": self.refused.len(),
            "refused": refused,
            "asked_at": moment(self.at_micros),
        })
    }

    /// Whether the database takes every statement.
    pub(super) const fn is_whole(&self) -> bool {
        self.refused.is_empty()
    }

    fn refuse(&mut self, template: &Template, step: &str, fault: String) {
        let Template { game, op, .. } = template;
        let operation = format!("{game} {op}{step}");
        self.refused.push(RefusedStatement {
            game: game.clone(),
            op: op.clone(),
            operation,
            fault,
        });
    }

    fn has_refused(&self, template: &Template) -> bool {
        self.refused.iter().any(|one| one.op == template.op && one.game == template.game)
    }
}

/// Prepares the statements that a snapshot has for one database, and tells each that is refused.
///
/// - `before`: the last answer to those of this snapshot: only what was refused is asked about again, and only what is
///   refused in other words is told.
///
/// Returns `None` when the database went away meanwhile, or took too long: ask again later.
pub(super) async fn prepare(
    snapshot: &Snapshot,
    connection: &ConnectionConfig,
    before: Option<&Prepared>,
) -> Option<Prepared> {
    if let Some(before) = before.filter(|before| before.is_whole()) {
        return Some(before.clone());
    }
    let asked = async {
        let mut examiner = Examiner::open(connection).await.ok()?;
        let mut prepared = Prepared {
            generation: snapshot.generation,
            count: 0,
            refused: Vec::new(),
            at_micros: now_micros(),
        };
        for template in templates(snapshot, &connection.name) {
            if before.is_none_or(|before| before.has_refused(template)) {
                refusals(&mut examiner, template, &mut prepared).await?;
            }
        }
        Some(prepared)
    };
    let mut prepared = tokio::time::timeout(PREPARE_TIMEOUT, asked).await.ok()??;
    if let Some(before) = before {
        prepared.count = before.count;
    }
    let is_new =
        |one: &&RefusedStatement| before.is_none_or(|before| !before.refused.contains(one));
    for RefusedStatement { operation, fault, .. } in prepared.refused.iter().filter(is_new) {
        emit(&Event::StatementRefused { pool: &connection.name, operation, fault });
    }
    Some(prepared)
}

/// The templates of the games on one database, or with it as a mirror, in order of their names.
fn templates<'s>(snapshot: &'s Snapshot, pool: &str) -> Vec<&'s Template> {
    let placed = snapshot.games().flat_map(Game::operations).flat_map(|one| {
        [Which::Database, Which::Mirror].into_iter().filter_map(|which| one.placed(which))
    });
    let placed = placed.filter(|placed| placed.pool == pool);
    let mut templates: Vec<&Template> = placed.map(|placed| &**placed.template).collect();
    templates.sort_by_key(|template| (template.game.as_str(), template.op.as_str()));
    templates
}

/// Adds those of a template's statements that are refused; `None` when the database is gone.
async fn refusals(
    examiner: &mut Examiner,
    template: &Template,
    prepared: &mut Prepared,
) -> Option<()> {
    if template.procedure.is_some() {
        prepared.count += 1;
        if let Some(fault) = examiner.examine_call(template).await.ok()?.first() {
            prepared.refuse(template, "", fault.to_string());
        }
        return Some(());
    }
    for (step, plan) in template.statements() {
        // The last combination is the one with every optional line, on a later page.
        let Some(shape) = combinations(template, plan).pop() else { continue };
        let Ok(rendered) = plan.render(template.dialect, &shape) else { continue };
        prepared.count += 1;
        if let Some(fault) = examiner.refusal(&rendered.sql).await.ok()? {
            let step = step.map_or_else(String::new, |step| format!(" step {}", step.name));
            prepared.refuse(template, &step, fault.into());
        }
        // Admin port and signals are of this thread, too.
        tokio::task::yield_now().await;
    }
    Some(())
}
