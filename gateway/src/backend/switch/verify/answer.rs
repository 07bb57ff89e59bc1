//! Two answers of one operation, compared: the same bytes, the same in canonical form, or what differs.
//!
//! Answers have their declared form already (decimals padded to their scale, moments in UTC), so equal rows give equal
//! bytes. What may differ all the same is what no database promises: the order of rows where none is asked for, '' and
//! NULL where one side is an Oracle, the order of the members of a JSON document.
//!
//! Invariant: a difference names columns and counts rows; it holds no value.

use std::borrow::Cow;
use std::collections::HashMap;

use gateway_protocol::{Value, msgpack};

use super::super::super::BackendError;
use super::super::canonical::sorted;
use crate::cache::Stored;
use crate::catalog::{Column, Dialect, Repeatable, RowOrder, Template, Type};

/// Most rows of a side that are paired with the other side's by what they have in common.
const PAIRED_MAX: usize = 200;

/// A row of an answer: names and values in the reply's order.
pub type AnswerRow = Vec<(Box<str>, Value<'static>)>;

/// By which rules two answers are the same.
#[derive(Clone, Debug)]
pub struct Rules<'t> {
    columns: &'t [Column],
    /// The columns that say in which order rows come; `None`: none do.
    order: Option<Vec<usize>>,
    /// Whether those columns are what makes a row one of its kind: a page's are.
    is_key: bool,
    is_cut: bool,
    empty_is_null: bool,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same bytes.
    Same,
    /// The same rows: other bytes, or another order where none is asked for.
    Alike,
    /// Something differs.
    Different(Box<Difference>),
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Rows that differ, or that one side lacks.
    pub rows: Vec<RowDifference>,
    /// The same rows come in another order than the statement asks for.
    pub is_order: bool,
    /// Only one side has a page behind this one.
    pub is_next: bool,
    /// What a side answered instead of rows, by the code on the wire, where the other did not answer the same.
    pub refusals: [Option<Box<str>>; 2],
}

/// A row that differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowDifference {
    /// Its place among each side's rows; `None`: the side has none like it.
    pub places: [Option<usize>; 2],
    /// The columns that differ, where both sides have it.
    pub columns: Vec<Box<str>>,
}

impl<'t> Rules<'t> {
    /// The rules for a template's answers.
    ///
    /// - `repeatable`: of a read; `None`: of a write.
    /// - `keyset`: the columns of the order that a page's request chose.
    pub(in crate::backend) fn new(
        template: &'t Template,
        repeatable: Option<&Repeatable>,
        keyset: &[crate::catalog::KeysetColumn],
        dialects: [Dialect; 2],
    ) -> Self {
        let order = repeatable.and_then(|repeatable| match &repeatable.order {
            RowOrder::Any | RowOrder::Hidden => None,
            RowOrder::By(columns) => Some(columns.clone()),
            RowOrder::Keyset => Some(keyset.iter().map(|column| column.column).collect()),
        });
        Self {
            columns: &template.columns,
            order,
            is_key: template.page.is_some(),
            is_cut: repeatable.is_some_and(|repeatable| repeatable.is_cut),
            empty_is_null: dialects.contains(&Dialect::Oracle),
        }
    }

