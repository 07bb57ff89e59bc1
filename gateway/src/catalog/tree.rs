//! The template folder on disk: every file read once, and named by what it is for.
//!
//! `_base/player/get.sql` is the operation `player.get` for every game; `game1/player/get.mysql.sql` is
//! game1's on MySQL. What cannot be named so is a finding, never skipped in silence.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_protocol::{GameId, OpId};

use super::Dialect;
use super::contract::{self, Entry, Key};
use super::finding::{Findings, Place, Rule};
use super::header;

/// Largest template file, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Most template files in all.
const FILE_COUNT_MAX: usize = 50_000;
/// Deepest folder below a game's.
const DEPTH_MAX: usize = 8;
/// The folder that every game shares.
pub(crate) const BASE: &str = "_base";
/// The folder of migrations in a game's folder.
const SCHEMA: &str = "schema";

/// The SQL of a file.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) file: Arc<str>,
    pub(crate) text: Arc<str>,
    /// Number of its first line in the file.
    pub(crate) first_line: u32,
    /// The dialect in the file's name; `None`: for every dialect.
    pub(crate) dialect: Option<Dialect>,
}

impl Body {
    /// Where it begins.
    pub(crate) fn place(&self) -> Place {
        Place { file: Arc::clone(&self.file), line: self.first_line, column: 1 }
    }
}

/// A template file, read.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) path: Arc<str>,
    pub(crate) entries: Vec<Entry>,
    /// Keys of header lines that could not be read.
    pub(crate) faulty: Vec<Key>,
    pub(crate) body: Option<Body>,
}

/// The files of one folder, by operation, then by dialect (`None`: every dialect).
pub(crate) type Folder = BTreeMap<OpId, BTreeMap<Option<Dialect>, File>>;

/// Everything below the template folder.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) base: Folder,
    pub(crate) games: BTreeMap<GameId, Folder>,
}

impl Tree {
    /// Reads the folder.
    pub(crate) fn read(root: &Path, findings: &mut Findings) -> Self {
        let mut tree = Self::default();
        let mut walk = Walk { findings, file_count: 0 };
        let above = real(root).into_iter().collect::<Vec<_>>();
        for (name, path) in walk.list(root, "") {
            if !path.is_dir() {
                continue;
            }
            if name == BASE {
                walk.folder(&path, &name, &above, &mut tree.base);
                continue;
            }
            match GameId::new(&name) {
                Ok(game) => walk.folder(&path, &name, &above, tree.games.entry(game).or_default()),
                Err(error) => walk.odd(&name, &format!("not a game's folder: {error}")),
            }
        }
        tree
    }
}

impl Tree {
    /// Whether a file's name has that dialect in it.
    pub(crate) fn has_file_for(&self, dialect: Dialect) -> bool {
        let mut folders = self.games.values().chain([&self.base]);
        folders.any(|folder| folder.values().any(|files| files.contains_key(&Some(dialect))))
    }
}

struct Walk<'f> {
    findings: &'f mut Findings,
    file_count: usize,
}

