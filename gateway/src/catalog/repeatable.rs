//! Whether a read gives the same answer on two databases that hold the same rows, as far as its text tells.
//!
//! An order that the statement leaves open is the database's to choose, and so are the rows behind a limit without one.
//! Who compares answers asks here first: what may differ by itself is no divergence.

use super::Template;
use super::check::{locks, order};
use super::lexer;
use super::plan::Piece;
use super::statement::{Code, Statement};

/// Functions that answer otherwise at each call, or on each server. The databases' clocks are refused at load.
const UNSTEADY: [&str; 10] = [
    "rand",
    "random",
    "randomblob",
    "dbms_random",
    "uuid",
    "sys_guid",
    "connection_id",
    "last_insert_id",
    "last_insert_rowid",
    "found_rows",
];
/// What a statement has that gives some of its rows only.
const LIMITS: [&str; 3] = ["limit", "fetch", "rownum"];

/// The order of an answer's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowOrder {
    /// None is asked for.
    Any,
    /// By these columns of the result (indexes); rows that are equal in them come in any order.
    By(Vec<usize>),
    /// A page's: the columns of the keyset that the request chose.
    Keyset,
    /// By something that is not in the result.
    Hidden,
}

/// What of an answer is the same wherever the same rows are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// The order of its rows.
    pub order: RowOrder,
    /// Whether the statement has a limit of its own: which of the rows that are equal in the order's columns are the
    /// last ones is the database's to choose then.
    pub is_cut: bool,
}

impl Repeatable {
    /// Looks at a read.
    ///
    /// # Errors
    ///
    /// A sentence that says why no two answers of it can be compared.
    pub fn of(template: &Template) -> Result<Self, String> {
        if template.kind.is_write() {
            return Err("it writes".to_owned());
        }
        if template.procedure.is_some() {
            return Err("what a procedure does, and in which order, cannot be seen".to_owned());
        }
        let text = flat(template);
        let tokens = lexer::lex(&text, template.dialect, 1)
            .map_err(|fault| format!("its text cannot be read: {}", fault.message))?;
        let statement = Statement::new(tokens.into_iter().map(|token| (token, false)));
        if !locks(&statement).is_empty() {
            return Err("it locks rows".to_owned());
        }
        if let Some(name) = unsteady(&statement.code) {
            return Err(format!(
                "`{name}` is another value on each database: bind what the gateway supplies"
            ));
        }
        if template.page.is_some() {
            return Ok(Self { order: RowOrder::Keyset, is_cut: false });
        }
        let code = &statement.code;
        let is_limit = |(index, one): (usize, &Code<'_>)| {
            LIMITS.iter().any(|word| one.token.is_word(word)) && !is_name(code, index)
        };
        let is_cut = code.iter().enumerate().any(is_limit);
        let order = row_order(template, &order(&statement));
        match order {
            RowOrder::Any if is_cut => {
                Err("it has a limit and no ORDER BY: any rows may come".to_owned())
            }
            RowOrder::Hidden if is_cut => {
                Err("it has a limit, and its ORDER BY is not by columns of the result".to_owned())
            }
            order => Ok(Self { order, is_cut }),
        }
    }
}

/// The whole text that a request can make of it, binds as `?`.
fn flat(template: &Template) -> String {
    fn push(text: &mut String, pieces: &[Piece]) {
        for piece in pieces {
            match piece {
                Piece::Text(sql) => text.push_str(sql),
                Piece::Bind(_) => text.push('?'),
                Piece::List(_) => text.push_str("(?)"),
                Piece::Optional { pieces, .. } => push(text, pieces),
                Piece::Keyset | Piece::Sort => {}
            }
        }
    }
    let mut text = String::new();
    push(&mut text, &template.plan.pieces);
    text
}

