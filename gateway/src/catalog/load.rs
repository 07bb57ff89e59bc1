//! Loads a whole catalog, or looks at one without loading it.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use gateway_protocol::{GameId, OpId};
use sha2::{Digest, Sha256};

use super::compile::{Compiled, compile};
use super::contract::{Decl, Key};
use super::finding::{Finding, Findings, Severity};
use super::resolve::{Resolved, layers, resolve};
use super::tree::{Body, Tree};
use super::{Catalog, Dialect, GameTemplates, Template, check};

impl Catalog {
    /// Reads, resolves and checks every template of `games`. Blocks on the disk: not for a frontend thread.
    ///
    /// - `dir`: the template folder, with `_base` and a folder a game.
    /// - `games`: each game once, with the dialect of its database.
    ///
    /// # Errors
    ///
    /// Every finding, warnings too, in order of their places, when at least one is an error. Nothing
    /// is loaded then.
    pub fn load(dir: &Path, games: &[(GameId, Dialect)]) -> Result<Self, Vec<Finding>> {
        let survey = survey(dir, games);
        if survey.findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(survey.findings);
        }
        let mut catalog = Self { warnings: survey.findings, ..Self::default() };
        let mut hash = Sha256::new();
        for (game, dialect, compiled) in survey.games {
            hash.update(format!("{game}\0{dialect}\0"));
            for one in &compiled {
                hash.update(format!("{}\0", one.template.op));
                hash.update(one.digest);
            }
            let templates: Vec<Arc<Template>> =
                compiled.into_iter().map(|one| Arc::new(one.template)).collect();
            let index = templates.iter().enumerate();
            let index = index.map(|(at, one)| (one.op.as_str().into(), at)).collect();
            catalog.index.insert(game.as_str().into(), catalog.games.len());
            catalog.games.push(GameTemplates { id: game, dialect, templates, index });
        }
        catalog.hash = hex(&hash.finalize()).into();
        Ok(catalog)
    }
}

/// What a look at the template folder found.
#[derive(Debug)]
pub struct Survey {
    /// In order of their places.
    pub findings: Vec<Finding>,
    /// Templates that compiled, over all games and dialects asked for.
    pub template_count: usize,
    games: Vec<(GameId, Dialect, Vec<Compiled>)>,
}

impl Survey {
    /// Adds a second opinion on syntax: warnings only, and slower than all other rules together, so not at
    /// every load.
    #[must_use]
    pub fn with_syntax(mut self) -> Self {
        let mut findings = Findings(self.findings);
        for one in self.games.iter().flat_map(|(_, _, compiled)| compiled) {
            let place = one.resolved.body.as_ref().map(Body::place);
            let place = place.as_ref().unwrap_or(&one.resolved.place);
            check::syntax(&one.template, place, &mut findings);
        }
        self.findings = findings.into_sorted();
        self
    }

    /// The templates that compiled, by game, dialect and name: for rule 5.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        self.games.iter().flat_map(|(_, _, compiled)| compiled).map(|one| &one.template)
    }
}

/// Looks at every template without loading it: for `gateway check`, where a game may stand several
/// times with different dialects.
///
/// - `games`: empty: every game that has a folder, on every dialect that is built in.
pub fn survey(dir: &Path, games: &[(GameId, Dialect)]) -> Survey {
    let mut findings = Findings::default();
    let tree = Tree::read(dir, &mut findings);
    let mut pairs = games.to_vec();
    if pairs.is_empty() {
        let dialects = [Dialect::Mysql, Dialect::Sqlite];
        pairs = tree.games.keys().flat_map(|game| dialects.map(|d| (game.clone(), d))).collect();
    }
    pairs.sort_unstable();
    pairs.dedup();
    let mut used: Vec<Dialect> = pairs.iter().map(|(_, dialect)| *dialect).collect();
    used.sort_unstable();
    used.dedup();
    let mut portable = HashSet::new();
    let mut compiled_games = Vec::with_capacity(pairs.len());
    for (game, dialect) in pairs {
        let mut compiled = Vec::new();
        let mut names = BTreeSet::new();
        for op in operations(&tree, &game) {
            let Some(resolved) = resolved(&tree, (&game, op, dialect), &mut findings) else {
                continue;
            };
            names.insert(op.clone());
            if let Some(body) = &resolved.body
                && portable.insert(Arc::clone(&body.file))
            {
                check::portability(&resolved, body, &used, &mut findings);
            }
            compiled.extend(compile(&resolved, &mut findings));
            other_dialects(&tree, &resolved, &mut findings);
        }
        check::game(&compiled, &names, &mut findings);
        compiled_games.push((game, dialect, compiled));
    }
    check::codes(compiled_games.iter().flat_map(|(_, _, compiled)| compiled), &mut findings);
    let template_count = compiled_games.iter().map(|(_, _, compiled)| compiled.len()).sum();
    Survey { findings: findings.into_sorted(), template_count, games: compiled_games }
}

/// The names of a game's operations, its own and the base's.
fn operations<'t>(tree: &'t Tree, game: &GameId) -> BTreeSet<&'t OpId> {
    let own = tree.games.get(game).into_iter().flat_map(|folder| folder.keys());
    tree.base.keys().chain(own).collect()
}

/// The merged files of an operation; `None` when it does not exist for the dialect.
fn resolved(
    tree: &Tree,
    (game, op, dialect): (&GameId, &OpId, Dialect),
    findings: &mut Findings,
) -> Option<Resolved> {
    let resolved = resolve(tree, game, op, dialect, findings)?;
    let excluded = resolved.one(Key::Dialects).is_some_and(|entry| match &*entry.decl {
        Decl::Dialects(dialects) => !dialects.contains(&dialect),
        _ => false,
    });
    (!excluded).then_some(resolved)
}

/// Bodies for dialects that the game is not on must fit the contract too: it may move there.
fn other_dialects(tree: &Tree, resolved_here: &Resolved, findings: &mut Findings) {
    let (game, op) = (&resolved_here.game, &resolved_here.op);
    for dialect in Dialect::ALL.into_iter().filter(|dialect| *dialect != resolved_here.dialect) {
        let has_own_body = layers(tree, game, op, dialect)
            .iter()
            .any(|file| file.body.as_ref().is_some_and(|body| body.dialect == Some(dialect)));
        if has_own_body && let Some(there) = resolved(tree, (game, op, dialect), findings) {
            compile(&there, findings);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        if write!(text, "{byte:02x}").is_err() {
            break;
        }
    }
    text
}