    /// Compares what both sides answered.
    pub fn compare(
        &self,
        owner: Result<&Stored, &BackendError>,
        mirror: Result<&Stored, &BackendError>,
    ) -> Verdict {
        let (one, other) = match (owner, mirror) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(one), Err(other)) if one.code() == other.code() => return Verdict::Same,
            (one, other) => {
                let told = |side: Result<&Stored, &BackendError>| {
                    side.err().map(|error| format!("{} {error}", error.code()).into())
                };
                let refusals = [told(one), told(other)];
                return Verdict::Different(Box::new(Difference {
                    refusals,
                    ..Difference::default()
                }));
            }
        };
        if bytes(one) == bytes(other) {
            return Verdict::Same;
        }
        let (one, other) = (Answer::of(one), Answer::of(other));
        let difference = self.differing(&one, &other);
        if difference == Difference::default() {
            return Verdict::Alike;
        }
        Verdict::Different(Box::new(difference))
    }

    fn differing(&self, one: &Answer, other: &Answer) -> Difference {
        let texts = [self.texts(&one.rows), self.texts(&other.rows)];
        let is_next = one.has_next != other.has_next;
        let [left, right] = unmatched(&texts);
        if left.is_empty() && right.is_empty() {
            let is_order = texts[0] != texts[1] && self.has_other_order([&one.rows, &other.rows]);
            return Difference { is_order, is_next, ..Difference::default() };
        }
        if self.is_at_the_cut(&[&one.rows, &other.rows], &[&left, &right]) {
            return Difference { is_next, ..Difference::default() };
        }
        let rows = self.pair([&one.rows, &other.rows], [left, right]);
        Difference { rows, is_next, ..Difference::default() }
    }

    /// Whether the columns of the order come in another order.
    fn has_other_order(&self, sides: [&[AnswerRow]; 2]) -> bool {
        let Some(order) = &self.order else { return false };
        let keys =
            |rows: &[AnswerRow]| rows.iter().map(|row| self.key(row, order)).collect::<Vec<_>>();
        keys(sides[0]) != keys(sides[1])
    }

    /// Whether the rows that differ are those at the end of a limit, equal in the order's columns: either may come.
    fn is_at_the_cut(&self, sides: &[&[AnswerRow]; 2], unmatched: &[&[usize]; 2]) -> bool {
        let Some(order) = self.order.as_ref().filter(|_| self.is_cut) else { return false };
        let [one, other] = sides;
        let (Some(last), Some(other_last)) = (one.last(), other.last()) else { return false };
        let end = self.key(last, order);
        let ends = |(rows, places): (&&[AnswerRow], &&[usize])| {
            let mut places = places.iter().filter_map(|place| rows.get(*place));
            places.all(|row| self.key(row, order) == end)
        };
        one.len() == other.len()
            && self.key(other_last, order) == end
            && sides.iter().zip(unmatched).all(ends)
    }

    /// Puts rows of both sides together that are one row with other values.
    fn pair(&self, sides: [&[AnswerRow]; 2], unmatched: [Vec<usize>; 2]) -> Vec<RowDifference> {
        let [left, mut right] = unmatched;
        let [ours, theirs] = sides;
        let mut found = Vec::new();
        for place in left {
            let Some(row) = ours.get(place) else { continue };
            let likeness =
                |at: &usize| theirs.get(*at).map_or(0, |other| self.likeness(row, other));
            let nearest = right.iter().take(PAIRED_MAX).enumerate();
            let nearest = nearest.map(|(index, at)| (likeness(at), index));
            // The first of those that are equally near.
            let nearest = nearest.max_by_key(|(likeness, index)| (*likeness, usize::MAX - index));
            let twin =
                nearest.filter(|(likeness, _)| *likeness > 0).map(|(_, index)| right.remove(index));
            let columns = twin.and_then(|at| theirs.get(at)).map(|other| self.columns(row, other));
            let columns = columns.unwrap_or_default();
            found.push(RowDifference { places: [Some(place), twin], columns });
        }
        let extra = right.into_iter();
        found.extend(
            extra.map(|place| RowDifference { places: [None, Some(place)], columns: Vec::new() }),
        );
        found
    }

    /// How much two rows have in common; 0: they are not one row. What identifies rows is not declared: the columns
    /// of a page's order do, else the first column, or most of them.
    fn likeness(&self, one: &AnswerRow, other: &AnswerRow) -> usize {
        let same = one.len().max(other.len()).saturating_sub(self.columns(one, other).len());
        let key = self.order.as_deref().filter(|order| self.is_key && !order.is_empty());
        let is_same_key = key.is_some_and(|key| self.key(one, key) == self.key(other, key));
        let is_same_first = self.key(one, &[0]) == self.key(other, &[0]);
        let is_one = one.len() == 1 || is_same_key || is_same_first || same * 2 > one.len();
        // A row of one column has nothing else to be known by.
        if is_one { same + 1 + usize::from(is_same_key) * one.len() } else { 0 }
    }

    /// The columns in which two rows differ.
    fn columns(&self, one: &AnswerRow, other: &AnswerRow) -> Vec<Box<str>> {
        let names = one.iter().chain(other).map(|(name, _)| name);
        let mut differing: Vec<Box<str>> = Vec::new();
        for name in names {
            let of = |row: &AnswerRow| {
                row.iter().find(|(own, _)| own == name).map(|(_, value)| self.text(name, value))
            };
            if !differing.contains(name) && of(one) != of(other) {
                differing.push(name.clone());
            }
        }
        differing
    }

    fn texts(&self, rows: &[AnswerRow]) -> Vec<Vec<u8>> {
        let text =
            |row: &AnswerRow| row.iter().flat_map(|(name, value)| self.text(name, value)).collect();
        rows.iter().map(text).collect()
    }

    fn key(&self, row: &AnswerRow, columns: &[usize]) -> Vec<Vec<u8>> {
        let cells = columns.iter().filter_map(|column| row.get(*column));
        cells.map(|(name, value)| self.text(name, value)).collect()
    }

    /// The canonical bytes of a value; none run into those behind them.
    fn text(&self, name: &str, value: &Value<'_>) -> Vec<u8> {
        let column = self.columns.iter().find(|column| *column.name == *name);
        let ty = column.map(|column| &column.ty);
        let value = match value {
            Value::Str(text) if text.is_empty() && self.empty_is_null => Cow::Owned(Value::Null),
            Value::Str(text) if ty == Some(&Type::Json) => {
                Cow::Owned(Value::Str(sorted(text).into()))
            }
            // Minus zero equals zero.
            Value::Float(value) => Cow::Owned(Value::Float(value + 0.0)),
            other => Cow::Borrowed(other),
        };
        let mut bytes = Vec::with_capacity(16);
        msgpack::write_value(&mut bytes, &value);
        bytes
    }
}

