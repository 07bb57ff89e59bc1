//! The segments there are, and the reading of records back from them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::OpenError;
use super::group::{GroupHeader, split_record};
use super::index::Index;
use super::payload::Record;
use super::segment::{GROUPS_AT, Scan};

/// Least distance between two places that are remembered.
const MARK_BYTES: u64 = 256 << 10;

/// Most bytes of records that one call reads, after which it stops at the next group.
const READ_BYTES_MAX: usize = 4 << 20;

/// What is known of a segment.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Sequence after its last durable record.
    pub(super) next: u64,
    /// Behind its last durable group.
    pub(super) end: u64,
    marks: Vec<(u64, u64)>,
}

impl Segment {
    pub(super) fn new(path: PathBuf, first: u64) -> Self {
        Self { path, next: first, end: GROUPS_AT, marks: vec![(first, GROUPS_AT)] }
    }

    /// Takes in a group that is durable.
    pub(super) fn extend(&mut self, header: &GroupHeader, offset: u64) {
        let last = self.marks.last().map_or(0, |(_, offset)| *offset);
        if offset >= last + MARK_BYTES {
            self.marks.push((header.first, offset));
        }
        self.next = header.next;
        self.end = offset + header.extent;
    }

    /// Where to begin to look for a sequence.
    fn offset_before(&self, sequence: u64) -> u64 {
        let after = self.marks.partition_point(|(first, _)| *first <= sequence);
        self.marks.get(after.saturating_sub(1)).map_or(GROUPS_AT, |(_, offset)| *offset)
    }
}

/// Every segment that is not deleted, by first sequence.
#[derive(Debug, Default)]
pub(super) struct Segments(Mutex<BTreeMap<u64, Segment>>);

impl Segments {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Segment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all segments, as far as they are written.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().values().map(|segment| segment.end).sum()
    }

    /// The segment of a sequence, and where to begin to look for it there.
    fn find(&self, sequence: u64) -> Option<(u64, Segment, u64)> {
        let segments = self.lock();
        let (first, segment) = segments.range(..=sequence).next_back()?;
        let offset = segment.offset_before(sequence);
        let known = Segment { marks: Vec::new(), ..segment.clone() };
        (sequence < segment.next).then_some((*first, known, offset))
    }
}

/// Reads records back. Of one reader's calls each begins where the one before ended, mostly.
#[derive(Debug)]
pub struct Reader {
    journal: i64,
    index: Arc<Index>,
    segments: Arc<Segments>,
    /// The segment that is open, and a group in it: its sequence and offset.
    open: Option<(u64, File, u64, u64)>,
}

impl Reader {
    pub(super) const fn new(journal: i64, index: Arc<Index>, segments: Arc<Segments>) -> Self {
        Self { journal, index, segments, open: None }
    }

    /// Records that wait, from a sequence on, in order: at most `count_max`, fewer where they are large.
    /// None: nothing from there on waits.
    ///
    /// Blocks: reads files, mostly from the kernel's memory.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when a segment cannot be read, or is damaged.
    pub fn next(&mut self, from: u64, count_max: usize) -> Result<Vec<Record>, OpenError> {
        let wanted = self.index.pending_from(from, count_max);
        self.read(&wanted)
    }

    /// These records, in order, as [`Reader::next`] gives them: as far as they are there, and fewer where they
    /// are large.
    ///
    /// - `wanted`: sequences, ascending.
    ///
    /// # Errors
    ///
    /// As [`Reader::next`].
    pub fn read(&mut self, wanted: &[u64]) -> Result<Vec<Record>, OpenError> {
        let mut records = Vec::with_capacity(wanted.len());
        let mut bytes = 0;
        let mut rest = wanted;
        while let Some(sequence) = rest.first()
            && bytes < READ_BYTES_MAX
        {
            // Applied, and deleted, since the index was asked.
            let Some(found) = self.segments.find(*sequence) else { break };
            let before = rest.len();
            self.read_segment(found, &mut rest, &mut records, &mut bytes)?;
            if rest.len() == before {
                break;
            }
        }
        Ok(records)
    }

    fn read_segment(
        &mut self,
        (first, segment, mut offset): (u64, Segment, u64),
        wanted: &mut &[u64],
        records: &mut Vec<Record>,
        bytes: &mut usize,
    ) -> Result<(), OpenError> {
        let sequence = wanted.first().copied().unwrap_or(first);
        let path = &*segment.path;
        let open = match self.open.take() {
            Some(open) if open.0 == first => open,
            _ => match File::open(path) {
                Ok(file) => (first, file, first, GROUPS_AT),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(OpenError::machine(path)(error)),
            },
        };
        let (_, file, at, at_offset) = open;
        if at <= sequence {
            offset = offset.max(at_offset);
        }
        let scan = Scan { file: &file, path, journal: self.journal, first, limit: None };
        let mut payload = Vec::new();
        let mut last = (first, GROUPS_AT);
        while offset < segment.end && !wanted.is_empty() && *bytes < READ_BYTES_MAX {
            let damaged = || OpenError::damaged(path, offset, "a group is not good any more");
            let header = scan.header_at(offset, segment.end)?.ok_or_else(damaged)?;
            last = (header.first, offset);
            if wanted.first().is_some_and(|wanted| *wanted < header.next) {
                if !scan.payload_at(&header, offset, segment.end, &mut payload)? {
                    return Err(damaged());
                }
                *bytes += payload.len();
                take_records(&header, &payload, wanted, records).ok_or_else(damaged)?;
            }
            offset += header.extent;
        }
        self.open = Some((first, file, last.0, last.1));
        Ok(())
    }
}

/// Takes the wanted records of a group.
fn take_records(
    header: &GroupHeader,
    payload: &[u8],
    wanted: &mut &[u64],
    records: &mut Vec<Record>,
) -> Option<()> {
    let mut input = payload;
    for sequence in header.first..header.next {
        let Some(bytes) = split_record(&mut input) else { break };
        if let Some((first, rest)) = wanted.split_first()
            && *first == sequence
        {
            records.push(Record::decode(sequence, bytes)?);
            *wanted = rest;
        }
    }
    // What was cut out of the log is not there.
    while wanted.first().is_some_and(|first| *first < header.next) {
        *wanted = wanted.get(1..).unwrap_or_default();
    }
    Some(())
}
