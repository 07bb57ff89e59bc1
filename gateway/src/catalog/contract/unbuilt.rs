//! Keys that nothing runs yet: read as strictly as the others, then refused at load.

use super::Decl;
use super::reader::{Fault, Reader};

/// `primary`, which is where everything goes; `replica max_lag=2s`, which is not built.
pub(super) fn route(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    if reader.eat_word("primary") {
        return Ok(Decl::Flag);
    }
    reader.expect_word("replica")?;
    reader.options(|reader, option| Ok(option == "max_lag" && reader.duration().map(|_| true)?))?;
    Ok(Decl::Unbuilt)
}

/// A parameter, or several.
pub(super) fn names(reader: &mut Reader<'_>) -> Result<Decl, Fault> {
    reader.list(|reader| reader.name().map(drop))?;
    Ok(Decl::Unbuilt)
}
