//! A journal's folder, opened by one process: everything on disk, and the index made from it.

use std::collections::HashMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OpenError;
use super::dead::{DeadFile, Letters};
use super::group::split_record;
use super::index::Index;
use super::payload::{Draft, take};
use super::position::Position;
use super::segment::{self, Scan, SegmentHeader, VERSION};
use super::segments::{Segment, Segments};

const MAGIC: [u8; 8] = *b"GWJRNL01";

/// What opening a journal found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opened {
    /// Records that wait to be applied.
    pub replayed_count: u64,
    /// Where a torn tail was cut: the segment, and from which byte on.
    pub torn: Option<(PathBuf, u64)>,
    /// Bytes of a torn last dead letter, which were cut.
    pub dead_cut_bytes: u64,
}

/// A journal's folder while this process has it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) folder: PathBuf,
    /// Held as long as the store lives.
    _lock: File,
    pub(super) journal: i64,
    pub(super) index: Arc<Index>,
    pub(super) segments: Arc<Segments>,
    pub(super) position: Position,
    pub(super) dead: DeadFile,
    /// The sequence of the next record.
    pub(super) next: u64,
    /// Where the newest segment ends: the next one's header says so.
    pub(super) durable_next: u64,
}

impl Store {
    /// Opens a journal, or makes one, and reads what waits.
    ///
    /// - `keys_max`: how many applied keys are remembered.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed then but what a start does again.
    pub(super) fn open(folder: &Path, keys_max: usize) -> Result<(Self, Opened), OpenError> {
        make(folder).map_err(OpenError::machine(folder))?;
        let lock = lock(folder)?;
        let journal = identity(folder)?;
        let position = Position::open(folder)?;
        let lowest = position.lowest();
        let segments_found = segment::list(folder).map_err(OpenError::machine(folder))?;
        // What is gone is not to come back as applied as long as a segment has it.
        let first = segments_found.first().map_or(u64::MAX, |(first, _)| *first);
        let (dead, letters) = DeadFile::open(folder, first)?;
        let index = Arc::new(Index::new(lowest, keys_max));
        for letter in &letters.dead {
            index.insert_dead(letter.sequence, &letter.draft, &letter.cause);
        }
        let segments = Arc::new(Segments::default());
        let mut replay =
            Replay { journal, lowest, index: &index, letters: &letters, last: HashMap::new() };
        let Replayed { next, durable_next, torn } = replay.run(segments_found, &segments)?;
        let revived = replay.revived();
        let mut store = Self {
            folder: folder.into(),
            _lock: lock,
            journal,
            index,
            segments,
            position,
            dead,
            next,
            durable_next,
        };
        for sequence in revived {
            store.dead.gone(sequence).map_err(OpenError::machine(folder))?;
            store.index.remove_dead(sequence);
        }
        let replayed_count = store.index.backlog().record_count;
        Ok((store, Opened { replayed_count, torn, dead_cut_bytes: letters.cut_bytes }))
    }

    /// Writes the applied position and deletes the segments below it, but not the newest one.
    pub(super) fn tidy(&mut self) -> Result<(), OpenError> {
        let lowest = self.index.lowest();
        if lowest != self.position.lowest() {
            self.position.write(lowest).map_err(OpenError::machine(&self.folder))?;
            self.index.positioned(lowest);
        }
        let mut segments = self.segments.lock();
        let newest = segments.last_key_value().map(|(first, _)| *first);
        let applied: Vec<u64> = segments
            .iter()
            .filter(|(first, segment)| segment.next <= lowest && Some(**first) != newest)
            .map(|(first, _)| *first)
            .collect();
        for first in &applied {
            let Some(segment) = segments.get(first) else { continue };
            // Forgotten only when it is gone, so that the next time tries again.
            match fs::remove_file(&segment.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(OpenError::machine(&segment.path)(error));
                }
                _ => segments.remove(first),
            };
        }
        drop(segments);
        if !applied.is_empty() {
            let synced = segment::sync_folder(&self.folder);
            synced.map_err(OpenError::machine(&self.folder))?;
        }
        Ok(())
    }

    /// Whether [`Store::tidy`] would delete something.
    pub(super) fn has_applied_segments(&self) -> bool {
        let lowest = self.index.lowest();
        let segments = self.segments.lock();
        let first = segments.values().next().filter(|_| segments.len() > 1);
        first.is_some_and(|segment| segment.next <= lowest)
    }
}

/// Makes the folder where there is none. On disk, name included, when it returns.
fn make(folder: &Path) -> io::Result<()> {
    let is_missing = |it: &&Path| !it.as_os_str().is_empty() && !it.exists();
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    // Parameters of orders stand in it: nobody else's to read.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
        segment::sync_folder(parent.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Takes the folder for this process.
pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(OpenError::machine(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: folder.into() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Machine { path, source }),
    }
}

/// The journal's id; a folder without one becomes a journal.
pub(super) fn identity(folder: &Path) -> Result<i64, OpenError> {
    let path = folder.join("journal");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !segment::list(folder).map_err(OpenError::machine(folder))?.is_empty() {
                return Err(OpenError::damaged(path, 0, "segments without the journal's own file"));
            }
            create(folder).map_err(OpenError::machine(&path))?
        }
        Err(error) => return Err(OpenError::machine(path)(error)),
    };
    let mut input = &bytes[..];
    let mut read = || {
        let magic: [u8; 8] = take(&mut input)?;
        let version = u32::from_le_bytes(take(&mut input)?);
        let id = i64::from_le_bytes(take(&mut input)?);
        let checksum = u32::from_le_bytes(take(&mut input)?);
        let covered = bytes.get(..20)?;
        (magic == MAGIC && crc32c::crc32c(covered) == checksum).then_some((version, id))
    };
    match read() {
        Some((VERSION, id)) => Ok(id),
        Some((found, _)) => Err(OpenError::Version { path, found }),
        None => Err(OpenError::damaged(path, 0, "the journal's own file")),
    }
}