/// Whether the word there is a name: behind a point, or an alias.
fn is_name(code: &[Code<'_>], index: usize) -> bool {
    let before = index.checked_sub(1).and_then(|at| code.get(at));
    before.is_some_and(|before| before.token.is_punct(".") || before.token.is_word("as"))
}

/// The first function of a statement that is another value on each database.
fn unsteady(code: &[Code<'_>]) -> Option<String> {
    code.iter().enumerate().find_map(|(index, one)| {
        let token = one.token;
        let is_listed = UNSTEADY.iter().any(|word| token.is_word(word));
        let is_called = code
            .get(index + 1)
            .is_some_and(|next| next.token.is_punct("(") || next.token.is_punct("."));
        (is_listed && is_called && !is_name(code, index)).then(|| token.text.to_ascii_uppercase())
    })
}

/// The result's columns that an ORDER BY names.
fn row_order(template: &Template, order: &[String]) -> RowOrder {
    if order.is_empty() {
        return RowOrder::Any;
    }
    let place = |name: &String| {
        let name = name.strip_suffix(" desc").unwrap_or(name);
        template.columns.iter().position(|column| *column.name == *name)
    };
    let places: Option<Vec<usize>> = order.iter().map(place).collect();
    places.map_or(RowOrder::Hidden, RowOrder::By)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Dialect;
    use crate::catalog::load::tests::{PLAYER_GET, SEARCH, template};

    const HEADER: &str = "-- @kind many\n-- @param id bigint\n-- @allow admin\n\
        -- @result a int, b string\n";

    #[track_caller]
    fn looked(body: &str, dialect: Dialect) -> Result<Repeatable, String> {
        Repeatable::of(&template(&format!("{HEADER}{body}"), dialect))
    }

    #[track_caller]
    fn check(body: &str, order: RowOrder, is_cut: bool) {
        assert_eq!(looked(body, Dialect::Mysql), Ok(Repeatable { order, is_cut }), "{body}");
    }

    #[test]
    fn order_is_that_of_the_result_where_its_columns_say_so() {
        check("SELECT t.a, t.b FROM t WHERE t.id = :id", RowOrder::Any, false);
        let by = |columns: &[usize]| RowOrder::By(columns.to_vec());
        check("SELECT t.a, t.b FROM t WHERE t.id = :id ORDER BY t.b DESC, a", by(&[1, 0]), false);
        check("SELECT t.a, t.b FROM t WHERE t.id = :id ORDER BY t.a LIMIT 5", by(&[0]), true);
        check("SELECT t.a, t.b FROM t WHERE t.id = :id ORDER BY t.c", RowOrder::Hidden, false);
        check("SELECT t.a, t.b FROM t WHERE t.id = :id ORDER BY t.a + 1", RowOrder::Hidden, false);
        let inner = "SELECT t.a, t.b FROM t WHERE t.id IN (SELECT u.id FROM u ORDER BY u.id) AND t.id = :id";
        check(inner, RowOrder::Any, false);
    }

    #[test]
    fn what_may_differ_by_itself_is_refused_with_its_reason() {
        let refused = |body: &str, dialect| looked(body, dialect).expect_err(body);
        let on_mysql = |body: &str| refused(body, Dialect::Mysql);
        let limit = "SELECT t.a, t.b FROM t WHERE t.id = :id LIMIT 5";
        assert!(on_mysql(limit).contains("no ORDER BY"));
        let hidden = "SELECT t.a, t.b FROM t WHERE t.id = :id ORDER BY t.c LIMIT 5";
        assert!(on_mysql(hidden).contains("not by columns of the result"));
        let locking = "SELECT t.a, t.b FROM t WHERE t.id = :id FOR UPDATE";
        assert!(on_mysql(locking).contains("locks"));
        for (function, dialect) in [
            ("RAND()", Dialect::Mysql),
            ("DBMS_RANDOM.VALUE", Dialect::Oracle),
            ("RANDOM()", Dialect::Sqlite),
        ] {
            let body = format!("SELECT t.a, {function} AS b FROM t WHERE t.id = :id");
            assert!(refused(&body, dialect).contains("another value"), "{function}");
        }
    }

    #[test]
    fn names_are_neither_functions_nor_limits() {
        check("SELECT t.limit AS a, t.uuid AS b FROM t WHERE t.id = :id", RowOrder::Any, false);
        check(
            "SELECT t.a, t.random AS b FROM t WHERE t.id = :id AND t.s <> 'RAND()'",
            RowOrder::Any,
            false,
        );
    }

    #[test]
    fn page_has_the_order_of_its_keyset_and_what_writes_is_refused() {
        let page = Repeatable::of(&template(SEARCH, Dialect::Mysql));
        assert_eq!(page, Ok(Repeatable { order: RowOrder::Keyset, is_cut: false }));
        assert!(Repeatable::of(&template(PLAYER_GET, Dialect::Mysql)).is_ok());
        let write = "-- @kind exec\n-- @param id bigint\n-- @allow admin\nUPDATE t SET a = 1 WHERE t.id = :id";
        assert!(Repeatable::of(&template(write, Dialect::Mysql)).is_err());
    }
}
