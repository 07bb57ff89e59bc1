//! A segment: a file of groups, made and filled with zeros ahead of need, named by its first sequence.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::OpenError;
use super::group::{GroupHeader, HEADER_BYTES, SECTOR_BYTES, split_record};
use super::payload::take;

/// The version of every file of a journal.
pub(super) const VERSION: u32 = 1;

/// Where the first group begins.
pub(super) const GROUPS_AT: u64 = SECTOR_BYTES;

const MAGIC: [u8; 8] = *b"GWJSEG01";
const SUFFIX: &str = "segment";
const CHUNK_BYTES: usize = 1 << 20;

/// What stands at the beginning of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) journal: i64,
    pub(super) first: u64,
    /// Where the segment before ends: what stands in it from this sequence on was never acknowledged.
    pub(super) previous_next: u64,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.journal.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.previous_next.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out
    }

    /// Reads a segment's beginning.
    pub(super) fn read(file: &File, path: &Path, journal: i64) -> Result<Self, OpenError> {
        let mut bytes = [0; 40];
        let damaged = |what| OpenError::damaged(path, 0, what);
        file.read_exact_at(&mut bytes, 0).map_err(|_short| damaged("no header"))?;
        let header = Self::decode(&bytes, path)?.filter(|header| header.journal == journal);
        header.ok_or_else(|| damaged("the header's checksum"))
    }

    /// Reads a segment's beginning, of whatever journal. `None`: it is not good.
    pub(super) fn peek(path: &Path) -> Result<Option<Self>, OpenError> {
        let file = File::open(path).map_err(OpenError::machine(path))?;
        let mut bytes = [0; 40];
        let is_whole = file.read_exact_at(&mut bytes, 0).is_ok();
        Ok(Self::decode(&bytes, path)?.filter(|_| is_whole))
    }

    fn decode(bytes: &[u8; 40], path: &Path) -> Result<Option<Self>, OpenError> {
        let mut input = &bytes[..];
        let mut read = || {
            let magic: [u8; 8] = take(&mut input)?;
            let version = u32::from_le_bytes(take(&mut input)?);
            let journal = i64::from_le_bytes(take(&mut input)?);
            let first = u64::from_le_bytes(take(&mut input)?);
            let previous_next = u64::from_le_bytes(take(&mut input)?);
            let checksum = u32::from_le_bytes(take(&mut input)?);
            let header = Self { journal, first, previous_next };
            (magic == MAGIC).then_some((version, header, checksum))
        };
        let Some((version, header, checksum)) = read() else { return Ok(None) };
        let covered = bytes.split_last_chunk::<4>().map_or(&[][..], |(covered, _)| covered);
        if crc32c::crc32c(covered) != checksum {
            return Ok(None);
        }
        if version != VERSION {
            return Err(OpenError::Version { path: path.into(), found: version });
        }
        Ok(Some(header))
    }
}

/// The file of a segment.
pub(super) fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.{SUFFIX}"))
}

