//! `gateway render GAME OP --dialect D name=value …`: the SQL of one call, with literals, for an SQL editor.
//!
//! What the gateway sends has placeholders; this text has not, and is for people only. Parameters are bound
//! exactly as a request's are; rows are written as JSON: `items='[{"item_type":1,"qty":2}]'`. What the gateway
//! supplies can be given too: `_now=`, `_id=`, `_caller=`, `_trace=`, `_claim.sub=`; and what an earlier step
//! of a `tx` would have left: `before.gold=5`. Where it is not, a NULL stands, and its name beside it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use gateway_protocol::{GameId, OpId};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::check::{EXIT_FAULTY, EXIT_OK, Report, lines};
use super::params::{Written, written};
use super::variables::Variables;
use crate::bind::bind;
use crate::catalog::{
    BindRef, Dialect, Finding, Plan, RenderError, Scalar, Severity, Shape, Source, Step, StepValue,
    Template, Type, survey,
};

const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");
const MOMENT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");
/// The form in which SQLite keeps moments.
const MOMENT_SQLITE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// One call to render.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The game.
    pub game: &'a GameId,
    /// The operation.
    pub op: &'a OpId,
    /// The dialect, which need not be the game's own.
    pub dialect: Dialect,
    /// `name=value` each, a list as `[1,2]` or `1,2`; a required one that is not given takes its `sample=`.
    pub params: &'a [String],
    /// `:_now` unless it is given, in microseconds since 1970-01-01T00:00:00Z.
    pub now_micros: i64,
}

/// Renders a call. A page is rendered from its first row on, with the limit that a request would have.
///
/// Blocks: reads the folder.
pub fn render(dir: &Path, call: &Call<'_>) -> Report {
    let (game, op) = (call.game, call.op);
    let survey = survey(dir, &[(game.clone(), call.dialect)]);
    let is_wrong = |one: &&Finding| one.severity == Severity::Error && is_of(one, game, op);
    let wrong: Vec<Finding> = survey.findings.iter().filter(is_wrong).cloned().collect();
    let template = survey.templates().map(|one| one.template).find(|one| one.op == *op);
    let Some(template) = template.filter(|_| wrong.is_empty()) else {
        let report = Report::refused(&survey.absence(game, op, call.dialect));
        return Report { complaint: report.complaint + &lines(&wrong), ..report };
    };
    match text(template, call) {
        Ok(text) => Report { text, complaint: String::new(), status: EXIT_OK },
        Err(complaint) => {
            Report { text: String::new(), complaint: complaint + "\n", status: EXIT_FAULTY }
        }
    }
}

/// Whether a finding stands in a file of the operation.
pub(super) fn is_of(finding: &Finding, game: &GameId, op: &OpId) -> bool {
    let Some((folder, path)) = finding.place.file.split_once('/') else { return false };
    let stem = path.split('.').next().unwrap_or_default();
    (folder == game.as_str() || folder == "_base") && stem.replace('/', ".") == op.as_str()
}

fn text(template: &Template, call: &Call<'_>) -> Result<String, String> {
    let mut supplied = Supplied { now_micros: call.now_micros, given: Vec::new() };
    let Written { params, supplied: given } = written(template, call.params)?;
    for (name, value) in given {
        if !is_supplied(template, name) {
            return Err(format!("nothing supplies `{name}` to {}", template.op));
        }
        supplied.given.push((name, value));
    }
    let bound = bind(template, params).map_err(|error| error.to_string())?;
    sql(template, &bound.values, bound.given, &supplied)
}

/// Whether the gateway supplies a value of that name, or a step may leave it.
fn is_supplied(template: &Template, name: &str) -> bool {
    let is_step = |step: &Step| name.split_once('.').is_some_and(|(of, _)| *of == *step.name);
    ["_now", "_id", "_caller", "_trace"].contains(&name)
        || name.starts_with("_claim.")
        || template.write.steps.iter().any(is_step)
}

