//! One table on both sides: which columns belong together, and the one form of their values.

use super::error::SwitchError;
use super::introspect::is_exact;
use super::side::quoted;
use super::table::{Column, Form, Table, empty_is_null, is_own, same_name};
use crate::catalog::Type;
use crate::config::{Dialect, Zone};

/// Most digits of a number whose declaration says none.
const NUMBER_DIGITS: u8 = 38;

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that writes go to.
    Owner,
    /// The one that is made like it.
    Mirror,
}

/// A table that both sides have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    /// Its name, in small letters.
    pub name: Box<str>,
    /// Its columns, in the owner's order.
    pub columns: Vec<PairColumn>,
    /// Which of them are the primary key, in the owner's order.
    pub key: Vec<usize>,
    /// What does not fit, and is no reason to refuse: digits that one side cannot hold.
    pub remarks: Vec<Box<str>>,
    owner: Names,
    mirror: Names,
}

/// A column that both sides have.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PairColumn {
    /// Its name, in small letters.
    pub name: Box<str>,
    /// The form of its values on both sides.
    pub ty: Type,
    /// Whether blanks at the end are none of the value.
    pub padded: bool,
    /// Whether '' is NULL: it is where one side is an Oracle.
    pub empty_is_null: bool,
    /// Whether NULL is written as '' on the mirror: where '' is NULL on the owner and NULL is refused by the mirror.
    pub null_as_empty: bool,
    /// Whose clocks the owner's column shows, where it says no zone itself.
    pub local: Option<Zone>,
}

/// A table's names on one side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Names {
    /// The table, quoted.
    pub table: Box<str>,
    /// The columns as the dictionary has them, in the pair's order.
    pub columns: Vec<Box<str>>,
    /// The same, quoted.
    pub quoted: Vec<Box<str>>,
    /// What a value of each is compared with: `?`, or that made the column's type, so that an index serves.
    pub marks: Vec<&'static str>,
}

impl Pair {
    /// Its names on one side.
    pub(super) const fn names(&self, role: Role) -> &Names {
        match role {
            Role::Owner => &self.owner,
            Role::Mirror => &self.mirror,
        }
    }

    /// The columns of its key.
    pub(super) fn key_columns(&self) -> impl Iterator<Item = &PairColumn> + Clone {
        self.key.iter().filter_map(|index| self.columns.get(*index))
    }

    /// What values of its key's columns are compared with on one side.
    pub(super) fn key_marks(&self, role: Role) -> Vec<&'static str> {
        let marks = &self.names(role).marks;
        self.key.iter().filter_map(|index| marks.get(*index)).copied().collect()
    }

    /// The quoted names of its key's columns on one side.
    pub(super) fn key_names(&self, role: Role) -> Vec<&str> {
        let quoted = &self.names(role).quoted;
        self.key.iter().filter_map(|index| quoted.get(*index)).map(|name| &**name).collect()
    }
}

/// The tables of one side with its dialect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema<'t> {
    /// The connection's name in the configuration.
    pub connection: &'t str,
    /// Its dialect.
    pub dialect: Dialect,
    /// Its tables.
    pub tables: &'t [Table],
}

/// Puts the tables of both sides together.
///
/// - `wanted`: which; empty: all of the owner's that are not the gateway's own.
///
/// # Errors
///
/// [`SwitchError::Refused`] with everything that does not fit: a table or column that one side lacks, a key that is
/// another one, columns whose values have no common form.
pub(super) fn pairs(
    owner: Schema<'_>,
    mirror: Schema<'_>,
    wanted: &[Box<str>],
) -> Result<Vec<Pair>, SwitchError> {
    let mut faults = Vec::new();
    let mut found = Vec::new();
    for name in wanted {
        match find(owner.tables, name) {
            Some(_) if is_own(name) => {
                faults.push(format!("`{name}` is the gateway's own and belongs to one side"));
            }
            Some(table) => found.push(table),
            None => faults.push(format!("`{}` has no table `{name}`", owner.connection)),
        }
    }
    if wanted.is_empty() {
        found.extend(owner.tables.iter().filter(|table| !is_own(&table.name)));
    }
    if found.is_empty() && faults.is_empty() {
        faults.push(format!("`{}` has no tables", owner.connection));
    }
    let mut pairs = Vec::with_capacity(found.len());
    for table in found {
        match find(mirror.tables, &table.name) {
            Some(other) => match pair((owner, table), (mirror, other)) {
                Ok(pair) => pairs.push(pair),
                Err(more) => faults.extend(more),
            },
            None => faults.push(format!("`{}` has no table `{}`", mirror.connection, table.name)),
        }
    }
    if faults.is_empty() { Ok(pairs) } else { Err(SwitchError::refused(faults.join("; "))) }
}

