//! The schema: types of columns, and what Oracle says about storage that PostgreSQL does not.

use super::lexer::Token;
use super::{Action, expression, part};
use crate::error::OracleError;
use crate::session::Effect;

/// Rewrites CREATE, ALTER and DROP.
///
/// # Errors
/// What is not understood.
pub fn rewrite(tokens: Vec<Token>) -> Result<Action, OracleError> {
    let verb =
        |index: usize, words: &[&str]| tokens.get(index).is_some_and(|token| token.is_any(words));
    let parts = if verb(0, &["DROP"]) {
        vec![drop_object(&tokens)]
    } else if verb(1, &["SEQUENCE"]) {
        vec![sequence(&tokens)]
    } else if verb(0, &["ALTER"]) && verb(1, &["TABLE"]) {
        alter_table(&tokens)?
    } else if verb(1, &["TABLE", "GLOBAL", "PRIVATE"]) {
        vec![create_table(&tokens)?]
    } else if verb(1, &["INDEX"]) || verb(2, &["INDEX"]) {
        vec![expression::rewrite(without_storage(&tokens))?]
    } else if verb(1, &["OR", "VIEW"]) && tokens.iter().take(5).any(|token| token.is("VIEW")) {
        let kept = tokens
            .into_iter()
            .filter(|token| !token.is_any(&["FORCE", "EDITIONABLE", "NONEDITIONABLE"]));
        vec![expression::rewrite(super::query::shape(kept.collect())?)?]
    } else {
        let what =
            tokens.iter().take(4).map(|token| format!("{token:?}")).collect::<Vec<_>>().join(" ");
        return Err(OracleError::not_imitated(what));
    };
    Ok(Action::Run(parts.into_iter().map(part).collect(), Effect::Schema))
}

fn made(text: impl Into<String>) -> Token {
    Token::Made(text.into())
}

fn slice(tokens: &[Token], from: usize, to: usize) -> Vec<Token> {
    tokens.get(from..to).unwrap_or_default().to_vec()
}

fn drop_object(tokens: &[Token]) -> Vec<Token> {
    let cascades = tokens.iter().any(|token| token.is("CASCADE"));
    let mut result: Vec<Token> = tokens
        .iter()
        .filter(|token| !token.is_any(&["CASCADE", "CONSTRAINTS", "PURGE"]))
        .cloned()
        .collect();
    if cascades {
        result.push(made("CASCADE"));
    }
    expression::names(result)
}

/// Oracle's words for the options of a sequence, and PostgreSQL's.
fn sequence(tokens: &[Token]) -> Vec<Token> {
    let mut result = Vec::new();
    for token in tokens {
        let Token::Word(word) = token else {
            result.push(token.clone());
            continue;
        };
        match word.to_ascii_uppercase().as_str() {
            "NOCACHE" | "ORDER" | "NOORDER" | "KEEP" | "NOKEEP" | "SCALE" | "NOSCALE"
            | "GLOBAL" => {}
            "NOCYCLE" => result.push(made("NO CYCLE")),
            "NOMAXVALUE" => result.push(made("NO MAXVALUE")),
            "NOMINVALUE" => result.push(made("NO MINVALUE")),
            _ => result.push(token.clone()),
        }
    }
    // Larger than any of PostgreSQL's, as in `MAXVALUE 9999999999999999999999999999`.
    for token in &mut result {
        if let Token::Number(number) = token
            && number.parse::<i64>().is_err()
        {
            *token = made(i64::MAX.to_string());
        }
    }
    result
}

