//! What a database thinks of a statement before it is run: for `gateway check --database`.
//!
//! A statement is prepared, so that its faults are found; its columns are compared with the declared ones;
//! and its plan is looked at for scans of whole large tables.

use std::fmt;

use super::BackendError;
use super::connection::{Connection, Described, Form, NamedRow, Statement};
use super::fault::Failure;
use super::script::{Token, Tokens};
use crate::catalog::{Column, Scalar, Type};
use crate::config::{ConnectionConfig, Dialect};

/// Tells the plan of a statement from others in `plan_table`.
const PLAN_ID: &str = "gateway check";
/// The plan, with how many rows the table of each step has, as far as statistics know.
const ORACLE_PLAN: &str = "SELECT p.operation, p.options, NVL(i.table_name, p.object_name) AS table_name, \
    t.num_rows FROM plan_table p \
    LEFT JOIN user_indexes i ON i.index_name = p.object_name AND p.operation = 'INDEX' \
    LEFT JOIN user_tables t ON t.table_name = NVL(i.table_name, p.object_name) \
    WHERE p.statement_id = 'gateway check' ORDER BY p.id";

/// Rows that a whole table may have and still be scanned, unless the caller says otherwise.
pub const SCAN_ROWS_MAX: u64 = 1000;

/// What is wrong with a statement on a real database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExplainFinding {
    /// The database does not take it.
    Refused {
        /// The database's words.
        message: Box<str>,
    },
    /// A declared column is not in the result.
    Missing {
        /// The column.
        column: Box<str>,
    },
    /// Two columns of the result have a declared one's name.
    Twice {
        /// The column.
        column: Box<str>,
    },
    /// A column of the result is not declared, so it is read for nothing.
    Undeclared {
        /// The column.
        column: Box<str>,
    },
    /// A column's values do not have the declared form.
    Form {
        /// The column.
        column: Box<str>,
        /// Its type in the database.
        native: Box<str>,
    },
    /// A procedure is not there, or not as it is called.
    Call {
        /// What does not agree.
        what: Box<str>,
    },
    /// A table, or a whole index of it, is read from end to end.
    Scan {
        /// The table, or its alias in the statement.
        table: Box<str>,
        /// Rows read, as the database guesses; on SQLite, how many there are, counted up to the limit.
        rows: u64,
    },
}

impl fmt::Display for ExplainFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { message } => write!(f, "the database refuses the statement: {message}"),
            Self::Missing { column } => {
                write!(f, "the result has no column `{column}`, which is declared")
            }
            Self::Twice { column } => write!(f, "the result has column `{column}` twice"),
            Self::Undeclared { column } => {
                write!(f, "the result has column `{column}`, which is not declared")
            }
            Self::Form { column, native } => {
                write!(f, "column `{column}` is {native} in the database, which is not as declared")
            }
            Self::Call { what } => f.write_str(what),
            Self::Scan { table, rows } => {
                write!(f, "`{table}` is read from end to end ({rows} rows or more)")
            }
        }
    }
}

/// A connection that statements are examined on. Nothing is changed over it.
#[derive(Debug)]
pub struct Examiner {
    pub(super) connection: Connection,
}

impl Examiner {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn open(config: &ConnectionConfig) -> Result<Self, sqlx::Error> {
        Ok(Self { connection: Connection::open(config).await? })
    }

    /// Prepares a statement; the database's words when it does not take it.
    ///
    /// # Errors
    ///
    /// The driver's, when the database cannot be asked at all.
    pub async fn refusal(&mut self, sql: &str) -> Result<Option<Box<str>>, sqlx::Error> {
        match self.connection.describe(sql).await {
            Ok(_) => Ok(None),
            Err(sqlx::Error::Database(error)) => Ok(Some(error.message().into())),
            Err(error) => Err(error),
        }
    }

