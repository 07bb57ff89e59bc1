//! Rule 5 of `gateway check`: every statement prepared and explained on a real database.

use std::path::Path;

use gateway_protocol::GameId;

use crate::backend::{DriverError, Examiner, ExplainFinding, SCAN_ROWS_MAX};
use crate::catalog::{
    BindRef, Finding, Place, Rule, Scalar, Severity, Shape, Source, Surveyed, Template, Type,
    combinations, survey,
};
use crate::config::{Config, ConnectionConfig, Dialect};

/// Examines the templates of every game on the database that the configuration gives it.
///
/// # Errors
///
/// A sentence, when a database cannot be asked at all.
pub(super) async fn examine(dir: &Path, config: &Config) -> Result<Vec<Finding>, String> {
    let mut findings = Vec::new();
    for game in &config.games {
        let mut connections = config.database.connections.iter();
        let Some(connection) = connections.find(|connection| connection.name == game.database)
        else {
            continue;
        };
        let games = [(game.id.clone(), connection.dialect)];
        examine_game(dir, &games, connection, &mut findings).await.map_err(|error| {
            format!("database `{}`: {}", connection.name, super::output::chain(&error))
        })?;
    }
    findings.sort_unstable();
    findings.dedup();
    Ok(findings)
}

async fn examine_game(
    dir: &Path,
    games: &[(GameId, Dialect)],
    connection: &ConnectionConfig,
    findings: &mut Vec<Finding>,
) -> Result<(), DriverError> {
    let survey = survey(dir, games);
    let mut examiner = Examiner::open(connection).await?;
    for one in survey.templates() {
        for (plan, place) in one.statements() {
            for shape in combinations(one.template, plan) {
                let Ok(rendered) = plan.render(connection.dialect, &shape) else { continue };
                let values = Samples { template: one.template, shape: &shape };
                let binds = rendered.binds.iter().map(|bind| values.of(bind)).collect();
                let reads = one.template.write.steps.is_empty();
                let columns = reads.then_some(&*one.template.columns);
                let found = examiner.examine(&rendered.sql, binds, columns, SCAN_ROWS_MAX).await?;
                findings.extend(found.iter().filter_map(|found| finding(&one, place, found)));
            }
        }
    }
    Ok(())
}

fn finding(one: &Surveyed<'_>, place: &Place, found: &ExplainFinding) -> Option<Finding> {
    let (rule, severity, fix) = match found {
        ExplainFinding::Refused { .. } => {
            (Rule::Database, Severity::Error, "make the statement one that the database takes")
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
            BindRef::Source(Source::Step { .. }) => Scalar::Null,
            BindRef::Source(Source::Now) => Scalar::Timestamp(1_767_225_600_000_000),
            BindRef::Source(Source::Id) => Scalar::Int(1),
            BindRef::Source(Source::Caller | Source::Claim(_) | Source::Trace) => {
                Scalar::Str("sample".into())
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
        Type::Str { .. } => Scalar::Str("sample".into()),
        Type::Bytes { .. } => Scalar::Bytes((&b"s"[..]).into()),
        Type::Date => Scalar::Date(20_000),
        Type::Timestamp { .. } => Scalar::Timestamp(1_767_225_600_000_000),
        Type::Json => Scalar::Json("{}".into()),
        Type::Enum(words) => {
            Scalar::Str(words.first().map_or("sample", |word| word).to_owned().into())
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

    #[tokio::test]
    async fn each_step_is_examined_and_told_at_its_own_line() {
        let folder = tempfile::tempdir().unwrap();
        let text = "-- @kind tx\n-- @param id int\n-- @param items rows(n int)\n-- @allow a\n\
                    -- @step seen one\nSELECT 1 AS gold WHERE :id = 1\n\
                    -- @step lost one\nSELECT 1 AS gold FROM nowhere WHERE id = :seen.gold\n\
                    -- @step put exec each items\nINSERT INTO nothing (a) VALUES (:items.n)\n";
        write(folder.path(), &[("templates/_base/x.sql", text)]);
        let (dir, config) = (folder.path().join("templates"), sqlite_config(folder.path()));
        let mut findings = Vec::new();
        let pairs = games(&[("game1", Dialect::Sqlite)]);
        examine_game(&dir, &pairs, &config, &mut findings).await.unwrap();
        let told: Vec<(Rule, u32)> =
            findings.iter().map(|finding| (finding.rule, finding.place.line)).collect();
        assert_eq!(told, [(Rule::Database, 7), (Rule::Database, 9)], "{findings:?}");
        assert!(findings[0].message.contains("nowhere"), "{}", findings[0].message);
    }
}
