//! The parts that packets are made of, read one after the other.
//!
//! Invariant: total. What is not there is `None`, whatever the bytes are.

/// What is left of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'b> {
    rest: &'b [u8],
}

impl<'b> Fields<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// So many bytes.
    pub(super) fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number that says its own length.
    pub(super) fn number(&mut self) -> Option<u64> {
        match self.u8()? {
            small @ 0..=0xfa => Some(small.into()),
            0xfc => self.u16().map(u64::from),
            0xfd => {
                let [a, b, c] = self.array()?;
                Some(u32::from_le_bytes([a, b, c, 0]).into())
            }
            0xfe => self.array().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// Bytes behind their length.
    pub(super) fn counted(&mut self) -> Option<&'b [u8]> {
        let count = usize::try_from(self.number()?).ok()?;
        self.take(count)
    }

    /// Bytes up to a zero, which is taken, too.
    pub(super) fn until_zero(&mut self) -> Option<&'b [u8]> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let taken = self.take(end)?;
        self.take(1)?;
        Some(taken)
    }

    /// Everything that is left.
    pub(super) const fn rest(&self) -> &'b [u8] {
        self.rest
    }
}

/// Appends a number that says its own length.
pub(super) fn put_number(out: &mut Vec<u8>, number: usize) {
    let bytes = (number as u64).to_le_bytes();
    let [a, b, c, ..] = bytes;
    match number {
        0..=0xfa => out.push(a),
        0xfb..=0xffff => out.extend_from_slice(&[0xfc, a, b]),
        0x1_0000..=0xff_ffff => out.extend_from_slice(&[0xfd, a, b, c]),
        _ => {
            out.push(0xfe);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Appends bytes behind their length.
pub(super) fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_at_both_sides_of_each_length() {
        for number in [0, 0xfa, 0xfb, 0xffff, 0x1_0000, 0xff_ffff, 0x100_0000, usize::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, number);
            let mut fields = Fields::new(&out);
            assert_eq!(fields.number(), Some(number as u64));
            assert_eq!(fields.rest(), b"");
            for cut in 0..out.len() {
                assert_eq!(Fields::new(&out[..cut]).number(), None, "{number} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_said_to_be_longer_than_the_packet_is_not_there() {
        assert_eq!(Fields::new(b"\x03ab").counted(), None);
        assert_eq!(Fields::new(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffab").counted(), None);
        assert_eq!(Fields::new(b"\xfbab").counted(), None, "NULL is no length");
        assert_eq!(Fields::new(b"\x02ab").counted(), Some(&b"ab"[..]));
        assert_eq!(Fields::new(b"ab").until_zero(), None);
        assert_eq!(Fields::new(b"ab\0c").until_zero(), Some(&b"ab"[..]));
    }
}
