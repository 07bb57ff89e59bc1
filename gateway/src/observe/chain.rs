//! An error and what caused it, for people to read.

/// An error with its causes, on one line; a cause that its effect tells already is not told again.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.ends_with(&told) {
            text = format!("{text}: {told}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn cause_that_is_told_already_is_not_told_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("connection: {0}")]
        struct Telling(#[source] io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("it failed")]
        struct Silent(#[source] Telling);
        let error = Silent(Telling(io::Error::other("refused")));
        assert_eq!(chain(&error), "it failed: connection: refused");
    }
}
