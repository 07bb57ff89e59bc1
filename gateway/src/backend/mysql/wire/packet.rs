//! Packets: cut from what was received, framed for what is sent.

use super::Unfit;

const HEADER_BYTES: usize = 4;
/// A payload of that size goes on in the next packet: not taken here.
const PAYLOAD_BYTES_END: usize = 0xff_ffff;
/// What an inbox starts with, and what it is cut back to when it is empty.
const ROOM_BYTES: usize = 4 << 10;
/// An empty inbox that grew beyond this is freed.
const KEPT_BYTES_MAX: usize = 64 << 10;
/// Most room made at once, whatever length the server announces.
const GROWTH_BYTES_MAX: usize = 256 << 10;

/// What was received and not read.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    read: usize,
    /// The number that the next packet has.
    sequence: u8,
}

impl Inbox {
    /// A command is sent: its answer's first packet has this number.
    pub(super) const fn expect(&mut self, sequence: u8) {
        self.sequence = sequence;
    }

    /// The next packet's payload; `None`: it is not all here.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Unfit> {
        let Some(payload_bytes) = self.waiting()? else { return Ok(None) };
        let from = self.read + HEADER_BYTES;
        let Some(payload) = self.bytes.get(from..from + payload_bytes) else { return Ok(None) };
        self.read = from + payload_bytes;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(Some(payload))
    }

    /// Whether the next packet is all here.
    pub(super) fn has_next(&self) -> Result<bool, Unfit> {
        let waiting = self.waiting()?;
        Ok(waiting.is_some_and(|bytes| self.rest().len() >= HEADER_BYTES + bytes))
    }

    /// Passes over packets that are the same, byte by byte, as ones of before; false: they are not, or not all here.
    ///
    /// - `packets`: with their headers.
    /// - `count`: how many they are.
    pub(super) fn skip(&mut self, packets: &[u8], count: u8) -> bool {
        let is_same = self.rest().starts_with(packets);
        if is_same {
            self.read += packets.len();
            self.sequence = self.sequence.wrapping_add(count);
        }
        is_same
    }

    /// How far it is read; for [`Inbox::since`].
    pub(super) const fn position(&self) -> usize {
        self.read
    }

    /// What was read since, with the packets' headers. Only as long as nothing was received.
    pub(super) fn since(&self, position: usize) -> &[u8] {
        self.bytes.get(position..self.read).unwrap_or_default()
    }

    /// What was received and not read.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    /// How many bytes the next packet's payload has; `None`: that has not arrived.
    fn waiting(&self) -> Result<Option<usize>, Unfit> {
        let Some([a, b, c, sequence]) = self.rest().first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let payload_bytes = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        if *sequence != self.sequence {
            return Err(Unfit::OutOfStep("a packet out of order"));
        }
        match payload_bytes {
            0 => Err(Unfit::OutOfStep("an empty packet")),
            PAYLOAD_BYTES_END.. => Err(Unfit::NotHad("a packet of 16 MiB")),
            bytes => Ok(Some(bytes)),
        }
    }

    /// Gives the buffer away to be received into: behind its length, where there is room. [`Inbox::refill`] takes it back.
    pub(super) fn drain(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..std::mem::take(&mut self.read).min(bytes.len()));
        if bytes.is_empty() && bytes.capacity() > KEPT_BYTES_MAX {
            bytes = Vec::new();
        }
        let announced = bytes
            .first_chunk::<3>()
            .map_or(0, |[a, b, c]| u32::from_le_bytes([*a, *b, *c, 0]) as usize);
        let missing = (announced + HEADER_BYTES).saturating_sub(bytes.len());
        if bytes.capacity() - bytes.len() < missing.clamp(ROOM_BYTES / 4, GROWTH_BYTES_MAX) {
            bytes.reserve(missing.clamp(ROOM_BYTES, GROWTH_BYTES_MAX));
        }
        bytes
    }

    /// Takes the buffer back, with what was received.
    pub(super) fn refill(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
    }
}

/// Appends a packet whose payload `write` appends.
///
/// # Errors
///
/// When the payload does not fit into one packet; nothing was appended then.
pub(super) fn put<E: From<Unfit>>(
    out: &mut Vec<u8>,
    sequence: u8,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let begin = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let written = write(out);
    let payload_bytes = out.len() - begin - HEADER_BYTES;
    let fits = if payload_bytes < PAYLOAD_BYTES_END {
        Ok(())
    } else {
        Err(E::from(Unfit::NotHad("a statement of 16 MiB")))
    };
    if let Err(error) = written.and(fits) {
        out.truncate(begin);
        return Err(error);
    }
    let [a, b, c, ..] = (payload_bytes as u64).to_le_bytes();
    if let Some(header) = out.get_mut(begin..begin + HEADER_BYTES) {
        header.copy_from_slice(&[a, b, c, sequence]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(bytes: &[u8]) -> Inbox {
        let mut inbox = Inbox::default();
        let mut room = inbox.drain();
        room.extend_from_slice(bytes);
        inbox.refill(room);
        inbox
    }

    #[test]
    fn packet_comes_out_only_when_all_of_it_is_there() {
        let mut sent = Vec::new();
        put::<Unfit>(&mut sent, 0, |out| {
            out.extend_from_slice(b"abc");
            Ok(())
        })
        .unwrap();
        for cut in 0..sent.len() {
            assert_eq!(filled(&sent[..cut]).next(), Ok(None), "{cut}");
        }
        let mut inbox = filled(&sent);
        assert_eq!(inbox.next(), Ok(Some(&b"abc"[..])));
        assert_eq!(inbox.next(), Ok(None));
    }

    #[test]
    fn packet_out_of_order_or_of_a_size_that_goes_on_is_refused_at_its_header() {
        assert!(filled(b"\x01\0\0\x01").next().is_err());
        assert!(filled(b"\0\0\0\0").next().is_err());
        assert!(filled(b"\xff\xff\xff\0").next().is_err());
        assert_eq!(filled(b"\xfe\xff\xff\0").next(), Ok(None));
    }

    #[test]
    fn room_grows_with_what_arrives_and_not_with_what_is_announced() {
        let mut inbox = filled(b"\xfe\xff\xff\0");
        assert!(inbox.drain().capacity() <= GROWTH_BYTES_MAX + ROOM_BYTES);
    }
}
