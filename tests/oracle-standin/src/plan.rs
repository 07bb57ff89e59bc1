//! `EXPLAIN PLAN`: PostgreSQL's plan in the words of Oracle's, in `plan_table`.
//!
//! Which plan there is, is PostgreSQL's affair; what of it reads a whole table or index has Oracle's names. It is one with an
//! index wherever one serves: else the statistics of the moment, and few rows, would decide.

use crate::error::{Failure, OracleError};
use crate::execute::run_converted;
use crate::rewrite::Part;
use crate::session::{Command, Effect, Session};
use crate::statement::Statement;
use crate::value::{Kind, Value};

/// A step of a plan: `TABLE ACCESS`, `FULL`, `PLAYER`, and how many rows are expected.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    operation: String,
    options: &'static str,
    object: String,
    cardinality: String,
}

const INSERT: &str = "INSERT INTO oracle_standin.plan_rows \
    (session, statement_id, id, operation, options, object_name, cardinality) VALUES \
    (pg_backend_pid(), $1, $2::numeric, $3, nullif($4, ''), nullif(upper($5), ''), $6::numeric)";

/// Explains a statement and keeps its plan, in the client's transaction.
///
/// # Errors
/// What PostgreSQL says of the statement.
pub fn explain(
    statement: &mut Statement,
    session: &mut Session,
    id: Option<&str>,
    parts: &[Part],
) -> Result<(), Failure> {
    session.simple("SET enable_seqscan = off")?;
    let explained = steps(statement, session, parts);
    if !session.is_lost() {
        session.simple("SET enable_seqscan = on")?;
    }
    let kinds = [Kind::Text; 6];
    let command = Command { sql: INSERT, kinds: &kinds, effect: Effect::Write, wait_seconds: None };
    for (number, step) in (1..).zip(explained?) {
        let text = |text: &str| Value::Text(text.to_owned());
        let id = id.map_or(Value::Null, text);
        let (number, cardinality) = (i32::to_string(&number), step.cardinality);
        let (operation, options, object) = (step.operation, step.options, step.object);
        let values =
            [id, text(&number), text(&operation), text(options), text(&object), text(&cardinality)];
        session.run(&command, &values)?;
    }
    Ok(())
}

/// PostgreSQL's plan of a statement.
fn steps(
    statement: &Statement,
    session: &mut Session,
    parts: &[Part],
) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::new();
    for part in parts {
        let kinds = statement.kinds(part)?;
        let effect = Effect::Read;
        let command = Command { sql: &part.sql, kinds: &kinds, effect, wait_seconds: None };
        let (answers, _) = run_converted(session, &command, &[statement.values(part, 0)?])?;
        let rows = answers.iter().flat_map(|answer| &answer.rows);
        let unread = |error| OracleError::new(600, format_args!("internal error code ({error})"));
        let lines: Vec<String> =
            rows.map(|row| row.try_get(0).map_err(unread)).collect::<Result<_, _>>()?;
        steps.extend(read(&lines));
    }
    Ok(steps)
}

/// Reads PostgreSQL's text: a line a node, each followed by what is said of it.
fn read(lines: &[String]) -> Vec<Step> {
    let is_node = |line: &str| line.contains("(cost=");
    let mut steps = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| is_node(line)) {
        let said = lines.iter().skip(index + 1).take_while(|line| !is_node(line));
        let is_bounded = said.into_iter().any(|line| line.trim_start().starts_with("Index Cond:"));
        let node = line.trim_start().trim_start_matches("-> ").trim_start();
        let (node, figures) = node.split_once("  (cost=").unwrap_or((node, ""));
        let cardinality = figures.split_once("rows=").map_or("0", |(_, rest)| rest);
        let cardinality = cardinality.split(' ').next().unwrap_or("0").to_owned();
        let below = lines.iter().skip(index + 1).find(|line| is_node(line));
        let walks = below.is_some_and(|line| line.trim_start().starts_with("->  Index "));
        let word = |after: &str| {
            let rest = node.split_once(after).map_or("", |(_, rest)| rest);
            rest.split(' ').next().unwrap_or("").trim_matches('"').to_owned()
        };
        let (operation, options, object) = if node.starts_with("Seq Scan on ") {
            ("TABLE ACCESS".to_owned(), "FULL", word(" on "))
        } else if node.starts_with("Index ") && node.contains(" using ") {
            let options = if is_bounded { "RANGE SCAN" } else { "FULL SCAN" };
            ("INDEX".to_owned(), options, word(" using "))
        } else if node == "Limit" && walks {
            // It ends as soon as there are rows enough.
            ("WINDOW".to_owned(), "NOSORT STOPKEY", String::new())
        } else {
            (node.split(" on ").next().unwrap_or(node).to_uppercase(), "", String::new())
        };
        steps.push(Step { operation, options, object, cardinality });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_of_rows_ends_a_walk_along_an_index_and_no_sort() {
        let first = |below: &str| {
            let lines = ["Limit  (cost=0.2..9.1 rows=20 width=8)".to_owned(), below.to_owned()];
            let step = read(&lines).remove(0);
            (step.operation, step.options)
        };
        let walk =
            "  ->  Index Scan Backward using item_pk on item  (cost=0.2..9.1 rows=20 width=8)";
        assert_eq!(first(walk), ("WINDOW".to_owned(), "NOSORT STOPKEY"));
        let sort = "  ->  Sort  (cost=0.2..9.1 rows=20 width=8)";
        assert_eq!(first(sort), ("LIMIT".to_owned(), ""));
    }

    #[test]
    fn what_reads_a_whole_table_or_index_has_oracles_names() {
        let lines = [
            "Sort  (cost=9.1..9.2 rows=20 width=8)",
            "  Sort Key: a",
            "  ->  Nested Loop  (cost=0.28..8.9 rows=20 width=8)",
            "        ->  Seq Scan on player p  (cost=0.00..35.00 rows=2000 width=4)",
            "              Filter: (note <> 'x'::text)",
            "        ->  Index Scan using item_pk on item i  (cost=0.28..8.29 rows=1 width=4)",
            "              Index Cond: (id = 7)",
            "  ->  Index Only Scan using item_kind on item  (cost=0.28..8.29 rows=50 width=4)",
        ];
        let steps = read(&lines.map(str::to_owned));
        let told: Vec<(&str, &str, &str, &str)> = steps
            .iter()
            .map(|step| (&*step.operation, step.options, &*step.object, &*step.cardinality))
            .collect();
        assert_eq!(
            told,
            [
                ("SORT", "", "", "20"),
                ("NESTED LOOP", "", "", "20"),
                ("TABLE ACCESS", "FULL", "player", "2000"),
                ("INDEX", "RANGE SCAN", "item_pk", "1"),
                ("INDEX", "FULL SCAN", "item_kind", "50"),
            ]
        );
    }
}
