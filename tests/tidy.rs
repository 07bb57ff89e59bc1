//! Rules of the source tree that no compiler checks.
//!
//! Layers and doors of the gateway, the length of files, names, codes that are documented, and traces of
//! one machine. Each rule is a test; what breaks it is listed whole.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gateway_protocol::Code;

/// The gateway's modules, lowest first; `gateway/ARCHITECTURE.md` names the same order and why. A module
/// imports only from those before it.
const LAYERS: &[&str] = &[
    "config", "machine", "observe", "queue", "auth", "catalog", "bind", "identity", "cache",
    "snapshot", "journal", "stream", "backend", "error", "reply", "worker", "pipeline", "frontend",
    "control", "server", "command",
];

/// Which part of the gateway may name which runtime or driver.
const DOORS: &[(&str, &[&str])] = &[
    ("monoio", &["frontend/"]),
    ("monoio_compat", &["frontend/"]),
    ("tokio", &["backend/", "cache/", "control/", "queue.rs", "server/", "stream/"]),
    ("tokio_uring", &["journal/"]),
    ("sqlx", &["backend/"]),
    ("redis", &["cache/l2/", "stream/"]),
];

/// Longest file, in lines of code before its unit tests.
const LINES_MAX: usize = 400;

/// Words that say nothing, banned as parts of file names.
const BANNED: &[&str] = &[
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "base",
    "manager",
    "handler",
    "handlers",
    "processor",
    "data",
    "info",
    "obj",
    "part2",
];

