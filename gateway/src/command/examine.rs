//! Rule 5 of `gateway check`: every statement prepared and explained on a real database.

use std::error::Error;
use std::path::Path;

use gateway_protocol::GameId;

use super::migrate;
use super::output::chain;
use crate::backend::{
    DriverError, Examiner, ExplainFinding, MigrateMode, MigrationState, MigrationStep,
    SCAN_ROWS_MAX,
};
use crate::catalog::{
    BindRef, Column, Finding, Output, Place, Rule, Scalar, Severity, Shape, Source, Surveyed,
    Template, Type, combinations, survey,
};
use crate::config::{Config, ConnectionConfig, Dialect, Endpoint};

/// A text to explain with.
const SAMPLE: &str = "sample";

/// Examines the templates of every game on the database that the configuration gives it.
///
/// # Errors
///
/// A sentence, when a database cannot be asked at all.
pub(super) async fn examine(dir: &Path, config: &Config) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for game in &config.games {
        let Some(connection) = config.database.connection(&game.database) else {
            continue;
        };
        let failed =
            |error: &dyn Error| format!("database `{}`: {}", connection.name, chain(error));
        // Connecting would make it.
        if let Endpoint::File(path) = &connection.endpoint
            && !path.exists()
        {
            let (name, path) = (&connection.name, path.display());
            return Err(format!("database `{name}`: no file {path}: run `gateway migrate` first"));
        }
        let games = [(game.id.clone(), connection.dialect)];
        let found = examine_game(dir, &games, connection).await.map_err(|error| failed(&error))?;
        // Looked at only where it may be the cause: who may read the tables may not know of migrations.
        let steps = if found.iter().any(is_refusal) {
            let status = migrate::run(config, Some(&game.id), MigrateMode::Status).await;
            let databases = status.map_err(|error| failed(&error))?;
            databases.into_iter().flat_map(|database| database.steps).collect()
        } else {
            Vec::new()
        };
        findings.extend(unmigrated(&steps, connection));
        // On an empty database every statement is refused, for that one reason.
        let is_empty =
            !steps.is_empty() && steps.iter().all(|step| step.state == MigrationState::Pending);
        findings.extend(found.into_iter().filter(|one| !is_empty || !is_refusal(one)));
    }
    findings.sort_unstable();
    findings.dedup();
    Ok(findings)
}

fn is_refusal(finding: &Finding) -> bool {
    finding.rule == Rule::Database && finding.severity == Severity::Error
}

/// What is told of migrations that a database lacks: the first one, which the others follow.
fn unmigrated(steps: &[MigrationStep], connection: &ConnectionConfig) -> Option<Finding> {
    // Templates do not see the gateway's own tables.
    let is_theirs = |step: &&MigrationStep| !step.scope.starts_with("_gateway");
    let pending = |step: &&MigrationStep| step.state == MigrationState::Pending;
    let mut steps = steps.iter().filter(is_theirs).filter(pending);
    let first = steps.next()?;
    let MigrationStep { scope, number, name, .. } = first;
    let file = format!("{scope}/schema/{}/{number:04}_{name}.sql", connection.dialect);
    let others = match steps.count() {
        0 => String::new(),
        count => format!(", nor {count} after it"),
    };
    Some(Finding {
        place: Place::start(&file.into()),
        severity: Severity::Error,
        rule: Rule::Database,
        message: format!("it is not applied to database `{}`{others}", connection.name).into(),
        fix: "run `gateway migrate`".into(),
    })
}

async fn examine_game(
    dir: &Path,
    games: &[(GameId, Dialect)],
    connection: &ConnectionConfig,
) -> Result<Vec<Finding>, DriverError> {
    let mut findings = Vec::new();
    let survey = survey(dir, games);
    let mut examiner = Examiner::open(connection).await?;
    for one in survey.templates() {
        if one.template.procedure.is_some() {
            let found = examiner.examine_call(one.template).await?;
            findings.extend(found.iter().filter_map(|found| finding(&one, &one.place, found)));
            continue;
        }
        let returned = returned(one.template);
        for (plan, place) in one.statements() {
            for shape in combinations(one.template, plan) {
                let Ok(rendered) = plan.render(connection.dialect, &shape) else { continue };
                let values = Samples { template: one.template, shape: &shape };
                let binds = rendered.binds.iter().map(|bind| values.of(bind)).collect();
                let reads = one.template.write.steps.is_empty();
                let columns = reads.then_some(returned.as_deref().unwrap_or(&one.template.columns));
                let found = examiner.examine(&rendered.sql, binds, columns, SCAN_ROWS_MAX).await?;
                findings.extend(found.iter().filter_map(|found| finding(&one, place, found)));
            }
        }
    }
    Ok(findings)
}

/// The columns that an `exec` returns.
fn returned(template: &Template) -> Option<Vec<Column>> {
    let column = |output: &Output| match output {
        Output::Value(column) => Some(column.clone()),
        Output::Rows { .. } => None,
    };
    let columns: Vec<Column> = template.outputs.iter().filter_map(column).collect();
    (!columns.is_empty() && template.dialect != Dialect::Oracle).then_some(columns)
}