/// What the gateway supplies to a request.
struct Supplied<'a> {
    now_micros: i64,
    /// Name and value of what the command line says.
    given: Vec<(&'a str, &'a str)>,
}

impl Supplied<'_> {
    fn value(&self, source: &Source) -> Result<Scalar<'_>, String> {
        let name = match source {
            Source::Slot(_) | Source::Field { .. } | Source::Step { .. } | Source::Out(_) => {
                return Ok(Scalar::Null);
            }
            Source::Now => "_now".to_owned(),
            Source::Id => "_id".to_owned(),
            Source::Caller => "_caller".to_owned(),
            Source::Trace => "_trace".to_owned(),
            Source::Claim(claim) => format!("_claim.{claim}"),
        };
        let given = self.given.iter().find(|(one, _)| *one == name).map(|(_, value)| *value);
        let parse =
            |ty: Type, text: &str| ty.parse(text).map_err(|fault| format!("`{name}`: {fault}"));
        match (source, given) {
            (Source::Now, Some(text)) => parse(Type::Timestamp { fraction: 6 }, text),
            (Source::Now, None) => Ok(Scalar::Timestamp(self.now_micros)),
            (Source::Id, Some(text)) => parse(Type::Bigint, text),
            (Source::Id, None) => Ok(Scalar::Int(1)),
            (Source::Claim(_), None) => Err(format!("`{name}` is needed: write {name}=value")),
            (_, Some(text)) => {
                let number = text.parse().ok().filter(|_| matches!(source, Source::Claim(_)));
                Ok(number.map_or_else(|| Scalar::Str(text.into()), Scalar::Int))
            }
            (_, None) => Ok(Scalar::Str("render".into())),
        }
    }
}

/// The statements with a literal at each place of a bind; one that runs for each of some rows, once a row.
fn sql(
    template: &Template,
    values: &[Scalar<'_>],
    given: u64,
    supplied: &Supplied<'_>,
) -> Result<String, String> {
    let mut text = String::new();
    for (step, plan) in template.statements() {
        let slot = step.map_or(template.write.batch_slot, |step| step.each);
        let rows = match slot.and_then(|slot| values.get(slot)) {
            Some(Scalar::List(rows)) => rows.as_slice(),
            _ => &[Scalar::Null],
        };
        if let Some(step) = step {
            text.push_str(&title(template, step));
        }
        for row in rows {
            let variables = Variables::of(template, step);
            let run = Run { template, values, given, supplied, row };
            text.push_str(&run.sql(plan, &variables)?);
        }
    }
    Ok(text)
}

/// `-- grant, when credit.affected = 0`
fn title(template: &Template, step: &Step) -> String {
    let mut text = format!("-- {}", step.name);
    if let Some(when) = &step.when {
        let name = step_value(template, when.step, when.value);
        let mut literal = String::new();
        when.literal.tag_text(&mut literal);
        for part in [", when ", &name, " ", when.comparison.sign(), " ", &literal] {
            text.push_str(part);
        }
    }
    text.push('\n');
    text
}

/// `credit.affected`, `before.gold`: as a body writes it.
fn step_value(template: &Template, step: usize, value: StepValue) -> String {
    let Some(step) = template.write.steps.get(step) else { return String::new() };
    let member = match value {
        StepValue::Affected => "affected",
        StepValue::Column(index) => step.columns.get(index).map_or("", |column| column),
    };
    format!("{}.{member}", step.name)
}

/// One run of a statement.
struct Run<'a> {
    template: &'a Template,
    values: &'a [Scalar<'a>],
    given: u64,
    supplied: &'a Supplied<'a>,
    /// The row that it runs for.
    row: &'a Scalar<'a>,
}