/// The position first: a journal has one as soon as it has an id.
fn create(folder: &Path) -> io::Result<Vec<u8>> {
    Position::create(folder, 1)?;
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    write_identity(folder, i64::from_le_bytes(id))
}

/// Writes the journal's own file, and returns its bytes.
pub(super) fn write_identity(folder: &Path, id: i64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(24);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    let fresh = folder.join("journal.new");
    fs::write(&fresh, &bytes)?;
    File::open(&fresh)?.sync_all()?;
    fs::rename(fresh, folder.join("journal"))?;
    segment::sync_folder(folder)?;
    Ok(bytes)
}

/// What reading the segments came to.
struct Replayed {
    /// The sequence after the last record, of whatever segment.
    next: u64,
    /// Where the newest segment ends that is kept.
    durable_next: u64,
    /// Where a torn tail was.
    torn: Option<(PathBuf, u64)>,
}

/// Reads the segments into the index.
struct Replay<'a> {
    journal: i64,
    lowest: u64,
    index: &'a Index,
    letters: &'a Letters,
    /// The newest record of each request that waits.
    last: HashMap<[u8; 16], u64>,
}

impl Replay<'_> {
    fn run(
        &mut self,
        listed: Vec<(u64, PathBuf)>,
        segments: &Segments,
    ) -> Result<Replayed, OpenError> {
        let mut found = Vec::new();
        for (first, path) in listed {
            let file = File::open(&path).map_err(OpenError::machine(&path))?;
            let header = SegmentHeader::read(&file, &path, self.journal)?;
            if header.first != first {
                return Err(OpenError::damaged(path, 0, "the name is another segment's"));
            }
            found.push((path, file, header));
        }
        let mut replayed = Replayed { next: self.lowest, durable_next: self.lowest, torn: None };
        if let Some((path, _, header)) = found.first() {
            if header.previous_next > self.lowest {
                return Err(OpenError::damaged(path, 0, "the segment before it is missing"));
            }
            self.index.overtake_letters_before(header.first);
        } else {
            self.index.overtake_letters_before(u64::MAX);
        }
        let limits: Vec<_> =
            found.iter().skip(1).map(|(_, _, header)| header.previous_next).collect();
        for (at, (path, file, header)) in found.into_iter().enumerate() {
            let limit = limits.get(at).copied();
            let scan = Scan {
                file: &file,
                path: &path,
                journal: self.journal,
                first: header.first,
                limit,
            };
            let mut known = Segment::new(path.clone(), header.first);
            let end = scan.run(|group| {
                known.extend(&group.header, group.offset);
                self.group(group.header.first, group.payload).ok_or_else(|| {
                    OpenError::damaged(&path, group.offset, "a record of no known form")
                })
            })?;
            replayed.next = replayed.next.max(end.next);
            if end.is_torn {
                replayed.torn = Some((path.clone(), end.offset));
            }
            if end.next == header.first {
                fs::remove_file(&path).map_err(OpenError::machine(&path))?;
            } else {
                segments.lock().insert(header.first, known);
                replayed.durable_next = end.next;
            }
        }
        self.index.advance(replayed.next);
        Ok(replayed)
    }

    fn group(&mut self, first: u64, payload: &[u8]) -> Option<()> {
        let mut input = payload;
        let mut sequence = first;
        while let Some(bytes) = split_record(&mut input) {
            let draft = Draft::decode(bytes)?;
            self.record(sequence, &draft, bytes.len());
            sequence += 1;
        }
        Some(())
    }

    fn record(&mut self, sequence: u64, draft: &Draft, bytes: usize) {
        let dead = &self.letters.dead;
        let is_dead = dead.binary_search_by_key(&sequence, |letter| letter.sequence).is_ok();
        if is_dead || self.letters.gone.contains(&sequence) {
            return;
        }
        if let Some(earlier) = self.last.insert(draft.key.request, sequence) {
            // Never acknowledged, or its client would have been told that it is known.
            self.index.skip(earlier);
        }
        if sequence < self.lowest {
            self.index.insert_applied(sequence, draft);
        } else {
            self.index.insert(sequence, draft, draft.payload.now_micros, bytes);
        }
    }

    /// Dead letters that have a later record: the process ended between trying again and saying so.
    fn revived(&self) -> Vec<u64> {
        let later = |letter: &&super::DeadLetter| {
            let last = self.last.get(&letter.draft.key.request);
            last.is_some_and(|last| *last > letter.sequence)
        };
        self.letters.dead.iter().filter(later).map(|letter| letter.sequence).collect()
    }
}
