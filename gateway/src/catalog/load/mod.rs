//! Loads a whole catalog, or looks at one without loading it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use gateway_protocol::{GameId, OpId};
use sha2::{Digest, Sha256};

use super::compile::{Compiled, compile};
use super::contract::{Decl, Key};
use super::finding::{Finding, Findings, Place, Severity};
use super::resolve::{Resolved, layers, resolve};
use super::tree::{Body, Tree};
use super::{Catalog, Dialect, GameTemplates, MirroredGame, Plan, Template, check};

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
        Self::load_mirrored(dir, games, &[])
    }

    /// The same, with the templates of games that have a mirror in the mirror's dialect, too.
    ///
    /// - `mirrors`: of `games`, those that have one.
    ///
    /// # Errors
    ///
    /// As [`Catalog::load`]; also where an operation is not on both, or not under one contract.
    pub fn load_mirrored(
        dir: &Path,
        games: &[(GameId, Dialect)],
        mirrors: &[MirroredGame],
    ) -> Result<Self, Vec<Finding>> {
        let mut pairs = games.to_vec();
        pairs.extend(mirrors.iter().map(|game| (game.id.clone(), game.mirror)));
        let survey = survey(dir, &pairs).with_mirrors(mirrors);
        if survey.findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Err(survey.findings);
        }
        let mut catalog = Self { warnings: survey.findings, ..Self::default() };
        let mut hash = Sha256::new();
        let (own, others): (Vec<_>, Vec<_>) = survey
            .games
            .into_iter()
            .partition(|one| games.contains(&(one.id.clone(), one.dialect)));
        for one in own {
            let SurveyedGame { id, dialect, .. } = &one;
            let (id, dialect) = (id.clone(), *dialect);
            let templates = one.into_templates(&mut hash);
            let index = templates.iter().enumerate();
            let index = index.map(|(at, one)| (one.op.as_str().into(), at)).collect();
            let is_alike = mirrors.iter().any(|game| game.id == id && game.mirror == dialect);
            let mirrored = if is_alike { templates.clone() } else { Vec::new() };
            catalog.index.insert(id.as_str().into(), catalog.games.len());
            catalog.games.push(GameTemplates { id, dialect, templates, index, mirrored });
        }
        for one in others {
            let own = catalog.index.get(one.id.as_str()).and_then(|at| catalog.games.get_mut(*at));
            let Some(own) = own else { continue };
            own.mirrored = one.into_templates(&mut hash);
        }
        catalog.hash = hex(&hash.finalize()).into();
        Ok(catalog)
    }
}

/// A game on a dialect, as a look at the folder found it.
#[derive(Debug)]
struct SurveyedGame {
    id: GameId,
    dialect: Dialect,
    /// Every operation that it has, also those that did not compile.
    names: BTreeSet<OpId>,
    compiled: Vec<Compiled>,
}

impl SurveyedGame {
    /// Its templates, which enter the hash.
    fn into_templates(self, hash: &mut Sha256) -> Vec<Arc<Template>> {
        hash.update(format!("{}\0{}\0", self.id, self.dialect));
        for one in &self.compiled {
            hash.update(format!("{}\0", one.template.op));
            hash.update(one.digest);
        }
        self.compiled.into_iter().map(|one| Arc::new(one.template)).collect()
    }

    fn side(&self, whose: &'static str) -> check::Side<'_> {
        let Self { dialect, names, compiled, .. } = self;
        check::Side { dialect: *dialect, whose, names, compiled }
    }
}

/// What a look at the template folder found.
#[derive(Debug)]
pub struct Survey {
    /// In order of their places.
    pub findings: Vec<Finding>,
    /// Templates that compiled, over all games and dialects asked for: each counts once for each of both.
    pub template_count: usize,
    /// How many operations, games and dialects those are of.
    pub breadth: Breadth,
    games: Vec<SurveyedGame>,
    tree: Tree,
}

/// How much a survey looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breadth {
    /// Names of operations, over all games.
    pub operations: usize,
    /// Games.
    pub games: usize,
    /// Dialects.
    pub dialects: usize,
}

impl Breadth {
    fn of(games: &[SurveyedGame]) -> Self {
        let count = |names: BTreeSet<&str>| names.len();
        let compiled = || games.iter().flat_map(|one| &one.compiled);
        Self {
            operations: count(compiled().map(|one| one.template.op.as_str()).collect()),
            games: count(games.iter().map(|one| one.id.as_str()).collect()),
            dialects: count(games.iter().map(|one| one.dialect.name()).collect()),
        }
    }
}

impl Survey {
    /// Adds a second opinion on syntax: warnings only, and slower than all other rules together, so not at
    /// every load.
    #[must_use]
    pub fn with_syntax(mut self) -> Self {
        let mut findings = Findings(self.findings);
        for one in surveyed(&self.games) {
            for (plan, place) in one.statements() {
                check::syntax(one.template, plan, place, &mut findings);
            }
        }
        self.findings = findings.into_sorted();
        self
    }

    /// Adds what differs between an operation's bodies on two dialects, where one has a body of its own.
    #[must_use]
    pub fn with_bodies(mut self) -> Self {
        let mut findings = Findings(self.findings);
        for one in self.games.iter().flat_map(|one| &one.compiled) {
            compare_bodies(&self.tree, &one.resolved, &mut findings);
        }
        self.findings = findings.into_sorted();
        self
    }