impl Run<'_> {
    fn sql(&self, plan: &Plan, variables: &Variables<'_>) -> Result<String, String> {
        let template = self.template;
        let shape = Shape::new(plan, self.values, self.given, false);
        let (mut fault, mut count, mut inputs) = (None, 0, Vec::new());
        let mut place = |sql: &mut String, bind: BindRef| {
            let variable = variables.name(count, &bind);
            count += 1;
            let mut literal = String::new();
            let written = self.push(if variable.is_some() { &mut literal } else { sql }, &bind);
            if let Some(name) = variable {
                sql.push_str(&name);
                if !matches!(bind, BindRef::Source(Source::Out(_))) {
                    inputs.push((name, literal));
                }
            }
            if let Err(message) = written {
                fault.get_or_insert(message);
            }
        };
        let text = plan.render_with(template.dialect, &shape, &mut place);
        let text = text.map_err(|error| match error {
            RenderError::EmptyList { slot } | RenderError::LongList { slot, .. } => {
                let name = template.slots.get(slot).map_or("", |slot| &slot.name);
                format!("parameter `{name}`: {error}")
            }
            RenderError::NoOrder(_) => error.to_string(),
        })?;
        fault.map_or_else(|| Ok(variables.around(text.trim_end(), &inputs)), Err)
    }

    fn push(&self, sql: &mut String, bind: &BindRef) -> Result<(), String> {
        let dialect = self.template.dialect;
        if let BindRef::Source(Source::Step { step, value }) = bind {
            let name = step_value(self.template, *step, *value);
            return match self.supplied.given.iter().find(|(one, _)| *one == name) {
                None => write!(sql, "NULL /* {name} */").map_err(|error| error.to_string()),
                Some((_, text)) => {
                    let number = text.parse().map(Scalar::Int);
                    push_literal(sql, dialect, &number.unwrap_or(Scalar::Str((*text).into())))
                }
            };
        }
        if let BindRef::Source(Source::Field { field, .. }) = bind {
            let Scalar::List(fields) = self.row else {
                return push_literal(sql, dialect, self.row);
            };
            return push_literal(sql, dialect, fields.get(*field).unwrap_or(&Scalar::Null));
        }
        let value = value(self.template, self.values, self.supplied, bind)?;
        push_literal(sql, dialect, &value)
    }
}

/// What a request would bind there.
fn value<'v>(
    template: &Template,
    values: &'v [Scalar<'_>],
    supplied: &'v Supplied<'_>,
    bind: &BindRef,
) -> Result<Cow<'v, Scalar<'v>>, String> {
    let at = |slot: usize| values.get(slot).unwrap_or(&Scalar::Null);
    Ok(match bind {
        BindRef::Source(Source::Slot(slot)) => Cow::Borrowed(at(*slot)),
        BindRef::Source(source) => Cow::Owned(supplied.value(source)?),
        BindRef::ListItem { slot, index } => match at(*slot) {
            Scalar::List(items) => Cow::Borrowed(items.get(*index).unwrap_or(&Scalar::Null)),
            other => Cow::Borrowed(other),
        },
        // Rendered without a cursor, a page has no seek predicate.
        BindRef::Seek(_) => Cow::Owned(Scalar::Null),
        BindRef::PageLimit => {
            let page = template.page.as_ref();
            let count = match page.map(|page| at(page.limit_slot)) {
                Some(Scalar::Int(count)) => *count,
                _ => page.map_or(0, |page| i64::from(page.default_count)),
            };
            Cow::Owned(Scalar::Int(count.saturating_add(1)))
        }
    })
}