fn create_table(tokens: &[Token]) -> Result<Vec<Token>, OracleError> {
    let is_private = tokens.get(1).is_some_and(|token| token.is("PRIVATE"));
    if is_private {
        return Err(OracleError::not_imitated("private temporary tables"));
    }
    let open = tokens.iter().position(|token| token.is_symbol("("));
    let as_query = tokens.iter().position(|token| token.is("AS"));
    if let Some(start) = as_query
        && open.is_none_or(|open| start < open)
    {
        let mut head = without_storage(&slice(tokens, 0, start));
        head.extend(expression::rewrite(super::query::shape(slice(tokens, start, tokens.len()))?)?);
        return Ok(head);
    }
    let open = open.ok_or_else(|| OracleError::new(922, "missing or invalid option"))?;
    let (elements, end) = expression::arguments(tokens, open)?;
    let mut result = expression::names(slice(tokens, 0, open + 1));
    result.retain(|token| !token.is("GLOBAL"));
    for (index, element) in elements.into_iter().enumerate() {
        if index > 0 {
            result.push(Token::Symbol(","));
        }
        result.extend(self::element(&element)?);
    }
    result.push(Token::Symbol(")"));
    // Behind the columns only `ON COMMIT … ROWS` means something here.
    let tail = slice(tokens, end + 1, tokens.len());
    if let Some(on) = tail.iter().position(|token| token.is("ON")) {
        result.extend(slice(&tail, on, on + 4));
    }
    Ok(result)
}

/// A column with its type, or a constraint.
fn element(tokens: &[Token]) -> Result<Vec<Token>, OracleError> {
    let first = tokens.first().ok_or_else(|| OracleError::new(904, "invalid identifier"))?;
    if first.is_any(&["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK"]) {
        return expression::rewrite(without_storage(tokens));
    }
    column(tokens)
}

/// Words that no column of Oracle's is called without quotes: "Oracle SQL Reserved Words".
const RESERVED: &str = "ACCESS ADD ALL ALTER AND ANY AS ASC AUDIT BETWEEN BY CHAR CHECK CLUSTER COLUMN COMMENT \
    COMPRESS CONNECT CREATE CURRENT DATE DECIMAL DEFAULT DELETE DESC DISTINCT DROP ELSE \
    EXCLUSIVE EXISTS FILE FLOAT FOR FROM GRANT GROUP HAVING IDENTIFIED IMMEDIATE IN \
    INCREMENT INDEX INITIAL INSERT INTEGER INTERSECT INTO IS LEVEL LIKE LOCK LONG MAXEXTENTS \
    MINUS MLSLABEL MODE MODIFY NOAUDIT NOCOMPRESS NOT NOWAIT NULL NUMBER OF OFFLINE ON \
    ONLINE OPTION OR ORDER PCTFREE PRIOR PUBLIC RAW RENAME RESOURCE REVOKE ROW ROWID ROWNUM \
    ROWS SELECT SESSION SET SHARE SIZE SMALLINT START SUCCESSFUL SYNONYM SYSDATE TABLE THEN \
    TO TRIGGER UID UNION UNIQUE UPDATE USER VALIDATE VALUES VARCHAR VARCHAR2 VIEW WHENEVER \
    WHERE WITH";

fn column(tokens: &[Token]) -> Result<Vec<Token>, OracleError> {
    let is_reserved = |token: &Token| RESERVED.split(' ').any(|word| token.is(word));
    if tokens.first().is_some_and(is_reserved) {
        return Err(OracleError::new(904, "invalid identifier (a reserved word)"));
    }
    let mut result = expression::names(slice(tokens, 0, 1));
    let (name, used) = data_type(tokens.get(1..).unwrap_or_default())?;
    let mut rest = expression::rewrite(without_storage(&slice(tokens, 1 + used, tokens.len())))?;
    let is_identity = rest.iter().any(|token| token.is("IDENTITY"));
    // An identity has to be one of PostgreSQL's integers.
    result.push(made(if is_identity { "bigint".to_owned() } else { name }));
    if is_identity
        && let Some(on_null) = rest
            .windows(2)
            .position(|pair| matches!(pair, [on, null] if on.is("ON") && null.is("NULL")))
    {
        rest.drain(on_null..on_null + 2);
    }
    // Virtual columns are kept here; nobody can tell.
    let rest =
        rest.into_iter().map(|token| if token.is("VIRTUAL") { made("STORED") } else { token });
    result.extend(rest);
    Ok(result)
}

