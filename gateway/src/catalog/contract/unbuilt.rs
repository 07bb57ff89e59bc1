//! Keys that nothing runs yet: read as strictly as the others, then refused at load.

use super::reader::{Fault, Reader};
use super::{Decl, Read};

/// `primary`, which is where everything goes; `replica max_lag=2s`, which is not built.
pub(super) fn route(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    if reader.eat_word("primary") {
        return Ok(Decl::Flag);
    }
    reader.expect_word("replica")?;
    reader.options(|reader, option| Ok(option == "max_lag" && reader.duration().map(|_| true)?))?;
    Ok(Decl::Unbuilt(Vec::new()))
}

/// `x = step.col`.
pub(super) fn returned(reader: &mut Reader<'_>) -> Read {
    let name = reader.name()?.into();
    reader.expect("=")?;
    reader.name()?;
    reader.expect(".")?;
    reader.name()?;
    Ok((Some(name), Decl::Unbuilt(Vec::new())))
}

/// `step NAME`.
pub(super) fn replace(reader: &mut Reader<'_>) -> Read {
    reader.expect_word("step")?;
    let name = reader.name()?.into();
    Ok((Some(name), Decl::Unbuilt(Vec::new())))
}

/// `key=request_id ttl=24h`.
pub(super) fn idempotent(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    let mut params = Vec::new();
    reader.options(|reader, option| {
        match option {
            "key" => params.push(reader.name()?.into()),
            "ttl" => drop(reader.duration()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if params.is_empty() {
        return reader.fault("`key=` is missing", "name the parameter: `key=request_id`");
    }
    Ok(Decl::Unbuilt(params))
}

/// `max=500 linger=5ms dead=10`.
pub(super) fn asynchronous(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    reader.options(|reader, option| {
        match option {
            "max" | "dead" => drop(positive(reader)?),
            "linger" => drop(reader.duration()?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Decl::Unbuilt(Vec::new()))
}

/// `3 on=deadlock,lock_timeout`.
pub(super) fn retry(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    positive(reader)?;
    reader.options(|reader, option| {
        if option != "on" {
            return Ok(false);
        }
        reader.list(|reader| {
            let known = ["deadlock", "lock_timeout"];
            if known.iter().any(|cause| reader.eat_word(cause)) {
                return Ok(());
            }
            reader.fault("no such cause", format!("use {}", known.join(", ")))
        })?;
        Ok(true)
    })?;
    Ok(Decl::Unbuilt(Vec::new()))
}

/// An event's name.
pub(super) fn emit(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    reader.path()?;
    Ok(Decl::Unbuilt(Vec::new()))
}

fn positive(reader: &mut Reader<'_>) -> Result<u32, Fault> {
    let number = reader.number()?;
    if number == 0 {
        return reader.fault("the number is 0", "write 1 or more");
    }
    Ok(number)
}
