//! What a configuration may ask of the machine, as an argument: tests pass their own.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::yaml::FILE_BYTES_MAX;

type Variable = dyn Fn(&str) -> Option<String>;
type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>>;
type IsFolder = dyn Fn(&Path) -> io::Result<bool>;

/// Environment, files and CPUs.
pub struct Env {
    /// The value of an environment variable; `None` when it is not set.
    pub variable: Box<Variable>,
    /// The content of a file; may stop after 1 MiB and one byte.
    pub read_file: Box<ReadFile>,
    /// Whether what stands at a path is a folder; an error: nothing can be seen there.
    pub is_folder: Box<IsFolder>,
    /// CPUs that this process may use; at least 1.
    pub cpu_count: usize,
}

impl Env {
    /// The process' own.
    pub fn process() -> Self {
        Self {
            variable: Box::new(|name| std::env::var(name).ok()),
            read_file: Box::new(read_file),
            is_folder: Box::new(|path| fs::metadata(path).map(|found| found.is_dir())),
            cpu_count: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("cpu_count", &self.cpu_count).finish_non_exhaustive()
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
