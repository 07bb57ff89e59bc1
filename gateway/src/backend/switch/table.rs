//! A table as its database describes it.

use crate::config::{Dialect, Zone};

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// As the database's dictionary has it.
    pub name: Box<str>,
    /// Columns that can be written, in their order.
    pub columns: Vec<Column>,
    /// Names of the columns of the primary key, in its order; empty: there is none.
    pub key: Vec<Box<str>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// As the database's dictionary has it.
    pub name: Box<str>,
    /// Its type in the database's words.
    pub native: Box<str>,
    /// Which values it holds.
    pub form: Form,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whose clocks its moments show: of a column of Oracle that says no zone.
    pub local: Option<Zone>,
}

/// Which values a column holds, as far as its declaration says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Whole numbers of 64 bits at most.
    Integer,
    /// Whole numbers of 64 bits without a sign.
    Unsigned,
    /// Decimal numbers.
    Decimal {
        /// Digits.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// Numbers of any digits: Oracle's NUMBER.
    Number,
    /// Binary floating-point numbers.
    Float,
    /// Text; `padded`: with blanks that are none of the value.
    Text {
        /// CHAR.
        padded: bool,
    },
    /// SQLite's TEXT: texts, and in their text form decimals, days, moments and JSON.
    Written,
    /// Bytes.
    Bytes,
    /// Days.
    Date,
    /// Moments.
    Moment {
        /// Digits after the second.
        fraction: u8,
    },
    /// Oracle's DATE: days, or moments without a fraction.
    DayOrMoment,
    /// JSON.
    Json,
    /// Anything: SQLite's columns without a type.
    Any,
    /// What no form here is for: TIME, geometry, rows of objects.
    Other,
}

/// The form of a column of MySQL or MariaDB.
///
/// - `kind`: `information_schema.columns.data_type`; `full`: `column_type`.
pub(super) fn mysql_form(
    kind: &str,
    full: &str,
    precision: Option<u8>,
    scale: Option<u8>,
    fraction: Option<u8>,
) -> Form {
    match kind {
        "bigint" if full.contains("unsigned") => Form::Unsigned,
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "year" => Form::Integer,
        "bit" => Form::Unsigned,
        "decimal" => match (precision, scale) {
            (Some(precision), Some(scale)) => Form::Decimal { precision, scale },
            _ => Form::Other,
        },
        "float" | "double" => Form::Float,
        "char" => Form::Text { padded: true },
        "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set" => {
            Form::Text { padded: false }
        }
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => Form::Bytes,
        "date" => Form::Date,
        "datetime" | "timestamp" => Form::Moment { fraction: fraction.unwrap_or(0) },
        "json" => Form::Json,
        _ => Form::Other,
    }
}

/// The form of a column of SQLite, by the rules of "Determination Of Column Affinity".
pub(super) fn sqlite_form(declared: &str) -> Form {
    let upper = declared.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| upper.contains(word));
    if has(&["INT", "BOOL"]) {
        Form::Integer
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Form::Written
    } else if has(&["BLOB"]) {
        Form::Bytes
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Form::Float
    } else {
        Form::Any
    }
}

/// The form of a column of Oracle.
///
/// - `kind`: `user_tab_cols.data_type`.
pub(super) fn oracle_form(kind: &str, precision: Option<u8>, scale: Option<u8>) -> Form {
    match (kind, precision, scale) {
        ("NUMBER", Some(precision), Some(0)) if precision <= 19 => Form::Integer,
        ("NUMBER", Some(precision), Some(scale)) => Form::Decimal { precision, scale },
        // NUMBER(*,0), which is what INTEGER becomes.
        ("NUMBER", None, Some(0)) => Form::Decimal { precision: 38, scale: 0 },
        ("NUMBER", _, _) => Form::Number,
        ("BINARY_FLOAT" | "BINARY_DOUBLE" | "FLOAT", _, _) => Form::Float,
        ("CHAR" | "NCHAR", _, _) => Form::Text { padded: true },
        ("VARCHAR2" | "NVARCHAR2" | "CLOB" | "NCLOB", _, _) => Form::Text { padded: false },
        ("RAW" | "BLOB", _, _) => Form::Bytes,
        ("DATE", _, _) => Form::DayOrMoment,
        ("JSON", _, _) => Form::Json,
        // TIMESTAMP(6), TIMESTAMP(6) WITH TIME ZONE: the digits are its scale.
        (kind, _, scale) if kind.starts_with("TIMESTAMP") => {
            Form::Moment { fraction: scale.unwrap_or(6).min(6) }
        }
        _ => Form::Other,
    }
}

/// Names of one table in two dialects are the same whatever their case.
pub(super) fn same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// Which requests have taken effect.
pub(super) const REQUESTS: &str = "gateway_request";

/// Tables of the gateway's own that are not a game's: never mirrored. `gateway_request` is: a request that took
/// effect on one side has done so on the other.
pub(super) fn is_own(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("gateway_") && name != REQUESTS
}

/// Whether '' is NULL.
pub(super) const fn empty_is_null(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Oracle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_mysql_are_those_of_its_declarations() {
        let form = |kind, full| mysql_form(kind, full, Some(12), Some(2), Some(6));
        assert_eq!(form("tinyint", "tinyint(1)"), Form::Integer);
        assert_eq!(form("int", "int(10) unsigned"), Form::Integer);
        assert_eq!(form("bigint", "bigint(20) unsigned"), Form::Unsigned);
        assert_eq!(form("decimal", "decimal(12,2)"), Form::Decimal { precision: 12, scale: 2 });
        assert_eq!(form("char", "char(3)"), Form::Text { padded: true });
        assert_eq!(form("datetime", "datetime(6)"), Form::Moment { fraction: 6 });
        assert_eq!(form("time", "time"), Form::Other);
    }

    #[test]
    fn forms_of_sqlite_follow_its_affinities() {
        for (declared, form) in [
            ("INTEGER", Form::Integer),
            ("boolean", Form::Integer),
            ("VARCHAR(10)", Form::Written),
            ("TEXT", Form::Written),
            ("BLOB", Form::Bytes),
            ("double precision", Form::Float),
            ("", Form::Any),
            ("DECIMAL(10,2)", Form::Any),
        ] {
            assert_eq!(sqlite_form(declared), form, "{declared}");
        }
    }

    #[test]
    fn forms_of_oracle_follow_precision_and_scale() {
        assert_eq!(oracle_form("NUMBER", Some(19), Some(0)), Form::Integer);
        let large = Form::Decimal { precision: 20, scale: 0 };
        assert_eq!(oracle_form("NUMBER", Some(20), Some(0)), large);
        assert_eq!(oracle_form("NUMBER", None, None), Form::Number);
        assert_eq!(oracle_form("DATE", None, None), Form::DayOrMoment);
        let moment = oracle_form("TIMESTAMP(3) WITH TIME ZONE", None, Some(3));
        assert_eq!(moment, Form::Moment { fraction: 3 });
        assert_eq!(oracle_form("INTERVAL DAY(2) TO SECOND(6)", Some(2), Some(6)), Form::Other);
    }

    #[test]
    fn requests_are_mirrored_and_other_tables_of_the_gateway_are_not() {
        assert!(!is_own("gateway_request") && !is_own("player"));
        assert!(is_own("gateway_migration") && is_own("GATEWAY_OUTBOX"));
    }
}
