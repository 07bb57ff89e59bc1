//! `@param name type …`.

use std::cmp::Ordering;

use super::reader::{Fault, Reader};
use crate::catalog::types::{Side, declared};
use crate::catalog::{Pattern, Scalar, Slot, Type};

/// Most items of a list: what every driver's count of placeholders holds once padded.
const ITEM_COUNT_MAX: u32 = 10_000;
/// Most items of a list that does not say.
const ITEM_COUNT_DEFAULT: u32 = 1_000;

/// A declared parameter.
#[derive(Clone, Debug)]
pub(crate) struct ParamDecl {
    pub(crate) slot: Slot,
}

pub(super) fn param(reader: &mut Reader<'_>) -> Result<ParamDecl, Fault> {
    let name = reader.name()?;
    let ty = declared(reader, Side::Param)?;
    let item_count_max = (!ty.is_single()).then_some(ITEM_COUNT_DEFAULT);
    let mut slot = Slot { item_count_max, ..Slot::new(name, ty) };
    let start = reader.at();
    let required = reader.eat_word("required");
    let at = reader.at();
    if reader.eat_word("optional") {
        slot.required = false;
    }
    if !slot.required && matches!(slot.ty, Type::Rows(_)) {
        return Err(Fault::new(at, "rows cannot be left out", "remove `optional`"));
    }
    if required && !slot.required {
        return Err(Fault::new(start, "both required and optional", "keep one of them"));
    }
    reader.options(|reader, option| set(&mut slot, reader, option))?;
    if required && slot.default.is_some() {
        return Err(Fault::new(start, "a required parameter has no default", "remove one of them"));
    }
    if slot.default.is_some() {
        slot.required = false;
    }
    bounds_agree(&slot)
        .map_err(|message| Fault::new(start, message, "choose min <= default <= max"))?;
    Ok(ParamDecl { slot })
}

/// Takes one option; `false`: there is none of that name.
fn set(slot: &mut Slot, reader: &mut Reader<'_>, option: &str) -> Result<bool, Fault> {
    let at = reader.at();
    let is_single = slot.ty.is_single();
    let is_text = matches!(slot.ty, Type::Str { .. });
    let fits = match option {
        "min" | "max" => is_ordered(&slot.ty),
        "pattern" | "like" => is_text,
        "default" => is_single,
        "max_items" => !is_single,
        "sample" => !matches!(slot.ty, Type::Rows(_)),
        _ => return Ok(false),
    };
    if !fits {
        let message = format!("`{option}=` does not go with this type");
        let fix = "min and max go with numbers and dates, pattern and like with string, max_items with \
                   list and rows, default with single values, sample with all but rows";
        return Err(Fault::new(at, message, fix));
    }
    match option {
        "min" => slot.min = Some(scalar(slot, reader)?),
        "max" => slot.max = Some(scalar(slot, reader)?),
        "default" => slot.default = Some(scalar(slot, reader)?),
        "sample" => slot.sample = Some(sample(slot, reader)?),
        "pattern" => slot.pattern = Some(pattern(reader)?),
        "like" => {
            reader.expect_word("prefix")?;
            slot.like_prefix = true;
        }
        _ => {
            let count = reader.number()?;
            if !(1..=ITEM_COUNT_MAX).contains(&count) {
                let fix = format!("write 1 to {ITEM_COUNT_MAX}");
                return Err(Fault::new(at, format!("a list has not {count} items"), fix));
            }
            slot.item_count_max = Some(count);
        }
    }
    Ok(true)
}

const fn is_ordered(ty: &Type) -> bool {
    matches!(
        ty,
        Type::Int
            | Type::Bigint
            | Type::Decimal { .. }
            | Type::Float
            | Type::Date
            | Type::Timestamp { .. }
    )
}

fn scalar(slot: &Slot, reader: &mut Reader<'_>) -> Result<Scalar<'static>, Fault> {
    let at = reader.at();
    let text = reader.text()?;
    slot.ty
        .parse(&text)
        .map_err(|fault| Fault::new(at, fault.to_string(), "write a value of the type"))
}

/// A sample is kept as text; of a list it is one item.
fn sample(slot: &Slot, reader: &mut Reader<'_>) -> Result<Box<str>, Fault> {
    let at = reader.at();
    let text = reader.text()?;
    let items: Vec<&str> = match &slot.ty {
        Type::List(_) => text.split(',').collect(),
        _ => vec![&text],
    };
    let ty = if let Type::List(item) = &slot.ty { item } else { &slot.ty };
    for item in items {
        ty.parse(item)
            .map_err(|fault| Fault::new(at, fault.to_string(), "write a value of the type"))?;
    }
    Ok(text.into())
}

fn pattern(reader: &mut Reader<'_>) -> Result<Pattern, Fault> {
    let at = reader.at();
    let text = reader.text()?;
    // The whole text must match, whatever alternatives the pattern has.
    let whole = format!("^(?:{text})$");
    regex_lite::Regex::new(&whole).map(Pattern).map_err(|error| {
        Fault::new(at, format!("not a pattern: {error}"), "write a regular expression")
    })
}

fn bounds_agree(slot: &Slot) -> Result<(), String> {
    let above = |low: &Option<Scalar<'_>>, high: &Option<Scalar<'_>>| match (low, high) {
        (Some(low), Some(high)) => low.compare(high) == Some(Ordering::Greater),
        _ => false,
    };
    if above(&slot.min, &slot.max) {
        return Err("min is above max".to_owned());
    }
    if above(&slot.min, &slot.default) || above(&slot.default, &slot.max) {
        return Err("the default is outside min and max".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_cross_are_refused() {
        let read = |text: &str| param(&mut Reader::new(text));
        let slot = read("a int").unwrap().slot;
        let with = |min, default, max| Slot {
            min: Some(Scalar::Int(min)),
            default: Some(Scalar::Int(default)),
            max: Some(Scalar::Int(max)),
            ..slot.clone()
        };
        assert!(bounds_agree(&with(1, 1, 1)).is_ok());
        assert!(bounds_agree(&with(2, 1, 3)).is_err());
        assert!(bounds_agree(&with(1, 4, 3)).is_err());
        assert!(bounds_agree(&with(3, 3, 2)).is_err());
    }

    #[test]
    fn pattern_must_match_the_whole_text() {
        let param = param(&mut Reader::new("a string(9) pattern=a|b")).unwrap();
        let pattern = param.slot.pattern.unwrap().0;
        assert!(pattern.is_match("b") && !pattern.is_match("bb") && !pattern.is_match("xa"));
    }

    #[test]
    fn pattern_of_any_text_but_an_empty_one_says_what_its_expression_says() {
        let param = param(&mut Reader::new("a string(9) pattern=(?s).+")).unwrap();
        let pattern = param.slot.pattern.unwrap();
        for (text, matches) in [("", false), ("a", true), ("\n", true), ("a\nb", true), ("ü", true)]
        {
            assert_eq!(
                (pattern.matches(text), pattern.0.is_match(text)),
                (matches, matches),
                "{text:?}"
            );
        }
    }

    #[test]
    fn defaults_and_samples_are_of_the_type_if_the_type_says_so() {
        for (option, text) in [("default", "x"), ("sample", "x"), ("default", "5"), ("min", "5")] {
            let read = param(&mut Reader::new(&format!("a int {option}={text}")));
            assert_eq!(read.is_ok(), Type::Int.parse(text).is_ok(), "{option}={text}");
        }
    }
}
