//! Header fields by name, whoever parsed them and wherever an answer's go.
//!
//! What a request means is read through [`Fields`], what an answer tells is put into a [`Sink`]: hyper's way and the plain one
//! share every rule about them.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

/// A request's header fields.
pub(super) trait Fields {
    /// The values of a name, in order.
    fn all<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]>;

    /// The first value of a name.
    fn first(&self, name: &HeaderName) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Whether a name stands there.
    fn has(&self, name: &HeaderName) -> bool {
        self.first(name).is_some()
    }
}

impl Fields for HeaderMap {
    fn all<'f>(&'f self, name: &HeaderName) -> impl Iterator<Item = &'f [u8]> {
        self.get_all(name).iter().map(HeaderValue::as_bytes)
    }
}

/// A value as text; `None`: it has other bytes than visible ASCII, spaces and tabs.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let rest = value.get(printable_bytes(value)..).unwrap_or_default();
    let is_text = rest.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    if is_text { std::str::from_utf8(value).ok() } else { None }
}

/// How many bytes at the beginning are visible ASCII and spaces, as far as eight at a time tell: after those each byte is to be
/// looked at. Tokens are long.
pub(super) fn printable_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const SPACES: u64 = u64::from_ne_bytes([b' '; 8]);
    let (words, _) = bytes.as_chunks::<8>();
    let is_odd = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        let below = word.wrapping_sub(SPACES) & !word;
        let above = word.wrapping_add(ONES) | word;
        (below | above) & HIGH != 0
    };
    words.iter().position(is_odd).unwrap_or(words.len()) * 8
}

/// Where an answer's header fields go; each name is put once.
pub(super) trait Sink {
    /// Puts a value that is one for certain.
    fn put_static(&mut self, name: HeaderName, value: &'static str);

    /// Puts a value made of parts. False: no field can hold it, and nothing was put.
    fn put(&mut self, name: HeaderName, parts: &[&str]) -> bool;
}

impl Sink for HeaderMap {
    fn put_static(&mut self, name: HeaderName, value: &'static str) {
        self.insert(name, HeaderValue::from_static(value));
    }

    fn put(&mut self, name: HeaderName, parts: &[&str]) -> bool {
        let value = HeaderValue::from_maybe_shared(Bytes::from(parts.concat()));
        value.map(|value| self.insert(name, value)).is_ok()
    }
}

/// Whether a field can hold this: what [`HeaderValue`] takes.
pub(super) fn is_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let rest = bytes.get(printable_bytes(bytes)..).unwrap_or_default();
    rest.iter().all(|byte| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_bytes_are_counted_by_eight_up_to_the_first_other_one() {
        for length in 0..40 {
            assert_eq!(printable_bytes(&vec![b'~'; length]), length / 8 * 8);
            for (at, byte) in (0..length).flat_map(|at| (0..=u8::MAX).map(move |byte| (at, byte))) {
                let mut bytes = vec![b' '; length];
                bytes[at] = byte;
                let whole = if (b' '..=b'~').contains(&byte) {
                    length / 8
                } else {
                    at.min(length / 8 * 8) / 8
                };
                assert_eq!(printable_bytes(&bytes), whole * 8, "{byte} at {at} of {length}");
                assert_eq!(text(&bytes).is_some(), byte == b'\t' || (b' '..=b'~').contains(&byte));
            }
        }
    }

    #[test]
    fn what_is_text_and_what_a_field_can_hold_is_what_the_library_says() {
        for byte in 0..=u8::MAX {
            let value = HeaderValue::from_bytes(&[b'a', byte]);
            let expected = value.as_ref().ok().and_then(|value| value.to_str().ok());
            assert_eq!(text(&[b'a', byte]), expected, "{byte}");
        }
        for character in '\0'..'\u{200}' {
            let value = format!("a{character}b");
            assert_eq!(is_value(&value), HeaderValue::from_str(&value).is_ok(), "{character:?}");
            let mut map = HeaderMap::new();
            assert_eq!(map.put(HeaderName::from_static("x"), &["a", &value]), is_value(&value));
            assert_eq!(map.len(), usize::from(is_value(&value)));
        }
    }
}
