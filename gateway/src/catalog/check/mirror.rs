//! A game with a mirror may be moved there and back at any moment: both have its operations, under one contract.
//!
//! The one rule of `gateway check --config`, of the start and of each reload. An operation that is turned off
//! (`games.<id>.disabled_operations`) may be on one of both alone: nobody is answered by it.

use std::collections::BTreeSet;

use gateway_protocol::{GameId, OpId};

use crate::catalog::agree::disagreements;
use crate::catalog::compile::Compiled;
use crate::catalog::contract::Key;
use crate::catalog::finding::{Findings, Place, Rule};
use crate::catalog::tree::Body;
use crate::catalog::{Dialect, Kind};

/// A game that has a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredGame {
    /// The game.
    pub id: GameId,
    /// The dialect of its database.
    pub dialect: Dialect,
    /// The dialect of its mirror.
    pub mirror: Dialect,
    /// Its operations that are turned off.
    pub disabled: Vec<OpId>,
}

/// A game's operations on one dialect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side<'s> {
    pub(crate) dialect: Dialect,
    /// Its place in the configuration: `database` or `mirror`.
    pub(crate) whose: &'static str,
    /// Every operation there, also those that did not compile.
    pub(crate) names: &'s BTreeSet<OpId>,
    pub(crate) compiled: &'s [Compiled],
}

/// Finds what one side has and the other has not, and what has another contract there.
pub(crate) fn check(game: &MirroredGame, [one, other]: [Side<'_>; 2], findings: &mut Findings) {
    if one.dialect == other.dialect {
        return;
    }
    absent(game, one, other, findings);
    absent(game, other, one, findings);
    for own in one.compiled {
        let op = &own.template.op;
        let Some(twin) = other.compiled.iter().find(|twin| twin.template.op == *op) else {
            continue;
        };
        let differing = disagreements(&own.template, &twin.template);
        if differing.is_empty() {
            continue;
        }
        let message = format!(
            "`{op}` of {} has another {} on {} than on {}: a game with a mirror needs one contract",
            game.id,
            differing.join(", "),
            one.dialect,
            other.dialect
        );
        let fix = "write these directives once, in the file that both share";
        findings.error(Rule::Mirror, most_specific(own, twin), message, fix);
    }
}

/// What `there` lacks.
fn absent(game: &MirroredGame, here: Side<'_>, there: Side<'_>, findings: &mut Findings) {
    for one in here.compiled {
        let op = &one.template.op;
        if there.names.contains(op) || game.disabled.contains(op) {
            continue;
        }
        let Side { dialect, whose, .. } = there;
        let message = format!(
            "`{op}` of {} is on {} and not on {dialect}, the dialect of the game's {whose}",
            game.id, here.dialect
        );
        let turn_off = format!(
            "turn it off with `games.{}.disabled_operations` for as long as the game has a mirror",
            game.id
        );
        let fix = match written(one, dialect) {
            Some(written) => format!("{written}, or {turn_off}"),
            None => turn_off,
        };
        findings.error(Rule::Mirror, one.place(Key::Dialects), message, fix);
    }
}

/// What to write so that an operation is on `dialect`, too; `None`: nothing can be.
fn written(one: &Compiled, dialect: Dialect) -> Option<String> {
    if matches!(one.template.kind, Kind::Call { .. }) && dialect == Dialect::Sqlite {
        return None;
    }
    let body = one.resolved.body.as_ref().map(Body::place);
    let file = body.map_or_else(|| one.resolved.place.file.to_string(), |at| at.file.to_string());
    let folder = file.split('/').next().unwrap_or_default();
    let path = format!("{folder}/{}", one.template.op.as_str().replace('.', "/"));
    Some(if one.resolved.one(Key::Dialects).is_some() {
        format!(
            "add {dialect} to `@dialects`, and write `{path}.{dialect}.sql` if it needs a statement of its own"
        )
    } else {
        format!("write its contract to `{path}.sql` and the statement to `{path}.{dialect}.sql`")
    })
}

/// Where the file stands that one dialect has to itself.
fn most_specific<'c>(own: &'c Compiled, twin: &'c Compiled) -> &'c Place {
    let suffix = format!(".{}.sql", twin.template.dialect);
    let place = &twin.resolved.place;
    if place.file.ends_with(&*suffix) { place } else { &own.resolved.place }
}