#[test]
fn imports_follow_the_layers() {
    let mut broken = Vec::new();
    for (path, text) in gateway_sources() {
        let own = LAYERS.iter().position(|layer| module_of(&path) == *layer);
        let Some(own) = own else { continue };
        for name in crate_imports(code_of(&text)) {
            let index = LAYERS.iter().position(|layer| *layer == name);
            if index.is_some_and(|index| index > own) {
                broken.push(format!("{path} reaches up to `{name}`"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn runtimes_and_drivers_stay_behind_their_doors() {
    let mut broken = Vec::new();
    for (path, text) in gateway_sources() {
        for (name, doors) in DOORS {
            if names_crate(code_of(&text), name) && !doors.iter().any(|door| path.starts_with(door))
            {
                broken.push(format!("{path} names `{name}`, which belongs to {doors:?}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn files_fit_in_the_head() {
    let mut long = Vec::new();
    for (path, text) in files_of(&["rs"]) {
        let lines = code_of(&text).lines().count();
        if lines > LINES_MAX {
            long.push(format!("{path}: {lines} lines, {LINES_MAX} at most"));
        }
    }
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn file_names_say_what_is_inside() {
    // The folder that every game's templates build on has the name that the design gives it.
    let own_word = |part: &str| part == "_base";
    let mut broken = Vec::new();
    for path in tracked() {
        for part in path.split('/').filter(|part| !own_word(part)) {
            let words: BTreeSet<&str> = part.split(['.', '_', '-']).collect();
            broken.extend(
                BANNED
                    .iter()
                    .filter(|word| words.contains(*word))
                    .map(|word| format!("{path}: `{word}`")),
            );
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_code_of_the_gateway_is_in_the_readme_with_its_status() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = code_rows(&readme);
    let mut missing = Vec::new();
    for code in Code::ALL {
        let row = table.get(&code.number());
        if !row.is_some_and(|row| row.contains(&code.http_status().to_string())) {
            missing.push(format!("| {} | … | {} | {code:?} |", code.number(), code.http_status()));
        }
    }
    assert!(missing.is_empty(), "README.md has no such rows:\n{}", missing.join("\n"));
    let unknown = table
        .keys()
        .filter(|number| !(2100..=2999).contains(*number) && Code::from_number(**number).is_none());
    assert_eq!(
        unknown.collect::<Vec<_>>(),
        Vec::<&u16>::new(),
        "README.md tells codes that do not exist"
    );
}

#[test]
fn every_code_of_the_templates_is_in_their_readme_and_nothing_else() {
    let readme = fs::read_to_string(root().join("sql-templates/README.md")).unwrap();
    let told: BTreeSet<(u16, String)> = code_rows(&readme)
        .into_iter()
        .map(|(number, row)| (number, row.split('|').nth(2).unwrap_or_default().trim().to_owned()))
        .collect();
    let mut used = BTreeSet::new();
    for (_, text) in files_of(&["sql"]) {
        for line in text.lines().filter(|line| line.starts_with("-- @")) {
            let mut words = line.split_whitespace().skip_while(|word| *word != "else").skip(1);
            if let (Some(number), Some(name)) = (words.next(), words.next()) {
                used.insert((number.parse().unwrap(), name.to_owned()));
            }
        }
    }
    assert!(!used.is_empty());
    assert_eq!(used, told);
}

#[test]
fn nothing_is_left_to_do_without_an_issue() {
    // Written apart, so that this file does not find itself.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    let mut open = Vec::new();
    for (path, text) in files_of(&["rs", "sql", "py", "toml", "yaml", "sh", "run"]) {
        for (index, line) in text.lines().enumerate() {
            let left = words.iter().any(|word| line.contains(word)) && !line.contains("(#");
            if left {
                open.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(open.is_empty(), "{}", open.join("\n"));
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let places = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let mut broken = Vec::new();
    for path in tracked() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (index, line) in text.lines().enumerate() {
            if places.iter().any(|place| line.contains(place)) {
                broken.push(format!("{path}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_of_end_to_end_tests_is_a_module() {
    for path in tracked() {
        let Some(name) = path.strip_prefix("tests/e2e/").and_then(|it| it.strip_suffix(".rs"))
        else {
            continue;
        };
        // A folder's `mod.rs` is the folder's module, and names those beside it.
        let name = name.strip_suffix("/mod").unwrap_or(name);
        let (parent, module) = match name.rsplit_once('/') {
            Some((folder, module)) => (format!("{folder}/mod.rs"), module),
            None => ("main.rs".to_owned(), name),
        };
        let parent = fs::read_to_string(root().join("tests/e2e").join(parent)).unwrap();
        assert!(
            name == "main" || parent.contains(&format!("mod {module};")),
            "{path} is never run"
        );
    }
}

#[test]
fn imports_and_ends_of_code_are_found_as_they_are_written() {
    let text = "use crate::cache::{Key, l1};\nuse crate::{bind, catalog::{Scalar, Type}, error as e};\n\
        fn f(_: crate::queue::Sender<u8>) {}";
    let found: Vec<&str> = crate_imports(text).into_iter().collect();
    assert_eq!(found, ["bind", "cache", "catalog", "error", "queue"]);
    assert!(names_crate("use tokio::net;", "tokio") && names_crate("::tokio::spawn()", "tokio"));
    assert!(!names_crate("use crate::backend::tokio::x; my_tokio::y \"tokio::z\"", "tokio"));
    let text = "use a::b;\n#[cfg(test)]\nmod testing;\nfn f() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests {\n}";
    assert!(code_of(text).ends_with("fn f() {}"), "{:?}", code_of(text));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file that is in the repository, or is about to be.
fn tracked() -> Vec<String> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let exists = |path: &&str| root().join(path).is_file();
    String::from_utf8(output.stdout).unwrap().lines().filter(exists).map(str::to_owned).collect()
}

/// Files with one of those extensions (or names), and their text.
fn files_of(extensions: &[&str]) -> Vec<(String, String)> {
    let ends = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default();
        extensions.contains(&name.rsplit('.').next().unwrap_or_default())
    };
    let read = |path: String| {
        let text = fs::read_to_string(root().join(&path)).unwrap();
        (path, text)
    };
    tracked().into_iter().filter(ends).map(read).collect()
}

/// The gateway's own sources, by their path below `gateway/src/`.
fn gateway_sources() -> Vec<(String, String)> {
    let own = |(path, text): (String, String)| {
        path.strip_prefix("gateway/src/").map(|path| (path.to_owned(), text))
    };
    files_of(&["rs"]).into_iter().filter_map(own).collect()
}

/// `cache` of `cache/l1.rs` and of `cache.rs`.
fn module_of(path: &str) -> &str {
    path.split(['/', '.']).next().unwrap_or_default()
}

/// A file's text before its unit tests.
fn code_of(text: &str) -> &str {
    let is_of_tests = |rest: &str| {
        let item =
            rest.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("#["));
        item.is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    let tests = text
        .match_indices("\n#[cfg(test)]")
        .find(|(index, mark)| text.get(index + mark.len()..).is_some_and(is_of_tests));
    tests.and_then(|(index, _)| text.get(..index)).unwrap_or(text)
}

/// The modules behind `crate::`, also those in groups.
fn crate_imports(text: &str) -> BTreeSet<&str> {
    text.split("crate::").skip(1).flat_map(first_names).collect()
}

/// The first name of each path at the start of a text: one path, or a group in braces.
fn first_names(text: &str) -> Vec<&str> {
    let Some(group) = text.strip_prefix('{') else {
        return text.split(|c: char| !is_of_name(c)).take(1).collect();
    };
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (index, letter) in group.char_indices() {
        let ends = depth == 0 && matches!(letter, ',' | '}');
        if ends {
            let path = group.get(start..index).unwrap_or_default().trim_start();
            names.extend(
                path.split(|c: char| !is_of_name(c)).next().filter(|name| !name.is_empty()),
            );
            start = index + 1;
        }
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

const fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Whether a path of that crate stands in the text outside comments.
fn names_crate(text: &str, name: &str) -> bool {
    let path = format!("{name}::");
    text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(&path).any(|(index, _)| {
            let before = line.get(..index).unwrap_or_default();
            let is_absolute =
                before.ends_with("::") && !before.trim_end_matches(':').ends_with(is_of_name);
            is_absolute || !before.ends_with(|c| is_of_name(c) || matches!(c, ':' | '"'))
        })
    })
}

/// Rows of Markdown tables whose first cell is a code: `| 2101 | … |`.
fn code_rows(text: &str) -> BTreeMap<u16, String> {
    let row = |line: &str| {
        let cell = line.trim().strip_prefix('|')?.split('|').next()?.trim().trim_matches('`');
        let is_code = cell.len() == 4 && cell.bytes().all(|byte| byte.is_ascii_digit());
        is_code.then(|| Some((cell.parse().ok()?, line.to_owned())))?
    };
    text.lines().filter_map(row).collect()
}