/// The type at the start, and how many tokens it has.
///
/// # Errors
/// ORA-00902: none that is known.
pub fn data_type(tokens: &[Token]) -> Result<(String, usize), OracleError> {
    let invalid = || OracleError::new(902, "invalid datatype");
    let Some(Token::Word(word)) = tokens.first() else { return Err(invalid()) };
    let mut used = 1;
    let mut numbers: Vec<String> = Vec::new();
    let mut in_characters = false;
    if tokens.get(1).is_some_and(|token| token.is_symbol("(")) {
        let end = expression::closing(tokens, 1)?;
        for token in tokens.get(2..end).unwrap_or_default() {
            match token {
                Token::Number(number) => numbers.push(number.clone()),
                Token::Symbol("*") => numbers.push("38".to_owned()),
                Token::Symbol("-") => numbers.push("-".to_owned()),
                token if token.is("CHAR") => in_characters = true,
                _ => {}
            }
        }
        used = end + 1;
    }
    let size = numbers.first().cloned().unwrap_or_else(|| "1".to_owned());
    let rest = tokens.get(used..).unwrap_or_default();
    let follows = |words: &[&str]| {
        words.len() <= rest.len() && words.iter().zip(rest).all(|(word, token)| token.is(word))
    };
    let name = match word.to_ascii_uppercase().as_str() {
        "NUMBER" | "NUMERIC" | "DECIMAL" | "DEC" if numbers.is_empty() => "numeric".to_owned(),
        "NUMBER" | "NUMERIC" | "DECIMAL" | "DEC" => {
            format!("numeric({})", numbers.join(",").replace("-,", "-"))
        }
        "INTEGER" | "INT" | "SMALLINT" => "numeric(38,0)".to_owned(),
        "VARCHAR2" | "VARCHAR" if !in_characters => format!("oracle_standin.varchar2({size})"),
        "VARCHAR2" | "VARCHAR" | "NVARCHAR2" => format!("varchar({size})"),
        "CHAR" | "NCHAR" => format!("char({size})"),
        "DATE" => "timestamp(0)".to_owned(),
        "TIMESTAMP" => {
            let digits =
                numbers.first().and_then(|digits| digits.parse().ok()).unwrap_or(6_u8).min(6);
            if follows(&["WITH", "LOCAL", "TIME", "ZONE"]) {
                used += 4;
                format!("timestamptz({digits})")
            } else if follows(&["WITH", "TIME", "ZONE"]) {
                used += 3;
                format!("timestamptz({digits})")
            } else {
                format!("timestamp({digits})")
            }
        }
        "CLOB" | "NCLOB" | "LONG" => "oracle_standin.clob".to_owned(),
        "JSON" => "jsonb".to_owned(),
        "BLOB" => "oracle_standin.blob".to_owned(),
        "RAW" => format!("oracle_standin.raw({size})"),
        "FLOAT" | "BINARY_DOUBLE" | "REAL" => "float8".to_owned(),
        "DOUBLE" if follows(&["PRECISION"]) => {
            used += 1;
            "float8".to_owned()
        }
        "BINARY_FLOAT" => "float4".to_owned(),
        _ => return Err(invalid()),
    };
    Ok((name, used))
}

/// Words about storage that take nothing, and those that take one word or number.
const STORAGE_WORDS: &[&str] = &[
    "LOGGING",
    "NOLOGGING",
    "COMPRESS",
    "NOCOMPRESS",
    "ENABLE",
    "VALIDATE",
    "NOVALIDATE",
    "ONLINE",
    "LOCAL",
    "REVERSE",
    "NOPARALLEL",
    "CACHE",
    "NOCACHE",
    "RELY",
    "NORELY",
    "VISIBLE",
    "NOMONITORING",
    "MONITORING",
];
const STORAGE_WORDS_WITH_ONE: &[&str] = &[
    "TABLESPACE",
    "PCTFREE",
    "PCTUSED",
    "INITRANS",
    "MAXTRANS",
    "PARALLEL",
    "SEGMENT",
    "ORGANIZATION",
];

