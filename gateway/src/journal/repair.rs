//! What keeps a journal from being opened, and how it is taken out or made again.
//!
//! Invariant: nothing is changed unless told, and what is taken out is kept in a file beside.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::OpenError;
use super::dead::DeadFile;
use super::group::{GroupHeader, SECTOR_BYTES};
use super::position::Position;
use super::segment::{self, GROUPS_AT, Scan, SegmentHeader};
use super::store;

/// A damaged place in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The segment.
    pub path: PathBuf,
    /// Where the damage begins.
    pub offset: u64,
    /// Its length.
    pub bytes: u64,
    /// The records that stood there: the first, and the one after the last.
    pub lost: (u64, u64),
}

/// A damaged file that is made again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remade {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, from what it is made again, and what that means.
    pub what: String,
}

/// What a repair found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Places in segments where acknowledged records stood.
    pub places: Vec<Repaired>,
    /// Files around them.
    pub files: Vec<Remade>,
}

impl Damage {
    /// Finds what keeps a journal from being opened; with `cut` takes it out, and makes again what can be made.
    ///
    /// The records that stood in damaged places are lost to the gateway; everything behind them is applied.
    ///
    /// # Errors
    ///
    /// [`OpenError`] at what cannot be read, or cannot be repaired.
    pub fn repair(folder: &Path, cut: bool) -> Result<Self, OpenError> {
        let _lock = store::lock(folder)?;
        let mut damage = Self::default();
        let journal = damage.identity(folder, cut)?;
        let first = damage.segments(folder, journal, cut)?;
        damage.position(folder, first, cut)?;
        if let Some(bytes) = DeadFile::damaged(folder)? {
            let path = folder.join("dead");
            if cut {
                DeadFile::cut(folder).map_err(OpenError::machine(&path))?;
            }
            let what = format!(
                "{bytes} bytes are no dead letter; without them the others are kept. A letter that stood there is \
                 applied again if its record is still in a segment, and lost otherwise"
            );
            damage.files.push(Remade { path, what });
        }
        Ok(damage)
    }

    fn identity(&mut self, folder: &Path, cut: bool) -> Result<i64, OpenError> {
        let path = match store::identity(folder) {
            Err(OpenError::Damaged { path, .. }) => path,
            other => return other,
        };
        for (_, segment) in segment::list(folder).map_err(OpenError::machine(folder))? {
            let Some(header) = SegmentHeader::peek(&segment)? else { continue };
            if cut {
                store::write_identity(folder, header.journal).map_err(OpenError::machine(&path))?;
            }
            let what = format!(
                "the journal's id is not readable; {} tells that it is {:016x}",
                segment.display(),
                header.journal
            );
            self.files.push(Remade { path, what });
            return Ok(header.journal);
        }
        Err(OpenError::Unrecoverable { path })
    }

    /// Returns the sequence of the first record that there is.
    fn segments(
        &mut self,
        folder: &Path,
        journal: i64,
        cut: bool,
    ) -> Result<Option<u64>, OpenError> {
        let mut segments: Vec<(PathBuf, File, SegmentHeader)> = Vec::new();
        for (first, path) in segment::list(folder).map_err(OpenError::machine(folder))? {
            let file = File::options().read(true).write(true).open(&path);
            let file = file.map_err(OpenError::machine(&path))?;
            let header = match SegmentHeader::read(&file, &path, journal) {
                Err(OpenError::Damaged { .. }) => {
                    let before = match segments.last() {
                        None => first,
                        Some((path, file, header)) => {
                            let first = header.first;
                            damage(&Scan { file, path, journal, first, limit: None })?.1
                        }
                    };
                    let header = SegmentHeader { journal, first, previous_next: before.min(first) };
                    if cut {
                        let written = file.write_all_at(&header.encode(), 0);
                        let synced = written.and_then(|()| file.sync_all());
                        synced.map_err(OpenError::machine(&path))?;
                    }
                    let what = "the header is not readable; the file's name and the segment before it tell \
                                what stood there"
                        .to_owned();
                    self.files.push(Remade { path: path.clone(), what });
                    header
                }
                read => read?,
            };
            segments.push((path, file, header));
        }
        let limits: Vec<u64> = segments.iter().skip(1).map(|(_, _, it)| it.previous_next).collect();
        for (at, (path, file, header)) in segments.iter().enumerate() {
            let limit = limits.get(at).copied();
            let scan = Scan { file, path, journal, first: header.first, limit };
            for place in damage(&scan)?.0 {
                if cut {
                    take_out(file, journal, &place).map_err(OpenError::machine(path))?;
                }
                self.places.push(place);
            }
        }
        Ok(segments.first().map(|(_, _, header)| header.first))
    }

    fn position(&mut self, folder: &Path, first: Option<u64>, cut: bool) -> Result<(), OpenError> {
        let path = match Position::open(folder) {
            Err(OpenError::Damaged { path, .. }) => path,
            other => return other.map(drop),
        };
        let Some(lowest) = first else { return Err(OpenError::Unrecoverable { path }) };
        if cut {
            Position::create(folder, lowest).map_err(OpenError::machine(&path))?;
        }
        let what = format!(
            "how far orders were applied is not readable; from record {lowest} on all are applied again, and \
             their keys in the databases keep each from being applied twice (as long as `@idempotent`'s ttl)"
        );
        self.files.push(Remade { path, what });
        Ok(())
    }
}

/// Every damaged place of a segment that is not its torn tail.
///
/// Returns them, and the sequence after the last record.
fn damage(scan: &Scan<'_>) -> Result<(Vec<Repaired>, u64), OpenError> {
    let length = scan.file.metadata().map_err(OpenError::machine(scan.path))?.len();
    let (mut offset, mut next) = (GROUPS_AT, scan.first);
    let mut payload = Vec::new();
    let mut found = Vec::new();
    while scan.limit.is_none_or(|limit| next < limit) {
        if let Some(header) = scan.header_at(offset, length)?
            && header.first == next
            && scan.payload_at(&header, offset, length, &mut payload)?
        {
            (offset, next) = (offset + header.extent, header.next);
            continue;
        }
        let later = scan.header_behind(offset, next, length)?;
        let until = later.map(|(at, header)| (at, header.first));
        let Some((at, first)) = until.or(scan.limit.map(|limit| (offset + SECTOR_BYTES, limit)))
        else {
            break;
        };
        let (path, bytes) = (scan.path.into(), at - offset);
        found.push(Repaired { path, offset, bytes, lost: (next, first) });
        (offset, next) = (at, first);
    }
    Ok((found, next))
}

/// Keeps the bytes of a damaged place in a file beside the segment, and writes a gap over them.
fn take_out(file: &File, journal: i64, place: &Repaired) -> io::Result<()> {
    let mut bytes = vec![0; usize::try_from(place.bytes).unwrap_or(0)];
    let end = place.offset + place.bytes;
    if file.metadata()?.len() < end {
        file.set_len(end)?;
    }
    file.read_exact_at(&mut bytes, place.offset)?;
    let beside = place.path.with_extension(format!("damaged-{}", place.offset));
    fs::write(&beside, &bytes)?;
    File::open(&beside)?.sync_all()?;
    let (first, next) = place.lost;
    let gap = GroupHeader::gap(journal, first, next, place.bytes);
    file.write_all_at(&gap.encode(), place.offset)?;
    file.sync_all()
}
