//! Which files make an operation of a game on a dialect, and which of their lines count.
//!
//! Four files may exist: the game's for the dialect, the game's, the base's for the dialect, the base's.
//! The body is the first one's that has any. Header lines are merged from the base up:
//!
//! - keys that stand once, and `@param`, `@order`, `@on`, `@include` by their names: the most specific wins;
//! - `@result`: the most specific file that has any, with all of them;
//! - `@require`, `@invalidate`, `@mask`: they add up, so that an override cannot lose a protection.
//!
//! An override may narrow what its base declares and not widen it: [`narrow`](super::narrow).

use gateway_protocol::{GameId, OpId};

use super::contract::{Entry, Key, Merge};
use super::finding::{Findings, Place, Rule};
use super::tree::{BASE, Body, File, Tree};
use super::{Dialect, narrow};

/// An operation's lines and body, merged.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) game: GameId,
    pub(crate) op: OpId,
    pub(crate) dialect: Dialect,
    /// In declared order, the base's first.
    pub(crate) entries: Vec<Entry>,
    pub(crate) body: Option<Body>,
    /// The start of the most specific file: where a missing thing is told.
    pub(crate) place: Place,
}

impl Resolved {
    pub(crate) fn all(&self, key: Key) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    pub(crate) fn one(&self, key: Key) -> Option<&Entry> {
        self.all(key).next()
    }
}

/// The files of an operation, the base's first.
pub(crate) fn layers<'t>(
    tree: &'t Tree,
    game: &GameId,
    op: &OpId,
    dialect: Dialect,
) -> Vec<&'t File> {
    let own = tree.games.get(game);
    let folders = [Some(&tree.base), own];
    let files = folders.into_iter().flatten().filter_map(|folder| folder.get(op));
    files.flat_map(|files| [files.get(&None), files.get(&Some(dialect))]).flatten().collect()
}

/// Merges an operation's files; `None` when it has none.
pub(crate) fn resolve(
    tree: &Tree,
    game: &GameId,
    op: &OpId,
    dialect: Dialect,
    findings: &mut Findings,
) -> Option<Resolved> {
    let layers = layers(tree, game, op, dialect);
    let place = Place::start(&layers.last()?.path);
    let mut entries: Vec<Entry> = Vec::new();
    for (depth, file) in layers.iter().enumerate() {
        merge(&mut entries, file, findings);
        if let Some(extends) = file.entries.iter().find(|entry| entry.key == Key::Extends) {
            let in_base = file.path.starts_with(BASE);
            let has_base = layers.iter().take(depth).any(|below| below.path.starts_with(BASE));
            if in_base || !has_base {
                let message = "@extends, and there is nothing below it to extend";
                let fix =
                    format!("remove it, or add `{BASE}/{}.sql`", op.as_str().replace('.', "/"));
                findings.error(Rule::Override, &extends.place, message, fix);
            }
        }
    }
    let body = layers.iter().rev().find_map(|file| file.body.clone());
    Some(Resolved { game: game.clone(), op: op.clone(), dialect, entries, body, place })
}

/// Lays a file's lines over what less specific files said.
fn merge(entries: &mut Vec<Entry>, file: &File, findings: &mut Findings) {
    let below = entries.clone();
    for entry in &file.entries {
        match entry.key.merge() {
            Merge::Single | Merge::Named => {
                if let Some(old) = entries.iter_mut().find(|old| old.clashes(entry)) {
                    narrow::check(old, entry, findings);
                    *old = entry.clone();
                    continue;
                }
            }
            Merge::Group => {
                narrow::check_group(&below, entry, findings);
                entries.retain(|old| old.key != entry.key || old.place.file == file.path);
            }
            Merge::Additive => {}
        }
        entries.push(entry.clone());
    }
}
