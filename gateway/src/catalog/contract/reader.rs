//! Reads a header value from left to right.

use std::time::Duration;

/// Why a value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte of the value at which it went wrong.
    pub(crate) at: usize,
    pub(crate) message: String,
    pub(crate) fix: String,
}

impl Fault {
    pub(crate) fn new(at: usize, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { at, message: message.into(), fix: fix.into() }
    }
}

/// A place in a value.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// What is left, without leading white space.
    pub(crate) fn rest(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.rest().is_empty()
    }

    pub(crate) fn fault<T>(
        &self,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Result<T, Fault> {
        Err(Fault::new(self.at, message, fix))
    }

    /// Takes `sign` if it is next.
    pub(crate) fn eat(&mut self, sign: &str) -> bool {
        let next = self.rest().starts_with(sign);
        if next {
            self.at += sign.len();
        }
        next
    }

    pub(crate) fn expect(&mut self, sign: &str) -> Result<(), Fault> {
        if self.eat(sign) {
            return Ok(());
        }
        let got = shown(self.rest());
        self.fault(format!("expected `{sign}`, got {got}"), format!("write `{sign}` here"))
    }

    /// Takes `word` if it is next as a whole word, in any case.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        self.rest();
        let next = self.clone().name().is_ok_and(|name| name.eq_ignore_ascii_case(word));
        if next {
            self.at += word.len();
        }
        next
    }

    pub(crate) fn expect_word(&mut self, word: &str) -> Result<(), Fault> {
        if self.eat_word(word) {
            return Ok(());
        }
        let got = shown(self.rest());
        self.fault(format!("expected `{word}`, got {got}"), format!("write `{word}` here"))
    }

    /// A name: letters, digits, `_`, not beginning with a digit.
    pub(crate) fn name(&mut self) -> Result<&'a str, Fault> {
        let rest = self.rest();
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            let message = format!("expected a name, got {}", shown(rest));
            return self.fault(message, "a name is letters, digits and `_`");
        }
        self.at += end;
        Ok(name)
    }

    /// A name with dots.
    pub(crate) fn path(&mut self) -> Result<&'a str, Fault> {
        let start = {
            self.rest();
            self.at
        };
        self.name()?;
        while self.text.get(self.at..).is_some_and(|rest| rest.starts_with('.')) {
            self.at += 1;
            self.name()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self) -> Result<T, Fault> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest.get(..end).unwrap_or_default().parse() else {
            let message = format!("expected a number, got {}", shown(rest));
            return self.fault(message, "write a whole number that fits");
        };
        self.at += end;
        Ok(number)
    }

    /// Text up to white space; or in quotes, doubled where they are meant.
    pub(crate) fn text(&mut self) -> Result<String, Fault> {
        let rest = self.rest();
        let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let text = rest.get(..end).unwrap_or_default();
            if text.is_empty() {
                return self.fault("a value is missing", "write the value");
            }
            self.at += end;
            return Ok(text.to_owned());
        };
        let mut text = String::new();
        let mut characters = rest.char_indices().skip(1).peekable();
        while let Some((index, character)) = characters.next() {
            if character != quote {
                text.push(character);
            } else if characters.next_if(|(_, next)| *next == quote).is_some() {
                text.push(quote);
            } else {
                self.at += index + 1;
                return Ok(text);
            }
        }
        self.fault("a quoted value does not end", format!("close it with {quote}"))
    }

    /// Text up to the first of `ends`, trimmed; may be empty.
    pub(crate) fn until(&mut self, ends: &[char]) -> &'a str {
        let rest = self.rest();
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default().trim()
    }

    /// `500ms`, `10s`, `5m`, `2h`, `1d`.
    pub(crate) fn duration(&mut self) -> Result<Duration, Fault> {
        let start = {
            self.rest();
            self.at
        };
        let number: u64 = self.number()?;
        let unit = self.name().unwrap_or_default();
        let factor_ms = match unit {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000),
            _ => None,
        };
        let duration = factor_ms.and_then(|factor: u64| number.checked_mul(factor));
        duration.map(Duration::from_millis).ok_or_else(|| {
            Fault::new(
                start,
                "not a length of time",
                "write a number and one of ms, s, m, h, d: `10m`",
            )
        })
    }

    /// `name=value` options to the end, each at most once; `read` takes what follows the `=`.
    pub(crate) fn options(
        &mut self,
        mut read: impl FnMut(&mut Self, &str) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let mut seen = Vec::new();
        while !self.is_empty() {
            let at = self.at;
            let name = self.name()?;
            if seen.contains(&name) {
                return Err(Fault::new(at, format!("`{name}=` stands twice"), "keep one of them"));
            }
            self.expect("=")?;
            if !read(self, name)? {
                return Err(Fault::new(
                    at,
                    format!("there is no option `{name}=` here"),
                    "remove it",
                ));
            }
            seen.push(name);
        }
        Ok(())
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        if self.is_empty() {
            return Ok(());
        }
        let got = shown(self.rest());
        self.fault(format!("did not expect {got}"), "remove it")
    }

    /// Items between commas; a comma at the end is taken, for lists that go on in the next line.
    pub(crate) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut items = vec![item(self)?];
        while self.eat(",") {
            if self.is_empty() {
                break;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }
}

fn shown(rest: &str) -> String {
    if rest.is_empty() {
        return "the end of the line".to_owned();
    }
    let word: String = rest.chars().take_while(|c| !c.is_whitespace()).take(24).collect();
    format!("`{word}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_fit_64_bits() {
        let duration = |text: &str| Reader::new(text).duration();
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration(" 2h"), Ok(Duration::from_hours(2)));
        assert_eq!(duration("1d"), Ok(Duration::from_hours(24)));
        for bad in
            ["", "5", "5 minutes", "m", "-5s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn quoted_text_has_spaces_and_doubled_quotes() {
        let text = |value: &str| Reader::new(value).text();
        assert_eq!(text("^a$ rest"), Ok("^a$".into()));
        assert_eq!(text("'a b' rest"), Ok("a b".into()));
        assert_eq!(text("'it''s' rest"), Ok("it's".into()));
        assert_eq!(text("\"\""), Ok(String::new()));
        assert!(text("'a").is_err() && text("").is_err());
    }

    #[test]
    fn lists_take_a_comma_at_the_end_and_none_in_the_middle() {
        let list = |text: &str| Reader::new(text).list(|reader| reader.name().map(str::to_owned));
        assert_eq!(list("a, b,"), Ok(vec!["a".into(), "b".into()]));
        assert!(list("a,,b").is_err() && list("").is_err() && list(",").is_err());
    }
}
