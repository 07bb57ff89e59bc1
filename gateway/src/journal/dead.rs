//! Dead letters: records that could not be applied, with the reason, and what became of them.
//!
//! A file that only grows while it is open, and is written anew without what is gone when it is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::OpenError;
use super::now_micros;
use super::payload::{Draft, put_text, take, text};
use super::segment::sync_folder;

const MAGIC: [u8; 4] = *b"GWJD";
const PREFIX_BYTES: usize = 12;
const DEAD: u8 = 1;
const GONE: u8 = 2;
/// A letter with a detail; those without one are written as ever.
const DETAILED: u8 = 3;

/// Longest detail of a letter, in bytes.
const DETAIL_BYTES_MAX: usize = 1024;

/// A dead letter.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// The record's sequence.
    pub sequence: u64,
    /// Why it is dead.
    pub cause: Cause,
    /// What it asked for.
    pub draft: Draft,
}

/// Why a record is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The code.
    pub code: u16,
    /// In words: what clients are told, too.
    pub message: Box<str>,
    /// What operators are told besides: what a guard counted, or who gave the record up and why. May be empty.
    pub detail: Box<str>,
    /// When it was given up, in Unix microseconds.
    pub since_micros: i64,
}

impl Cause {
    /// A record that is given up now.
    pub fn now(code: u16, message: impl Into<Box<str>>) -> Self {
        Self { code, message: message.into(), detail: Box::default(), since_micros: now_micros() }
    }

    /// The same, with what operators are told besides.
    #[must_use]
    pub fn with_detail(self, detail: &str) -> Self {
        let end = detail.floor_char_boundary(DETAIL_BYTES_MAX);
        Self { detail: detail.get(..end).unwrap_or_default().into(), ..self }
    }
}

/// The file of dead letters, as the one that writes to it has it.
#[derive(Debug)]
pub(super) struct DeadFile {
    shelf: Arc<Shelf>,
    length: u64,
    /// Where letters will stand that are not on disk yet.
    fresh: Vec<(u64, Place)>,
}

/// Offset and length of a letter.
type Place = (u64, usize);

/// Where each letter stands, for whoever reads them. Shared.
#[derive(Debug)]
pub(super) struct Shelf {
    path: PathBuf,
    file: File,
    places: Mutex<Places>,
}

/// Each letter's place.
#[derive(Debug, Default)]
struct Places {
    by_sequence: BTreeMap<u64, Place>,
    /// Of all letters.
    bytes: u64,
}

impl Places {
    fn put(&mut self, sequence: u64, place: Place) {
        self.remove(sequence);
        self.bytes += place.1 as u64;
        self.by_sequence.insert(sequence, place);
    }

    fn remove(&mut self, sequence: u64) {
        let removed = self.by_sequence.remove(&sequence);
        self.bytes -= removed.map_or(0, |(_, length)| length as u64);
    }
}

impl Shelf {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of all letters that lie there.
    pub(super) fn bytes(&self) -> u64 {
        self.places().bytes
    }

    /// Reads a letter. While the file is open no letter moves.
    pub(super) fn read(&self, sequence: u64) -> Result<DeadLetter, OpenError> {
        let place = self.places().by_sequence.get(&sequence).copied();
        let (offset, length) = place.ok_or(OpenError::NoRecord { sequence })?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map_err(OpenError::machine(&self.path))?;
        match next_entry(&mut &bytes[..]) {
            Some(Entry::Dead(letter)) => Ok(*letter),
            _ => Err(OpenError::damaged(&self.path, offset, "a dead letter's checksum")),
        }
    }
}

/// What a file of dead letters said when it was opened.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) dead: Vec<DeadLetter>,
    /// Records that were dropped or tried again.
    pub(super) gone: BTreeSet<u64>,
    /// Bytes of a torn last entry, which were cut.
    pub(super) cut_bytes: u64,
}