impl Walk<'_> {
    /// A folder's entries in order of their names, without hidden ones; links that lead nowhere are findings.
    fn list(&mut self, path: &Path, shown: &str) -> Vec<(String, PathBuf)> {
        let entries = match fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => {
                let place = Place::start(&if shown.is_empty() { "." } else { shown }.into());
                let message = format!("the folder cannot be read: {error}");
                self.findings.error(Rule::File, &place, message, "check its path and its mode");
                return Vec::new();
            }
        };
        let mut named = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.file_name();
            let lossy = name.to_string_lossy().into_owned();
            if lossy.starts_with('.') {
                continue;
            }
            let shown = if shown.is_empty() { lossy.clone() } else { format!("{shown}/{lossy}") };
            if let Err(error) = fs::metadata(entry.path()) {
                let message = format!("it cannot be read: {error}");
                let fix = "mend the link, or put the file itself here";
                self.findings.error(Rule::File, &Place::start(&shown.into()), message, fix);
            } else if name.to_str().is_none() {
                self.odd(&shown, "the name is not UTF-8");
            } else {
                named.push((lossy, entry.path()));
            }
        }
        named.sort_unstable();
        named
    }

    /// - `above`: the real paths of the folders that lead here. Links are followed (a `ConfigMap` consists of
    ///   them), but not in a circle.
    fn folder(&mut self, path: &Path, shown: &str, above: &[PathBuf], folder: &mut Folder) {
        let mut open = vec![(path.to_path_buf(), shown.to_owned(), String::new(), above.to_vec())];
        while let Some((path, shown, prefix, mut above)) = open.pop() {
            let Some(own) = real(&path) else { continue };
            if above.contains(&own) {
                let fix = "remove the link";
                let place = Place::start(&shown.into());
                self.findings.error(Rule::File, &place, "a link that leads back up", fix);
                continue;
            }
            above.push(own);
            for (name, path) in self.list(&path, &shown) {
                let shown = format!("{shown}/{name}");
                if !path.is_dir() {
                    self.file(&path, &shown, &format!("{prefix}{name}"), folder);
                } else if prefix.is_empty() && name == SCHEMA {
                } else if prefix.matches('.').count() == DEPTH_MAX {
                    self.odd(&shown, &format!("deeper than {DEPTH_MAX} folders"));
                } else {
                    open.push((path, shown, format!("{prefix}{name}."), above.clone()));
                }
            }
        }
    }

    fn odd(&mut self, shown: &str, message: &str) {
        let fix = "name folders and files with a-z, 0-9 and `_`: `player/get.sql`, `player/get.mysql.sql`";
        self.findings.error(Rule::File, &Place::start(&shown.into()), message, fix);
    }

    /// - `name`: the path below the game's folder, with dots for slashes.
    fn file(&mut self, path: &Path, shown: &str, name: &str, folder: &mut Folder) {
        let Some(stem) = name.strip_suffix(".sql") else {
            if Path::new(name).extension().is_none_or(|extension| extension != "md") {
                let place = Place::start(&shown.into());
                let fix = "end its name in `.sql`, or keep it elsewhere";
                self.findings.warning(Rule::File, &place, "not a template, and not read", fix);
            }
            return;
        };
        let (op, dialect) = match stem.rsplit_once('.') {
            Some((op, last))
                if shown.rsplit('/').next().is_some_and(|file| file.matches('.').count() > 1) =>
            {
                match Dialect::from_name(last) {
                    Some(dialect) => (op, Some(dialect)),
                    None => return self.odd(shown, &format!("there is no dialect `{last}`")),
                }
            }
            _ => (stem, None),
        };
        let op = match OpId::new(op) {
            Ok(op) => op,
            Err(error) => return self.odd(shown, &format!("`{op}` is not an operation: {error}")),
        };
        let Some(text) = self.text(path, shown) else { return };
        let file: Arc<str> = shown.into();
        let mut cut = header::cut(&file, &text, self.findings);
        let body = cut.body.map(|(text, first_line)| Body {
            file: Arc::clone(&file),
            text: text.into(),
            first_line,
            dialect,
        });
        let entries = contract::read(&cut.lines, &mut cut.faulty, self.findings);
        let file = File { path: file, entries, faulty: cut.faulty, body };
        folder.entry(op).or_default().insert(dialect, file);
    }

    fn text(&mut self, path: &Path, shown: &str) -> Option<String> {
        let place = Place::start(&shown.into());
        self.file_count += 1;
        if self.file_count > FILE_COUNT_MAX {
            if self.file_count == FILE_COUNT_MAX + 1 {
                let message = format!("more than {FILE_COUNT_MAX} template files");
                self.findings.error(Rule::File, &place, message, "split the templates");
            }
            return None;
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => {
                let message = format!("{} bytes, more than {FILE_BYTES_MAX}", metadata.len());
                self.findings.error(Rule::File, &place, message, "make the template smaller");
                return None;
            }
            Ok(_) | Err(_) => {}
        }
        match fs::read_to_string(path) {
            Ok(text) => match control(&text) {
                None => Some(text),
                Some((line, column)) => {
                    let place = Place { line, column, ..place };
                    self.findings.error(Rule::File, &place, "a control character", "remove it");
                    None
                }
            },
            Err(error) => {
                let message = format!("the file cannot be read: {error}");
                self.findings.error(Rule::File, &place, message, "save it as UTF-8, and readable");
                None
            }
        }
    }
}