    /// Examines a statement.
    ///
    /// - `sql`, `binds`: as it would be run, with samples for values.
    /// - `columns`: the declared ones; empty for a write; `None`: what a step selects is declared nowhere.
    /// - `scan_rows_max`: rows that a table may have and still be scanned; [`SCAN_ROWS_MAX`].
    ///
    /// # Errors
    ///
    /// The driver's, when the database cannot be asked at all.
    pub async fn examine(
        &mut self,
        sql: &str,
        binds: Vec<Scalar<'_>>,
        columns: Option<&[Column]>,
        scan_rows_max: u64,
    ) -> Result<Vec<ExplainFinding>, sqlx::Error> {
        let described = match self.connection.describe(sql).await {
            Ok(described) => described,
            Err(sqlx::Error::Database(error)) => {
                return Ok(vec![ExplainFinding::Refused { message: error.message().into() }]);
            }
            Err(error) => return Err(error),
        };
        let dialect = self.connection.dialect();
        let mut findings =
            columns.map_or_else(Vec::new, |columns| compare(columns, &described, dialect));
        if dialect == Dialect::Oracle {
            match self.oracle_scans(sql, binds, scan_rows_max).await {
                Ok(scans) => findings.extend(scans),
                Err(Failure::Refused(BackendError::Query { source })) => {
                    findings.push(ExplainFinding::Refused { message: source.to_string().into() });
                }
                Err(Failure::Lost(error)) => return Err(error),
                Err(Failure::Refused(error) | Failure::Unread(error)) => {
                    findings.push(ExplainFinding::Refused { message: error.to_string().into() });
                }
            }
            return Ok(findings);
        }
        let explain = if dialect == Dialect::Sqlite { "EXPLAIN QUERY PLAN " } else { "EXPLAIN " };
        let statement = Statement { sql: format!("{explain}{sql}").into(), binds };
        let plan = match self.connection.fetch_named(&statement).await {
            Ok(plan) => plan,
            Err(sqlx::Error::Database(error)) => {
                findings.push(ExplainFinding::Refused { message: error.message().into() });
                return Ok(findings);
            }
            Err(error) => return Err(error),
        };
        findings.extend(match dialect {
            Dialect::Sqlite => self.sqlite_scans(sql, &plan, scan_rows_max).await?,
            _ => mysql_scans(&plan, scan_rows_max),
        });
        Ok(findings)
    }