/// Every segment of a folder, by first sequence.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == SUFFIX);
        let first = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let (true, Some(first)) = (is_segment, first) {
            found.push((first, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes a file of `bytes` zeros at `path`, on disk when it returns.
///
/// In pieces, each synced, so that groups written meanwhile wait for one piece at most.
pub(super) fn prepare(path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    let zeros = vec![0; CHUNK_BYTES];
    let mut at = 0;
    while at < bytes {
        let length = usize::try_from(bytes - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
        file.write_all_at(zeros.get(..length).unwrap_or_default(), at)?;
        file.sync_data()?;
        at += length as u64;
    }
    file.sync_all()?;
    Ok(file)
}

/// Gives a prepared file its place in the journal. On disk, name included, when it returns.
pub(super) fn begin(
    folder: &Path,
    prepared: &Path,
    file: &File,
    header: &SegmentHeader,
) -> io::Result<PathBuf> {
    file.write_all_at(&header.encode(), 0)?;
    file.sync_data()?;
    let path = path_of(folder, header.first);
    fs::rename(prepared, &path)?;
    sync_folder(folder)?;
    Ok(path)
}

/// Makes what was created, renamed or removed in a folder last.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A group that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) header: GroupHeader,
    pub(super) offset: u64,
    pub(super) payload: &'a [u8],
}

/// Where a segment's log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The sequence after the last good record.
    pub(super) next: u64,
    /// Behind the last good group.
    pub(super) offset: u64,
    /// Something stands there that is no good group.
    pub(super) is_torn: bool,
}

/// A segment that is read.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    pub(super) file: &'a File,
    pub(super) path: &'a Path,
    pub(super) journal: i64,
    /// Sequence of its first record.
    pub(super) first: u64,
    /// Where it ends by the word of the segment after it; `None`: it is the last one.
    pub(super) limit: Option<u64>,
}

impl Scan<'_> {
    /// Reads every group.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] at a group that is not good although later ones are, or that must be there.
    pub(super) fn run(
        &self,
        mut visit: impl FnMut(Found<'_>) -> Result<(), OpenError>,
    ) -> Result<End, OpenError> {
        let length = self.file.metadata().map_err(OpenError::machine(self.path))?.len();
        let mut end = End { next: self.first, offset: GROUPS_AT, is_torn: false };
        let mut payload = Vec::new();
        while self.limit.is_none_or(|limit| end.next < limit) {
            let Some(header) = self.header_at(end.offset, length)? else { break };
            if !self.payload_at(&header, end.offset, length, &mut payload)? {
                break;
            }
            if header.first != end.next {
                let what = format!("record {} where {} belongs", header.first, end.next);
                return Err(OpenError::damaged(self.path, end.offset, what));
            }
            visit(Found { header, offset: end.offset, payload: &payload })?;
            end.next = header.next;
            end.offset += header.extent;
        }
        match self.limit {
            Some(limit) if end.next < limit => {
                let what = format!("records {} to {} are missing", end.next, limit - 1);
                Err(OpenError::damaged(self.path, end.offset, what))
            }
            Some(_) => Ok(end),
            None => self.check_tail(end, length),
        }
    }

    /// Behind the last good group of the last segment nothing, or one torn group, may stand.
    fn check_tail(&self, end: End, length: u64) -> Result<End, OpenError> {
        if let Some(later) = self.header_behind(end.offset, end.next, length)? {
            let what = format!("no good group, but record {} after it", later.1.first);
            return Err(OpenError::damaged(self.path, end.offset, what));
        }
        let is_torn = self.has_bytes(end.offset, length)?;
        Ok(End { is_torn, ..end })
    }

    /// The first good header of later records behind `offset`, and where it stands.
    pub(super) fn header_behind(
        &self,
        offset: u64,
        next: u64,
        length: u64,
    ) -> Result<Option<(u64, GroupHeader)>, OpenError> {
        let own = self.header_at(offset, length)?.map_or(SECTOR_BYTES, |own| own.extent);
        let mut at = offset.saturating_add(own);
        while at.saturating_add(HEADER_BYTES as u64) <= length {
            let header = self.header_at(at, length)?;
            if let Some(header) = header.filter(|header| header.first >= next) {
                return Ok(Some((at, header)));
            }
            at += SECTOR_BYTES;
        }
        Ok(None)
    }

    pub(super) fn header_at(
        &self,
        offset: u64,
        length: u64,
    ) -> Result<Option<GroupHeader>, OpenError> {
        let mut bytes = [0; HEADER_BYTES];
        if offset.saturating_add(HEADER_BYTES as u64) > length {
            return Ok(None);
        }
        self.file.read_exact_at(&mut bytes, offset).map_err(OpenError::machine(self.path))?;
        Ok(GroupHeader::decode(&bytes, self.journal))
    }

    /// Reads a group's records; false: they are not what the header says.
    pub(super) fn payload_at(
        &self,
        header: &GroupHeader,
        offset: u64,
        length: u64,
        payload: &mut Vec<u8>,
    ) -> Result<bool, OpenError> {
        if header.extent > length - offset {
            return Ok(false);
        }
        payload.clear();
        payload.resize(header.payload_bytes as usize, 0);
        let at = offset + HEADER_BYTES as u64;
        self.file.read_exact_at(payload, at).map_err(OpenError::machine(self.path))?;
        let checksum = if payload.is_empty() { 0 } else { crc32c::crc32c(payload) };
        let mut input = &payload[..];
        let records = std::iter::from_fn(|| split_record(&mut input)).count() as u64;
        let is_gap = header.payload_bytes == 0;
        let is_whole = is_gap || (records == header.next - header.first && input.is_empty());
        Ok(checksum == header.checksum && is_whole)
    }

    fn has_bytes(&self, offset: u64, length: u64) -> Result<bool, OpenError> {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut at = offset;
        while at < length {
            let size =
                usize::try_from(length - at).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let part = chunk.get_mut(..size).unwrap_or_default();
            self.file.read_exact_at(part, at).map_err(OpenError::machine(self.path))?;
            if part.iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            at += size as u64;
        }
        Ok(false)
    }
}