/// What to do about a statement that is refused.
fn mended(template: &Template) -> &'static str {
    let mut steps = template.write.steps.iter();
    let returns = !template.write.returning.is_empty() || steps.any(|s| !s.returning.is_empty());
    if returns && template.dialect == Dialect::Mysql {
        return "make it one that the database takes: only MariaDB has RETURNING, and not for UPDATE; for MySQL take ids \
                from `:_id` and read the row in a step `one`";
    }
    "make the statement one that the database takes"
}

fn finding(one: &Surveyed<'_>, place: &Place, found: &ExplainFinding) -> Option<Finding> {
    let (rule, severity, fix) = match found {
        ExplainFinding::Refused { .. } => (Rule::Database, Severity::Error, mended(one.template)),
        ExplainFinding::Call { .. } => {
            (Rule::Database, Severity::Error, "make the call, @out and the procedure agree")
        }
        ExplainFinding::Scan { .. } if one.scan_ok.is_some() => return None,
        ExplainFinding::Scan { .. } => {
            (Rule::Scan, Severity::Error, "add an index, or `@scan_ok` and the reason")
        }
        ExplainFinding::Undeclared { .. } => {
            (Rule::Database, Severity::Warning, "declare it with `@result`, or do not select it")
        }
        ExplainFinding::Missing { .. }
        | ExplainFinding::Twice { .. }
        | ExplainFinding::Form { .. } => {
            (Rule::Database, Severity::Error, "make `@result` and the selected columns agree")
        }
    };
    Some(Finding {
        place: place.clone(),
        severity,
        rule,
        message: found.to_string().into(),
        fix: fix.into(),
    })
}

/// Values that a statement can be explained with.
struct Samples<'a> {
    template: &'a Template,
    shape: &'a Shape,
}

impl Samples<'_> {
    fn of(&self, bind: &BindRef) -> Scalar<'static> {
        match bind {
            BindRef::Source(Source::Slot(slot)) | BindRef::ListItem { slot, .. } => {
                self.slot(*slot)
            }
            BindRef::Source(Source::Field { slot, field }) => self.field(*slot, *field),
            // Their form is known when the earlier step has run.
            BindRef::Source(Source::Step { .. } | Source::Out(_)) => Scalar::Null,
            BindRef::Source(Source::Now) => Scalar::Timestamp(1_767_225_600_000_000),
            BindRef::Source(Source::Id) => Scalar::Int(1),
            BindRef::Source(Source::Caller | Source::Claim(_) | Source::Trace) => {
                Scalar::Str(SAMPLE.into())
            }
            BindRef::Seek(column) => self.seek(*column),
            BindRef::PageLimit => {
                Scalar::Int(self.template.page.as_ref().map_or(1, |page| page.default_count.into()))
            }
        }
    }

    /// The slot's `sample=`, or a value of its type.
    fn slot(&self, index: usize) -> Scalar<'static> {
        let Some(slot) = self.template.slots.get(index) else { return Scalar::Null };
        let ty = match &slot.ty {
            Type::List(item) => item,
            other => other,
        };
        let sample = slot.sample.as_deref().and_then(|text| ty.parse(text).ok());
        sample.unwrap_or_else(|| value_of(ty))
    }

    /// A value of the type of a field of a `rows(…)` slot.
    fn field(&self, slot: usize, field: usize) -> Scalar<'static> {
        match self.template.slots.get(slot).map(|slot| &slot.ty) {
            Some(Type::Rows(fields)) => {
                fields.get(field).map_or(Scalar::Null, |field| value_of(&field.ty))
            }
            _ => Scalar::Null,
        }
    }

    /// A value of the type of a column of the chosen order.
    fn seek(&self, index: usize) -> Scalar<'static> {
        let order = self.template.plan.orders.get(self.shape.order);
        let column = order.and_then(|columns| columns.get(index)).map(|column| column.column);
        let column = column.and_then(|column| self.template.columns.get(column));
        column.map_or(Scalar::Null, |column| value_of(&column.ty))
    }
}

