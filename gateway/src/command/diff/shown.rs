//! Two answers beside each other, for people or for a program.

use std::fmt::Write as _;

use gateway_protocol::Value;
use serde_json::{Value as Json, json};

use super::super::output::chain;
use super::DiffArgs;
use crate::backend::switch::verify::{
    AnswerRow, Answers, Difference, RowDifference, Verdict, answer_rows,
};
use crate::backend::{BackendError, Outcome as Answer};

/// Rows that are shown to people.
const SHOWN_MAX: usize = 20;
/// Characters of a value that are shown to people.
const CHARS_SHOWN: usize = 40;

/// What is printed.
pub(super) struct Shown<'s> {
    pub(super) args: &'s DiffArgs,
    pub(super) names: [&'s str; 2],
    pub(super) answers: &'s Answers,
}

impl Shown<'_> {
    fn sides(&self) -> [&Result<Answer, BackendError>; 2] {
        [&self.answers.owner, &self.answers.mirror]
    }

    fn rows(&self) -> [Vec<AnswerRow>; 2] {
        self.sides().map(|side| match side {
            Ok(answer) => answer_rows(&answer.stored),
            Err(_) => Vec::new(),
        })
    }

    /// Which rows stand beside each other, and the columns that differ: those that differ, or else all.
    fn pairs(&self, counts: [usize; 2]) -> Vec<RowDifference> {
        if let Verdict::Different(difference) = &self.answers.verdict
            && !difference.rows.is_empty()
        {
            return difference.rows.clone();
        }
        let count = counts.into_iter().max().unwrap_or(0);
        let place = |at: usize, count: usize| (at < count).then_some(at);
        let pair = |at: usize| RowDifference {
            places: counts.map(|count| place(at, count)),
            columns: Vec::new(),
        };
        (0..count).map(pair).collect()
    }

    pub(super) fn for_people(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = self.write_people(&mut text);
        text
    }

    fn write_people(&self, text: &mut String) -> std::fmt::Result {
        let [owner, mirror] = self.names;
        let rows = self.rows();
        let [one, other] = [rows[0].len(), rows[1].len()];
        writeln!(text, "{} {}: {}", self.args.game, self.args.operation, self.verdict())?;
        if let Some(doubt) = &self.answers.doubt {
            writeln!(text, "note: a difference need not be one of the rows: {doubt}")?;
        }
        for (side, name) in self.sides().iter().zip(self.names) {
            if let Err(error) = side {
                writeln!(text, "{name}: {} {}", error.code(), chain(error))?;
            }
        }
        writeln!(text, "rows: {one} on {owner}, {other} on {mirror}")?;
        let pairs = self.pairs([one, other]);
        for pair in pairs.iter().take(SHOWN_MAX) {
            let row = |side: usize| {
                let place = pair.places.get(side).copied().flatten()?;
                rows.get(side)?.get(place)
            };
            self.write_row(text, (row(0), row(1)), pair)?;
        }
        let more = pairs.len().saturating_sub(SHOWN_MAX);
        if more > 0 {
            writeln!(text, "and {more} more (--format json has all)")?;
        }
        Ok(())
    }

    /// A row of both sides: a line for each column, with a star where it differs.
    fn write_row(
        &self,
        text: &mut String,
        (one, other): (Option<&AnswerRow>, Option<&AnswerRow>),
        RowDifference { places, columns }: &RowDifference,
    ) -> std::fmt::Result {
        let [owner, mirror] = self.names;
        let head = |place: Option<usize>, name: &str| match place {
            Some(place) => format!("{name}, row {}", place + 1),
            None => format!("{name}: no such row"),
        };
        let heads = [head(places[0], owner), head(places[1], mirror)];
        writeln!(text, "\n  {:<24} {:<CHARS_SHOWN$} {}", "", heads[0], heads[1])?;
        let Some(names) = one.or(other) else { return Ok(()) };
        for (name, _) in names {
            let cell = |row: Option<&AnswerRow>| {
                let value = row.and_then(|row| row.iter().find(|(own, _)| own == name));
                value.map_or(String::new(), |(_, value)| self.value(value))
            };
            let star = if columns.contains(name) { '*' } else { ' ' };
            writeln!(text, "{star} {name:<24} {:<CHARS_SHOWN$} {}", cell(one), cell(other))?;
        }
        Ok(())
    }

    fn value(&self, value: &Value<'_>) -> String {
        if !self.args.show_values {
            return described(value);
        }
        let whole = match value {
            Value::Str(text) => format!("{text:?}"),
            other => as_json(other).to_string(),
        };
        let mut cut: String = whole.chars().take(CHARS_SHOWN).collect();
        if cut.len() < whole.len() {
            cut.pop();
            cut.push('…');
        }
        cut
    }

    fn verdict(&self) -> String {
        match &self.answers.verdict {
            Verdict::Same => "the same".to_owned(),
            Verdict::Alike => {
                "the same rows (in other bytes, or in an order that is not asked for)".to_owned()
            }
            Verdict::Different(difference) => difference.told(),
        }
    }

    pub(super) fn for_programs(&self) -> Json {
        let rows = self.rows();
        let side = |at: usize| {
            let answer = self.sides().get(at).copied();
            let error = answer.and_then(|side| side.as_ref().err());
            let rows = rows.get(at).map_or(&[][..], Vec::as_slice);
            let shown =
                self.args.show_values.then(|| rows.iter().map(row_json).collect::<Vec<_>>());
            json!({
                "connection": self.names.get(at),
                "rows": rows.len(),
                "code": error.map(BackendError::code),
                "error": error.map(ToString::to_string),
                "values": shown,
            })
        };
        let verdict = match &self.answers.verdict {
            Verdict::Same => "same",
            Verdict::Alike => "alike",
            Verdict::Different(_) => "different",
        };
        let different = match &self.answers.verdict {
            Verdict::Different(difference) => differences(difference),
            _ => Vec::new(),
        };
        json!({
            "game": self.args.game.as_str(),
            "operation": self.args.operation.as_str(),
            "verdict": verdict,
            "told": self.verdict(),
            "doubt": self.answers.doubt,
            "owner": side(0),
            "mirror": side(1),
            "different": different,
        })
    }
}

fn differences(difference: &Difference) -> Vec<Json> {
    let rows = difference.rows.iter();
    rows.map(|row| {
        json!({ "owner_row": row.places[0], "mirror_row": row.places[1], "columns": row.columns })
    })
    .collect()
}

/// What a value is, without it.
fn described(value: &Value<'_>) -> String {
    match value {
        Value::Str(text) if text.is_empty() => "''".to_owned(),
        Value::Str(text) => format!("text of {}", text.chars().count()),
        Value::Bytes(bytes) => format!("bytes, {}", bytes.len()),
        other => other.kind().to_owned(),
    }
}

fn row_json(row: &AnswerRow) -> Json {
    row.iter().map(|(name, value)| (name.to_string(), as_json(value))).collect()
}

fn as_json(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::UInt(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Str(text) => json!(text),
        Value::Bytes(bytes) => {
            let mut text = String::with_capacity(bytes.len() * 2);
            for byte in bytes.iter() {
                // Writing to a string does not fail.
                let _written = write!(text, "{byte:02x}");
            }
            json!(text)
        }
        Value::Array(items) => items.iter().map(as_json).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(name, value)| (name.to_string(), as_json(value))).collect()
        }
    }
}