    /// Tables that Oracle scans, by the statistics that it has of them; of one without statistics nothing is said.
    async fn oracle_scans(
        &mut self,
        sql: &str,
        binds: Vec<Scalar<'_>>,
        rows_max: u64,
    ) -> Result<Vec<ExplainFinding>, Failure> {
        self.connection.begin(None).await?;
        let explain = format!("EXPLAIN PLAN SET STATEMENT_ID = '{PLAN_ID}' FOR {sql}");
        let explained = self.connection.execute(&Statement { sql: explain.into(), binds }).await;
        let plan = match explained {
            Ok(_) => {
                let statement = Statement::plain(ORACLE_PLAN);
                self.connection.fetch_named(&statement).await.map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        // The plan's rows are nobody's.
        self.connection.rollback().await?;
        Ok(oracle_scans(&plan?, rows_max))
    }

    /// Tables that SQLite scans, if they have more rows than that. It guesses no numbers: they are counted.
    async fn sqlite_scans(
        &mut self,
        sql: &str,
        plan: &[NamedRow],
        rows_max: u64,
    ) -> Result<Vec<ExplainFinding>, sqlx::Error> {
        let details: Vec<&str> = plan.iter().filter_map(|row| value(row, "detail")).collect();
        let question = "SELECT name FROM sqlite_master WHERE type = 'table'";
        let tables = self.connection.fetch_texts(&Statement::plain(question)).await?;
        let tables: Vec<String> = tables.into_iter().flatten().flatten().collect();
        let mut findings = Vec::new();
        for scanned in details.iter().filter_map(|detail| scanned(detail, &details, sql)) {
            let Some(table) = table_of(scanned, &tables, sql) else { continue };
            let count = format!(
                "SELECT COUNT(*) FROM (SELECT 1 FROM \"{}\" LIMIT {})",
                table.replace('"', "\"\""),
                rows_max + 1
            );
            let counted = self.connection.fetch_texts(&Statement::plain(count)).await?;
            let rows = counted.into_iter().flatten().flatten().find_map(|text| text.parse().ok());
            if let Some(rows) = rows.filter(|rows| *rows > rows_max) {
                findings.push(ExplainFinding::Scan { table: scanned.into(), rows });
            }
        }
        Ok(findings)
    }
}

/// Compares the declared columns with those that a statement has.
fn compare(columns: &[Column], described: &[Described], dialect: Dialect) -> Vec<ExplainFinding> {
    let mut findings = Vec::new();
    for column in columns {
        let mut same =
            described.iter().filter(|found| found.name.eq_ignore_ascii_case(&column.name));
        match (same.next(), same.next()) {
            (None, _) => findings.push(ExplainFinding::Missing { column: column.name.clone() }),
            (Some(_), Some(_)) => {
                findings.push(ExplainFinding::Twice { column: column.name.clone() });
            }
            (Some(found), None) if !fits(&column.ty, found.form, dialect) => {
                findings.push(ExplainFinding::Form {
                    column: column.name.clone(),
                    native: found.native.as_str().into(),
                });
            }
            _ => {}
        }
    }
    let declared = |found: &&Described| {
        !columns.iter().any(|column| column.name.eq_ignore_ascii_case(&found.name))
    };
    findings.extend(described.iter().filter(declared).map(|found| ExplainFinding::Undeclared {
        column: found.name.to_ascii_lowercase().into(),
    }));
    findings
}

/// Whether values of that form can have the declared one. `cell::write` decides about each value.
pub(super) fn fits(ty: &Type, form: Form, dialect: Dialect) -> bool {
    let stored_as_text = dialect == Dialect::Sqlite && form == Form::Text;
    let number = matches!(form, Form::Integer | Form::Decimal);
    form == Form::Unknown
        || match ty {
            Type::Bool | Type::Int | Type::Bigint => number,
            Type::Decimal { .. } => number || stored_as_text,
            Type::Float => number || form == Form::Float,
            Type::Str { .. } | Type::Enum(_) | Type::Json => form == Form::Text,
            Type::Bytes { .. } => form == Form::Bytes,
            Type::Date => form == Form::Date || stored_as_text,
            Type::Timestamp { .. } => form == Form::Moment || stored_as_text,
            Type::List(_) | Type::Rows(_) => false,
        }
}

/// Tables that MySQL scans, by its own guess of the rows. Temporary ones (`<derived2>`) are not tables.
fn mysql_scans(plan: &[NamedRow], rows_max: u64) -> Vec<ExplainFinding> {
    let scan = |row: &NamedRow| {
        let table = value(row, "table").filter(|table| !table.starts_with('<'))?;
        let rows = value(row, "rows")?.parse().ok().filter(|rows| *rows > rows_max)?;
        let whole = matches!(value(row, "type")?, "ALL" | "index");
        whole.then(|| ExplainFinding::Scan { table: table.into(), rows })
    };
    plan.iter().filter_map(scan).collect()
}

/// Tables that Oracle reads from end to end. A walk along an index that a row limit ends early is no scan.
fn oracle_scans(plan: &[NamedRow], rows_max: u64) -> Vec<ExplainFinding> {
    let ends_early = plan.iter().any(|row| {
        let options = value(row, "options").unwrap_or_default();
        // FETCH FIRST is a window that stops; a sort before it has read everything.
        options == "NOSORT STOPKEY"
            || (options == "STOPKEY" && value(row, "operation") == Some("COUNT"))
    });
    let scan = |row: &NamedRow| {
        let (operation, options) = (value(row, "operation")?, value(row, "options")?);
        let whole = match operation {
            "TABLE ACCESS" => matches!(options, "FULL" | "STORAGE FULL"),
            "INDEX" if options.ends_with("FAST FULL SCAN") => true,
            "INDEX" => !ends_early && matches!(options, "FULL SCAN" | "FULL SCAN DESCENDING"),
            _ => false,
        };
        let rows = value(row, "num_rows")?.parse().ok().filter(|rows| *rows > rows_max)?;
        let table = value(row, "table_name")?.to_ascii_lowercase().into();
        whole.then_some(ExplainFinding::Scan { table, rows })
    };
    plan.iter().filter_map(scan).collect()
}

fn value<'r>(row: &'r NamedRow, name: &str) -> Option<&'r str> {
    let (_, value) = row.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
    value.as_deref()
}

/// What a step of SQLite's plan scans. A walk along an index that a LIMIT ends early is no scan.
fn scanned<'d>(detail: &'d str, details: &[&str], sql: &str) -> Option<&'d str> {
    let name = detail.strip_prefix("SCAN ")?.split(' ').next()?;
    let limited = Tokens::new(sql, Dialect::Sqlite).any(|token| token.is("LIMIT"));
    let sorted = details.iter().any(|detail| detail.contains("TEMP B-TREE"));
    let ends_early = limited && !sorted && detail.contains(" USING ");
    (!ends_early && !name.starts_with('(') && name != "CONSTANT").then_some(name)
}

