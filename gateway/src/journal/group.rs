//! A group on disk: a header with a checksum of its own, and the records that one sync made durable.
//!
//! A group begins at a sector's boundary, so no sector holds parts of two: a torn write never touches what was
//! acknowledged before.

use super::payload::take;

/// Where groups may begin.
pub(super) const SECTOR_BYTES: u64 = 512;

/// Length of a group's header.
pub(super) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"GWJGRP01";

/// What stands before a group's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    /// The journal that it belongs to.
    pub(super) journal: i64,
    /// Sequence of its first record.
    pub(super) first: u64,
    /// Sequence after its last record. With no records: where the log goes on after a cut.
    pub(super) next: u64,
    /// Length of the records, in bytes.
    pub(super) payload_bytes: u32,
    /// From its beginning to the next group's.
    pub(super) extent: u64,
    /// CRC-32C of the records.
    pub(super) checksum: u32,
}

impl GroupHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.journal.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.next.to_le_bytes());
        out.extend_from_slice(&self.extent.to_le_bytes());
        out.extend_from_slice(&self.payload_bytes.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
        out.resize(HEADER_BYTES - 4, 0);
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.first_chunk().copied().unwrap_or([0; HEADER_BYTES])
    }

    /// Reads a header. `None`: these bytes are none, or one of another journal.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES], journal: i64) -> Option<Self> {
        let (covered, checksum) = bytes.split_last_chunk::<4>()?;
        let mut input = covered;
        let magic: [u8; 8] = take(&mut input)?;
        if magic != MAGIC || u32::from_le_bytes(*checksum) != crc32c::crc32c(covered) {
            return None;
        }
        let header = Self {
            journal: i64::from_le_bytes(take(&mut input)?),
            first: u64::from_le_bytes(take(&mut input)?),
            next: u64::from_le_bytes(take(&mut input)?),
            extent: u64::from_le_bytes(take(&mut input)?),
            payload_bytes: u32::from_le_bytes(take(&mut input)?),
            checksum: u32::from_le_bytes(take(&mut input)?),
        };
        let holds = HEADER_BYTES as u64 + u64::from(header.payload_bytes);
        let is_whole = header.extent >= holds
            && header.extent.is_multiple_of(SECTOR_BYTES)
            && header.next >= header.first;
        (is_whole && header.journal == journal).then_some(header)
    }

    /// The header of the place of a group that was cut out.
    pub(super) const fn gap(journal: i64, first: u64, next: u64, extent: u64) -> Self {
        Self { journal, first, next, payload_bytes: 0, extent, checksum: 0 }
    }
}

/// A group while it is put together.
#[derive(Debug, Default)]
pub(super) struct Group {
    bytes: Vec<u8>,
    count: u64,
}

impl Group {
    /// Bytes that a record adds.
    pub(super) const fn cost(record: &[u8]) -> usize {
        record.len() + 4
    }

    /// Begins a new one, in the memory of the last.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
        self.count = 0;
    }

    pub(super) fn push(&mut self, record: &[u8]) {
        let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.count += 1;
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    /// Bytes so far, header included.
    pub(super) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes to write, a whole number of sectors.
    pub(super) fn finish(&mut self, journal: i64, first: u64) -> &[u8] {
        let payload = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let checksum = crc32c::crc32c(payload);
        let extent = (self.bytes.len() as u64).next_multiple_of(SECTOR_BYTES);
        let next = first + self.count;
        let header = GroupHeader { journal, first, next, payload_bytes, extent, checksum };
        if let Some(place) = self.bytes.first_chunk_mut::<HEADER_BYTES>() {
            *place = header.encode();
        }
        self.bytes.resize(usize::try_from(extent).unwrap_or(usize::MAX), 0);
        &self.bytes
    }
}

/// The records of a group, whose checksum was right. `None` after the last, or at what is no record.
pub(super) fn split_record<'i>(input: &mut &'i [u8]) -> Option<&'i [u8]> {
    let length = usize::try_from(u32::from_le_bytes(take(input)?)).ok()?;
    let (first, rest) = input.split_at_checked(length)?;
    *input = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_with_any_bit_flipped_is_none() {
        let mut group = Group::default();
        group.clear();
        group.push(b"abc");
        let bytes = group.finish(7, 40).to_vec();
        assert_eq!(bytes.len(), 512);
        let header: [u8; HEADER_BYTES] = *bytes.first_chunk().unwrap();
        let read = GroupHeader::decode(&header, 7).unwrap();
        assert_eq!((read.first, read.next, read.payload_bytes, read.extent), (40, 41, 7, 512));
        assert_eq!(GroupHeader::decode(&header, 8), None);
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&flipped, 7), None, "bit {bit}");
        }
    }
}
