//! `@kind`, `@require`, `@on` and `@include`: what an operation is, refuses and brings along.

use gateway_protocol::{BusinessCode, OpId};

use super::reader::{Fault, Reader};
use super::{Decl, output, writing};
use crate::catalog::{BusinessError, Comparison, Guard, Isolation, Kind, Raised};

/// `@kind`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct KindDecl {
    pub(crate) kind: Kind,
    /// What no row means (`one` only).
    pub(crate) not_found: Option<BusinessError>,
    /// What must hold of the rows (`exec` and `batch` only).
    pub(crate) guard: Option<Guard>,
    /// Of a `tx` or a `call` that writes.
    pub(crate) isolation: Option<Isolation>,
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

/// `op(args)`.
#[derive(Clone, Debug)]
pub(crate) struct CallDecl {
    pub(crate) op: OpId,
    /// The called operation's parameter, and ours.
    pub(crate) args: Vec<(Box<str>, Box<str>)>,
}

/// `@include name = op(args)`.
#[derive(Clone, Debug)]
pub(crate) struct IncludeDecl {
    pub(crate) name: Box<str>,
    pub(crate) call: CallDecl,
}

pub(super) fn kind(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let kind = match reader.name()? {
        "one" => Kind::One,
        "optional" => Kind::Optional,
        "many" => Kind::Many,
        "page" => Kind::Page,
        "exec" => Kind::Exec,
        "tx" => Kind::Tx,
        "batch" => Kind::Batch,
        "call" => Kind::Call { writes: writes(reader)? },
        other => {
            let fix = "use one, optional, many, page, exec, tx, batch, call";
            return Err(Fault::new(at, format!("there is no kind `{other}`"), fix));
        }
    };
    let mut decl = KindDecl { kind, not_found: None, guard: None, isolation: None };
    match kind {
        Kind::One if reader.eat_word("else") => decl.not_found = Some(business_error(reader, 404)?),
        Kind::Exec | Kind::Batch => decl.guard = writing::kind_guard(reader)?,
        Kind::Tx | Kind::Call { writes: true } => decl.isolation = writing::isolation(reader)?,
        Kind::One | Kind::Optional | Kind::Many | Kind::Page | Kind::Call { writes: false } => {}
    }
    Ok(Decl::Kind(decl))
}

/// What a procedure does cannot be seen, so it is said: `reads` or `writes`.
fn writes(reader: &mut Reader<'_>) -> Result<bool, Fault> {
    let writes = reader.eat_word("writes");
    if !writes && !reader.eat_word("reads") {
        let fix = "write `call reads` or `call writes`";
        return reader.fault("whether the procedure reads or writes is missing", fix);
    }
    Ok(writes)
}

/// `=`, `<>`, `<`, `<=`, `>`, `>=`.
pub(crate) fn comparison(reader: &mut Reader<'_>) -> Result<Comparison, Fault> {
    for (other, ours) in [("==", "="), ("!=", "<>"), ("=<", "<="), ("=>", ">=")] {
        if reader.rest().starts_with(other) {
            return reader
                .fault(format!("`{other}` is no comparison here"), format!("write `{ours}`"));
        }
    }
    let signs = [
        ("<>", Comparison::Ne),
        ("<=", Comparison::Le),
        (">=", Comparison::Ge),
        ("=", Comparison::Eq),
        ("<", Comparison::Lt),
        (">", Comparison::Gt),
    ];
    match signs.into_iter().find(|(sign, _)| reader.eat(sign)) {
        Some((_, comparison)) => Ok(comparison),
        None => reader.fault("a comparison is missing", "use one of = <> < <= > >="),
    }
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
    let number: u16 = reader.number().map_err(|fault| {
        let fix = "write a code of 2100 to 2999 and its name: `else 2101 PLAYER_NOT_FOUND`";
        Fault { fix: fix.to_owned(), ..fault }
    })?;
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
    let comparison = comparison(reader)?;
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

/// `duplicate_key else …`, `raised 20101 else …`.
pub(super) fn on(reader: &mut Reader<'_>) -> Result<(Box<str>, Decl), Fault> {
    if reader.eat_word("raised") {
        let number = output::raised(reader)?;
        reader.expect_word("else")?;
        let raised = Raised { number, error: business_error(reader, 409)? };
        return Ok((format!("raised {number}").into(), Decl::OnRaised(raised)));
    }
    reader.expect_word("duplicate_key")?;
    reader.expect_word("else")?;
    Ok(("duplicate_key".into(), Decl::OnDuplicate(business_error(reader, 409)?)))
}

pub(super) fn include(reader: &mut Reader<'_>) -> Result<IncludeDecl, Fault> {
    let name = reader.name()?.into();
    reader.expect("=")?;
    Ok(IncludeDecl { name, call: call(reader)? })
}

/// `player.get(player_id)`, `player.get(id = player_id)`: an operation and its arguments.
pub(super) fn call(reader: &mut Reader<'_>) -> Result<CallDecl, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let op = OpId::new(reader.path()?).map_err(|error| {
        Fault::new(at, error.to_string(), "write an operation's name: `item.list_by_player`")
    })?;
    reader.expect("(")?;
    if reader.eat(")") {
        return Ok(CallDecl { op, args: Vec::new() });
    }
    let args = reader.list(|reader| {
        let first: Box<str> = reader.name()?.into();
        let second = if reader.eat("=") { reader.name()?.into() } else { first.clone() };
        Ok((first, second))
    })?;
    reader.expect(")")?;
    Ok(CallDecl { op, args })
}
