//! Whether the databases take the statements of the templates, asked before a player does.
//!
//! Each statement is prepared once, in its fullest form, over one connection a database and one statement at a
//! time: after the start, after each reload, and when a database's schema became current. What a database
//! refuses is shown and told, and stops nothing: the other operations work.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

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
}

/// A statement that a database does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RefusedStatement {
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
        json!({ "count": self.count, "refused_count": self.refused.len(), "refused": refused })
    }
}

/// Prepares every statement that a snapshot has for one database, and tells each that is refused.
///
/// Returns `None` when the database went away meanwhile, or took too long: ask again later.
pub(super) async fn prepare(
    snapshot: &Snapshot,
    connection: &ConnectionConfig,
) -> Option<Prepared> {
    let asked = async {
        let mut examiner = Examiner::open(connection).await.ok()?;
        let mut prepared =
            Prepared { generation: snapshot.generation, count: 0, refused: Vec::new() };
        for template in templates(snapshot, &connection.name) {
            refusals(&mut examiner, template, &mut prepared).await?;
        }
        Some(prepared)
    };
    let prepared = tokio::time::timeout(PREPARE_TIMEOUT, asked).await.ok()??;
    for RefusedStatement { operation, fault } in &prepared.refused {
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
            let operation = format!("{} {}", template.game, template.op);
            prepared.refused.push(RefusedStatement { operation, fault: fault.to_string() });
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
            let operation = format!("{} {}{step}", template.game, template.op);
            prepared.refused.push(RefusedStatement { operation, fault: fault.into() });
        }
        // Admin port and signals are of this thread, too.
        tokio::task::yield_now().await;
    }
    Some(())
}
