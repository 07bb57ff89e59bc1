//! What a database's dictionary says of a procedure, held against the `call` that a template makes of it.
//!
//! A database does not look at a procedure when a call is prepared. So it is looked up: that it exists and may be
//! called, that each argument meets a parameter of its direction and type, and that it does not end the transaction.

use super::connection::{Form, Statement};
use super::explain::{Examiner, ExplainFinding, fits};
use super::script::{Token, Tokens};
use crate::catalog::{
    Argument, ArgumentValue, Dialect, Output, Procedure, Scalar, Source, Template, Type,
};

/// A parameter of a procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    /// Lower case.
    name: String,
    takes: bool,
    gives: bool,
    has_default: bool,
    native: String,
}

/// A procedure as its database knows it.
#[derive(Debug, Default)]
struct Found {
    parameters: Vec<Parameter>,
    /// Its text, where it may be read.
    text: String,
}

/// A name of up to three parts, as a database keeps names.
struct Name<'n> {
    schema: Option<&'n str>,
    package: Option<&'n str>,
    own: &'n str,
}

impl Examiner {
    /// Looks a template's procedure up.
    ///
    /// # Errors
    ///
    /// The driver's, when the database cannot be asked at all.
    pub async fn examine_call(
        &mut self,
        template: &Template,
    ) -> Result<Vec<ExplainFinding>, sqlx::Error> {
        let Some(procedure) = &template.procedure else { return Ok(Vec::new()) };
        let found = match template.dialect {
            Dialect::Mysql => self.mysql_procedure(&procedure.name).await?,
            Dialect::Oracle => self.oracle_procedure(&procedure.name).await?,
            Dialect::Sqlite => None,
        };
        let Some(found) = found else {
            let what = format!(
                "there is no procedure `{}` that this user may call: is it migrated, and granted?",
                procedure.name
            );
            return Ok(vec![ExplainFinding::Call { what: what.into() }]);
        };
        let mut findings = compare(template, procedure, &found.parameters);
        if template.dialect == Dialect::Mysql
            && let Some(word) = ends_transaction(&found.text)
        {
            findings.push(format!(
                "it has {word}: the gateway commits, together with the request's key"
            ));
        }
        let told = |what: String| ExplainFinding::Call { what: what.into() };
        Ok(findings.into_iter().map(told).collect())
    }