impl DeadFile {
    /// Opens it, and writes it anew without what is gone.
    ///
    /// - `first`: word of what is gone is kept from this sequence on, the first that a segment has.
    pub(super) fn open(folder: &Path, first: u64) -> Result<(Self, Letters), OpenError> {
        let path = folder.join("dead");
        let bytes = read_all(&path).map_err(OpenError::machine(&path))?;
        let mut letters = Letters::default();
        let mut dead = BTreeMap::new();
        let mut input = &bytes[..];
        while let Some(entry) = next_entry(&mut input) {
            match entry {
                Entry::Dead(letter) => {
                    dead.insert(letter.sequence, *letter);
                }
                Entry::Gone(sequence) => {
                    dead.remove(&sequence);
                    letters.gone.insert(sequence);
                }
            }
        }
        let offset = (bytes.len() - input.len()) as u64;
        if later_entry(input) {
            return Err(OpenError::damaged(path, offset, "no good entry, but a good one after it"));
        }
        letters.cut_bytes = input.len() as u64;
        letters.dead = dead.into_values().collect();
        let file = Self::rewrite(folder, &path, &letters, first);
        Ok((file.map_err(OpenError::machine(&path))?, letters))
    }

    /// Bytes of the file that are no entry although a good one comes after them. `None`: there are none.
    pub(super) fn damaged(folder: &Path) -> Result<Option<usize>, OpenError> {
        let path = folder.join("dead");
        let bytes = read_all(&path).map_err(OpenError::machine(&path))?;
        let damaged = bytes.len() - without_damage(&bytes).len();
        Ok((damaged > 0).then_some(damaged))
    }

    /// Takes damaged bytes out of the file, and keeps the file as it was beside it.
    pub(super) fn cut(folder: &Path) -> io::Result<()> {
        let (path, beside) = (folder.join("dead"), folder.join("dead.damaged"));
        let bytes = fs::read(&path)?;
        let fresh = folder.join("dead.new");
        for (place, content) in [(&beside, &bytes), (&fresh, &without_damage(&bytes))] {
            fs::write(place, content)?;
            File::open(place)?.sync_all()?;
        }
        fs::rename(fresh, path)?;
        sync_folder(folder)
    }

    fn rewrite(folder: &Path, path: &Path, letters: &Letters, first: u64) -> io::Result<Self> {
        let fresh = folder.join("dead.new");
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&fresh)?;
        let shelf = Arc::new(Shelf { path: path.into(), file, places: Mutex::default() });
        let mut own = Self { shelf, length: 0, fresh: Vec::new() };
        let mut bytes = Vec::new();
        for letter in &letters.dead {
            own.put_dead(&mut bytes, letter);
        }
        for sequence in letters.gone.range(first..) {
            put_gone(&mut bytes, *sequence);
        }
        own.append(&bytes)?;
        fs::rename(fresh, path)?;
        sync_folder(folder)?;
        Ok(own)
    }

    /// Adds a letter to what will be appended.
    pub(super) fn put_dead(&mut self, out: &mut Vec<u8>, letter: &DeadLetter) {
        let start = out.len();
        let mut body = Vec::with_capacity(512);
        let Cause { code, message, detail, since_micros } = &letter.cause;
        body.push(if detail.is_empty() { DEAD } else { DETAILED });
        body.extend_from_slice(&letter.sequence.to_le_bytes());
        body.extend_from_slice(&since_micros.to_le_bytes());
        body.extend_from_slice(&code.to_le_bytes());
        put_text(&mut body, message);
        if !detail.is_empty() {
            put_text(&mut body, detail);
        }
        body.extend_from_slice(&letter.draft.encode());
        put_entry(out, &body);
        let at = self.length + start as u64;
        self.fresh.push((letter.sequence, (at, out.len() - start)));
    }

    /// Appends entries; on disk when it returns. After a failure they are not there.
    pub(super) fn append(&mut self, entries: &[u8]) -> io::Result<()> {
        let fresh = std::mem::take(&mut self.fresh);
        let file = &self.shelf.file;
        let written = file.write_all_at(entries, self.length).and_then(|()| file.sync_data());
        if let Err(error) = written {
            // What was half written would be taken for damage once more follows it.
            let _cut = file.set_len(self.length).is_ok();
            return Err(error);
        }
        self.length += entries.len() as u64;
        let mut places = self.shelf.places();
        for (sequence, place) in fresh {
            places.put(sequence, place);
        }
        Ok(())
    }

    /// Says that a record is dropped, or has another sequence now.
    pub(super) fn gone(&mut self, sequence: u64) -> io::Result<()> {
        let mut bytes = Vec::new();
        put_gone(&mut bytes, sequence);
        self.append(&bytes)?;
        self.shelf.places().remove(sequence);
        Ok(())
    }

    /// From now on nothing can be written to it.
    #[cfg(test)]
    pub(super) fn refuse_writes(&mut self) -> io::Result<()> {
        let (path, places) = (self.shelf.path.clone(), std::mem::take(&mut *self.shelf.places()));
        let file = File::open(&path)?;
        self.shelf = Arc::new(Shelf { path, file, places: Mutex::new(places) });
        Ok(())
    }

    /// Where letters are read.
    pub(super) const fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }
}