/// The table of that name, or that the statement gives that alias: `player p`, `player AS p`.
fn table_of<'t>(name: &str, tables: &'t [String], sql: &str) -> Option<&'t str> {
    let table = |name: &str| tables.iter().find(|table| table.eq_ignore_ascii_case(name));
    if let Some(table) = table(name) {
        return Some(table);
    }
    let words = Tokens::new(sql, Dialect::Sqlite).filter(|token| !token.is("AS"));
    let words: Vec<&str> = words
        .map(|token| match token {
            Token::Word(word) => word,
            Token::Quoted(quoted) => quoted.trim_matches(['"', '`', '[', ']']),
            Token::Symbol(_) => "",
        })
        .collect();
    let aliased = words.windows(2).find_map(|pair| match pair {
        [before, alias] if alias.eq_ignore_ascii_case(name) => table(before),
        _ => None,
    });
    aliased.map(String::as_str)
}

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "sqlite"))]
mod tests {
    use super::super::testing::{Server, sqlite_config};
    use super::*;

    fn column(name: &str, ty: Type) -> Column {
        Column { name: name.into(), ty, json_string: false, empty_as_null: false }
    }

    /// A table of 2000 rows, with an index on one of its columns.
    async fn examiner(config: &ConnectionConfig) -> Examiner {
        let mut examiner = Examiner::open(config).await.expect("it answers");
        for sql in [
            "CREATE TABLE player (id BIGINT PRIMARY KEY, name VARCHAR(20), guild INT, note TEXT)",
            "CREATE INDEX player_guild ON player (guild)",
            "INSERT INTO player WITH RECURSIVE n(i) AS \
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i, 'x', i, '' FROM n",
            "INSERT INTO player SELECT id + 500, name, guild + 500, note FROM player",
            "INSERT INTO player SELECT id + 1000, name, guild + 1000, note FROM player",
        ] {
            examiner.connection.run_text(sql).await.expect(sql);
        }
        let analyze = match examiner.connection.dialect() {
            Dialect::Sqlite => "ANALYZE",
            _ => "ANALYZE TABLE player",
        };
        examiner.connection.run_text(analyze).await.expect(analyze);
        examiner
    }

    async fn check(config: &ConnectionConfig) {
        let mut examiner = examiner(config).await;
        let columns =
            [column("id", Type::Bigint), column("name", Type::Str { chars_max: Some(20) })];
        let one = vec![Scalar::Int(1)];
        let mut examine = async |sql: &str, rows_max| {
            examiner.examine(sql, one.clone(), Some(&columns), rows_max).await.expect("asked")
        };
        assert_eq!(examine("SELECT p.ID, p.name FROM player p WHERE p.id = ?", 1).await, []);
        assert_eq!(examine("SELECT id, name FROM player WHERE guild > ? LIMIT 5", 2500).await, []);

        let scan = "SELECT p.id, p.name FROM player AS p WHERE p.note <> ?";
        let found = examine(scan, 1000).await;
        assert!(
            matches!(&*found, [ExplainFinding::Scan { table, rows }]
            if &**table == "p" && *rows > 1000),
            "{found:?}"
        );
        assert_eq!(examine(scan, 2500).await, []);

        let found = examine("SELECT id, guild AS name, note FROM player WHERE id = ?", 1).await;
        assert!(
            matches!(&*found, [ExplainFinding::Form { column, .. },
            ExplainFinding::Undeclared { column: other }]
            if &**column == "name" && &**other == "note"),
            "{found:?}"
        );
        let found = examine("SELECT id, id FROM player WHERE id = ?", 1).await;
        assert_eq!(
            found,
            [
                ExplainFinding::Twice { column: "id".into() },
                ExplainFinding::Missing { column: "name".into() },
            ]
        );
        let found = examine("SELECT id, nickname FROM player WHERE id = ?", 1).await;
        assert!(
            matches!(&*found, [ExplainFinding::Refused { message }]
            if message.contains("nickname")),
            "{found:?}"
        );

        let write = "UPDATE player SET name = 'y' WHERE note = ?";
        let found =
            examiner.examine(write, vec![Scalar::Int(1)], Some(&[]), 1000).await.expect("asked");
        assert!(matches!(&*found, [ExplainFinding::Scan { .. }]), "{found:?}");
        let insert = "INSERT INTO player VALUES (?, 'z', 1, '')";
        let found =
            examiner.examine(insert, vec![Scalar::Int(9)], Some(&[]), 1000).await.expect("asked");
        assert_eq!(found, []);
        let step = "SELECT note FROM player WHERE id = ?";
        assert_eq!(examiner.examine(step, one.clone(), None, 1).await.expect("asked"), []);
        let question = Statement::plain("SELECT COUNT(*) FROM player WHERE name <> 'x'");
        let changed = examiner.connection.fetch_texts(&question).await.expect("a count");
        assert_eq!(changed, [[Some("0".to_owned())]]);
    }