impl Difference {
    /// What differs, in words: columns and counts, no values.
    pub fn told(&self) -> String {
        let mut parts = Vec::new();
        for (refusal, side) in self.refusals.iter().zip(["owner", "mirror"]) {
            parts.extend(refusal.as_ref().map(|refusal| format!("the {side} answers {refusal}")));
        }
        let count = |lacking: usize| {
            self.rows.iter().filter(|row| row.places.get(lacking) == Some(&None)).count()
        };
        let rows =
            |count: usize| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
        let (missing, extra) = (count(1), count(0));
        if missing > 0 {
            parts.push(format!("{} missing on the mirror", rows(missing)));
        }
        if extra > 0 {
            parts.push(format!("{} on the mirror only", rows(extra)));
        }
        let mut columns: Vec<&str> =
            self.rows.iter().flat_map(|row| row.columns.iter().map(|name| &**name)).collect();
        columns.sort_unstable();
        columns.dedup();
        let different = self.rows.len() - missing - extra;
        if different > 0 {
            parts.push(format!("{} different in {}", rows(different), columns.join(", ")));
        }
        if self.is_order {
            parts.push("another order".to_owned());
        }
        if self.is_next {
            parts.push("only one side has a next page".to_owned());
        }
        parts.join("; ")
    }
}

/// An answer, taken apart.
struct Answer {
    rows: Vec<AnswerRow>,
    has_next: bool,
}

impl Answer {
    fn of(stored: &Stored) -> Self {
        let mut has_next = false;
        let value = match stored {
            Stored::Absent => Value::Array(Vec::new()),
            Stored::Present(body) => match msgpack::decode(&body.msgpack) {
                Ok(value) => value.into_owned(),
                // Not what the gateway writes: equal to nothing.
                Err(_) => Value::Bytes(body.msgpack.to_vec().into()),
            },
        };
        let items = match value {
            Value::Array(items) => items,
            Value::Map(mut entries) if entries.first().is_some_and(|(name, _)| name == "items") => {
                has_next = entries.iter().any(|(name, _)| name == "next");
                match entries.swap_remove(0).1 {
                    Value::Array(items) => items,
                    other => vec![other],
                }
            }
            other => vec![other],
        };
        let row = |item: Value<'static>| match item {
            Value::Map(entries) => {
                entries.into_iter().map(|(name, value)| (name.into(), value)).collect()
            }
            other => vec![(Box::from(""), other)],
        };
        Self { rows: items.into_iter().map(row).collect(), has_next }
    }
}

/// The rows of an answer; none where a row was asked for and not found.
pub fn answer_rows(stored: &Stored) -> Vec<AnswerRow> {
    Answer::of(stored).rows
}

