//! Loads a whole catalog, or looks at one without loading it.

use std::collections::{BTreeSet, HashSet};
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
use super::{Catalog, Dialect, GameTemplates, Plan, Template, check};

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
    /// Templates that compiled, over all games and dialects asked for: each counts once for each of both.
    pub template_count: usize,
    /// How many operations, games and dialects those are of.
    pub breadth: Breadth,
    games: Vec<(GameId, Dialect, Vec<Compiled>)>,
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
    fn of(games: &[(GameId, Dialect, Vec<Compiled>)]) -> Self {
        let count = |names: BTreeSet<&str>| names.len();
        let compiled = || games.iter().flat_map(|(_, _, compiled)| compiled);
        Self {
            operations: count(compiled().map(|one| one.template.op.as_str()).collect()),
            games: count(games.iter().map(|(game, _, _)| game.as_str()).collect()),
            dialects: count(games.iter().map(|(_, dialect, _)| dialect.name()).collect()),
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

    /// The templates that compiled, by game, dialect and name: for rule 5 and for `gateway render`.
    pub fn templates(&self) -> impl Iterator<Item = Surveyed<'_>> {
        surveyed(&self.games)
    }
}

fn surveyed(games: &[(GameId, Dialect, Vec<Compiled>)]) -> impl Iterator<Item = Surveyed<'_>> {
    games.iter().flat_map(|(_, _, compiled)| compiled).map(|one| {
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
            for body in resolved.bodies() {
                if portable.insert(Arc::clone(&body.file)) {
                    check::portability(&resolved, body, &used, &mut findings);
                }
            }
            compiled.extend(compile(&resolved, &mut findings));
            other_dialects(&tree, &resolved, &mut findings);
        }
        check::game(&compiled, &names, &mut findings);
        compiled_games.push((game, dialect, compiled));
    }
    check::codes(compiled_games.iter().flat_map(|(_, _, compiled)| compiled), &mut findings);
    let template_count = compiled_games.iter().map(|(_, _, compiled)| compiled.len()).sum();
    let breadth = Breadth::of(&compiled_games);
    Survey { findings: findings.into_sorted(), template_count, breadth, games: compiled_games }
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

/// Whole template folders, good and with one fault planted: each rule finds its own and nothing else.
#[cfg(test)]
pub(crate) mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use gateway_protocol::GameId;

    use super::survey;
    use crate::catalog::{Catalog, Dialect, Finding, Rule, Scalar, Severity, Template};

    pub(crate) const PLAYER_GET: &str = "\
-- @desc   One player by id. Called at every login.
-- @kind   one   else 2101 PLAYER_NOT_FOUND
-- @param  player_id bigint min=1 sample=1001
-- @result player_id bigint as string, nickname string, player_level int, vip_level int,
-- @result status int, version bigint, last_login_at timestamp(3)
-- @version version
-- @allow  game_server, admin, player(player_id = claim.sub)
-- @http   GET /v1/{game}/players/{player_id}
-- @cache  l1=10m l2=1h negative=15s tag=player:{player_id}
SELECT p.player_id, p.nickname, p.player_level, p.vip_level, p.status, p.version, p.last_login_at
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9
";

    pub(crate) const TRANSFER: &str = "\
-- @desc       Move an item between players, all or nothing.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      from_player bigint
-- @param      to_player bigint
-- @param      item_type int
-- @param      qty int min=1 max=9999
-- @require    from_player <> to_player else 2102 SAME_PLAYER
-- @allow      game_server
-- @http       POST /v1/{game}/items:transfer
-- @idempotent key=request_id ttl=24h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_items:{from_player}, player_items:{to_player}
-- @audit

-- @step ledger exec affected = 1
INSERT INTO item_ledger (request_id, from_player, to_player, item_type, qty, created_at)
VALUES (:request_id, :from_player, :to_player, :item_type, :qty, :_now)

-- @step debit exec affected = 1 else 2103 ITEM_NOT_ENOUGH
UPDATE player_item SET qty = qty - :qty, version = version + 1
WHERE  player_id = :from_player AND item_type = :item_type AND qty >= :qty

-- @step credit exec
UPDATE player_item SET qty = qty + :qty, version = version + 1
WHERE  player_id = :to_player AND item_type = :item_type

-- @step grant exec affected = 1 when credit.affected = 0
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :to_player, :item_type, :qty, :_now, 1)
";

    pub(crate) const SEARCH: &str = "\
-- @desc   Search characters. Lines ending in \"-- ?\" apply only when their parameter is given.
-- @kind   page
-- @param  server_id int
-- @param  name_prefix string(32) optional like=prefix
-- @param  level_min int optional
-- @param  class_ids list(int) optional max_items=50
-- @param  sort enum(newest,level) default=newest
-- @order  newest = c.created_at DESC, c.character_id DESC
-- @order  level  = c.char_level DESC, c.character_id DESC
-- @result character_id bigint as string, player_id bigint as string, char_name string, char_level int,
-- @result class_id int, created_at timestamp(3)
-- @page   keyset = @sort default=20 max=100
-- @allow  admin, gm
-- @http   GET /v1/{game}/characters
SELECT c.character_id, c.player_id, c.char_name, c.char_level, c.class_id, c.created_at
FROM   game_character c
WHERE  c.server_id = :server_id
  AND  c.char_name LIKE :name_prefix   -- ?
  AND  c.char_level >= :level_min      -- ?
  AND  c.class_id IN (:class_ids)      -- ?
  AND  1 = 1                           -- #keyset