    #[tokio::test]
    async fn sqlite_statements_are_examined_without_being_run() {
        let folder = tempfile::tempdir().expect("a folder");
        check(&sqlite_config(folder.path())).await;
    }

    #[tokio::test]
    async fn mysql_statements_are_examined_without_being_run() {
        let Some(server) = Server::get() else { return };
        let _turn = server.share().await;
        check(&server.database("explained").await).await;
    }

    #[cfg(feature = "oracle")]
    #[tokio::test]
    async fn statements_are_examined_on_the_stand_in_for_oracle_by_its_plan_table() {
        let Some(standin) = super::super::standin::Standin::get() else { return };
        let config = standin.database("explained");
        let mut examiner = Examiner::open(&config).await.expect("it answers");
        for sql in [
            "CREATE TABLE player (id NUMBER(19) NOT NULL, name VARCHAR2(20), guild NUMBER(10), note VARCHAR2(20), \
             CONSTRAINT player_pk PRIMARY KEY (id))",
            "CREATE INDEX player_guild ON player (guild)",
            "BEGIN FOR i IN 1 .. 2000 LOOP \
             INSERT INTO player (id, name, guild, note) VALUES (i, 'x', i, 'n'); END LOOP; END;",
        ] {
            examiner.connection.run_text(sql).await.expect(sql);
        }
        standin.postgres().admin("explained", "ANALYZE explained.player").expect("analyzed");
        let columns =
            [column("id", Type::Bigint), column("name", Type::Str { chars_max: Some(20) })];
        let mut examine = async |sql: &str, bind: Scalar<'static>, rows_max| {
            let told = examiner.examine(sql, vec![bind], Some(&columns), rows_max).await;
            told.expect("asked")
        };
        let one = Scalar::Int(1);
        let by_key = "SELECT p.id, p.name FROM player p WHERE p.id = :b1";
        assert_eq!(examine(by_key, one.clone(), 1).await, []);
        let scan = "SELECT p.id, p.name FROM player p WHERE p.note <> :b1";
        let found = examine(scan, Scalar::Str("x".into()), 1000).await;
        assert!(
            matches!(&*found, [ExplainFinding::Scan { table, rows: 2000 }] if &**table == "player"),
            "{found:?}"
        );
        assert_eq!(examine(scan, Scalar::Str("x".into()), 2500).await, []);
        let found = examine("SELECT id, nickname FROM player WHERE id = :b1", one.clone(), 1).await;
        assert!(matches!(&*found, [ExplainFinding::Refused { .. }]), "{found:?}");
        let write = "UPDATE player SET name = 'y' WHERE note = :b1";
        let written = examiner.examine(write, vec![Scalar::Str("n".into())], Some(&[]), 1000).await;
        assert!(matches!(&*written.expect("asked"), [ExplainFinding::Scan { .. }]));
        let question = Statement::plain("SELECT COUNT(*) FROM player WHERE name <> 'x'");
        let changed = examiner.connection.fetch_texts(&question).await.expect("a count");
        assert_eq!(changed, [[Some("0".to_owned())]]);
    }

    #[test]
    fn plan_of_oracle_is_read_for_scans_that_no_row_limit_ends() {
        let step = |operation: &str, options: &str, rows: &str| -> NamedRow {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            vec![
                ("OPERATION".into(), text(operation)),
                ("OPTIONS".into(), text(options)),
                ("TABLE_NAME".into(), text("PLAYER")),
                ("NUM_ROWS".into(), text(rows)),
            ]
        };
        let check = |plan: &[NamedRow], expected: usize| {
            assert_eq!(oracle_scans(plan, 1000).len(), expected, "{plan:?}");
        };
        check(&[step("TABLE ACCESS", "FULL", "1001")], 1);
        check(&[step("TABLE ACCESS", "FULL", "1000")], 0);
        check(&[step("TABLE ACCESS", "FULL", "")], 0);
        check(&[step("TABLE ACCESS", "BY INDEX ROWID BATCHED", "5000")], 0);
        check(&[step("INDEX", "FAST FULL SCAN", "5000")], 1);
        check(&[step("INDEX", "RANGE SCAN", "5000")], 0);
        let walk = step("INDEX", "FULL SCAN", "5000");
        check(std::slice::from_ref(&walk), 1);
        check(&[step("WINDOW", "NOSORT STOPKEY", ""), walk.clone()], 0);
        check(&[step("WINDOW", "SORT PUSHED RANK", ""), walk], 1);
    }
}
