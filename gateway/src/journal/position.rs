//! The applied position on disk: two slots, written in turn, so that a torn write loses none but the newer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::OpenError;
use super::payload::take;

const MAGIC: [u8; 8] = *b"GWJPOS01";
const SLOT_BYTES: u64 = 512;
const LENGTH: usize = 28;

/// The file of the applied position.
#[derive(Debug)]
pub(super) struct Position {
    file: File,
    generation: u64,
    lowest: u64,
}

impl Position {
    /// Opens it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Damaged`] when neither slot is good.
    pub(super) fn open(folder: &Path) -> Result<Self, OpenError> {
        let path = path(folder);
        let file = File::options().read(true).write(true).open(&path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::damaged(path, 0, "the applied position is missing"));
            }
            other => other.map_err(OpenError::machine(&path))?,
        };
        let slots = [0, 1].map(|slot| read_slot(&file, slot));
        let newest = slots.into_iter().flatten().max();
        let Some((generation, lowest)) = newest else {
            return Err(OpenError::damaged(path, 0, "neither slot of the position is good"));
        };
        Ok(Self { file, generation, lowest })
    }

    /// Makes it.
    pub(super) fn create(folder: &Path, lowest: u64) -> io::Result<Self> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(path(folder))?;
        let mut position = Self { file, generation: 0, lowest };
        position.write(lowest)?;
        Ok(position)
    }

    /// The lowest sequence that was not applied, as it stands on disk.
    pub(super) const fn lowest(&self) -> u64 {
        self.lowest
    }

    /// Writes it; on disk when it returns.
    pub(super) fn write(&mut self, lowest: u64) -> io::Result<()> {
        let generation = self.generation + 1;
        let mut out = Vec::with_capacity(LENGTH);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&generation.to_le_bytes());
        out.extend_from_slice(&lowest.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        self.file.write_all_at(&out, generation % 2 * SLOT_BYTES)?;
        self.file.sync_data()?;
        (self.generation, self.lowest) = (generation, lowest);
        Ok(())
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("position")
}

/// Generation and position of a slot; `None`: it is not good.
fn read_slot(file: &File, slot: u64) -> Option<(u64, u64)> {
    let mut bytes = [0; LENGTH];
    file.read_exact_at(&mut bytes, slot * SLOT_BYTES).ok()?;
    let (covered, checksum) = bytes.split_last_chunk::<4>()?;
    let mut input = covered;
    let magic: [u8; 8] = take(&mut input)?;
    let read = (u64::from_le_bytes(take(&mut input)?), u64::from_le_bytes(take(&mut input)?));
    (magic == MAGIC && u32::from_le_bytes(*checksum) == crc32c::crc32c(covered)).then_some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_slot_leaves_the_position_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut position = Position::create(folder.path(), 1).unwrap();
        position.write(7).unwrap();
        position.write(9).unwrap();
        let newest = position.generation % 2 * SLOT_BYTES;
        position.file.write_all_at(&[255], newest + 20).unwrap();
        assert_eq!(Position::open(folder.path()).unwrap().lowest(), 7);
        let older = (position.generation + 1) % 2 * SLOT_BYTES;
        position.file.write_all_at(&[255], older + 20).unwrap();
        assert!(matches!(Position::open(folder.path()), Err(OpenError::Damaged { .. })));
    }
}