    async fn rows(&mut self, sql: &str, binds: &[&str]) -> Result<Vec<Vec<String>>, sqlx::Error> {
        let binds = binds.iter().map(|text| Scalar::Str((*text).into())).collect();
        let statement = Statement { sql: sql.into(), binds };
        let rows = self.connection.fetch_texts(&statement).await?;
        let texts = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default);
        Ok(rows.into_iter().map(|row| texts(row).collect()).collect())
    }

    async fn mysql_procedure(&mut self, name: &str) -> Result<Option<Found>, sqlx::Error> {
        let parts: Vec<&str> = name.split('.').map(|part| part.trim_matches('`')).collect();
        let (schema, own) = match parts.as_slice() {
            [own] => ("", *own),
            [schema, own] => (*schema, *own),
            _ => return Ok(None),
        };
        let routine = "SELECT COALESCE(r.ROUTINE_DEFINITION, '') FROM information_schema.ROUTINES r \
                       WHERE r.ROUTINE_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND r.ROUTINE_NAME = ? \
                       AND r.ROUTINE_TYPE = 'PROCEDURE'";
        let Some(text) = self.rows(routine, &[schema, own]).await?.into_iter().flatten().next()
        else {
            return Ok(None);
        };
        let arguments = "SELECT p.PARAMETER_NAME, p.PARAMETER_MODE, p.DATA_TYPE FROM information_schema.PARAMETERS p \
                         WHERE p.SPECIFIC_SCHEMA = COALESCE(NULLIF(?, ''), DATABASE()) AND p.SPECIFIC_NAME = ? \
                         AND p.ROUTINE_TYPE = 'PROCEDURE' ORDER BY p.ORDINAL_POSITION";
        let rows = self.rows(arguments, &[schema, own]).await?;
        let parameters = rows.into_iter().filter_map(|row| match <[String; 3]>::try_from(row) {
            Ok([name, mode, native]) => Some(Parameter {
                name: name.to_lowercase(),
                takes: mode != "OUT",
                gives: mode != "IN",
                has_default: false,
                native: native.to_uppercase(),
            }),
            Err(_) => None,
        });
        Ok(Some(Found { parameters: parameters.collect(), text }))
    }

    async fn oracle_procedure(&mut self, name: &str) -> Result<Option<Found>, sqlx::Error> {
        let own = "SELECT SYS_CONTEXT('USERENV', 'CURRENT_SCHEMA') FROM dual";
        let current = self.rows(own, &[]).await?.into_iter().flatten().next().unwrap_or_default();
        let parts: Vec<String> = name.split('.').map(kept).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let name = |schema, package, own| Name { schema, package, own };
        let meanings = match parts.as_slice() {
            [own] => vec![name(None, None, own)],
            [first, own] => vec![name(None, Some(*first), own), name(Some(*first), None, own)],
            [schema, package, own] => vec![name(Some(*schema), Some(*package), own)],
            _ => Vec::new(),
        };
        for meaning in meanings {
            let schema = meaning.schema.unwrap_or(&current);
            let mut place =
                Some((schema.to_owned(), meaning.package.unwrap_or(meaning.own).to_owned()));
            if !self.is_there(schema, &meaning).await? {
                place = self.synonym(schema, meaning.package.unwrap_or(meaning.own)).await?;
            }
            let Some((owner, object)) = place else { continue };
            let package = meaning.package.map(|_| &*object);
            let own = if package.is_some() { meaning.own } else { &*object };
            let there = Name { schema: None, package, own };
            if self.is_there(&owner, &there).await? {
                let parameters = self.oracle_parameters(&owner, &there).await?;
                return Ok(Some(Found { parameters, text: String::new() }));
            }
        }
        Ok(None)
    }

    async fn is_there(&mut self, owner: &str, name: &Name<'_>) -> Result<bool, sqlx::Error> {
        let alone = "SELECT p.object_name FROM all_procedures p WHERE p.owner = ? AND p.object_name = ? \
                     AND p.procedure_name IS NULL AND p.object_type = 'PROCEDURE'";
        let packaged = "SELECT p.object_name FROM all_procedures p WHERE p.owner = ? AND p.object_name = ? \
                        AND p.procedure_name = ?";
        let rows = match name.package {
            None => self.rows(alone, &[owner, name.own]).await?,
            Some(package) => self.rows(packaged, &[owner, package, name.own]).await?,
        };
        Ok(!rows.is_empty())
    }

    /// Owner and object behind a synonym of the schema's, or of everybody's.
    async fn synonym(
        &mut self,
        owner: &str,
        name: &str,
    ) -> Result<Option<(String, String)>, sqlx::Error> {
        let sql = "SELECT s.table_owner, s.table_name FROM all_synonyms s WHERE s.synonym_name = ? \
                   AND s.owner IN (?, 'PUBLIC') ORDER BY CASE s.owner WHEN 'PUBLIC' THEN 1 ELSE 0 END";
        let rows = self.rows(sql, &[name, owner]).await?;
        let first = rows.into_iter().next().and_then(|row| <[String; 2]>::try_from(row).ok());
        Ok(first.map(|[owner, object]| (owner, object)))
    }

    async fn oracle_parameters(
        &mut self,
        owner: &str,
        name: &Name<'_>,
    ) -> Result<Vec<Parameter>, sqlx::Error> {
        // Of several of one name the first is looked at: which one a call means only the database knows.
        let sql = "SELECT a.argument_name, a.in_out, a.data_type, a.defaulted, a.overload FROM all_arguments a \
                   WHERE a.owner = ? AND a.object_name = ? AND NVL(a.package_name, ' ') = ? AND a.data_level = 0 \
                   AND a.argument_name IS NOT NULL ORDER BY a.overload, a.position";
        let rows = self.rows(sql, &[owner, name.own, name.package.unwrap_or(" ")]).await?;
        let first = rows.first().and_then(|row| row.last().cloned());
        let parameters = rows.into_iter().filter_map(|row| match <[String; 5]>::try_from(row) {
            Ok([name, in_out, native, defaulted, overload])
                if Some(&overload) == first.as_ref() =>
            {
                Some(Parameter {
                    name: name.to_lowercase(),
                    takes: in_out != "OUT",
                    gives: in_out != "IN",
                    has_default: defaulted == "Y",
                    native,
                })
            }
            _ => None,
        });
        Ok(parameters.collect())
    }
}