fn value_of(ty: &Type) -> Scalar<'static> {
    match ty {
        Type::Bool => Scalar::Bool(true),
        Type::Int | Type::Bigint => Scalar::Int(1),
        Type::Decimal { scale: 0, .. } => Scalar::Decimal("1".into()),
        Type::Decimal { scale, .. } => {
            Scalar::Decimal(format!("1.{}", "0".repeat((*scale).into())).into())
        }
        Type::Float => Scalar::Float(1.0),
        Type::Str { chars_max } => {
            let chars_max = chars_max.map_or(usize::MAX, |max| max as usize);
            Scalar::Str(SAMPLE.chars().take(chars_max).collect::<String>().into())
        }
        Type::Bytes { .. } => Scalar::Bytes((&b"s"[..]).into()),
        Type::Date => Scalar::Date(20_000),
        Type::Timestamp { .. } => Scalar::Timestamp(1_767_225_600_000_000),
        Type::Json => Scalar::Json("{}".into()),
        Type::Enum(words) => {
            Scalar::Str(words.first().map_or(SAMPLE, |word| word).to_owned().into())
        }
        Type::List(item) => value_of(item),
        Type::Rows(_) => Scalar::Null,
    }
}

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::backend::testing::sqlite_config;
    use crate::catalog::load::tests::{games, write};
    use crate::config::Env;

    #[test]
    fn sample_of_a_text_is_no_longer_than_the_text_may_be() {
        let check = |chars_max, expected: &'static str| {
            assert_eq!(value_of(&Type::Str { chars_max }), Scalar::Str(expected.into()));
        };
        check(None, "sample");
        check(Some(7), "sample");
        check(Some(6), "sample");
        check(Some(5), "sampl");
        check(Some(1), "s");
    }

    #[tokio::test]
    async fn each_step_is_examined_and_told_at_its_own_line() {
        let folder = tempfile::tempdir().unwrap();
        let text = "-- @kind tx\n-- @param id int\n-- @param items rows(n int)\n-- @allow a\n\
                    -- @step seen one\nSELECT 1 AS gold WHERE :id = 1\n\
                    -- @step lost one\nSELECT 1 AS gold FROM nowhere WHERE id = :seen.gold\n\
                    -- @step put exec each items\nINSERT INTO nothing (a) VALUES (:items.n)\n";
        write(folder.path(), &[("templates/_base/x.sql", text)]);
        let (dir, config) = (folder.path().join("templates"), sqlite_config(folder.path()));
        let pairs = games(&[("game1", Dialect::Sqlite)]);
        let mut findings = examine_game(&dir, &pairs, &config).await.unwrap();
        findings.sort_unstable();
        findings.dedup();
        let told: Vec<(Rule, u32)> =
            findings.iter().map(|finding| (finding.rule, finding.place.line)).collect();
        assert_eq!(told, [(Rule::Database, 7), (Rule::Database, 9)], "{findings:?}");
        assert!(findings[0].message.contains("nowhere"), "{}", findings[0].message);
    }

    /// A configuration of one game on a SQLite file, and its templates.
    fn one_game(folder: &Path) -> Config {
        let text = "-- @kind many\n-- @result a int\n-- @allow public\nSELECT t.a FROM thing t WHERE t.a = 1\n";
        let schema = "CREATE TABLE thing (a INTEGER PRIMARY KEY);\n";
        write(
            folder,
            &[
                ("templates/_base/x.sql", text),
                ("templates/_base/schema/sqlite/0001_things.sql", schema),
                ("templates/_base/schema/sqlite/0002_more.sql", "CREATE TABLE more (b INTEGER);\n"),
            ],
        );
        let yaml = "templates: templates\ngames:\n  game1: { id: game1, name: One, database: lite }\n\
                    database:\n  connections:\n    lite: { type: sqlite, path: lite.db }\n";
        Config::parse(yaml, folder, &Env::process()).unwrap().0
    }

    #[tokio::test]
    async fn file_that_is_not_there_is_told_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let config = one_game(folder.path());
        let told = examine(&config.templates, &config).await.unwrap_err();
        assert!(told.contains("lite.db: run `gateway migrate` first"), "{told}");
        assert!(!folder.path().join("lite.db").exists());
    }

    #[tokio::test]
    async fn database_without_its_schema_is_one_finding_that_says_what_to_run() {
        let folder = tempfile::tempdir().unwrap();
        let config = one_game(folder.path());
        std::fs::write(folder.path().join("lite.db"), "").unwrap();
        let findings = examine(&config.templates, &config).await.unwrap();
        assert_eq!(findings.len(), 1, "{findings:?}");
        let place = findings[0].place.to_string();
        assert_eq!(place, "_base/schema/sqlite/0001_things.sql:1:1");
        assert_eq!(&*findings[0].message, "it is not applied to database `lite`, nor 1 after it");
        assert_eq!(&*findings[0].fix, "run `gateway migrate`");

        migrate::run(&config, None, MigrateMode::Apply).await.unwrap();
        assert_eq!(examine(&config.templates, &config).await.unwrap(), []);
    }

    #[tokio::test]
    async fn database_that_lacks_one_migration_tells_it_beside_what_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = one_game(folder.path());
        migrate::run(&config, None, MigrateMode::Apply).await.unwrap();
        let text = "-- @kind many\n-- @result c int\n-- @allow public\nSELECT l.c FROM later l WHERE l.c = 1\n";
        let schema = (
            "templates/_base/schema/sqlite/0003_later.sql",
            "CREATE TABLE later (c INTEGER PRIMARY KEY);\n",
        );
        write(folder.path(), &[("templates/_base/y.sql", text), schema]);
        let findings = examine(&config.templates, &config).await.unwrap();
        let files: Vec<&str> = findings.iter().map(|one| &*one.place.file).collect();
        assert_eq!(files, ["_base/schema/sqlite/0003_later.sql", "_base/y.sql"], "{findings:?}");
    }
}