/// Drops what is said about storage, and `USING INDEX`.
fn without_storage(tokens: &[Token]) -> Vec<Token> {
    let mut result = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let next_is = |word: &str| tokens.get(index + 1).is_some_and(|next| next.is(word));
        let opens = tokens.get(index + 1).is_some_and(|next| next.is_symbol("("));
        if token.is_any(STORAGE_WORDS) {
            index += 1;
        } else if token.is("SEGMENT") && next_is("CREATION") {
            index += 3;
        } else if token.is_any(STORAGE_WORDS_WITH_ONE) || (token.is("USING") && next_is("INDEX")) {
            index += 2;
        } else if token.is_any(&["STORAGE", "LOB"]) && opens {
            index = expression::closing(tokens, index + 1).map_or(tokens.len(), |end| end + 1);
        } else {
            result.push(token.clone());
            index += 1;
        }
    }
    result
}

/// `ALTER TABLE t ADD (…)`, `MODIFY (…)`, `DROP (…)`, and the forms without parentheses.
fn alter_table(tokens: &[Token]) -> Result<Vec<Vec<Token>>, OracleError> {
    let verb = tokens.iter().position(|token| token.is_any(&["ADD", "MODIFY", "DROP", "RENAME"]));
    let verb = verb.ok_or_else(|| OracleError::new(1735, "invalid ALTER TABLE option"))?;
    let head = expression::names(slice(tokens, 0, verb));
    let rest = slice(tokens, verb + 1, tokens.len());
    let elements = match rest.first() {
        Some(token) if token.is_symbol("(") => expression::arguments(&rest, 0)?.0,
        _ => vec![rest.clone()],
    };
    let keyword = tokens.get(verb).cloned().unwrap_or_else(|| made(""));
    let mut changes: Vec<Vec<Token>> = Vec::new();
    if keyword.is("RENAME") {
        let mut change = vec![keyword];
        change.extend(expression::names(rest));
        changes.push(change);
    } else if keyword.is("DROP") {
        let drops_column =
            rest.first().is_some_and(|token| token.is("COLUMN") || token.is_symbol("("));
        for element in elements {
            let mut change = vec![made("DROP")];
            if drops_column {
                change.push(made("COLUMN"));
            }
            let kept =
                element.into_iter().filter(|token| !token.is_any(&["COLUMN", "CONSTRAINTS"]));
            change.extend(expression::names(kept.collect()));
            changes.push(change);
        }
    } else {
        for element in elements {
            changes.extend(if keyword.is("ADD") {
                vec![add(&element)?]
            } else {
                modify(&element)?
            });
        }
    }
    let mut statement = head;
    for (index, change) in changes.into_iter().enumerate() {
        if index > 0 {
            statement.push(Token::Symbol(","));
        }
        statement.extend(change);
    }
    Ok(vec![statement])
}

fn add(tokens: &[Token]) -> Result<Vec<Token>, OracleError> {
    let mut change = vec![made("ADD")];
    if tokens.first().is_some_and(|token| token.is("COLUMN")) {
        return Err(OracleError::new(904, "invalid identifier (ADD takes no word COLUMN)"));
    }
    change.extend(element(tokens)?);
    Ok(change)
}