/// A part of a name as Oracle keeps it: in capitals, unless it is quoted.
fn kept(part: &str) -> String {
    match part.strip_prefix('"') {
        Some(quoted) => quoted.trim_end_matches('"').to_owned(),
        None => part.to_uppercase(),
    }
}

/// What does not agree.
fn compare(template: &Template, procedure: &Procedure, parameters: &[Parameter]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut met = vec![false; parameters.len()];
    for (index, argument) in procedure.arguments.iter().enumerate() {
        let place = match &argument.name {
            Some(name) => parameters.iter().position(|parameter| parameter.name == **name),
            None => (index < parameters.len()).then_some(index),
        };
        let Some((place, parameter)) = place.and_then(|at| Some((at, parameters.get(at)?))) else {
            let what = argument.name.as_ref().map_or_else(
                || format!("it takes {} arguments, not {}", parameters.len(), index + 1),
                |name| format!("it has no parameter `{name}`"),
            );
            findings.push(what);
            continue;
        };
        if let Some(met) = met.get_mut(place) {
            *met = true;
        }
        findings.extend(disagreement(template, argument, parameter));
    }
    let missing = parameters.iter().zip(met).filter(|(one, met)| !met && !one.has_default);
    findings.extend(missing.map(|(one, _)| format!("nothing is passed to `{}`", one.name)));
    findings
}

fn disagreement(template: &Template, argument: &Argument, parameter: &Parameter) -> Option<String> {
    let name = &parameter.name;
    let ArgumentValue::Bind { source, output } = &argument.value else {
        return parameter
            .gives
            .then(|| format!("`{name}` gives a value back, and takes no literal"));
    };
    let output = output.and_then(|index| template.outputs.get(index));
    if let Some(output) = output.filter(|_| !parameter.gives) {
        return Some(format!("`{name}` gives nothing back: `{}` is no @out", output.name()));
    }
    if output.is_none() && parameter.gives {
        return Some(format!("`{name}` gives a value back: declare it with @out"));
    }
    let is_cursor = parameter.native == "REF CURSOR";
    let told = match output {
        Some(Output::Rows { .. }) if is_cursor => return None,
        Some(output @ Output::Rows { .. }) => output.type_as_written(),
        Some(Output::Value(column)) => {
            if !is_cursor && suits(&column.ty, &parameter.native, template.dialect) {
                return None;
            }
            column.ty.as_written()
        }
        None => {
            let Source::Slot(slot) = source else { return None };
            let ty = &template.slots.get(*slot)?.ty;
            if !is_cursor && suits(ty, &parameter.native, template.dialect) {
                return None;
            }
            ty.as_written()
        }
    };
    Some(format!("`{name}` is {}, and {told} is declared", parameter.native))
}