enum Entry {
    Dead(Box<DeadLetter>),
    Gone(u64),
}

fn put_gone(out: &mut Vec<u8>, sequence: u64) {
    let mut body = vec![GONE];
    body.extend_from_slice(&sequence.to_le_bytes());
    put_entry(out, &body);
}

fn put_entry(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    // Writing to memory does not fail.
    let _written = out.write_all(body).is_ok();
}

/// Takes an entry; `None`, and nothing taken: it is not good.
fn next_entry(input: &mut &[u8]) -> Option<Entry> {
    let mut rest = *input;
    let magic: [u8; 4] = take(&mut rest)?;
    let length = usize::try_from(u32::from_le_bytes(take(&mut rest)?)).ok()?;
    let checksum = u32::from_le_bytes(take(&mut rest)?);
    let (body, rest) = rest.split_at_checked(length)?;
    if magic != MAGIC || crc32c::crc32c(body) != checksum {
        return None;
    }
    let entry = decode_body(body)?;
    *input = rest;
    Some(entry)
}

fn decode_body(body: &[u8]) -> Option<Entry> {
    let mut input = body;
    let [kind] = take(&mut input)?;
    let sequence = u64::from_le_bytes(take(&mut input)?);
    if kind == GONE {
        return Some(Entry::Gone(sequence));
    }
    let since_micros = i64::from_le_bytes(take(&mut input)?);
    let code = u16::from_le_bytes(take(&mut input)?);
    let message = text(&mut input)?;
    let detail = match kind {
        DEAD => Box::default(),
        DETAILED => text(&mut input)?,
        _ => return None,
    };
    let draft = Draft::decode(input)?;
    let cause = Cause { code, message, detail, since_micros };
    Some(Entry::Dead(Box::new(DeadLetter { sequence, cause, draft })))
}

/// Whether a good entry stands anywhere in these bytes.
fn later_entry(bytes: &[u8]) -> bool {
    (1..bytes.len().saturating_sub(PREFIX_BYTES))
        .filter_map(|at| bytes.get(at..))
        .any(|mut rest| rest.starts_with(&MAGIC) && next_entry(&mut rest).is_some())
}

/// A file's bytes; none where there is no file.
fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// The entries without what stands damaged before a good one. A torn last entry stays.
fn without_damage(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let before = rest;
        if next_entry(&mut rest).is_some() {
            kept.extend_from_slice(before.get(..before.len() - rest.len()).unwrap_or_default());
            continue;
        }
        let good = (1..rest.len()).find(|at| {
            let mut later = rest.get(*at..).unwrap_or_default();
            later.starts_with(&MAGIC) && next_entry(&mut later).is_some()
        });
        match good {
            Some(at) => rest = rest.get(at..).unwrap_or_default(),
            None => break,
        }
    }
    kept.extend_from_slice(rest);
    kept
}