ORDER BY /* #sort */ c.created_at DESC, c.character_id DESC
";

    /// A read that has nothing wrong with it.
    pub(crate) const READ: &str = "-- @kind many\n-- @param id int\n-- @result a int\n-- @allow admin\n\
                    SELECT t.a FROM t WHERE t.id = :id\n";
    /// A write that has nothing wrong with it.
    pub(crate) const WRITE: &str = "-- @kind exec\n-- @param id int\n-- @allow admin\n\
                     UPDATE t SET a = 1 WHERE id = :id\n";
    /// A page with a fixed order that has nothing wrong with it.
    const PAGE: &str = "-- @kind page\n-- @param id int\n-- @result a int, b int\n-- @allow admin\n\
                    -- @page keyset = t.a DESC, b default=5 max=10\n\
                    SELECT t.a, t.b FROM t WHERE t.id = :id\nAND 1 = 1 -- #keyset\n\
                    ORDER BY t.a DESC, b\n";

    pub(crate) fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    pub(crate) fn games(pairs: &[(&str, Dialect)]) -> Vec<(GameId, Dialect)> {
        pairs.iter().map(|(game, dialect)| (GameId::new(game).unwrap(), *dialect)).collect()
    }

    pub(crate) fn load_on(
        files: &[(&str, &str)],
        dialect: Dialect,
    ) -> Result<Catalog, Vec<Finding>> {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), files);
        Catalog::load(root.path(), &games(&[("game1", dialect)]))
    }

    /// The errors of a load on MySQL.
    #[track_caller]
    pub(crate) fn check(files: &[(&str, &str)], expected: &[Rule]) {
        check_on(Dialect::Mysql, files, expected);
    }

    #[track_caller]
    pub(crate) fn check_on(dialect: Dialect, files: &[(&str, &str)], expected: &[Rule]) {
        let findings = load_on(files, dialect).err().unwrap_or_default();
        let errors: Vec<_> = findings.iter().filter(|f| f.severity == Severity::Error).collect();
        let mut rules: Vec<_> = errors.iter().map(|finding| finding.rule).collect();
        let mut expected = expected.to_vec();
        rules.sort_unstable();
        expected.sort_unstable();
        assert_eq!(rules, expected, "{errors:#?}");
    }

    /// One base template.
    #[track_caller]
    pub(crate) fn one(text: &str, expected: &[Rule]) {
        check(&[("_base/x.sql", text)], expected);
    }

    /// A good template with a piece of it replaced.
    #[track_caller]
    pub(crate) fn with(text: &str, old: &str, new: &str, expected: &[Rule]) {
        assert!(text.contains(old), "{old}");
        one(&text.replacen(old, new, 1), expected);
    }

    pub(crate) fn template(text: &str, dialect: Dialect) -> Arc<Template> {
        let catalog = load_on(&[("_base/x.sql", text)], dialect).expect("it loads");
        Arc::clone(catalog.template("game1", "x").unwrap())
    }

    #[test]
    fn examples_of_the_language_load_on_every_dialect() {
        for dialect in Dialect::ALL {
            let files =
                [("_base/player/get.sql", PLAYER_GET), ("_base/character/search.sql", SEARCH)];
            let catalog = load_on(&files, dialect).expect("they load");
            assert_eq!(catalog.warnings, []);
            let get = catalog.template("game1", "player.get").unwrap();
            assert_eq!(get.slots.len(), 1);
            assert_eq!((get.columns.len(), get.version_column, get.row_count_max), (7, Some(5), 1));
            assert_eq!(get.allow[2].claims, [(0, "sub".into())]);
            let search = catalog.template("game1", "character.search").unwrap();
            let page = search.page.as_ref().unwrap();
            assert_eq!((page.cursor_slot, page.limit_slot, page.count_max), (5, 6, 100));
            assert_eq!(search.slots[6].default, Some(Scalar::Int(20)));
            assert_eq!(search.orders[1].columns[0].column, 3);
            assert!(catalog.template("game1", "player.put").is_none());
            assert!(catalog.template("game2", "player.get").is_none());
        }
    }

    #[test]
    fn base_templates_of_these_tests_have_nothing_wrong() {
        for text in [READ, WRITE, PAGE] {
            for dialect in Dialect::ALL {
                check_on(dialect, &[("_base/x.sql", text)], &[]);
            }
        }
    }

    #[test]
    fn search_renders_the_lines_that_were_given() {
        use crate::catalog::{BindRef, Shape, Source};
        let search = template(SEARCH, Dialect::Sqlite);
        let barest = Shape { given: 1, ..Shape::default() };
        let rendered = search.plan.render(Dialect::Sqlite, &barest).unwrap();
        let text: Vec<&str> = rendered.sql.lines().skip(2).map(str::trim_end).collect();
        assert_eq!(
            text,
            [
                "WHERE  c.server_id = ?",
                "ORDER BY c.created_at DESC, c.character_id DESC",
                "LIMIT ?"
            ]
        );
        assert_eq!(rendered.binds[..], [BindRef::Source(Source::Slot(0)), BindRef::PageLimit]);
        let fullest = Shape {
            given: 0b1111,
            list_lens: [(3, 3)].into_iter().collect(),
            order: 1,
            seek: true,
        };
        let rendered = search.plan.render(Dialect::Sqlite, &fullest).unwrap();
        let text: Vec<&str> = rendered.sql.lines().skip(3).map(str::trim).collect();
        assert_eq!(
            text,
            [
                r"AND  c.char_name LIKE ? ESCAPE '\'",
                "AND  c.char_level >= ?",
                "AND  c.class_id IN (?, ?, ?, ?)",
                "AND (c.char_level < ? OR (c.char_level = ? AND c.character_id < ?))",
                "ORDER BY c.char_level DESC, c.character_id DESC",
                "LIMIT ?",
            ]
        );
        assert_eq!(crate::catalog::combinations(&search, &search.plan).len(), 8 * 2 * 2);
    }

    #[test]
    fn keys_that_are_missing_or_misplaced_are_findings() {
        with(READ, "-- @kind many\n", "", &[Rule::KeyMissing]);
        with(READ, "-- @allow admin\n", "", &[Rule::KeyMissing]);
        with(READ, "-- @result a int\n", "", &[Rule::KeyMissing]);
        with(PAGE, "-- @page keyset = t.a DESC, b default=5 max=10\n", "", &[Rule::KeyMissing]);
        with(READ, "FROM t", "-- @limit 5\nFROM t", &[Rule::KeyMisplaced]);
        with(READ, "@kind", "@kidn", &[Rule::KeyUnknown]);
        with(READ, "-- @allow admin\n", "-- @allow admin\n-- @allow gm\n", &[Rule::KeyDuplicate]);
        with(READ, "many", "one\n-- @limit 5", &[Rule::KeyValue]);
        with(READ, "many", "many\n-- @invalidate a", &[Rule::KeyValue]);
        with(WRITE, "exec", "exec\n-- @cache l1=1s", &[Rule::KeyValue]);
        with(READ, "many", "many\n-- @page keyset = a", &[Rule::KeyValue]);
        with(READ, "many", "many\n-- @include a = b(id)", &[Rule::KeyValue, Rule::Include]);
    }

    #[test]
    fn keys_that_nothing_runs_are_refused_as_not_built() {
        for key in ["shard id", "emit a.b", "route replica max_lag=2s", "encrypt id"] {
            with(WRITE, "exec", &format!("exec\n-- @{key}"), &[Rule::NotBuilt]);
        }
        with(WRITE, "exec", "call", &[Rule::NotBuilt]);
        with(READ, "many", "many\n-- @cache l1=1s stale=5s tag=a", &[Rule::NotBuilt]);
        with(WRITE, "exec", "exec\n-- @route primary", &[]);
    }

    #[test]
    fn parameters_declared_and_used_agree() {
        with(READ, ":id", "1", &[Rule::ParamUnused]);
        with(READ, ":id", ":id AND t.x = :y", &[Rule::ParamUndeclared]);
        with(READ, ":id", ":id AND t.x = :_later", &[Rule::ParamUndeclared]);
        with(READ, ":id", ":id AND t.x = :step.col", &[Rule::ParamUndeclared]);
        with(READ, ":id", ":id AND t.x = ?", &[Rule::Placeholder]);
        with(READ, ":id", ":id AND t.x = :_now", &[]);
        with(
            READ,
            "-- @param id int",
            "-- @param id int\n-- @param limit int",
            &[Rule::ParamLimit, Rule::ParamUnused],
        );
        with(
            READ,
            "-- @param id int",
            "-- @param id int\n-- @param sort int",
            &[Rule::ParamLimit, Rule::ParamUnused],
        );
        with(READ, ":id", "1 -- :id", &[Rule::ParamUnused]);
    }

    #[test]
    fn parameter_that_only_the_header_uses_counts_as_used() {
        for key in
            ["require id > 0 else 2100 BAD", "cache l1=1s tag=a:{id}", "allow b(id = claim.sub)"]
        {
            let text =
                READ.replacen(":id", "1", 1).replacen("many", &format!("many\n-- @{key}"), 1);
            let text = if key.starts_with("allow") {
                text.replacen("-- @allow admin\n", "", 1)
            } else {
                text
            };
            one(&text, &[]);
        }
    }

    #[test]
    fn templates_have_at_most_64_parameters() {
        let text = |count: usize| {
            let params: Vec<String> = (0..count).map(|i| format!("-- @param p{i} int\n")).collect();
            let params = params.concat();
            let binds: Vec<String> = (0..count).map(|i| format!(":p{i}")).collect();
            format!(
                "-- @kind many\n{params}-- @result a int\n-- @allow x\nSELECT a FROM t WHERE a IN ({})",
                binds.join(",")
            )
        };
        one(&text(64), &[]);
        one(&text(65), &[Rule::ParamLimit]);
    }

    #[test]
    fn markers_must_be_those_of_the_language() {
        with(READ, "WHERE", "--? x\nWHERE", &[Rule::Marker, Rule::Placeholder]);
        with(READ, ":id", ":id -- ?", &[Rule::OptionalLine]);
        with(READ, ":id", ":id -- ? why", &[Rule::Marker]);
        with(READ, ":id", ":id -- #keyste", &[Rule::Marker]);
        with(READ, "t.a FROM", "/* #srot */ t.a FROM", &[Rule::Marker]);
        with(READ, ":id", ":id AND t.b = 2--1", &[Rule::Marker]);
        with(READ, ":id", ":id -- a comment", &[]);
        with(READ, ":id", ":id AND t.b = 'x", &[Rule::Lex]);
    }

    #[test]
    fn optional_lines_go_as_a_whole() {
        let line = |line: &str, rules: &[Rule]| {
            let text =
                READ.replacen("-- @param id int", "-- @param id int\n-- @param o int optional", 1);
            one(&text.replacen(":id\n", &format!(":id\n{line}\n"), 1), rules);
        };
        line("AND t.o = :o -- ?", &[]);
        line("AND (t.o = :o -- ?\n)", &[Rule::OptionalLine]);
        line("ORDER BY :o -- ?", &[Rule::OptionalLine]);
        line("AND t.o = 5 -- ?", &[Rule::ParamUnused, Rule::OptionalLine]);
    }

    #[test]
    fn lists_stand_alone_in_an_in() {
        let list = |condition: &str, param: &str, rules: &[Rule]| {
            let text = READ.replacen("id int", param, 1);
            one(&text.replacen("t.id = :id", condition, 1), rules);
        };
        list("t.id IN (:id)", "id list(int)", &[]);
        list("t.id IN (:id)", "id list(int) optional", &[Rule::List]);
        list("t.id IN (:id, 5)", "id list(int)", &[Rule::List]);
        list("t.id = :id", "id list(int)", &[Rule::List]);
        list("t.id = (:id)", "id list(int)", &[Rule::List]);
        list("t.id IN (:id) IS NULL", "id list(int)", &[Rule::List]);
        list("t.id IN (:id) = 0", "id list(int)", &[Rule::List]);
    }

    #[test]
    fn lists_that_may_not_be_empty_are_those_of_writes_and_not_in() {
        let nonempty = |text: &str| template(text, Dialect::Mysql).plan.nonempty;
        let read = READ.replacen("id int", "id list(int)", 1);
        assert_eq!(nonempty(&read.replacen("= :id", "IN (:id)", 1)), 0);
        assert_eq!(nonempty(&read.replacen("= :id", "NOT IN (:id)", 1)), 1);
        let write = WRITE.replacen("id int", "id list(int)", 1);
        assert_eq!(nonempty(&write.replacen("= :id", "IN (:id)", 1)), 1);
        for (condition, expected) in [
            ("NOT t.id IN (:id)", 1),
            ("NOT (t.a = 1 OR t.id IN (:id))", 1),
            ("NOT EXISTS (SELECT u.a FROM u WHERE u.b = 1\n AND u.id IN (:id))", 1),
            ("NOT (t.a = 1) AND t.id IN (:id)", 0),
            ("t.a IS NOT NULL AND (t.b = 1 OR t.id IN (:id))", 0),
            ("EXISTS (SELECT u.a FROM u WHERE NOT u.b AND u.id IN (:id))", 0),
        ] {
            assert_eq!(
                nonempty(&read.replacen("t.id = :id", condition, 1)),
                expected,
                "{condition}"
            );
        }
    }

    #[test]
    fn statement_is_one_and_of_its_kind() {
        with(READ, ":id\n", ":id;\n", &[]);
        with(READ, ":id\n", ":id; DELETE FROM t\n", &[Rule::Statement]);
        with(READ, "many", "exec", &[Rule::Statement, Rule::KeyValue]);
        with(WRITE, "exec", "many\n-- @result a int", &[Rule::ResultColumns, Rule::Statement]);
        with(
            WRITE,
            "UPDATE t SET a = 1 WHERE id = :id",
            "DROP TABLE t -- :id",
            &[Rule::ParamUnused, Rule::Statement],
        );
        for (resolution, rules) in [
            ("OR ROLLBACK", &[Rule::Statement][..]),
            ("or /* any */ fail", &[Rule::Statement]),
            ("OR IGNORE", &[]),
        ] {
            let conflict = WRITE.replacen("UPDATE t", &format!("UPDATE {resolution} t"), 1);
            check_on(Dialect::Sqlite, &[("_base/t.sql", &*conflict)], rules);
        }
        let like = READ.replacen("id int", "id string(5) like=prefix", 1);
        one(&like.replacen("= :id", "LIKE :id", 1), &[]);
        one(&like, &[Rule::Statement]);
        one(&like.replacen("= :id", "LIKE :id ESCAPE '!'", 1), &[Rule::Statement]);
        one("-- @kind many\n-- @allow a\n-- @result a int\n", &[Rule::BodyMissing]);
    }

    #[test]
    fn columns_declared_and_selected_agree() {
        with(READ, "t.a FROM", "t.a, t.b FROM", &[Rule::ResultColumns]);
        with(READ, "a int\n", "a int, b int\n", &[Rule::ResultColumns]);
        with(READ, "a int\n", "a int, a int\n", &[Rule::ResultColumns]);
        with(READ, "t.a FROM", "t.* FROM", &[Rule::ResultColumns]);
        with(READ, "t.a FROM", "COUNT(*) FROM", &[Rule::ResultColumns]);
        with(READ, "t.a FROM", "COUNT(*) AS A FROM", &[]);
        with(READ, "t.a FROM", "t.a, t.b AS a FROM", &[Rule::ResultColumns]);
        with(READ, "many", "many\n-- @version b", &[Rule::ResultColumns]);
    }

    #[test]
    fn pages_have_a_keyset_a_marker_and_no_limit_of_their_own() {
        with(PAGE, "AND 1 = 1 -- #keyset", "AND 1 = 1", &[Rule::Page]);
        with(PAGE, "AND 1 = 1 -- #keyset", "AND t.x = 1 -- #keyset", &[Rule::Page]);
        with(PAGE, "t.a DESC, b\n", "t.a DESC, b\nLIMIT 5", &[Rule::Page, Rule::Order]);
        with(PAGE, "ORDER BY t.a DESC, b", "ORDER BY t.a, b", &[Rule::Order]);
        with(PAGE, "ORDER BY t.a DESC, b", "ORDER BY t.a DESC, b ASC", &[]);
        with(PAGE, "keyset = t.a DESC, b", "keyset = t.c DESC, b", &[Rule::Order, Rule::Order]);
        with(PAGE, "keyset = t.a DESC, b", "keyset = @sort", &[Rule::Order]);
        with(READ, ":id\n", ":id\nAND 1 = 1 -- #keyset\n", &[Rule::Page]);
    }

    #[test]
    fn orders_are_chosen_by_an_enum_of_their_names() {
        with(SEARCH, "enum(newest,level) default=newest", "enum(newest,level)", &[]);
        with(
            SEARCH,
            "enum(newest,level) default=newest",
            "enum(newest,level) optional",
            &[Rule::Order],
        );
        with(SEARCH, "enum(newest,level)", "enum(newest,level,name)", &[Rule::Order]);
        with(SEARCH, "enum(newest,level)", "enum(newest,name)", &[Rule::Order]);
        with(SEARCH, "/* #sort */ ", "", &[Rule::Order]);
        with(READ, ":id\n", ":id\nORDER BY /* #sort */ t.a\n", &[Rule::Order]);
    }

    #[test]
    fn access_rules_name_single_parameters() {
        with(READ, "admin", "player(id = claim.sub)", &[]);
        with(READ, "admin", "player(who = claim.sub)", &[Rule::ParamUndeclared]);
        with(READ, "admin", "public(id = claim.sub)", &[Rule::Allow]);
        with(READ, "admin", "public\n-- @mask id", &[]);
        with(READ, "admin", "admin\n-- @mask who", &[Rule::ParamUndeclared]);
        with(READ, ":id", ":id AND t.x = :_claim.sub", &[]);
        let public = READ.replacen("admin", "admin, public", 1);
        one(&public.replacen(":id", ":id AND t.x = :_claim.sub", 1), &[Rule::Allow]);
        let optional = READ.replacen("id int", "id int optional", 1);
        one(&optional.replacen("admin", "player(id = claim.sub)", 1), &[Rule::Allow]);
    }

    #[test]
    fn routes_name_required_parameters_and_are_unique() {
        let route = |route: &str| READ.replacen("many", &format!("many\n-- @http {route}"), 1);
        one(&route("GET /v1/{game}/x/{id}"), &[]);
        one(&route("GET /v1/{game}/x/{who}"), &[Rule::Http]);
        with(WRITE, "exec", "exec\n-- @http GET /v1/{game}/x/{id}", &[Rule::Http]);
        let other = READ.replace("id", "key_no");
        let other = |route: &str| other.replacen("many", &format!("many\n-- @http {route}"), 1);
        let both = |first: &str, second: &str, rules: &[Rule]| {
            check(&[("_base/a.sql", &route(first)), ("_base/b.sql", &other(second))], rules);
        };
        both("GET /v1/{game}/x/{id}", "GET /v1/{game}/x/{key_no}", &[Rule::Http]);
        both("GET /v1/{game}/x/{id}", "POST /v1/{game}/x/{key_no}", &[]);
        both("GET /v1/{game}/x/{id}", "GET /v1/{game}/x/{key_no}:top", &[]);
    }

    #[test]
    fn caching_is_safe_to_share() {
        let cached = |tag: &str| READ.replacen("many", &format!("many\n-- @cache l1=1s {tag}"), 1);
        one(&cached("tag=a:{id}"), &[]);
        one(&cached("tag=a:{who}"), &[Rule::ParamUndeclared]);
        one(&cached("tag=a:{id}").replacen("id int", "id int optional", 1), &[Rule::Cache]);
        one(&cached("").replacen(":id", ":id AND t.x = :_trace", 1), &[Rule::Cache]);
        let warned = load_on(
            &[("_base/x.sql", &cached("").replacen(":id", ":id AND t.x < :_now", 1))],
            Dialect::Mysql,
        );
        let warnings = warned.unwrap().warnings;
        assert_eq!((warnings.len(), warnings[0].rule), (1, Rule::Cache));
        with(READ, "many", "many\n-- @http_cache public 30s", &[Rule::Http]);
        let public = READ.replacen("admin", "public", 1);
        one(&public.replacen("many", "many\n-- @http_cache public 30s", 1), &[]);
        let personal = public.replacen(":id", ":id AND t.x = :_caller", 1);
        one(&personal.replacen("many", "many\n-- @http_cache public 30s", 1), &[Rule::Http]);
    }

    #[test]
    fn requirements_compare_values_of_one_type() {
        let require = |text: &str, rules: &[Rule]| {
            let read =
                READ.replacen("-- @param id int", "-- @param id int\n-- @param s string(5)", 1);
            let read = read.replacen(":id", ":id AND t.s = :s", 1);
            one(
                &read.replacen("many", &format!("many\n-- @require {text} else 2100 BAD"), 1),
                rules,
            );
        };
        require("id > 5", &[]);
        require("id <> id", &[]);
        require("id = s", &[Rule::KeyValue]);
        require("id = who", &[Rule::ParamUndeclared]);
        require("who = 5", &[Rule::ParamUndeclared]);
    }

    #[test]
    fn codes_have_one_name_and_one_status() {
        let one_of = |not_found: &str| READ.replacen("many", &format!("one else {not_found}"), 1);
        let both = |first: &str, second: &str, rules: &[Rule]| {
            check(&[("_base/a.sql", &one_of(first)), ("_base/b.sql", &one_of(second))], rules);
        };
        both("2100 A", "2100 A", &[]);
        both("2100 A", "2101 B", &[]);
        both("2100 A", "2100 B", &[Rule::Code]);
        both("2100 A", "2101 A", &[Rule::Code]);
        both("2100 A", "2100 A [410]", &[Rule::Code]);
    }

    #[test]
    fn includes_are_reads_of_the_game_without_circles() {
        let parent =
            |include: &str| READ.replacen("many", &format!("one\n-- @include i = {include}"), 1);
        let both = |include: &str, target: &str, rules: &[Rule]| {
            check(&[("_base/a.sql", &parent(include)), ("_base/b.sql", target)], rules);
        };
        both("b(id)", READ, &[]);
        both("b(id = id)", READ, &[]);
        both("b()", READ, &[Rule::Include]);
        both("b(id, who = id)", READ, &[Rule::Include]);
        both("b(who)", READ, &[Rule::ParamUndeclared]);
        both("c(id)", READ, &[Rule::Include]);
        both("b(id)", WRITE, &[Rule::Include]);
        both("b(id)", &READ.replacen("id int", "id date", 1), &[Rule::Include]);
        both("b(id)", &parent("a(id)"), &[Rule::Include, Rule::Include]);
        both("a(id)", READ, &[Rule::Include]);
        both("b(id)", &READ.replacen("many", "mnay", 1), &[Rule::KeyValue]);
        let clash = parent("b(id)").replacen("@include i", "@include a", 1);
        check(&[("_base/a.sql", &clash), ("_base/b.sql", READ)], &[Rule::Include]);
    }

    #[test]
    fn writes_and_pages_have_a_firm_predicate() {
        with(WRITE, " WHERE id = :id", "\nWHERE 1 = 1\nAND id = :id", &[]);
        let optional = WRITE.replacen("id int", "id int optional", 1);
        one(
            &optional.replacen(" WHERE id = :id", "\nWHERE 1 = 1\nAND id = :id -- ?", 1),
            &[Rule::Predicate],
        );
        one(
            &WRITE.replacen("UPDATE t SET a = 1 WHERE id = :id", "DELETE FROM t WHERE :id = 1", 1),
            &[Rule::Predicate],
        );
        with(WRITE, "UPDATE t SET a = 1 WHERE id = :id", "INSERT INTO t (id) VALUES (:id)", &[]);
        let page = PAGE.replacen("id int", "id int optional", 1);
        one(&page.replacen("t.id = :id", "1 = 1\nAND t.id = :id -- ?", 1), &[Rule::Predicate]);
    }

    #[test]
    fn writes_invalidate_what_is_cached_of_their_tables() {
        let cached = READ.replacen("many", "many\n-- @cache l1=1s tag=t:{id}", 1);
        let write = |key: &str| WRITE.replacen("exec", &format!("exec\n{key}"), 1);
        let both = |read: &str, key: &str, rules: &[Rule]| {
            check(&[("_base/r.sql", read), ("_base/w.sql", &write(key))], rules);
        };
        both(&cached, "", &[Rule::Stale]);
        both(&cached, "-- @invalidate t:{id}\n", &[]);
        both(&cached, "-- @invalidate u:{id}\n", &[Rule::Stale]);
        both(&cached, "-- @stale_ok a counter that may lag\n", &[]);
        both(&cached.replacen("many", "many\n-- @stale_ok a ranking", 1), "", &[]);
        both(&cached.replacen("FROM t ", "FROM u t ", 1), "", &[]);
        both(READ, "", &[]);
    }

    #[test]
    fn portability_is_an_error_for_a_dialect_in_use_and_a_warning_for_another() {
        let severity = |text: &str, dialect: Dialect| {
            let root = tempfile::tempdir().unwrap();
            write(root.path(), &[("_base/x.sql", text)]);
            let found = survey(root.path(), &games(&[("game1", dialect)])).findings;
            let only: Vec<_> = found.iter().filter(|f| f.rule == Rule::Portability).collect();
            assert_eq!(only.len(), found.len(), "{found:#?}");
            found.first().map(|finding| finding.severity)
        };
        let (error, warning) = (Some(Severity::Error), Some(Severity::Warning));
        let oracle = [
            READ.replacen("t.id = :id", "t.level = :id", 1),
            READ.replacen(":id", ":id AND t.s <> ''", 1),
            READ.replacen(":id", ":id FETCH FIRST 1 ROWS ONLY FOR UPDATE", 1),
            READ.replacen("id int", "id list(int) max_items=1001", 1)
                .replacen("= :id", "IN (:id)", 1),
            WRITE.replacen("SET a = 1", "SET comment = 1", 1),
        ];
        for text in &oracle {
            assert_eq!(severity(text, Dialect::Oracle), error, "{text}");
            assert_eq!(severity(text, Dialect::Mysql), warning, "{text}");
            let narrowed = text.replacen("-- @allow", "-- @dialects mysql, sqlite\n-- @allow", 1);
            assert_eq!(severity(&narrowed, Dialect::Mysql), None, "{narrowed}");
        }
        let mysql = WRITE.replacen("SET a = 1", "SET rank = 1", 1);
        assert_eq!(severity(&mysql, Dialect::Mysql), error);
        assert_eq!(severity(&mysql, Dialect::Sqlite), warning);
        let range = READ.replacen("t.id = :id", "(t.id, t.a) < (:id, 1)", 1);
        assert_eq!(severity(&range, Dialect::Mysql), error);
        let limit = READ
            .replacen("id int", "id list(int) max_items=1000", 1)
            .replacen("= :id", "IN (:id)", 1);
        assert_eq!(severity(&limit, Dialect::Oracle), None);
        for clock in ["NOW()", "SYSDATE", "current_timestamp", "datetime('now')"] {
            let text = READ.replacen(":id", &format!(":id AND t.x < {clock}"), 1);
            assert_eq!(severity(&text, Dialect::Sqlite), error, "{clock}");
        }
        assert_eq!(severity(&READ.replacen(":id", ":id AND t.now < 5", 1), Dialect::Sqlite), None);
    }

    #[test]
    fn body_for_a_dialect_that_no_game_uses_is_checked_too() {
        let files = |oracle: &'static str| [("_base/x.sql", READ), ("_base/x.oracle.sql", oracle)];
        check(&files("SELECT t.a FROM t WHERE t.id = :id"), &[]);
        check(&files("SELECT t.a FROM t WHERE t.id = 1"), &[Rule::ParamUnused]);
        check(&files("SELECT t.a, t.b FROM t WHERE t.id = :id"), &[Rule::ResultColumns]);
        check(&files("-- @dialects mysql, sqlite\nSELECT t.b FROM t"), &[]);
    }

    #[test]
    fn bodies_are_chosen_from_the_most_specific_file() {
        let body = |word: &str| READ.replacen("FROM t", &format!("FROM {word} t"), 1);
        let sql = |word: &str| format!("SELECT t.a FROM {word} t WHERE t.id = :id");
        let all = [
            ("_base/x.sql", body("base")),
            ("_base/x.mysql.sql", sql("base_mysql")),
            ("game1/x.sql", sql("game")),
            ("game1/x.mysql.sql", sql("game_mysql")),
        ];
        for (count, expected) in [(4, "game_mysql"), (3, "game"), (2, "base_mysql"), (1, "base")] {
            let files: Vec<(&str, &str)> =
                all.iter().take(count).map(|(a, b)| (*a, b.as_str())).collect();
            let catalog = load_on(&files, Dialect::Mysql).unwrap();
            let text = &catalog.template("game1", "x").unwrap().plan.fixed.as_ref().unwrap().sql;
            assert!(text.contains(&format!("FROM {expected} t")), "{text}");
        }
        check(
            &[
                ("_base/x.sql", READ.split("SELECT").next().unwrap()),
                ("_base/x.sqlite.sql", &sql("t")),
            ],
            &[Rule::BodyMissing],
        );
    }

    #[test]
    fn override_narrows_and_does_not_widen() {
        let base = "-- @kind many\n-- @param id int\n-- @param n list(int) max_items=10\n\
                -- @param s string(5) pattern=a+\n-- @result a int, b bigint as string\n-- @limit 10\n\
                -- @cache l1=10s scope=principal\n-- @allow admin, player(id = claim.sub)\n\
                SELECT a, b FROM t WHERE id = :id AND n IN (:n) AND s = :s\n";
        let over = |over: &str, rules: &[Rule]| {
            check(&[("_base/x.sql", base), ("game1/x.sql", over)], rules);
        };
        let widened = [Rule::Override];
        over("-- @extends\n-- @limit 5", &[]);
        over("-- @limit 11", &widened);
        over("-- @allow admin", &[]);
        over("-- @allow admin, gm", &widened);
        over("-- @allow player", &widened);
        over("-- @allow player(id = claim.sub, s = claim.x)", &[]);
        over("-- @param id bigint", &widened);
        over("-- @param id int optional", &[Rule::Override, Rule::Allow]);
        over("-- @param n list(int) max_items=11", &widened);
        over("-- @param n list(int) max_items=9", &[]);
        over("-- @param s string(5) pattern=b+", &widened);
        over("-- @kind optional", &[Rule::Override, Rule::KeyValue]);
        over("-- @cache l1=11s scope=principal", &widened);
        over("-- @cache l1=9s scope=global", &widened);
        over("-- @cache l1=9s scope=principal", &[]);
        over("-- @result a bigint, b bigint as string", &widened);
        over("-- @result a int\nSELECT a FROM t WHERE id = :id AND n IN (:n) AND s = :s", &[]);
        over("-- @require id > 0 else 2100 BAD", &[]);
    }

    #[test]
    fn extends_needs_something_below_it() {
        check(
            &[("game1/x.sql", &READ.replacen("many", "many\n-- @extends", 1))],
            &[Rule::Override],
        );
        one(&READ.replacen("many", "many\n-- @extends", 1), &[Rule::Override]);
        check(
            &[("_base/x.sql", WRITE), ("game1/x.sql", "-- @replace step a")],
            &[Rule::KeyValue, Rule::Override],
        );
    }

    #[test]
    fn operation_exists_only_on_its_dialects() {
        let text = READ.replacen("many", "many\n-- @dialects sqlite", 1);
        let exists = |dialect| {
            let catalog = load_on(&[("_base/x.sql", &text)], dialect).unwrap();
            catalog.template("game1", "x").is_some()
        };
        assert!(exists(Dialect::Sqlite) && !exists(Dialect::Mysql));
    }

    #[test]
    fn versions_and_hashes_change_with_the_text_and_not_with_the_place() {
        let loaded = |text: &str| {
            let catalog = load_on(&[("_base/x.sql", text)], Dialect::Mysql).unwrap();
            (catalog.template("game1", "x").unwrap().version, catalog.hash)
        };
        let first = loaded(READ);
        assert_eq!(first.1.len(), 64);
        assert_eq!(loaded(READ), first);
        assert_eq!(loaded(&READ.replacen("-- @allow", "\n-- a comment\n-- @allow", 1)), first);
        for (old, new) in [("admin", "gm"), ("t.a FROM", "t.a  FROM"), ("id int", "id bigint")] {
            let other = loaded(&READ.replacen(old, new, 1));
            assert!(other.0 != first.0 && other.1 != first.1, "{new}");
        }
    }

    #[test]
    fn games_have_their_own_templates_and_dialects() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/x.sql", READ), ("game2/y.sql", READ)]);
        let pairs = games(&[("game2", Dialect::Sqlite), ("game1", Dialect::Mysql)]);
        let catalog = Catalog::load(root.path(), &pairs).unwrap();
        let names = |game: &str| -> Vec<String> {
            let game = catalog.game(game).unwrap();
            game.templates().iter().map(|one| one.op.to_string()).collect()
        };
        assert_eq!(
            (names("game1"), names("game2")),
            (vec!["x".into()], vec!["x".into(), "y".into()])
        );
        assert_eq!(catalog.game("game2").unwrap().position("y"), Some(1));
        assert_eq!(catalog.template("game2", "x").unwrap().dialect, Dialect::Sqlite);
        assert_eq!(catalog.games().len(), 2);
    }

    #[test]
    fn every_finding_says_how_to_mend_it() {
        let broken = TRANSFER.replace("exec", "some").replace("qty int", "qty rows(a int)");
        for text in [&broken, "-- @kidn\nSELECT ?", "-- @kind page\nDELETE FROM t"] {
            let findings = load_on(&[("_base/x.sql", text)], Dialect::Mysql).unwrap_err();
            assert!(!findings.is_empty());
            assert!(
                findings
                    .iter()
                    .all(|finding| !finding.fix.is_empty() && !finding.message.is_empty())
            );
        }
    }
}
