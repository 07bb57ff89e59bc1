//! Where a check's value comes from.

use std::fs;
use std::path::{Path, PathBuf};

use super::cards;
use super::judge::{is_number, less};
use super::table::Check;
use super::{Named, judge};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// As words with one space between them; empty: it is not there.
    pub(super) text: String,
    /// Whether work that could be on several CPUs is.
    pub(super) is_spread: bool,
}

impl From<String> for Seen {
    fn from(text: String) -> Self {
        Self { text, is_spread: false }
    }
}

/// Finds the value of a check.
///
/// - `root`: the folder that stands for `/`.
/// - `probed`: for checks that read no file.
pub(super) fn look(root: &Path, check: &Check, probed: &[Named]) -> Seen {
    match check.way() {
        "sysctl" => {
            let place = format!("proc/sys/{}", check.id.replace('.', "/"));
            values(&[root.join(place)]).into()
        }
        "file" => values(&[below(root, check.place())]).into(),
        "files" => values(&matching(root, check.place())).into(),
        "limit" => limit(root, check.place()).unwrap_or_default().into(),
        "cgroup" => cgroup(root, check.place()).unwrap_or_default().into(),
        "conf" => conf(root, check.id).into(),
        "nic-queues" => cards::queues(root),
        "nic-irqs" => cards::interrupts(root),
        _ => {
            let own = probed.iter().find(|(id, _)| *id == check.id);
            own.map(|(_, text)| text.clone()).unwrap_or_default().into()
        }
    }
}

fn below(root: &Path, place: &str) -> PathBuf {
    root.join(place.trim_start_matches('/'))
}

/// A file's words with one space between them; of a choice, the word in brackets. `None`: it cannot be read.
pub(super) fn words(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    Some(match chosen {
        Some(word) => word.to_owned(),
        None => text.split_whitespace().collect::<Vec<_>>().join(" "),
    })
}

/// The values of files, each once; an empty one is `none`.
fn values(paths: &[PathBuf]) -> String {
    let mut found: Vec<String> = Vec::new();
    for value in paths.iter().filter(|path| path.is_file()).filter_map(|path| words(path)) {
        let value = if value.is_empty() { "none".to_owned() } else { value };
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found.join(" ")
}

/// The files that a pattern names, in order. Only `*` is known, once in a path.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![below(root, pattern)] };
    let (folder, start) = before.rsplit_once('/').unwrap_or(("", before));
    let mut paths: Vec<PathBuf> = entries(&below(root, folder))
        .into_iter()
        .filter(|path| name_of(path).starts_with(start))
        .map(|path| path.join(after.trim_start_matches('/')))
        .collect();
    paths.retain(|path| path.exists());
    paths
}

/// What is in a folder, by name.
pub(super) fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// The last part of a path.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// How many CPUs are online: `0-3,8-11`.
pub(super) fn cpu_count(root: &Path) -> usize {
    let online = words(&root.join("sys/devices/system/cpu/online")).unwrap_or_default();
    let ranges = online.split(',').filter_map(judge::range);
    ranges.map(|(first, last)| last.saturating_sub(first) as usize + 1).sum::<usize>().max(1)
}

/// A limit's hard value.
fn limit(root: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(root.join("proc/self/limits")).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    rest.split_whitespace().nth(1).map(str::to_owned)
}

/// The least of a limit over the process' group and those that it is in; a quota in percent of a CPU.
fn cgroup(root: &Path, file: &str) -> Option<String> {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let group = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default();
    let groups = Path::new(group.trim_start_matches('/')).ancestors();
    let mut least: Option<String> = None;
    for group in groups {
        let folder = root.join("sys/fs/cgroup").join(group);
        let Some(text) = words(&folder.join(file)) else { continue };
        let mut words = text.split(' ');
        let mut value = words.next().unwrap_or_default().to_owned();
        let numbers = (value.parse::<u64>(), words.next().map(str::parse::<u64>));
        if let (Ok(quota), Some(Ok(period @ 1..))) = numbers {
            value = (quota.saturating_mul(100) / period).to_string();
        }
        if is_number(&value) && least.as_ref().is_none_or(|least| less(&value, least)) {
            least = Some(value);
        }
    }
    least
}

