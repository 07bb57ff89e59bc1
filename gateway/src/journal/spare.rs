//! The next segment, made ahead of need on a thread of its own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::device::Driver;
#[cfg(test)]
use super::device::Faults;
use super::segment::{self, SegmentHeader};

/// How long a disk that refused another segment is left alone.
const BACKOFF: Duration = Duration::from_secs(1);

/// Makes segments, one ahead.
#[derive(Debug)]
pub(super) struct Spare {
    folder: PathBuf,
    bytes: u64,
    made: Option<JoinHandle<io::Result<File>>>,
    /// After a failure: what it was, and until when nothing is tried.
    refused: Option<(io::ErrorKind, Instant)>,
}

impl Spare {
    /// Begins to make the first.
    pub(super) fn new(folder: &Path, bytes: u64, driver: &Driver) -> Self {
        let mut spare = Self { folder: folder.into(), bytes, made: None, refused: None };
        spare.make(driver);
        spare
    }

    /// Gives the spare file a segment's header and name, and begins to make another.
    ///
    /// Blocks: until the file is made, if it is not yet.
    pub(super) fn begin(
        &mut self,
        driver: &Driver,
        header: &SegmentHeader,
    ) -> io::Result<(File, PathBuf)> {
        if let Some((kind, until)) = self.refused
            && Instant::now() < until
        {
            return Err(kind.into());
        }
        if self.made.is_none() {
            self.make(driver);
        }
        let begun = self.take().and_then(|file| {
            let path = segment::begin(&self.folder, &self.path(), &file, header)?;
            Ok((file, path))
        });
        match begun {
            Ok(begun) => {
                self.refused = None;
                self.make(driver);
                Ok(begun)
            }
            Err(error) => {
                self.refused = Some((error.kind(), Instant::now() + BACKOFF));
                Err(error)
            }
        }
    }

    /// Waits for what is being made.
    pub(super) fn end(&mut self) {
        if let Some(made) = self.made.take() {
            let _made = made.join().is_ok();
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("segment.new")
    }

    fn make(&mut self, driver: &Driver) {
        let (path, bytes) = (self.path(), self.bytes);
        #[cfg(test)]
        let faults = match driver {
            Driver::Faulty(faults) => Some(Arc::clone(faults)),
            _ => None,
        };
        #[cfg(not(test))]
        let _ = driver;
        let thread = std::thread::Builder::new().name("journal-spare".into());
        let spawned = thread.spawn(move || {
            #[cfg(test)]
            if let Some(faults) = faults {
                Faults::check(&faults.prepare)?;
            }
            segment::prepare(&path, bytes).inspect_err(|_| {
                // Half a segment would only keep room from others.
                let _removed = std::fs::remove_file(&path).is_ok();
            })
        });
        self.made = spawned.ok();
    }

    fn take(&mut self) -> io::Result<File> {
        let Some(made) = self.made.take() else {
            return Err(io::Error::other("no thread to make a segment"));
        };
        made.join().unwrap_or_else(|_panic| Err(io::Error::other("making a segment panicked")))
    }
}