/// A table that only one of both sides has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneSided {
    /// The table, in small letters.
    pub table: Box<str>,
    /// The name of the connection that has it.
    pub connection: Box<str>,
}

/// The tables of both sides, of those that were to be compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Tables {
    /// What both have.
    pub both: Vec<Pair>,
    /// What one has alone.
    pub one_sided: Vec<OneSided>,
    /// What was not to be compared.
    pub left_out: Vec<Box<str>>,
}

/// Puts together what both sides have of the tables of a group, and names what only one has.
///
/// - `group`: empty: all of either side that are not the gateway's own.
///
/// # Errors
///
/// [`SwitchError::Refused`], as [`pairs`]; also where neither side has one of the group's.
pub(super) fn matched(
    owner: Schema<'_>,
    mirror: Schema<'_>,
    group: &[Box<str>],
) -> Result<Tables, SwitchError> {
    let mut all: Vec<Box<str>> = Vec::new();
    let either = owner.tables.iter().chain(mirror.tables).map(|table| &table.name);
    for name in either.filter(|name| !is_own(name)) {
        if !all.iter().any(|known| same_name(known, name)) {
            all.push(name.to_ascii_lowercase().into());
        }
    }
    let is_wanted =
        |name: &str| group.is_empty() || group.iter().any(|wanted| same_name(wanted, name));
    let (all, left_out): (Vec<_>, Vec<_>) = all.into_iter().partition(|name| is_wanted(name));
    let (mut both, mut one_sided) = (Vec::new(), Vec::new());
    for table in if group.is_empty() { all } else { group.to_vec() } {
        let of = |side: Schema<'_>| find(side.tables, &table).map(|_| side.connection.into());
        match (of(owner), of(mirror)) {
            (Some(connection), None) | (None, Some(connection)) => {
                one_sided.push(OneSided { table, connection });
            }
            // What neither has is refused below.
            _ => both.push(table),
        }
    }
    let is_nothing_common = both.is_empty() && !one_sided.is_empty();
    let both = if is_nothing_common { Vec::new() } else { pairs(owner, mirror, &both)? };
    Ok(Tables { both, one_sided, left_out })
}

fn find<'t>(tables: &'t [Table], name: &str) -> Option<&'t Table> {
    tables.iter().find(|table| same_name(&table.name, name))
}