/// The files that set a key, as `sysctl` reads them; `none`.
fn conf(root: &Path, key: &str) -> String {
    let mut files = vec![root.join("etc/sysctl.conf")];
    for folder in ["etc/sysctl.d", "run/sysctl.d", "usr/lib/sysctl.d"] {
        let entries = entries(&root.join(folder)).into_iter();
        files.extend(entries.filter(|path| path.extension().is_some_and(|it| it == "conf")));
    }
    let sets = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.split_once('=')).any(|(name, _)| {
            let name: String = name.split_whitespace().collect();
            name.strip_prefix('-').unwrap_or(&name).replace('/', ".") == key
        })
    };
    let found = files.iter().filter(|path| sets(path));
    let shown = found.filter_map(|path| path.strip_prefix(root).ok());
    let shown: Vec<String> = shown.map(|path| format!("/{}", path.display())).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that stands for `/`, with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn choice_is_its_word_in_brackets_and_numbers_have_one_space_between_them() {
        let root = root(&[("a", "always [madvise] never\n"), ("b", "1\t 2\n"), ("c", "\n")]);
        let of = |name: &str| words(&root.path().join(name));
        assert_eq!((of("a"), of("b")), (Some("madvise".into()), Some("1 2".into())));
        assert_eq!((of("c"), of("d")), (Some(String::new()), None));
        assert_eq!(values(&[root.path().join("c"), root.path().join("d")]), "none");
    }

    #[test]
    fn limit_of_a_group_is_the_least_of_it_and_those_around_it() {
        let root = root(&[
            ("proc/self/cgroup", "4:memory:/x\n0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "4096\n"),
            ("sys/fs/cgroup/memory.max", "8192\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
        ]);
        assert_eq!(cgroup(root.path(), "memory.max").as_deref(), Some("4096"));
        assert_eq!(cgroup(root.path(), "cpu.max").as_deref(), Some("150"));
        assert_eq!(cgroup(root.path(), "pids.max"), None);
    }

    #[test]
    fn files_that_set_a_key_are_named_and_comments_do_not_count() {
        let root = root(&[
            ("etc/sysctl.conf", "net.ipv4.tcp_tw_recycle = 1\n"),
            ("etc/sysctl.d/1.conf", "# net.ipv4.tcp_tw_recycle = 1\n"),
            ("etc/sysctl.d/2.conf", "-net/ipv4/tcp_tw_recycle=1"),
            ("etc/sysctl.d/3.txt", "net.ipv4.tcp_tw_recycle=1\n"),
        ]);
        let found = conf(root.path(), "net.ipv4.tcp_tw_recycle");
        assert_eq!(found, "/etc/sysctl.conf /etc/sysctl.d/2.conf");
        assert_eq!(conf(root.path(), "net.ipv4.tcp_tw_reuse"), "none");
    }

    #[test]
    fn hard_limit_is_read_and_a_limit_that_is_not_there_is_not() {
        let text = "Limit  Soft Limit  Hard Limit  Units\n\
                    Max open files            1024  524288  files\n\
                    Max open filesystems      1  2  x\n";
        let root = root(&[("proc/self/limits", text)]);
        assert_eq!(limit(root.path(), "Max open files").as_deref(), Some("524288"));
        assert_eq!(limit(root.path(), "Max locked memory"), None);
    }

    #[test]
    fn values_of_several_files_are_told_once_each() {
        let file = |n: usize| format!("sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor");
        let names = [file(0), file(1), file(2)];
        let root = root(&[
            (&names[0], "performance\n"),
            (&names[1], "powersave\n"),
            (&names[2], "performance\n"),
            ("sys/devices/system/cpu/online", "0-2\n"),
        ]);
        let pattern = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor";
        assert_eq!(values(&matching(root.path(), pattern)), "performance powersave");
    }
}
