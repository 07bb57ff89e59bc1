//! MessagePack, as far as replies are written: every value in its smallest form.

/// Longest `fixarray` and `fixmap`.
const FIX_COUNT_MAX: usize = 15;

/// Writes nil.
pub(super) fn nil(out: &mut Vec<u8>) {
    out.push(0xc0);
}

/// Writes a boolean.
pub(super) fn bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xc3 } else { 0xc2 });
}

/// Writes an integer.
pub(super) fn int(out: &mut Vec<u8>, value: i64) {
    if let Ok(value) = u64::try_from(value) {
        return uint(out, value);
    }
    if let Ok(small) = i8::try_from(value) {
        if small < -32 {
            out.push(0xd0);
        }
        out.extend(small.to_be_bytes());
    } else if let Ok(small) = i16::try_from(value) {
        out.push(0xd1);
        out.extend(small.to_be_bytes());
    } else if let Ok(small) = i32::try_from(value) {
        out.push(0xd2);
        out.extend(small.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend(value.to_be_bytes());
    }
}

/// Writes an integer that is not negative.
pub(super) fn uint(out: &mut Vec<u8>, value: u64) {
    if let Ok(small) = u8::try_from(value) {
        if small > 0x7f {
            out.push(0xcc);
        }
        out.push(small);
    } else if let Ok(small) = u16::try_from(value) {
        out.push(0xcd);
        out.extend(small.to_be_bytes());
    } else if let Ok(small) = u32::try_from(value) {
        out.push(0xce);
        out.extend(small.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend(value.to_be_bytes());
    }
}

/// Writes a float, always with 64 bits.
pub(super) fn float(out: &mut Vec<u8>, value: f64) {
    out.push(0xcb);
    out.extend(value.to_be_bytes());
}

/// Writes the header of a text of `bytes` bytes; the text follows.
pub(super) fn str_header(out: &mut Vec<u8>, bytes: usize) {
    match u8::try_from(bytes) {
        Ok(small @ 0..=31) => out.push(0xa0 | small),
        Ok(small) => out.extend([0xd9, small]),
        Err(_) => wide_header(out, 0xda, 0xdb, bytes),
    }
}

/// Writes a text.
pub(super) fn str(out: &mut Vec<u8>, text: &str) {
    str_header(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Writes bytes.
pub(super) fn bin(out: &mut Vec<u8>, bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(small) => out.extend([0xc4, small]),
        Err(_) => wide_header(out, 0xc5, 0xc6, bytes.len()),
    }
    out.extend_from_slice(bytes);
}

/// Writes the header of a map of `count` entries.
pub(super) fn map_header(out: &mut Vec<u8>, count: usize) {
    match u8::try_from(count) {
        Ok(small @ 0..=15) => out.push(0x80 | small),
        _ => wide_header(out, 0xde, 0xdf, count),
    }
}

/// Leaves room for an array's header, to be filled by [`close_array`] when its length is known.
/// Returns where it is.
pub(super) fn open_array(out: &mut Vec<u8>) -> usize {
    out.push(0x90);
    out.len() - 1
}

/// Fills the header at `at`. More than 15 items move what follows it by two or four bytes, once.
pub(super) fn close_array(out: &mut Vec<u8>, at: usize, count: usize) {
    let mut header = Vec::with_capacity(5);
    match u8::try_from(count) {
        Ok(small) if count <= FIX_COUNT_MAX => header.push(0x90 | small),
        _ => wide_header(&mut header, 0xdc, 0xdd, count),
    }
    out.splice(at..=at, header);
}

/// A 16-bit length after `marker16` if it fits, else a 32-bit one after `marker32`. Replies are
/// bounded far below what 32 bits count.
fn wide_header(out: &mut Vec<u8>, marker16: u8, marker32: u8, length: usize) {
    if let Ok(small) = u16::try_from(length) {
        out.push(marker16);
        out.extend(small.to_be_bytes());
    } else {
        out.push(marker32);
        out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl Fn(&mut Vec<u8>), expected: &[u8]) {
        let mut out = Vec::new();
        write(&mut out);
        let head = &out[..out.len().min(expected.len())];
        assert_eq!(head, expected);
    }

    #[test]
    fn integers_take_their_smallest_form_on_both_sides_of_each_limit() {
        for (value, expected) in [
            (0, &[0x00][..]),
            (127, &[0x7f]),
            (128, &[0xcc, 0x80]),
            (255, &[0xcc, 0xff]),
            (256, &[0xcd, 1, 0]),
            (65_535, &[0xcd, 0xff, 0xff]),
            (65_536, &[0xce, 0, 1, 0, 0]),
            (4_294_967_295, &[0xce, 0xff, 0xff, 0xff, 0xff]),
            (4_294_967_296, &[0xcf, 0, 0, 0, 1, 0, 0, 0, 0]),
            (-1, &[0xff]),
            (-32, &[0xe0]),
            (-33, &[0xd0, 0xdf]),
            (-128, &[0xd0, 0x80]),
            (-129, &[0xd1, 0xff, 0x7f]),
            (-32_768, &[0xd1, 0x80, 0]),
            (-32_769, &[0xd2, 0xff, 0xff, 0x7f, 0xff]),
            (-2_147_483_648, &[0xd2, 0x80, 0, 0, 0]),
            (-2_147_483_649, &[0xd3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]),
        ] {
            let mut out = Vec::new();
            int(&mut out, value);
            assert_eq!(out, expected, "{value}");
        }
    }

    #[test]
    fn lengths_take_their_smallest_header() {
        check(|out| str(out, &"a".repeat(31)), &[0xbf, b'a']);
        check(|out| str(out, &"a".repeat(32)), &[0xd9, 32, b'a']);
        check(|out| str(out, &"a".repeat(255)), &[0xd9, 255]);
        check(|out| str(out, &"a".repeat(256)), &[0xda, 1, 0]);
        check(|out| str(out, &"a".repeat(65_536)), &[0xdb, 0, 1, 0, 0]);
        check(|out| bin(out, &[7; 255]), &[0xc4, 255, 7]);
        check(|out| bin(out, &[7; 256]), &[0xc5, 1, 0, 7]);
        check(|out| map_header(out, 15), &[0x8f]);
        check(|out| map_header(out, 16), &[0xde, 0, 16]);
    }

    #[test]
    fn array_header_is_patched_without_touching_the_items() {
        for (count, header) in [(0, &[0x90][..]), (15, &[0x9f]), (16, &[0xdc, 0, 16])] {
            let mut out = vec![0x81];
            let at = open_array(&mut out);
            (0..count).for_each(|_| bool(&mut out, true));
            close_array(&mut out, at, count);
            let expected = [&[0x81], header, &vec![0xc3; count][..]].concat();
            assert_eq!(out, expected, "{count}");
        }
    }
}