/// Writes a value as a literal of the dialect, in the form in which the gateway binds it.
fn push_literal(sql: &mut String, dialect: Dialect, value: &Scalar<'_>) -> Result<(), String> {
    match value {
        Scalar::Null => sql.push_str("NULL"),
        Scalar::Bool(value) => sql.push(if *value { '1' } else { '0' }),
        Scalar::Int(value) => sql.push_str(&value.to_string()),
        Scalar::Float(value) => write!(sql, "{value:?}").map_err(|error| error.to_string())?,
        Scalar::Decimal(text) => sql.push_str(text),
        Scalar::Str(text) | Scalar::Json(text) => push_text(sql, dialect, text),
        Scalar::Bytes(bytes) => {
            sql.push_str(if dialect == Dialect::Oracle { "HEXTORAW('" } else { "X'" });
            for byte in bytes.iter() {
                write!(sql, "{byte:02X}").map_err(|error| error.to_string())?;
            }
            sql.push_str(if dialect == Dialect::Oracle { "')" } else { "'" });
        }
        Scalar::Date(days) => {
            let day = i64::from(*days);
            let date = moment(day.saturating_mul(86_400_000_000))?.date();
            let date = date.format(DATE).map_err(|error| error.to_string())?;
            sql.push_str(if dialect == Dialect::Sqlite { "" } else { "DATE " });
            push_text(sql, dialect, &date);
        }
        Scalar::Timestamp(micros) => {
            let format = if dialect == Dialect::Sqlite { MOMENT_SQLITE } else { MOMENT };
            let text = moment(*micros)?.format(format).map_err(|error| error.to_string())?;
            sql.push_str(if dialect == Dialect::Sqlite { "" } else { "TIMESTAMP " });
            push_text(sql, dialect, &text);
        }
        Scalar::List(_) => return Err("a list stands in an IN only".to_owned()),
    }
    Ok(())
}

/// Quotes are doubled everywhere; MySQL's strings take a backslash for an escape too.
fn push_text(sql: &mut String, dialect: Dialect, text: &str) {
    sql.push('\'');
    for character in text.chars() {
        if character == '\'' || (character == '\\' && dialect == Dialect::Mysql) {
            sql.push(character);
        }
        sql.push(character);
    }
    sql.push('\'');
}

