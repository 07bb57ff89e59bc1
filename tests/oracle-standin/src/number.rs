//! Oracle's NUMBER: at most 40 decimal digits in base 100, and its forms here: decimal text and 22 bytes.
//!
//! The bytes: length, exponent, mantissa. A positive number's exponent byte is 193 plus the base-100 exponent, its
//! digits are stored plus one; a negative number's bytes are complements, ended by 102 when there is room.

/// Bytes of an `OCINumber`: a length byte and 21 others.
pub const NUMBER_BYTES: usize = 22;

/// Most base-100 digits of a mantissa.
const PAIRS_MAX: usize = 20;

/// A decimal number taken apart: `0.d1d2d3… * 10^point`, without leading or trailing zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    point: i32,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits = Vec::with_capacity(whole.len() + fraction.len());
        for byte in whole.bytes().chain(fraction.bytes()) {
            digits.push(byte.is_ascii_digit().then(|| byte - b'0')?);
        }
        let point = i32::try_from(whole.len()).ok()? + exponent;
        Some(Self { negative, digits, point }.trimmed())
    }

    fn trimmed(mut self) -> Self {
        let zeros = self.digits.iter().take_while(|digit| **digit == 0).count();
        self.digits.drain(..zeros);
        self.point -= i32::try_from(zeros).unwrap_or(0);
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        if self.digits.is_empty() {
            self.point = 0;
            self.negative = false;
        }
        self
    }

    fn text(&self) -> String {
        let digit = |digit: &u8| char::from(b'0' + digit);
        let mut text = String::new();
        if self.digits.is_empty() {
            return "0".to_owned();
        }
        if self.negative {
            text.push('-');
        }
        let point = usize::try_from(self.point).unwrap_or(0);
        if self.point <= 0 {
            text.push_str("0.");
            text.extend((self.point..0).map(|_| '0'));
            text.extend(self.digits.iter().map(digit));
        } else if point >= self.digits.len() {
            text.extend(self.digits.iter().map(digit));
            text.extend((self.digits.len()..point).map(|_| '0'));
        } else {
            text.extend(self.digits.iter().take(point).map(digit));
            text.push('.');
            text.extend(self.digits.iter().skip(point).map(digit));
        }
        text
    }
}

/// The shortest text of the same number: no exponent, no zeros that say nothing. `None`: it is none.
pub fn canonical(text: &str) -> Option<String> {
    Decimal::parse(text).map(|decimal| decimal.text())
}

/// The 22 bytes of a decimal text. `None`: it is no number, or too large for one.
pub fn encode(text: &str) -> Option<[u8; NUMBER_BYTES]> {
    let decimal = Decimal::parse(text)?;
    let mut bytes = [0; NUMBER_BYTES];
    if decimal.digits.is_empty() {
        bytes[0] = 1;
        bytes[1] = 128;
        return Some(bytes);
    }
    let odd = decimal.point.rem_euclid(2) == 1;
    let mut digits = Vec::with_capacity(decimal.digits.len() + 2);
    if odd {
        digits.push(0);
    }
    digits.extend_from_slice(&decimal.digits);
    if digits.len() % 2 == 1 {
        digits.push(0);
    }
    let exponent = decimal.point.div_euclid(2) + i32::from(odd);
    let mut pairs: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |sum, d| sum * 10 + d)).collect();
    let rounds_up = pairs.get(PAIRS_MAX).is_some_and(|pair| *pair >= 50);
    pairs.truncate(PAIRS_MAX);
    let exponent = exponent + carry(&mut pairs, rounds_up);
    while pairs.last() == Some(&0) {
        pairs.pop();
    }
    let exponent = u8::try_from(exponent + 192).ok().filter(|byte| *byte >= 128)?;
    let mut mantissa: Vec<u8> = if decimal.negative {
        pairs.iter().map(|pair| 101 - pair).collect()
    } else {
        pairs.iter().map(|pair| pair + 1).collect()
    };
    if decimal.negative && mantissa.len() < PAIRS_MAX {
        mantissa.push(102);
    }
    bytes[0] = u8::try_from(mantissa.len() + 1).ok()?;
    bytes[1] = if decimal.negative { !exponent } else { exponent };
    bytes.get_mut(2..2 + mantissa.len())?.copy_from_slice(&mantissa);
    Some(bytes)
}

/// Adds one to the last pair if asked; returns how far the exponent moves.
fn carry(pairs: &mut Vec<u8>, rounds_up: bool) -> i32 {
    if !rounds_up {
        return 0;
    }
    for pair in pairs.iter_mut().rev() {
        *pair += 1;
        if *pair < 100 {
            return 0;
        }
        *pair = 0;
    }
    pairs.insert(0, 1);
    pairs.truncate(PAIRS_MAX);
    1
}

