//! `@page` and `@order`: which way rows come, and how many.

use super::reader::{Fault, Reader};
use crate::catalog::Direction;

/// Most rows that a page may have.
const PAGE_COUNT_MAX: u32 = 10_000;
/// A page's default and max when they are not written.
const PAGE_DEFAULT: (u32, u32) = (50, 200);
/// Most columns of an order: the seek predicate grows with their square.
const COLUMN_COUNT_MAX: usize = 8;

/// A column of an order, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderColumn {
    pub(crate) sql: Box<str>,
    pub(crate) direction: Direction,
}

/// `@order name = …`.
#[derive(Clone, Debug)]
pub(crate) struct OrderDecl {
    pub(crate) name: Box<str>,
    pub(crate) columns: Vec<OrderColumn>,
}

/// `@page keyset = …`.
#[derive(Clone, Debug)]
pub(crate) struct PageDecl {
    pub(crate) keyset: PageKeyset,
    pub(crate) default_count: u32,
    pub(crate) count_max: u32,
}

/// What a page is ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageKeyset {
    Columns(Vec<OrderColumn>),
    /// `@sort`: the chosen `@order`.
    Sort,
}

pub(super) fn order(reader: &mut Reader<'_>) -> Result<OrderDecl, Fault> {
    let name = reader.name()?.into();
    reader.expect("=")?;
    Ok(OrderDecl { name, columns: columns(reader)? })
}

pub(super) fn page(reader: &mut Reader<'_>) -> Result<PageDecl, Fault> {
    reader.expect_word("keyset")?;
    reader.expect("=")?;
    let keyset =
        if reader.eat("@sort") { PageKeyset::Sort } else { PageKeyset::Columns(columns(reader)?) };
    let at = reader.at();
    let (mut default_count, mut count_max) = (None, None);
    reader.options(|reader, option| {
        match option {
            "default" => default_count = Some(reader.number()?),
            "max" => count_max = Some(reader.number()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let count_max = count_max.unwrap_or(PAGE_DEFAULT.1);
    let default_count = default_count.unwrap_or(PAGE_DEFAULT.0.min(count_max));
    if default_count == 0 || default_count > count_max || count_max > PAGE_COUNT_MAX {
        let fix = format!("choose 1 <= default <= max <= {PAGE_COUNT_MAX}");
        return Err(Fault::new(at, "default and max do not go together", fix));
    }
    Ok(PageDecl { keyset, default_count, count_max })
}

fn columns(reader: &mut Reader<'_>) -> Result<Vec<OrderColumn>, Fault> {
    let at = reader.at();
    let columns = reader.list(|reader| {
        let sql = reader.path()?.into();
        let direction = if reader.eat_word("desc") {
            Direction::Desc
        } else {
            reader.eat_word("asc");
            Direction::Asc
        };
        Ok(OrderColumn { sql, direction })
    })?;
    let twice =
        columns.iter().enumerate().any(|(i, c)| columns.iter().take(i).any(|d| d.sql == c.sql));
    if twice || columns.len() > COLUMN_COUNT_MAX {
        let fix = format!("name each column once, at most {COLUMN_COUNT_MAX}");
        return Err(Fault::new(at, "the columns are not distinct or too many", fix));
    }
    Ok(columns)
}