/// The path without links; `None`: the folder is gone, which reading it tells.
fn real(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

/// Line and column of the first character that no SQL text has.
fn control(text: &str) -> Option<(u32, u32)> {
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    let at = text.find(odd)?;
    let before = text.get(..at)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Some((u32::try_from(line).ok()?, u32::try_from(column).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes files, reads the tree; the findings as text.
    fn read(files: &[(&str, &[u8])]) -> (Tree, Vec<String>) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut findings = Findings::default();
        let tree = Tree::read(root.path(), &mut findings);
        (tree, findings.into_sorted().iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn refused(name: &str, text: &[u8], words: &str) {
        let (_, findings) = read(&[(name, text)]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].contains(words), "{findings:?}");
    }

    #[test]
    fn files_are_named_by_their_path_and_dialect() {
        let (tree, findings) = read(&[
            ("README.md", b"not a template"),
            (".git/x.sql", b"hidden"),
            ("_base/player/get.sql", b"SELECT 1"),
            ("_base/player/get.mysql.sql", b"SELECT 2"),
            ("_base/schema/mysql/0001_tables.sql", b"not a template"),
            ("game1/a/b/c.sql", b"-- @limit 1"),
        ]);
        assert_eq!(findings, Vec::<String>::new());
        let base: Vec<_> = tree.base.keys().map(OpId::as_str).collect();
        assert_eq!(base, ["player.get"]);
        let dialects: Vec<_> = tree.base.values().flat_map(BTreeMap::keys).copied().collect();
        assert_eq!(dialects, [None, Some(Dialect::Mysql)]);
        let game: Vec<_> = tree.games.values().flat_map(BTreeMap::keys).collect();
        assert_eq!(game, [&OpId::new("a.b.c").unwrap()]);
    }

    #[test]
    fn odd_names_and_contents_are_findings() {
        refused("_base/Player.sql", b"", "not an operation");
        refused("_base/a-b.sql", b"", "not an operation");
        refused("_base/get.postgres.sql", b"", "there is no dialect `postgres`");
        refused("_base/get.txt", b"", "warning[file]");
        refused("Game1/get.sql", b"", "not a game's folder");
        refused("_base/get.sql", b"\xff", "cannot be read");
        refused("_base/get.sql", b"SELECT\n 1\0", "get.sql:2:3: error[file]: a control character");
        refused("_base/1/2/3/4/5/6/7/8/9/get.sql", b"", "deeper than 8");
    }

    #[test]
    fn file_at_the_limit_is_read_and_one_byte_more_is_refused() {
        let limit = usize::try_from(FILE_BYTES_MAX).unwrap();
        assert_eq!(read(&[("_base/get.sql", &vec![b' '; limit])]).1, Vec::<String>::new());
        refused("_base/get.sql", &vec![b' '; limit + 1], "262145 bytes, more than 262144");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_as_a_config_map_is_mounted() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("..2026_01_31/_base/player");
        fs::create_dir_all(&data).unwrap();
        fs::write(data.join("get.sql"), "SELECT 1").unwrap();
        symlink("..2026_01_31", root.path().join("..data")).unwrap();
        symlink("..data/_base", root.path().join("_base")).unwrap();
        let mut findings = Findings::default();
        let tree = Tree::read(root.path(), &mut findings);
        assert_eq!(findings.0, []);
        assert_eq!(tree.base.keys().map(OpId::as_str).collect::<Vec<_>>(), ["player.get"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_or_in_a_circle_are_findings() {
        use std::os::unix::fs::symlink;
        let root = tempfile::tempdir().unwrap();
        for folder in ["_base/a", "_base/b"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        symlink("nobody.sql", root.path().join("_base/get.sql")).unwrap();
        symlink("self.sql", root.path().join("_base/self.sql")).unwrap();
        symlink("../b", root.path().join("_base/a/over")).unwrap();
        symlink("../a", root.path().join("_base/b/back")).unwrap();
        symlink("..", root.path().join("_base/a/up")).unwrap();
        let mut findings = Findings::default();
        Tree::read(root.path(), &mut findings);
        let told: Vec<_> = findings.into_sorted().iter().map(ToString::to_string).collect();
        let about = |name: &str, words: &str| {
            assert!(told.iter().any(|one| one.contains(name) && one.contains(words)), "{told:#?}");
        };
        about("_base/get.sql:", "cannot be read");
        about("_base/self.sql:", "cannot be read");
        about("_base/a/over/back:", "leads back up");
        about("_base/a/up:", "leads back up");
    }

    #[test]
    fn missing_folder_is_a_finding() {
        let mut findings = Findings::default();
        Tree::read(Path::new("no/such/folder"), &mut findings);
        assert!(findings.0[0].message.starts_with("the folder cannot be read"));
    }
}
