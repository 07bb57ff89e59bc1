//! Which files make an operation of a game on a dialect, and which of their lines count.
//!
//! Four files may exist: the game's for the dialect, the game's, the base's for the dialect, the base's.
//! The body is the first one's that has any; of a file with `@replace step` only the steps that it names
//! count, in the places of those below. Header lines are merged from the base up:
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
    /// Keys of lines that could not be read: what is missing for that is not missed again.
    pub(crate) faulty: Vec<Key>,
    pub(crate) body: Option<Body>,
    /// Steps that stand in the places of the body's, the least specific first.
    pub(crate) patches: Vec<Patch>,
    /// The start of the most specific file: where a missing thing is told.
    pub(crate) place: Place,
    /// Whether there is a body for this dialect or for another one.
    pub(crate) has_any_body: bool,
}

/// A body of steps that replaces some of another's.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    pub(crate) body: Body,
    /// The steps that its `@replace step` lines name, and where.
    pub(crate) names: Vec<(Box<str>, Place)>,
}

impl Resolved {
    /// The body and what replaces steps of it.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &Body> {
        self.body.iter().chain(self.patches.iter().map(|patch| &patch.body))
    }

    pub(crate) fn all(&self, key: Key) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.key == key)
    }

    pub(crate) fn one(&self, key: Key) -> Option<&Entry> {
        self.all(key).next()
    }

    /// Whether no file has the key, not even on a line that cannot be read (which is told already).
    pub(crate) fn lacks(&self, key: Key) -> bool {
        self.one(key).is_none() && !self.faulty.contains(&key)
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
    let faulty = layers.iter().flat_map(|file| file.faulty.iter().copied()).collect();
    let (body, patches) = bodies(&layers, findings);
    let folders = [Some(&tree.base), tree.games.get(game)];
    let mut files = folders.into_iter().flatten().filter_map(|folder| folder.get(op)).flatten();
    let has_any_body = files.any(|(_, file)| file.body.is_some());
    let (game, op) = (game.clone(), op.clone());
    Some(Resolved { game, op, dialect, entries, faulty, body, patches, place, has_any_body })
}

/// The most specific whole body, and the steps that more specific files replace.
fn bodies(layers: &[&File], findings: &mut Findings) -> (Option<Body>, Vec<Patch>) {
    let (mut body, mut patches): (Option<Body>, Vec<Patch>) = (None, Vec::new());
    for file in layers {
        let replaces = file.entries.iter().filter(|entry| entry.key == Key::Replace);
        let names: Vec<(Box<str>, Place)> =
            replaces.filter_map(|entry| Some((entry.name.clone()?, entry.place.clone()))).collect();
        match (&file.body, names.first()) {
            (Some(whole), None) => {
                body = Some(whole.clone());
                patches.clear();
            }
            (Some(steps), Some((_, place))) => {
                if body.is_none() {
                    let message = "@replace step, and there is nothing below it";
                    let fix = "remove it, or write the steps in the base's file";
                    findings.error(Rule::Override, place, message, fix);
                }
                patches.push(Patch { body: steps.clone(), names });
            }
            (None, Some((name, place))) => {
                let message = format!("@replace step {name}, and no step in this file");
                let fix = format!("write `-- @step {name} …` and its statement below");
                findings.error(Rule::Override, place, message, fix);
            }
            (None, None) => {}
        }
    }
    (body, patches)
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
        narrow::check_added(&below, entry, findings);
        entries.push(entry.clone());
    }
}