fn moment(micros: i64) -> Result<OffsetDateTime, String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::check::EXIT_USAGE;
    use super::*;
    use crate::catalog::load::tests::{PLAYER_GET, SEARCH, games, write};

    const WRITE: &str = "-- @kind exec\n-- @param name string(64) optional\n-- @param ids list(bigint)\n\
                         -- @allow a\nUPDATE t SET n = :name, at = :_now, by = :_caller, c = :_claim.sub\n\
                         WHERE i IN (:ids) AND j = :_id\n";

    #[track_caller]
    fn literal(dialect: Dialect, value: &Scalar<'_>, expected: &str) {
        let mut sql = String::new();
        push_literal(&mut sql, dialect, value).unwrap();
        assert_eq!(sql, expected);
    }

    #[test]
    fn literals_cannot_break_out_of_their_quotes() {
        let text = Scalar::Str(r"O'Brien\' OR 1=1 --".into());
        literal(Dialect::Mysql, &text, r"'O''Brien\\'' OR 1=1 --'");
        literal(Dialect::Sqlite, &text, r"'O''Brien\'' OR 1=1 --'");
        literal(Dialect::Oracle, &text, r"'O''Brien\'' OR 1=1 --'");
        literal(Dialect::Mysql, &Scalar::Json(r#"{"a":"\n"}"#.into()), r#"'{"a":"\\n"}'"#);
    }

    #[test]
    fn literals_have_the_form_that_is_bound() {
        for dialect in Dialect::ALL {
            literal(dialect, &Scalar::Null, "NULL");
            literal(dialect, &Scalar::Bool(true), "1");
            literal(dialect, &Scalar::Int(i64::MIN), "-9223372036854775808");
            literal(dialect, &Scalar::Float(1e300), "1e300");
            literal(dialect, &Scalar::Decimal("-1.50".into()), "-1.50");
        }
        let bytes = Scalar::Bytes(vec![0, 255].into());
        literal(Dialect::Mysql, &bytes, "X'00FF'");
        literal(Dialect::Oracle, &bytes, "HEXTORAW('00FF')");
        literal(Dialect::Mysql, &Scalar::Date(-1), "DATE '1969-12-31'");
        literal(Dialect::Sqlite, &Scalar::Date(19_782), "'2024-02-29'");
        let moment = Scalar::Timestamp(1_709_251_199_000_001);
        literal(Dialect::Oracle, &moment, "TIMESTAMP '2024-02-29 23:59:59.000001'");
        literal(Dialect::Sqlite, &moment, "'2024-02-29T23:59:59.000001Z'");
    }

    /// One template, rendered with values as they are bound.
    fn rendered(
        text: &str,
        values: &[Scalar<'_>],
        given: u64,
        named: &[(&str, &str)],
    ) -> Result<String, String> {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/x.sql", text)]);
        let survey = survey(root.path(), &games(&[("game1", Dialect::Sqlite)]));
        let template = survey.templates().next().expect("it compiles").template;
        sql(template, values, given, &Supplied { now_micros: 0, given: named.to_vec() })
    }

    #[test]
    fn each_bind_has_its_literal_and_what_the_gateway_supplies() {
        let ids = Scalar::List(vec![Scalar::Int(5), Scalar::Int(6), Scalar::Int(7)]);
        let values = [Scalar::Str("?".into()), ids];
        let text = rendered(WRITE, &values, 3, &[("_caller", "it's me")]);
        assert_eq!(text, Err("`_claim.sub` is needed: write _claim.sub=value".into()));
        let named = [("_caller", "it's me"), ("_claim.sub", "9")];
        let text = rendered(WRITE, &values, 3, &named).unwrap();
        assert_eq!(
            text,
            "UPDATE t SET n = '?', at = '1970-01-01T00:00:00.000000Z', by = 'it''s me', c = 9\n\
             WHERE i IN (5, 6, 7, 7) AND j = 1;\n"
        );
    }

    #[test]
    fn list_of_a_write_that_is_empty_is_refused_by_its_name() {
        let values = [Scalar::Null, Scalar::List(Vec::new())];
        let text = rendered(WRITE, &values, 2, &[("_claim.sub", "9")]);
        assert!(text.unwrap_err().contains("`ids`"));
    }

    #[test]
    fn page_has_the_limit_of_a_request_and_no_seek() {
        let mut values = vec![Scalar::Int(3), Scalar::Null, Scalar::Null, Scalar::Null];
        values.extend([Scalar::Str("level".into()), Scalar::Null, Scalar::Int(10)]);
        let text = rendered(SEARCH, &values, 1, &[]).unwrap();
        assert!(
            text.ends_with("ORDER BY c.char_level DESC, c.character_id DESC\nLIMIT 11;\n"),
            "{text}"
        );
        assert!(!text.contains(" OR "), "{text}");
    }

    /// A call of `player.get`-like templates, from the command line's words on.
    fn told(text: &str, params: &[&str]) -> Report {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/x.sql", text)]);
        let (game, op) = (GameId::new("game1").unwrap(), OpId::new("x").unwrap());
        let params: Vec<String> = params.iter().map(ToString::to_string).collect();
        let dialect = Dialect::Sqlite;
        let call = Call { game: &game, op: &op, dialect, params: &params, now_micros: 0 };
        render(root.path(), &call)
    }

    #[test]
    fn required_parameter_that_is_left_out_takes_its_sample() {
        let text = told(PLAYER_GET, &[]);
        assert!(text.text.contains("= 1001"), "{text:?}");
        let none = told(&PLAYER_GET.replace(" sample=1001", ""), &[]);
        assert_eq!(none.status, EXIT_FAULTY, "{none:?}");
    }

    #[test]
    fn list_is_written_as_for_a_call_or_between_commas() {
        let text = WRITE.replace("string(64) optional", "string(64) default=n");
        for written in ["ids=[5,6]", "ids=5,6", "ids=[5, 6]"] {
            let report = told(&text, &[written, "_claim.sub=9"]);
            assert!(report.text.contains("IN (5, 6)"), "{written}: {report:?}");
        }
        let report = told(&text, &["ids=[5,", "_claim.sub=9"]);
        assert_eq!(report.status, EXIT_FAULTY, "{report:?}");
    }

    #[test]
    fn operation_that_is_not_there_or_is_faulty_ends_with_2() {
        let root = tempfile::tempdir().unwrap();
        let broken = PLAYER_GET.replace("@cache", "@cahce");
        write(root.path(), &[("_base/player/get.sql", &broken)]);
        let told = |op: &str| {
            let (game, op) = (GameId::new("game1").unwrap(), OpId::new(op).unwrap());
            let dialect = Dialect::Mysql;
            render(root.path(), &Call { game: &game, op: &op, dialect, params: &[], now_micros: 0 })
        };
        assert_eq!(told("player.put").status, EXIT_USAGE);
        assert!(told("player.get").complaint.contains("@cahce"));
    }

    #[test]
    fn parameters_are_written_as_name_and_value() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/player/get.sql", PLAYER_GET)]);
        let (game, op) = (GameId::new("game1").unwrap(), OpId::new("player.get").unwrap());
        let params = ["player_id".to_owned()];
        let dialect = Dialect::Mysql;
        let call = Call { game: &game, op: &op, dialect, params: &params, now_micros: 0 };
        let report = render(root.path(), &call);
        assert_eq!(report.status, EXIT_FAULTY);
        assert!(report.complaint.contains("`player_id` is not written as name=value"));
    }

    #[test]
    fn steps_are_rendered_one_by_one_with_what_earlier_ones_would_have_left() {
        let text = "-- @kind tx\n-- @param id int\n-- @param items rows(n int, s string(9))\n-- @allow a\n\
                    -- @step before one\nSELECT gold FROM w WHERE id = :id\n\
                    -- @step put exec each items when before.gold > 5\n\
                    INSERT INTO t (a, b, c) VALUES (:items.n, :items.s, :before.gold)\n";
        let row = |n, s: &'static str| Scalar::List(vec![Scalar::Int(n), Scalar::Str(s.into())]);
        let values = [Scalar::Int(3), Scalar::List(vec![row(1, "x"), row(2, "it's")])];
        let expected = |gold: &str| {
            format!(
                "-- before\nSELECT gold FROM w WHERE id = 3;\n-- put, when before.gold > 5\n\
                 INSERT INTO t (a, b, c) VALUES (1, 'x', {gold});\n\
                 INSERT INTO t (a, b, c) VALUES (2, 'it''s', {gold});\n"
            )
        };
        assert_eq!(rendered(text, &values, 3, &[]), Ok(expected("NULL /* before.gold */")));
        assert_eq!(rendered(text, &values, 3, &[("before.gold", "9")]), Ok(expected("9")));
    }

    #[test]
    fn rows_are_read_as_json_and_misspelt_names_are_told() {
        let text = "-- @kind batch\n-- @param items rows(n int)\n-- @allow a\n\
                    INSERT INTO t (a) VALUES (:items.n)\n";
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("_base/x.sql", text)]);
        let told = |params: &[&str]| {
            let params: Vec<String> = params.iter().map(|param| (*param).to_owned()).collect();
            let (game, op) = (GameId::new("game1").unwrap(), OpId::new("x").unwrap());
            let dialect = Dialect::Mysql;
            let call = Call { game: &game, op: &op, dialect, params: &params, now_micros: 0 };
            render(root.path(), &call)
        };
        let good = told(&[r#"items=[{"n":7},[8]]"#]).text;
        assert_eq!(good, "INSERT INTO t (a) VALUES (7);\nINSERT INTO t (a) VALUES (8);\n");
        let misspelt = told(&["items=[[7]]", "_nwo=2026-01-01T00:00:00Z"]);
        assert_eq!(misspelt.complaint, "nothing supplies `_nwo` to x\n");
        assert!(told(&["items=7,8"]).complaint.contains("`items`"));
        assert!(told(&[r#"items=[{"m":7}]"#]).complaint.contains("items[0].m"));
    }
}