/// A column's new type, default, and whether it may be NULL: a change each.
fn modify(tokens: &[Token]) -> Result<Vec<Vec<Token>>, OracleError> {
    let name = expression::names(slice(tokens, 0, 1));
    let mut changes = Vec::new();
    let mut alter = |rest: Vec<Token>| {
        let mut change = vec![made("ALTER COLUMN")];
        change.extend(name.clone());
        change.extend(rest);
        changes.push(change);
    };
    let mut rest = without_storage(&slice(tokens, 1, tokens.len()));
    if rest.last().is_some_and(|token| token.is("NULL")) {
        rest.pop();
        let is_not = rest.last().is_some_and(|token| token.is("NOT"));
        if is_not {
            rest.pop();
        }
        alter(vec![made(if is_not { "SET NOT NULL" } else { "DROP NOT NULL" })]);
    }
    if let Some(start) = rest.iter().position(|token| token.is("DEFAULT")) {
        let mut change = vec![made("SET DEFAULT")];
        change.extend(expression::rewrite(slice(&rest, start + 1, rest.len()))?);
        alter(change);
        rest.truncate(start);
    }
    if !rest.is_empty() {
        let (data_type, _) = data_type(&rest)?;
        alter(vec![made(format!("TYPE {data_type}"))]);
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn types_of_columns_are_postgres_s() {
        check(
            "CREATE TABLE t (id NUMBER(19) NOT NULL, n NUMBER, d NUMBER(10,2) DEFAULT 0, s VARCHAR2(20 CHAR), b VARCHAR2(20), \
             at DATE DEFAULT SYSDATE, ts TIMESTAMP(3), tz TIMESTAMP WITH TIME ZONE, c CLOB, r RAW(16), \
             CONSTRAINT pk PRIMARY KEY (id) USING INDEX TABLESPACE users) TABLESPACE users PCTFREE 10 PARTITION BY HASH (id)",
            "CREATE TABLE t ( id numeric(19) NOT NULL , n numeric , d numeric(10,2) DEFAULT 0 , s varchar(20) , \
             b oracle_standin.varchar2(20) , at timestamp(0) DEFAULT oracle_standin.sysdate() , ts timestamp(3) , \
             tz timestamptz(6) , c oracle_standin.clob , r oracle_standin.raw(16) , CONSTRAINT pk PRIMARY KEY ( id ) )",
        );
        check(
            "CREATE TABLE t (id NUMBER GENERATED BY DEFAULT ON NULL AS IDENTITY)",
            "CREATE TABLE t ( id bigint GENERATED BY DEFAULT AS IDENTITY )",
        );
    }

    #[test]
    fn column_that_is_virtual_is_a_generated_one() {
        check(
            "CREATE TABLE t (id NUMBER(19), twice NUMBER(19) GENERATED ALWAYS AS (id * 2) VIRTUAL)",
            "CREATE TABLE t ( id numeric(19) , twice numeric(19) GENERATED ALWAYS AS ( id * 2 ) STORED )",
        );
    }

    #[test]
    fn tables_are_altered_column_by_column() {
        check(
            "ALTER TABLE t ADD (a NUMBER(3), b DATE)",
            "ALTER TABLE t ADD a numeric(3) , ADD b timestamp(0)",
        );
        check(
            "ALTER TABLE t ADD CONSTRAINT u UNIQUE (a)",
            "ALTER TABLE t ADD CONSTRAINT u UNIQUE ( a )",
        );
        check(
            "ALTER TABLE t MODIFY (a VARCHAR2(9) DEFAULT 'x' NOT NULL)",
            "ALTER TABLE t ALTER COLUMN a SET NOT NULL , ALTER COLUMN a SET DEFAULT 'x' , ALTER COLUMN a TYPE oracle_standin.varchar2(9)",
        );
        check("ALTER TABLE t DROP COLUMN a", "ALTER TABLE t DROP COLUMN a");
        let refused = super::super::program("ALTER TABLE t ADD COLUMN a NUMBER").action;
        assert_eq!(refused.unwrap_err().code, 904, "as Oracle does");
        let refused = super::super::program("CREATE TABLE t (raw RAW(4))").action;
        assert_eq!(refused.unwrap_err().code, 904, "a reserved word");
        check(
            "CREATE TABLE t (\"RAW\" RAW(4))",
            "CREATE TABLE t ( \"raw\" oracle_standin.raw(4) )",
        );
        check("ALTER TABLE t RENAME COLUMN a TO b", "ALTER TABLE t RENAME COLUMN a TO b");
    }

    #[test]
    fn sequences_indexes_and_drops_lose_what_is_oracle_s_alone() {
        check(
            "CREATE SEQUENCE s START WITH 5 NOCACHE NOCYCLE MAXVALUE 9999999999999999999999",
            "CREATE SEQUENCE s START WITH 5 NO CYCLE MAXVALUE 9223372036854775807",
        );
        check(
            "CREATE UNIQUE INDEX i ON t (a, b DESC) TABLESPACE x ONLINE",
            "CREATE UNIQUE INDEX i ON t ( a , b DESC )",
        );
        check("DROP TABLE t CASCADE CONSTRAINTS PURGE", "DROP TABLE t CASCADE");
    }
}