fn pair(
    (owner, table): (Schema<'_>, &Table),
    (mirror, other): (Schema<'_>, &Table),
) -> Result<Pair, Vec<String>> {
    let name = table.name.to_ascii_lowercase();
    let mut faults = Vec::new();
    let mut pair = Pair {
        name: name.as_str().into(),
        columns: Vec::new(),
        key: Vec::new(),
        remarks: Vec::new(),
        owner: Names::of(owner, table),
        mirror: Names::of(mirror, other),
    };
    for column in &table.columns {
        let twin = other.columns.iter().find(|twin| same_name(&twin.name, &column.name));
        let Some(twin) = twin else {
            let lacks = format!("`{name}`.`{}` is not on `{}`", column.name, mirror.connection);
            faults.push(lacks);
            continue;
        };
        match pair_column(column, twin, owner.dialect, mirror.dialect) {
            Some(paired) => {
                pair.remarks.extend(remark(&name, column, twin));
                pair.owner.add(owner.dialect, column, &paired.ty);
                pair.mirror.add(mirror.dialect, twin, &paired.ty);
                pair.columns.push(paired);
            }
            None => faults.push(format!(
                "`{name}`.`{}` is {} on `{}` and {} on `{}`, which have no values in common",
                column.name, column.native, owner.connection, twin.native, mirror.connection
            )),
        }
    }
    for twin in &other.columns {
        if !table.columns.iter().any(|column| same_name(&twin.name, &column.name)) {
            faults.push(format!("`{name}`.`{}` is not on `{}`", twin.name, owner.connection));
        }
    }
    faults.extend(key_fault(&name, table, other));
    for column in &table.key {
        match pair.columns.iter().position(|paired| same_name(&paired.name, column)) {
            Some(index) => pair.key.push(index),
            None => faults.push(format!("`{name}`.`{column}` of the key is a generated column")),
        }
    }
    if faults.is_empty() { Ok(pair) } else { Err(faults) }
}

fn key_fault(name: &str, table: &Table, other: &Table) -> Option<String> {
    if table.key.is_empty() {
        return Some(format!(
            "`{name}` has no primary key: name the other tables with --tables, or give it one"
        ));
    }
    let has = |key: &[Box<str>], column: &str| key.iter().any(|own| same_name(own, column));
    let same = table.key.len() == other.key.len()
        && table.key.iter().all(|column| has(&other.key, column));
    if !same {
        return Some(format!("`{name}` does not have the same primary key on both sides"));
    }
    let inexact = |column: &&Column| !is_exact(column.form) && has(&table.key, &column.name);
    let column = table.columns.iter().chain(&other.columns).find(inexact)?;
    Some(format!("`{name}`.`{}` is {}, which no key can be", column.name, column.native))
}

fn pair_column(one: &Column, twin: &Column, owner: Dialect, mirror: Dialect) -> Option<PairColumn> {
    let ty = common(one.form, twin.form)?;
    let is_text = matches!(ty, Type::Str { .. });
    let is_padded = |column: &Column| column.form == Form::Text { padded: true };
    let empty = is_text && (empty_is_null(owner) || empty_is_null(mirror));
    Some(PairColumn {
        name: one.name.to_ascii_lowercase().into(),
        padded: is_text && (is_padded(one) || is_padded(twin)),
        empty_is_null: empty,
        null_as_empty: empty && !twin.nullable && !empty_is_null(mirror),
        local: one.local.clone(),
        ty,
    })
}

impl Names {
    fn of(schema: Schema<'_>, table: &Table) -> Self {
        let table = quoted(schema.dialect, &table.name);
        Self { table, columns: Vec::new(), quoted: Vec::new(), marks: Vec::new() }
    }

    fn add(&mut self, dialect: Dialect, column: &Column, ty: &Type) {
        self.columns.push(column.name.clone());
        self.quoted.push(quoted(dialect, &column.name));
        // A moment is bound as a TIMESTAMP, which Oracle makes of each row's DATE else.
        let is_cast = column.form == Form::DayOrMoment && matches!(ty, Type::Timestamp { .. });
        self.marks.push(if is_cast { "CAST(? AS DATE)" } else { "?" });
    }
}

/// The form that values of both columns have; `None`: there is none.
fn common(one: Form, other: Form) -> Option<Type> {
    let (text, bytes) = (Type::Str { chars_max: None }, Type::Bytes { bytes_max: None });
    let decimal = |precision, scale| Type::Decimal { precision, scale };
    let found = match (one, other) {
        (Form::Integer, Form::Integer | Form::Number | Form::Any) => Type::Bigint,
        (Form::Unsigned, Form::Unsigned | Form::Integer | Form::Number | Form::Any) => {
            decimal(20, 0)
        }
        (Form::Decimal { precision, scale }, other) => match other {
            Form::Integer if scale == 0 && precision <= 19 => Type::Bigint,
            Form::Integer | Form::Unsigned | Form::Number | Form::Written | Form::Any => {
                decimal(precision.max(20 + scale), scale)
            }
            Form::Decimal { precision: others, scale: digits } => {
                let most = scale.max(digits);
                decimal((precision - scale).max(others - digits) + most, most)
            }
            Form::Float => Type::Float,
            _ => return None,
        },
        (Form::Number, Form::Number | Form::Written | Form::Any) => {
            decimal(2 * NUMBER_DIGITS, NUMBER_DIGITS)
        }
        (Form::Float, Form::Float | Form::Integer | Form::Number | Form::Any) => Type::Float,
        (Form::Text { .. } | Form::Written, Form::Text { .. } | Form::Written | Form::Any) => text,
        (Form::Bytes, Form::Bytes | Form::Any) => bytes,
        (Form::Date, Form::Date | Form::DayOrMoment | Form::Written | Form::Any) => Type::Date,
        (Form::Moment { fraction }, other) => match other {
            Form::Moment { fraction: digits } => Type::Timestamp { fraction: fraction.min(digits) },
            Form::DayOrMoment => Type::Timestamp { fraction: 0 },
            Form::Written | Form::Any => Type::Timestamp { fraction },
            _ => return None,
        },
        (Form::DayOrMoment, Form::DayOrMoment | Form::Written | Form::Any) => {
            Type::Timestamp { fraction: 0 }
        }
        (Form::Json, Form::Json | Form::Text { .. } | Form::Written | Form::Any) => Type::Json,
        (Form::Other, _) | (_, Form::Other) | (Form::Any, Form::Any) => return None,
        // The table above has each pair of unlike forms in one order.
        _ if rank(one) > rank(other) => return common(other, one),
        _ => return None,
    };
    Some(found)
}

/// The order of the table in [`common`].
const fn rank(form: Form) -> u8 {
    match form {
        Form::Decimal { .. } | Form::Moment { .. } => 0,
        Form::Json => 1,
        Form::Unsigned => 2,
        Form::Float => 3,
        Form::Integer => 4,
        Form::Date => 5,
        Form::DayOrMoment => 6,
        Form::Number => 7,
        Form::Bytes => 8,
        Form::Text { .. } => 9,
        Form::Written => 10,
        Form::Any => 11,
        Form::Other => 12,
    }
}

/// What one side cannot hold of the other's values.
fn remark(table: &str, one: &Column, twin: &Column) -> Option<Box<str>> {
    let differ = match (one.form, twin.form) {
        (Form::Decimal { scale, .. }, Form::Decimal { scale: digits, .. }) => scale != digits,
        (Form::Decimal { scale, .. }, Form::Integer | Form::Unsigned)
        | (Form::Integer | Form::Unsigned, Form::Decimal { scale, .. }) => scale > 0,
        (Form::Moment { fraction }, Form::Moment { fraction: digits }) => fraction != digits,
        (Form::Moment { fraction }, Form::DayOrMoment)
        | (Form::DayOrMoment, Form::Moment { fraction }) => fraction > 0,
        (Form::Float, Form::Float) => false,
        (Form::Float, other) | (other, Form::Float) => {
            matches!(other, Form::Decimal { .. } | Form::Number | Form::Integer)
        }
        _ => false,
    };
    differ.then(|| {
        let (name, one, twin) = (&one.name, &one.native, &twin.native);
        format!("`{table}`.`{name}` is {one} here and {twin} there: digits may be lost").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: Form, other: Form, expected: Option<&str>) {
        for (one, other) in [(one, other), (other, one)] {
            let found = common(one, other).map(|ty| ty.as_written());
            assert_eq!(found.as_deref(), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn form_of_two_columns_is_the_narrower_declaration_whichever_side_has_it() {
        let money = Form::Decimal { precision: 12, scale: 2 };
        check(Form::Integer, Form::Integer, Some("bigint"));
        check(Form::Decimal { precision: 19, scale: 0 }, Form::Integer, Some("bigint"));
        check(Form::Unsigned, Form::Integer, Some("decimal(20,0)"));
        check(money, Form::Written, Some("decimal(22,2)"));
        check(money, Form::Decimal { precision: 10, scale: 4 }, Some("decimal(14,4)"));
        check(Form::Text { padded: true }, Form::Written, Some("string"));
        check(Form::Moment { fraction: 6 }, Form::Written, Some("timestamp(6)"));
        check(Form::Moment { fraction: 6 }, Form::Moment { fraction: 3 }, Some("timestamp(3)"));
        check(Form::Moment { fraction: 6 }, Form::DayOrMoment, Some("timestamp(0)"));
        check(Form::Date, Form::DayOrMoment, Some("date"));
        check(Form::Json, Form::Text { padded: false }, Some("json"));
        check(Form::Number, Form::Integer, Some("bigint"));
        check(Form::Bytes, Form::Any, Some("bytes"));
        check(Form::Float, Form::Number, Some("float"));
    }

    #[test]
    fn columns_without_values_in_common_have_no_form() {
        check(Form::Integer, Form::Written, None);
        check(Form::Bytes, Form::Written, None);
        check(Form::Date, Form::Moment { fraction: 0 }, None);
        check(Form::Other, Form::Other, None);
        check(Form::Any, Form::Any, None);
        check(Form::Any, Form::Other, None);
    }

    fn column(name: &str, form: Form) -> Column {
        Column { name: name.into(), native: "it".into(), form, nullable: false, local: None }
    }

    fn schema(tables: &[Table], dialect: Dialect) -> Schema<'_> {
        Schema { connection: dialect.name(), dialect, tables }
    }

    #[test]
    fn everything_that_does_not_fit_is_told_at_once() {
        let table = |name: &str, columns: &[&str], key: &[&str]| Table {
            name: name.into(),
            columns: columns.iter().map(|name| column(name, Form::Integer)).collect(),
            key: key.iter().map(|name| (*name).into()).collect(),
        };
        let owner = [
            table("a", &["id", "x"], &["id"]),
            table("b", &["id"], &[]),
            table("c", &["id"], &["id"]),
            table("d", &["id", "n"], &["id"]),
            table("gateway_outbox", &["id"], &["id"]),
        ];
        let mirror = [
            table("A", &["ID", "Y"], &["ID"]),
            table("b", &["id"], &[]),
            table("d", &["id", "n"], &["n"]),
        ];
        let (owner, mirror) = (schema(&owner, Dialect::Mysql), schema(&mirror, Dialect::Oracle));
        let told = pairs(owner, mirror, &[]).expect_err("nothing fits").to_string();
        let faults: Vec<&str> = told.split("; ").collect();
        assert_eq!(
            faults,
            [
                "`a`.`x` is not on `oracle`",
                "`a`.`Y` is not on `mysql`",
                "`b` has no primary key: name the other tables with --tables, or give it one",
                "`oracle` has no table `c`",
                "`d` does not have the same primary key on both sides",
            ]
        );
        let told = pairs(owner, mirror, &["gateway_outbox".into(), "e".into()]);
        let told = told.expect_err("neither").to_string();
        assert!(told.contains("gateway's own") && told.contains("no table `e`"), "{told}");
    }

    #[test]
    fn empty_text_is_null_where_one_side_is_an_oracle() {
        let text = Form::Text { padded: false };
        let paired =
            |owner, mirror| pair_column(&column("a", text), &column("A", text), owner, mirror);
        let to_mysql = paired(Dialect::Oracle, Dialect::Mysql).expect("texts");
        assert!(to_mysql.empty_is_null && to_mysql.null_as_empty);
        let to_oracle = paired(Dialect::Mysql, Dialect::Oracle).expect("texts");
        assert!(to_oracle.empty_is_null && !to_oracle.null_as_empty);
        let apart = paired(Dialect::Mysql, Dialect::Sqlite).expect("texts");
        assert!(!apart.empty_is_null && !apart.null_as_empty);
    }
}