/// The rows of each side that the other lacks, by their places; a row that comes twice counts twice.
fn unmatched(texts: &[Vec<Vec<u8>>; 2]) -> [Vec<usize>; 2] {
    let [ours, theirs] = texts;
    let lacking = |of: &[Vec<u8>], among: &[Vec<u8>]| {
        let mut counts: HashMap<&[u8], usize> = HashMap::new();
        for text in among {
            *counts.entry(text).or_default() += 1;
        }
        let mut is_lacking = |text: &Vec<u8>| match counts.get_mut(&**text) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        };
        let places = of.iter().enumerate();
        places.filter(|(_, text)| is_lacking(text)).map(|(place, _)| place).collect()
    };
    [lacking(ours, theirs), lacking(theirs, ours)]
}

fn bytes(stored: &Stored) -> Option<&[u8]> {
    match stored {
        Stored::Present(body) => Some(&body.msgpack),
        Stored::Absent => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use super::*;
    use crate::cache::Body;

    fn column(name: &str, ty: Type) -> Column {
        Column { name: name.into(), ty, json_string: false, empty_as_null: false }
    }

    fn columns() -> Vec<Column> {
        vec![
            column("id", Type::Bigint),
            column("name", Type::Str { chars_max: None }),
            column("amount", Type::Decimal { precision: 12, scale: 2 }),
        ]
    }

    fn rules<'c>(columns: &'c [Column], order: Option<&[usize]>) -> Rules<'c> {
        let order = order.map(<[usize]>::to_vec);
        Rules { columns, order, is_key: false, is_cut: false, empty_is_null: false }
    }

    type Written<'w> = (i64, Option<&'w str>, &'w str);

    fn row((id, name, amount): &Written<'_>) -> Value<'static> {
        let text = |text: &str| Value::Str(text.to_owned().into());
        Value::Map(vec![
            ("id".into(), Value::Int(*id)),
            ("name".into(), name.map_or(Value::Null, text)),
            ("amount".into(), text(amount)),
        ])
    }

    fn stored(value: &Value<'_>) -> Stored {
        let mut bytes = Vec::new();
        msgpack::write_value(&mut bytes, value);
        Stored::Present(Body { msgpack: bytes.into(), json: OnceLock::new(), etag: "".into() })
    }

    fn rows(rows: &[Written<'_>]) -> Stored {
        stored(&Value::Array(rows.iter().map(row).collect()))
    }

    #[track_caller]
    fn told(rules: &Rules<'_>, one: &[Written<'_>], other: &[Written<'_>]) -> String {
        match rules.compare(Ok(&rows(one)), Ok(&rows(other))) {
            Verdict::Different(difference) => difference.told(),
            verdict => format!("{verdict:?}"),
        }
    }

    const A: Written<'_> = (1, Some("a"), "1.50");
    const B: Written<'_> = (2, Some("b"), "2.50");
    const C: Written<'_> = (3, Some("c"), "1.50");

    #[test]
    fn rows_that_differ_are_told_by_their_columns_and_those_that_are_missing_are_counted() {
        let columns = columns();
        let rules = rules(&columns, None);
        assert_eq!(told(&rules, &[A, B], &[A, B]), "Same");
        assert_eq!(told(&rules, &[A, B], &[A]), "1 row missing on the mirror");
        assert_eq!(told(&rules, &[A], &[A, B, C]), "2 rows on the mirror only");
        let changed = (2, Some("x"), "2.51");
        assert_eq!(told(&rules, &[A, B, C], &[changed, A, C]), "1 row different in amount, name");
        let other = (9, Some("x"), "7.00");
        let swapped = "1 row missing on the mirror; 1 row on the mirror only";
        assert_eq!(told(&rules, &[A, B], &[A, other]), swapped);
        assert_eq!(told(&rules, &[A, A], &[A, B]), swapped);
    }

    #[test]
    fn order_counts_only_where_it_was_asked_for() {
        let columns = columns();
        assert_eq!(told(&rules(&columns, None), &[A, B, C], &[C, A, B]), "Alike");
        assert_eq!(told(&rules(&columns, Some(&[0])), &[A, B, C], &[C, A, B]), "another order");
        // By the amount A and C are equal: either comes first.
        assert_eq!(told(&rules(&columns, Some(&[2])), &[A, C, B], &[C, A, B]), "Alike");
        assert_eq!(told(&rules(&columns, Some(&[2])), &[A, C, B], &[C, B, A]), "another order");
    }

    #[test]
    fn rows_at_the_end_of_a_limit_may_be_any_of_those_that_are_equal_in_its_order() {
        let columns = columns();
        let cut = Rules { is_cut: true, ..rules(&columns, Some(&[2])) };
        assert_eq!(told(&cut, &[B, A], &[B, C]), "Alike");
        assert!(told(&rules(&columns, Some(&[2])), &[B, A], &[B, C]).contains("missing"));
        // Not at the end: the rows before it are the same on both sides.
        assert_ne!(told(&cut, &[A, B], &[C, B]), "Alike");
        assert_ne!(told(&cut, &[B, A], &[B]), "Alike");
    }

    #[test]
    fn empty_text_is_null_only_where_one_side_is_an_oracle() {
        let columns = columns();
        let apart = rules(&columns, None);
        let oracle = Rules { empty_is_null: true, ..rules(&columns, None) };
        let (empty, null) = ((1, Some(""), "1.50"), (1, None, "1.50"));
        assert_eq!(told(&apart, &[empty], &[null]), "1 row different in name");
        assert_eq!(told(&oracle, &[empty], &[null]), "Alike");
        assert_eq!(told(&oracle, &[A], &[null]), "1 row different in name");
    }

    #[test]
    fn json_is_the_same_with_its_members_in_any_order() {
        let columns = [column("doc", Type::Json)];
        let rules = rules(&columns, None);
        let one =
            |text: &'static str| stored(&Value::Map(vec![("doc".into(), Value::Str(text.into()))]));
        let compare = |left, right| rules.compare(Ok(&one(left)), Ok(&one(right)));
        assert_eq!(compare(r#"{"a": 1, "b":2}"#, r#"{"b":2,"a":1}"#), Verdict::Alike);
        assert!(matches!(compare(r#"{"a":1}"#, r#"{"a":2}"#), Verdict::Different(_)));
    }

    #[test]
    fn page_that_ends_on_one_side_only_differs_and_its_cursor_does_not() {
        let columns = columns();
        let rules = Rules { is_key: true, ..rules(&columns, Some(&[0])) };
        let page = |rows: &[Written<'_>], next: Option<&'static str>| {
            let items = Value::Array(rows.iter().map(row).collect());
            let next = next.map(|next| ("next".into(), Value::Str(next.into())));
            let entries = [("items".into(), items)].into_iter().chain(next);
            stored(&Value::Map(entries.collect()))
        };
        let compare = |one: &Stored, other: &Stored| match rules.compare(Ok(one), Ok(other)) {
            Verdict::Different(difference) => difference.told(),
            verdict => format!("{verdict:?}"),
        };
        assert_eq!(compare(&page(&[A], Some("x")), &page(&[A], Some("y"))), "Alike");
        let ends = "only one side has a next page";
        assert_eq!(compare(&page(&[A], Some("x")), &page(&[A], None)), ends);
        let changed = (1, Some("a"), "1.51");
        let told = compare(&page(&[A, B], None), &page(&[changed, B], None));
        assert_eq!(told, "1 row different in amount");
    }

    #[test]
    fn refusals_are_the_same_by_their_code_and_differ_from_rows() {
        let columns = columns();
        let rules = rules(&columns, None);
        let column = || BackendError::Column { column: "a".into(), fault: "is NULL".into() };
        let guard = BackendError::Guard { what: "debit".into() };
        assert_eq!(rules.compare(Err(&column()), Err(&guard)), Verdict::Same);
        assert_eq!(rules.compare(Ok(&Stored::Absent), Ok(&Stored::Absent)), Verdict::Same);
        let Verdict::Different(difference) = rules.compare(Ok(&rows(&[A])), Err(&column())) else {
            panic!("they differ");
        };
        let told = difference.told();
        assert!(told.starts_with("the mirror answers 1303 column `a` does not have"), "{told}");
        let absent = rules.compare(Ok(&rows(&[A])), Ok(&Stored::Absent));
        let Verdict::Different(difference) = absent else { panic!("they differ") };
        assert_eq!(difference.told(), "1 row missing on the mirror");
    }
}
