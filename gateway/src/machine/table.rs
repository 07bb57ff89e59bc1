//! The table of checks and the profiles, as `kernel-tuning/` has them.
//!
//! Reading is total: what does not fit is left out, and a test sees that nothing is.

use std::path::Path;

use super::read::cpu_count;

const CHECKS: &str = include_str!("../../../kernel-tuning/checks");

/// The profiles: each size of machine that the requirements name, smallest first.
pub const PROFILES: [Profile; 4] = [
    Profile { name: "4c16g", text: include_str!("../../../kernel-tuning/profiles/4c16g") },
    Profile { name: "8c32g", text: include_str!("../../../kernel-tuning/profiles/8c32g") },
    Profile { name: "16c64g", text: include_str!("../../../kernel-tuning/profiles/16c64g") },
    Profile { name: "32c128g", text: include_str!("../../../kernel-tuning/profiles/32c128g") },
];

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// No number of it is less.
    AtLeast,
    /// No number of it is more.
    AtMost,
    /// Each word is one of these.
    OneOf,
    /// These ports are reserved, where they could be given away.
    Covers,
    /// No file sets it.
    Unset,
    /// The work is on more than one CPU.
    Spread,
}

impl How {
    /// Its name in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AtLeast => "at-least",
            Self::AtMost => "at-most",
            Self::OneOf => "one-of",
            Self::Covers => "covers",
            Self::Unset => "unset",
            Self::Spread => "spread",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        let all =
            [Self::AtLeast, Self::AtMost, Self::OneOf, Self::Covers, Self::Unset, Self::Spread];
        all.into_iter().find(|how| how.name() == name)
    }
}

/// One check of the table.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name: that of a sysctl, or one of ours.
    pub id: &'static str,
    /// Where its value comes from.
    read: &'static str,
    /// How the value is compared.
    pub how: How,
    /// With what, where no profile says.
    value: &'static str,
    /// Whether `serve` warns of it.
    pub at_start: bool,
    /// For which load it matters.
    pub load: &'static str,
    /// What goes wrong otherwise.
    pub why: &'static str,
    /// What it costs.
    pub cost: &'static str,
    /// Where it is documented.
    pub source: &'static str,
    /// What to do where the script cannot; empty: it can.
    pub fix: &'static str,
}

impl Check {
    /// The first word of `read`.
    pub(super) fn way(&self) -> &'static str {
        self.read.split(' ').next().unwrap_or_default()
    }

    /// What stands behind it.
    pub(super) fn place(&self) -> &'static str {
        self.read.split_once(' ').map_or("", |(_, place)| place)
    }

    fn parse(block: &'static str) -> Option<Self> {
        let (id, lines) = block.split_once(']')?;
        let field = |name: &str| {
            let mut fields = lines.lines().filter_map(|line| line.split_once(char::is_whitespace));
            fields.find(|(own, _)| *own == name).map(|(_, text)| text.trim())
        };
        let want = field("want")?;
        let (how, value) = want.split_once(' ').unwrap_or((want, ""));
        Some(Self {
            id,
            read: field("read")?,
            how: How::from_name(how)?,
            value,
            at_start: field("start") == Some("yes"),
            load: field("load")?,
            why: field("why")?,
            cost: field("cost")?,
            source: field("source")?,
            fix: field("fix").unwrap_or_default(),
        })
    }
}

/// Every check, in the order of the table.
pub fn checks() -> Vec<Check> {
    CHECKS.split("\n[").skip(1).filter_map(Check::parse).collect()
}

/// The values for one size of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    text: &'static str,
}

impl Profile {
    /// The profile of that name.
    pub fn named(name: &str) -> Option<Self> {
        PROFILES.into_iter().find(|profile| profile.name == name)
    }

    /// The smallest that has the machine's CPUs; of a machine beyond all, the largest.
    pub fn of(root: &Path) -> Self {
        let cpus = cpu_count(root);
        let [.., largest] = PROFILES;
        PROFILES.into_iter().find(|profile| profile.cores() >= cpus).unwrap_or(largest)
    }

    fn cores(&self) -> usize {
        self.line("cores").and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    fn line(&self, id: &str) -> Option<&'static str> {
        let mut lines = self.text.lines().filter_map(|line| line.split_once(' '));
        lines.find(|(own, _)| *own == id).map(|(_, value)| value)
    }

    /// What it wants of a check.
    pub(super) fn value(&self, check: &Check) -> &'static str {
        self.line(check.id).unwrap_or(check.value)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-tuning")
    }

    #[test]
    fn every_check_of_the_table_is_read_and_says_everything() {
        let checks = checks();
        let names: Vec<_> = CHECKS.lines().filter_map(|line| line.strip_prefix('[')).collect();
        assert_eq!(checks.len(), names.len());
        for (check, name) in checks.iter().zip(names) {
            assert_eq!(format!("{}]", check.id), name);
            for text in [check.load, check.why, check.cost, check.source] {
                assert!(!text.is_empty(), "{name}");
            }
            let ways = ["sysctl", "limit", "file", "files", "cgroup", "conf", "probe"];
            let is_known = ways.contains(&check.way()) || check.way().starts_with("nic-");
            assert!(is_known, "{name}: {}", check.way());
            for profile in PROFILES {
                let has_value = !profile.value(check).is_empty();
                let needs_one = !matches!(check.how, How::Unset | How::Spread);
                assert_eq!(has_value, needs_one, "{name} in {}", profile.name);
            }
        }
        assert!(!CHECKS.contains(['"', '\\']), "the script prints it as JSON as it is");
    }

    #[test]
    fn every_profile_of_the_folder_is_built_in_and_names_only_checks() {
        let mut files: Vec<_> = fs::read_dir(folder().join("profiles")).unwrap().collect();
        assert_eq!(files.len(), PROFILES.len());
        files.retain(|file| {
            let name = file.as_ref().unwrap().file_name().into_string().unwrap();
            Profile::named(&name).is_none()
        });
        assert!(files.is_empty(), "{files:?}");
        let checks = checks();
        for profile in PROFILES {
            let lines = profile.text.lines().filter(|line| !line.starts_with('#'));
            for id in lines.filter_map(|line| line.split(' ').next()).filter(|id| *id != "cores") {
                assert!(checks.iter().any(|check| check.id == id), "{}: {id}", profile.name);
            }
        }
        assert!(PROFILES.map(|profile| profile.cores()).is_sorted());
    }

    #[test]
    fn profile_is_the_smallest_that_has_the_machines_cpus_or_the_largest() {
        let root = tempfile::tempdir().unwrap();
        let cpu = root.path().join("sys/devices/system/cpu");
        fs::create_dir_all(&cpu).unwrap();
        for (online, expected) in [
            ("0", "4c16g"),
            ("0-3", "4c16g"),
            ("0-4", "8c32g"),
            ("0-3,8-11", "8c32g"),
            ("0-15", "16c64g"),
            ("0-31", "32c128g"),
            ("0-127", "32c128g"),
        ] {
            fs::write(cpu.join("online"), format!("{online}\n")).unwrap();
            assert_eq!(Profile::of(root.path()).name, expected, "{online}");
        }
    }
}
