//! `@kind`, `@require`, `@on` and `@include`: what an operation is, refuses and brings along.

use gateway_protocol::{BusinessCode, OpId};

use super::reader::{Fault, Reader};
use crate::catalog::{BusinessError, Comparison, Kind};

/// `@kind`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KindDecl {
    /// What is built, and what no row means (`one` only).
    Built(Kind, Option<BusinessError>),
    /// `tx`: its statements are steps.
    Tx,
    /// `batch`, `call`.
    Later(&'static str),
}

/// `@require left op right else …`.
#[derive(Clone, Debug)]
pub(crate) struct RequireDecl {
    pub(crate) left: Box<str>,
    pub(crate) comparison: Comparison,
    pub(crate) right: RequireRight,
    pub(crate) error: BusinessError,
}

/// The right side of a `@require`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequireRight {
    Param(Box<str>),
    Literal(Box<str>),
}

/// `@include name = op(args)`.
#[derive(Clone, Debug)]
pub(crate) struct IncludeDecl {
    pub(crate) name: Box<str>,
    pub(crate) op: OpId,
    /// The included operation's parameter, and ours.
    pub(crate) args: Vec<(Box<str>, Box<str>)>,
}

pub(super) fn kind(reader: &mut Reader<'_>) -> Result<KindDecl, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    Ok(match reader.name()? {
        "one" => {
            let not_found =
                reader.eat_word("else").then(|| business_error(reader, 404)).transpose()?;
            KindDecl::Built(Kind::One, not_found)
        }
        "optional" => KindDecl::Built(Kind::Optional, None),
        "many" => KindDecl::Built(Kind::Many, None),
        "page" => KindDecl::Built(Kind::Page, None),
        "exec" => KindDecl::Built(Kind::Exec, None),
        "tx" => {
            reader.options(|reader, option| {
                let known = ["read_committed", "repeatable_read", "serializable"];
                if option != "isolation" {
                    return Ok(false);
                }
                if !known.iter().any(|level| reader.eat_word(level)) {
                    return reader.fault("no such isolation", format!("use {}", known.join(", ")));
                }
                Ok(true)
            })?;
            KindDecl::Tx
        }
        "batch" => KindDecl::Later("batch"),
        "call" => KindDecl::Later("call"),
        other => {
            let fix = "use one, optional, many, page, exec, tx, batch, call";
            return Err(Fault::new(at, format!("there is no kind `{other}`"), fix));
        }
    })
}

/// `2103 ITEM_NOT_ENOUGH [409]`.
pub(crate) fn business_error(
    reader: &mut Reader<'_>,
    default_status: u16,
) -> Result<BusinessError, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let number: u16 = reader.number()?;
    let code = BusinessCode::new(number).ok_or_else(|| {
        Fault::new(at, format!("{number} is not a template's code"), "choose one of 2100 to 2999")
    })?;
    let at = {
        reader.rest();
        reader.at()
    };
    let name = reader.name()?;
    if name.contains(|c: char| c.is_ascii_lowercase()) {
        return Err(Fault::new(
            at,
            format!("`{name}` is not a code's name"),
            "write it in upper case",
        ));
    }
    let mut status = default_status;
    if reader.eat("[") {
        let at = reader.at();
        status = reader.number()?;
        reader.expect("]")?;
        if !(400..=599).contains(&status) {
            return Err(Fault::new(
                at,
                format!("{status} is not an error's status"),
                "write 400 to 599",
            ));
        }
    }
    Ok(BusinessError { code, name: name.into(), status })
}

pub(super) fn require(reader: &mut Reader<'_>) -> Result<RequireDecl, Fault> {
    let left = reader.name()?.into();
    let signs = [
        ("<>", Comparison::Ne),
        ("<=", Comparison::Le),
        (">=", Comparison::Ge),
        ("=", Comparison::Eq),
        ("<", Comparison::Lt),
        (">", Comparison::Gt),
    ];
    let Some((_, comparison)) = signs.into_iter().find(|(sign, _)| reader.eat(sign)) else {
        return reader.fault("a comparison is missing", "use one of = <> < <= > >=");
    };
    let quoted_or_number =
        |c: char| matches!(c, '\'' | '"' | '-' | '+' | '.') || c.is_ascii_digit();
    let right = if reader.rest().starts_with(quoted_or_number) {
        RequireRight::Literal(reader.text()?.into())
    } else {
        match reader.name()? {
            literal @ ("true" | "false") => RequireRight::Literal(literal.into()),
            name => RequireRight::Param(name.into()),
        }
    };
    reader.expect_word("else")?;
    Ok(RequireDecl { left, comparison, right, error: business_error(reader, 422)? })
}

pub(super) fn on(reader: &mut Reader<'_>) -> Result<(Box<str>, BusinessError), Fault> {
    reader.expect_word("duplicate_key")?;
    reader.expect_word("else")?;
    Ok(("duplicate_key".into(), business_error(reader, 409)?))
}

pub(super) fn include(reader: &mut Reader<'_>) -> Result<IncludeDecl, Fault> {
    let name = reader.name()?.into();
    reader.expect("=")?;
    let at = {
        reader.rest();
        reader.at()
    };
    let op = OpId::new(reader.path()?).map_err(|error| {
        Fault::new(at, error.to_string(), "write an operation's name: `item.list_by_player`")
    })?;
    reader.expect("(")?;
    if reader.eat(")") {
        return Ok(IncludeDecl { name, op, args: Vec::new() });
    }
    let args = reader.list(|reader| {
        let first: Box<str> = reader.name()?.into();
        let second = if reader.eat("=") { reader.name()?.into() } else { first.clone() };
        Ok((first, second))
    })?;
    reader.expect(")")?;
    Ok(IncludeDecl { name, op, args })
}