/// Whether values of a declared type and of a native one are of one form.
fn suits(ty: &Type, native: &str, dialect: Dialect) -> bool {
    let native = native.split('(').next().unwrap_or_default().trim();
    let form = match native {
        "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "INTEGER" | "BIGINT" | "BIT" | "BOOLEAN"
        | "BINARY_INTEGER" | "PLS_INTEGER" => Form::Integer,
        "DECIMAL" | "NUMERIC" | "NUMBER" => Form::Decimal,
        "FLOAT" | "DOUBLE" | "REAL" | "BINARY_DOUBLE" | "BINARY_FLOAT" => Form::Float,
        "CHAR" | "VARCHAR" | "VARCHAR2" | "NVARCHAR2" | "NCHAR" | "TEXT" | "TINYTEXT"
        | "MEDIUMTEXT" | "LONGTEXT" | "CLOB" | "NCLOB" | "LONG" | "ENUM" | "SET" | "JSON" => {
            Form::Text
        }
        "BINARY" | "VARBINARY" | "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" | "RAW"
        | "LONG RAW" => Form::Bytes,
        // Oracle's has a time of day.
        "DATE" if dialect == Dialect::Oracle => Form::Unknown,
        "DATE" => Form::Date,
        "DATETIME"
        | "TIMESTAMP"
        | "TIMESTAMP WITH TIME ZONE"
        | "TIMESTAMP WITH LOCAL TIME ZONE" => Form::Moment,
        _ => Form::Other,
    };
    let is_day = matches!(ty, Type::Date | Type::Timestamp { .. });
    if form == Form::Unknown { is_day } else { fits(ty, form, dialect) }
}

/// The word by which a text of MySQL ends its caller's transaction.
fn ends_transaction(text: &str) -> Option<&'static str> {
    let tokens: Vec<Token<'_>> = Tokens::new(text, Dialect::Mysql).collect();
    let mut before = Token::Symbol(';');
    for (index, token) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1);
        let is_next = |word: &str| next.is_some_and(|next| next.is(word));
        // `ROLLBACK TO SAVEPOINT s` goes back, and ends nothing; `t.commit` is a name.
        let is_name = before == Token::Symbol('.');
        if token.is("COMMIT") && !is_name {
            return Some("COMMIT");
        }
        let behind = tokens.iter().skip(index + 1).find(|next| !next.is("WORK"));
        if token.is("ROLLBACK") && !is_name && !behind.is_some_and(|next| next.is("TO")) {
            return Some("ROLLBACK");
        }
        if token.is("START") && is_next("TRANSACTION") {
            return Some("START TRANSACTION");
        }
        before = *token;
    }
    None
}

#[cfg(test)]
#[cfg(all(feature = "mysql", feature = "oracle", feature = "sqlite"))]
mod tests {
    use super::super::connection::Connection;
    use super::super::script::split;
    use super::super::standin::Standin;
    use super::super::testing::Server;
    use super::*;
    use crate::catalog::load::tests::template;
    use crate::config::ConnectionConfig;

    const MYSQL: &str = "CREATE PROCEDURE p(IN a BIGINT, INOUT b VARCHAR(9), OUT c DECIMAL(9,2), OUT d DATETIME(6)) \
        BEGIN SAVEPOINT s; ROLLBACK TO s; SET c = 1; END; \
        CREATE PROCEDURE q() BEGIN COMMIT; END; CREATE FUNCTION f() RETURNS INT RETURN 1;";
    const ORACLE: &str = "CREATE PROCEDURE p(a NUMBER, b IN OUT VARCHAR2, c OUT NUMBER, d OUT TIMESTAMP, \
        e OUT SYS_REFCURSOR, f IN DATE DEFAULT NULL) IS BEGIN c := 1; END;\n/\n\
        CREATE PROCEDURE q IS BEGIN NULL; END;\n/\n";

    async fn check(config: &ConnectionConfig, script: &str, cases: &[(&str, &[&str])]) {
        let mut connection = Connection::open(config).await.expect("it answers");
        for part in split(script, config.dialect).expect("good SQL") {
            connection.run_text(part.text).await.expect(part.text);
        }
        let mut examiner = Examiner { connection };
        for (call, expected) in cases {
            let text = format!(
                "-- @kind call reads\n-- @allow a\n-- @param x bigint\n-- @param b string(9)\n{call}\n"
            );
            let call = template(&text, config.dialect);
            let found = examiner.examine_call(&call).await.expect("asked");
            let told: Vec<String> = found.iter().map(ToString::to_string).collect();
            let is_told = told.iter().zip(*expected).all(|(one, word)| one.contains(word));
            assert!(told.len() == expected.len() && is_told, "{text}: {told:?}");
        }
    }