/// The decimal text of an `OCINumber`. `None`: the bytes are none.
pub fn decode(bytes: &[u8]) -> Option<String> {
    let len = usize::from(*bytes.first()?);
    let (exponent, mantissa) = bytes.get(1..=len)?.split_first()?;
    let negative = exponent & 0x80 == 0;
    if mantissa.is_empty() {
        return Some("0".to_owned());
    }
    let exponent = i32::from(if negative { !exponent } else { *exponent }) - 192;
    let mantissa = match mantissa.split_last() {
        Some((102, rest)) if negative => rest,
        _ => mantissa,
    };
    let mut digits = Vec::with_capacity(mantissa.len() * 2);
    for byte in mantissa {
        let pair = if negative { 101_u8.checked_sub(*byte)? } else { byte.checked_sub(1)? };
        digits.push(pair / 10);
        digits.push(pair % 10);
    }
    Some(Decimal { negative, digits, point: exponent * 2 }.trimmed().text())
}

/// The decimal text of PostgreSQL's binary `numeric`. `None`: not a number (`NaN`, infinity, or cut off).
pub fn from_postgres(bytes: &[u8]) -> Option<String> {
    let word = |index: usize| {
        let pair = bytes.get(index * 2..index * 2 + 2)?;
        Some(i16::from_be_bytes(pair.try_into().ok()?))
    };
    let count = usize::try_from(word(0)?).ok()?;
    let weight = i32::from(word(1)?);
    let negative = match word(2)?.cast_unsigned() {
        0 => false,
        0x4000 => true,
        _ => return None,
    };
    let mut digits = Vec::with_capacity(count * 4);
    for index in 0..count {
        let group = word(4 + index)?;
        for unit in [1000, 100, 10, 1] {
            digits.push(u8::try_from(group / unit % 10).ok()?);
        }
    }
    Some(Decimal { negative, digits, point: (weight + 1) * 4 }.trimmed().text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, bytes: &[u8], canonical: &str) {
        let encoded = encode(text).unwrap();
        assert_eq!(&encoded[..bytes.len()], bytes, "{text}");
        assert_eq!(decode(&encoded).as_deref(), Some(canonical));
        assert_eq!(super::canonical(text).as_deref(), Some(canonical));
    }

    #[test]
    fn numbers_have_the_bytes_that_oracle_documents() {
        // From Oracle's note on the internal format: `SELECT DUMP(n)`.
        check("0", &[1, 128], "0");
        check("1", &[2, 193, 2], "1");
        check("5", &[2, 193, 6], "5");
        check("100", &[2, 194, 2], "100");
        check("123456789", &[6, 197, 2, 24, 46, 68, 90], "123456789");
        check("-5", &[3, 62, 96, 102], "-5");
        check("2767", &[3, 194, 28, 68], "2767");
        check("-2767", &[4, 61, 74, 34, 102], "-2767");
        check("0.01", &[2, 192, 2], "0.01");
        check("0.001", &[2, 191, 11], "0.001");
        check("1234567.89", &[6, 196, 2, 24, 46, 68, 90], "1234567.89");
        check("12.50", &[3, 193, 13, 51], "12.5");
        check("-0.00", &[1, 128], "0");
        check("1e3", &[2, 194, 11], "1000");
    }

    #[test]
    fn numbers_of_forty_digits_are_exact_and_longer_ones_are_rounded() {
        let forty = "9".repeat(40);
        assert_eq!(decode(&encode(&forty).unwrap()).unwrap(), forty);
        assert_eq!(
            decode(&encode(&"9".repeat(42)).unwrap()).unwrap(),
            format!("1{}", "0".repeat(42))
        );
        assert_eq!(decode(&encode("9223372036854775807").unwrap()).unwrap(), "9223372036854775807");
        assert_eq!(encode("1e140"), None);
        assert_eq!(encode("abc"), None);
        assert_eq!(encode(""), None);
        assert_eq!(encode("."), None);
    }

    #[test]
    fn postgres_numbers_become_text() {
        let bytes =
            |words: &[i16]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        assert_eq!(from_postgres(&bytes(&[2, 1, 0, 2, 1, 2345])).unwrap(), "12345");
        assert_eq!(from_postgres(&bytes(&[2, 0, 0x4000, 4, 3, 5000])).unwrap(), "-3.5");
        assert_eq!(from_postgres(&bytes(&[1, -1, 0, 4, 25])).unwrap(), "0.0025");
        assert_eq!(from_postgres(&bytes(&[0, 0, 0, 0])).unwrap(), "0");
        assert_eq!(from_postgres(&bytes(&[0, 0, 0xC000_u16.cast_signed(), 0])), None);
    }
}