    /// Adds what keeps a game with a mirror from being moved there and back: operations that one of both lacks, or has
    /// under another contract. Both have to be among the games asked for.
    #[must_use]
    pub fn with_mirrors(mut self, mirrors: &[MirroredGame]) -> Self {
        let mut findings = Findings(self.findings);
        for game in mirrors {
            let on =
                |dialect| self.games.iter().find(|one| one.id == game.id && one.dialect == dialect);
            if let Some((own, mirror)) = on(game.dialect).zip(on(game.mirror)) {
                let sides = [own.side("database"), mirror.side("mirror")];
                check::mirror(game, sides, &mut findings);
            }
        }
        self.findings = findings.into_sorted();
        self
    }

    /// The templates that compiled, by game, dialect and name: for rule 5 and for `gateway render`.
    pub fn templates(&self) -> impl Iterator<Item = Surveyed<'_>> {
        surveyed(&self.games)
    }
}

fn surveyed(games: &[SurveyedGame]) -> impl Iterator<Item = Surveyed<'_>> {
    games.iter().flat_map(|one| &one.compiled).map(|one| {
        let scan_ok = one.resolved.one(Key::ScanOk).and_then(|entry| match &*entry.decl {
            Decl::Text(reason) => Some(&**reason),
            _ => None,
        });
        let body = one.resolved.body.as_ref().map(Body::place);
        let place = body.unwrap_or_else(|| one.resolved.place.clone());
        Surveyed { template: &one.template, place, step_places: &one.step_places, scan_ok }
    })
}

/// A template that compiled, and what a finding about it needs.
#[derive(Clone, Debug)]
pub struct Surveyed<'s> {
    /// The template.
    pub template: &'s Template,
    /// Where its body begins.
    pub place: Place,
    /// Where each of its steps begins.
    pub step_places: &'s [Place],
    /// `@scan_ok`: why it may read a whole table.
    pub scan_ok: Option<&'s str>,
}

impl Surveyed<'_> {
    /// Its statements, and where each begins.
    pub fn statements(&self) -> impl Iterator<Item = (&Plan, &Place)> {
        let places = self.step_places.iter().chain(std::iter::repeat(&self.place));
        self.template.statements().map(|(_, plan)| plan).zip(places)
    }
}

/// Looks at every template without loading it: for `gateway check`, where a game may stand several
/// times with different dialects.
///
/// - `games`: empty: every game that has a folder, on MySQL and SQLite, and on Oracle where
///   some file is written for it.
pub fn survey(dir: &Path, games: &[(GameId, Dialect)]) -> Survey {
    let mut findings = Findings::default();
    let tree = Tree::read(dir, &mut findings);
    let mut pairs = games.to_vec();
    if pairs.is_empty() {
        let dialects = Dialect::ALL.into_iter().filter(|dialect| match dialect {
            Dialect::Mysql | Dialect::Sqlite => true,
            Dialect::Oracle => tree.has_file_for(*dialect),
        });
        let of = |game: &GameId| dialects.clone().map(|dialect| (game.clone(), dialect)).collect();
        pairs = tree.games.keys().flat_map::<Vec<_>, _>(of).collect();
    }
    pairs.sort_unstable();
    pairs.dedup();
    let mut surveyed_games = Vec::with_capacity(pairs.len());
    for (game, dialect) in pairs {
        let mut compiled = Vec::new();
        let mut names = BTreeSet::new();
        for op in operations(&tree, &game) {
            let Some(resolved) = resolved(&tree, (&game, op, dialect), &mut findings) else {
                continue;
            };
            names.insert(op.clone());
            check::portability(&resolved, &mut findings);
            compiled.extend(compile(&resolved, &mut findings));
            other_dialects(&tree, &resolved, &mut findings);
        }
        check::game(&compiled, &names, &mut findings);
        surveyed_games.push(SurveyedGame { id: game, dialect, names, compiled });
    }
    check::codes(surveyed_games.iter().flat_map(|one| &one.compiled), &mut findings);
    let template_count = surveyed_games.iter().map(|one| one.compiled.len()).sum();
    let breadth = Breadth::of(&surveyed_games);
    let findings = findings.into_sorted();
    Survey { findings, template_count, breadth, games: surveyed_games, tree }
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
        if has_own_body(tree, (game, op, dialect))
            && let Some(there) = resolved(tree, (game, op, dialect), findings)
        {
            compile(&there, findings);
        }
    }
}

/// Whether a file of the operation is written for that dialect.
fn has_own_body(tree: &Tree, (game, op, dialect): (&GameId, &OpId, Dialect)) -> bool {
    let own = |body: &Body| body.dialect == Some(dialect);
    layers(tree, game, op, dialect).iter().any(|file| file.body.as_ref().is_some_and(own))
}

/// A body of its own with each other's; of those that share theirs with one.
fn compare_bodies(tree: &Tree, here: &Resolved, findings: &mut Findings) {
    let (game, op) = (&here.game, &here.op);
    let mut is_compared = !has_own_body(tree, (game, op, here.dialect));
    for dialect in [Dialect::Mysql, Dialect::Oracle, Dialect::Sqlite] {
        let is_own_there = has_own_body(tree, (game, op, dialect));
        if dialect == here.dialect || (is_compared && !is_own_there) {
            continue;
        }
        // What is wrong with it alone is told where it is compiled, or nobody's concern here.
        let there = resolved(tree, (game, op, dialect), &mut Findings::default());
        match there.filter(|there| there.body.is_some()) {
            Some(there) if is_own_there => check::compare(&there, here, findings),
            Some(there) => {
                check::compare(here, &there, findings);
                is_compared = true;
            }
            None => {}
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

#[cfg(test)]
pub(crate) mod tests;
