//! Why a text is not JSON, in words for who wrote it.

use simd_json::{Error, ErrorType};

/// Says what is wrong, and at which byte, counted from 1, where the parser knows it.
pub(super) fn words(error: &Error) -> String {
    let what = match (error.error(), error.character()) {
        (ErrorType::Eof, _) => return "there is nothing in it".to_owned(),
        (ErrorType::InvalidUtf8, _) => return "it is not UTF-8".to_owned(),
        (ErrorType::InvalidEscape, Some(escape)) => {
            return format!("`\\{escape}` in a text: a `\\` is written `\\\\`");
        }
        (ErrorType::InvalidUnicodeCodepoint | ErrorType::InvalidUnicodeEscape, _) => {
            return "a text has a `\\u` without four hexadecimal digits".to_owned();
        }
        (ErrorType::Syntax, None) => {
            return "a text has no `\"` at its end, or a line break in it, which is written `\\n`"
                .to_owned();
        }
        (ErrorType::Syntax, Some(_)) => {
            return format!("it ends behind byte {}: a `}}` or `]` is missing", error.index() + 1);
        }
        (ErrorType::ExpectedObjectKey, _) => "a name in `\"` belongs behind a `,`",
        (ErrorType::ExpectedObjectColon, _) => "a `:` belongs behind a name",
        (ErrorType::ExpectedObjectContent | ErrorType::ExpectedMapComma, Some('"')) => {
            "a `,` is missing before it"
        }
        (ErrorType::ExpectedObjectContent | ErrorType::ExpectedMapComma, _) => {
            "a name in `\"`, a `,` or a `}` belongs here"
        }
        (ErrorType::ExpectedArrayContent | ErrorType::ExpectedArrayComma, _) => {
            "a `,` or a `]` belongs here"
        }
        (ErrorType::InvalidNumber, _) => {
            "no number is written like this, or it does not fit into 64 bits"
        }
        (_, Some('}' | ']')) => "a value is missing before it, or something follows it",
        _ => "no value is written like this: a text stands in `\"`",
    };
    let at = error.index() + 1;
    match error.character() {
        // Of a character of several bytes the parser knows the first.
        Some(found) if found.is_ascii_graphic() => format!("byte {at}, `{found}`: {what}"),
        _ => format!("byte {at}: {what}"),
    }
}