    const OUTS: &str = "-- @out b string\n-- @out c decimal(9,2)\n-- @out d timestamp(3)\n";

    #[tokio::test]
    async fn mysql_knows_its_procedures_and_their_parameters() {
        let Some(server) = Server::get() else { return };
        let _turn = server.share().await;
        let config = server.database("dictionary").await;
        let with = |call: &str| format!("{OUTS}{call}");
        let good = with("CALL p(:x, :b, :c, :d)");
        let named = with("CALL dictionary.p(:x, :b, :c, :d)");
        let few = "-- @out b string\n-- @out c decimal(9,2)\nCALL p(:x, :b, :c)";
        let many = with("CALL p(:x, :b, :c, :d, 1)");
        let swapped = with("CALL p(:b, :x, :c, :d)");
        let taken = "-- @out c decimal(9,2)\n-- @out d timestamp(3)\nCALL p(:x, :b, :c, :d)";
        let typed = OUTS.replace("decimal(9,2)", "date") + "CALL p(:x, :b, :c, :d)";
        check(
            &config,
            MYSQL,
            &[
                (&good, &[]),
                (&named, &[]),
                (few, &["nothing is passed to `d`"]),
                (&many, &["it takes 4 arguments, not 5"]),
                (&swapped, &["gives nothing back: `b`", "gives a value back: declare"]),
                (taken, &["`b` gives a value back: declare it"]),
                (&typed, &["`c` is DECIMAL, and date is declared"]),
                ("-- @out c int\nCALL nobody(:x, :b, :c)", &["there is no procedure `nobody`"]),
                ("-- @out c int\nCALL f(:x, :b, :c)", &["there is no procedure `f`"]),
                ("CALL q(:x, :b)", &["it takes 0", "it takes 0", "it has COMMIT"]),
            ],
        )
        .await;
    }

    #[tokio::test]
    async fn stand_in_for_oracle_knows_its_procedures_and_their_parameters() {
        let Some(standin) = Standin::get() else { return };
        let config = standin.database("dictionary");
        let outs = format!("{OUTS}-- @out e rows(id int)\n");
        let with = |call: &str| format!("{outs}{call}");
        let good = with("CALL p(:x, :b, :c, :d, :e)");
        let named = with("CALL p(b => :b, a => :x, c => :c, e => :e, d => :d)");
        let unknown = with("CALL p(:x, :b, :c, :d, :e, g => 1)");
        let no_cursor = OUTS.to_owned() + "-- @out e int\nCALL p(:x, :b, :c, :d, :e)";
        let cursor = "-- @out b string\n-- @out c rows(a int)\n-- @out d timestamp(3)\n-- @out e rows(id int)\n\
                      CALL p(:x, :b, :c, :d, :e)";
        check(
            &config,
            ORACLE,
            &[
                (&good, &[]),
                (&named, &[]),
                (&unknown, &["it has no parameter `g`"]),
                (&no_cursor, &["`e` is REF CURSOR, and int is declared"]),
                (cursor, &["`c` is NUMBER, and rows(a int) is declared"]),
                (
                    "-- @out c int\nCALL dictionary.q(:x, :b, :c)",
                    &["it takes 0", "it takes 0", "it takes 0"],
                ),
                ("-- @out c int\nCALL nobody.q(:x, :b, :c)", &["there is no procedure `nobody.q`"]),
            ],
        )
        .await;
    }

    #[test]
    fn word_that_ends_a_transaction_is_found_and_what_only_looks_like_one_is_not() {
        let check = |text: &str, expected| assert_eq!(ends_transaction(text), expected, "{text}");
        check("BEGIN UPDATE t SET a = 1; commit; END", Some("COMMIT"));
        check("BEGIN START TRANSACTION; END", Some("START TRANSACTION"));
        check("BEGIN ROLLBACK WORK; END", Some("ROLLBACK"));
        check("BEGIN ROLLBACK TO s; ROLLBACK WORK TO s; END", None);
        check("BEGIN SELECT 'COMMIT', t.commit FROM t; -- COMMIT\n END", None);
    }
}
