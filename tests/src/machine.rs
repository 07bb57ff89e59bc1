//! A folder that stands for `/`, and what `kernel-tuning/tune` and `gateway doctor` say of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::gateway::run;

/// A machine of eight CPUs as distributions leave it.
pub const PLAIN_MACHINE: &[(&str, &str)] = &[
    ("proc/self/limits", "Max open files            1024       524288     files\n"),
    ("proc/self/cgroup", "0::/system.slice/gateway.service\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/net/core/somaxconn", "4096\n"),
    ("proc/sys/net/core/netdev_max_backlog", "1000\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "2048\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_mem", "381234 900000 762468\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096 16384 4194304\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "1024 65535\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/vm/swappiness", "60\n"),
    ("proc/sys/kernel/io_uring_disabled", "2\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always\n"),
    ("sys/devices/system/cpu/online", "0-7\n"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n"),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
    ("sys/fs/cgroup/system.slice/gateway.service/cpu.max", "max 100000\n"),
    ("sys/fs/cgroup/system.slice/cpu.max", "350000 100000\n"),
    ("sys/fs/cgroup/system.slice/memory.max", "9663676416\n"),
    ("sys/fs/cgroup/pids.max", "max\n"),
    ("sys/class/net/eth0/device/msi_irqs/24", "msix\n"),
    ("sys/class/net/eth0/device/msi_irqs/25", "msix\n"),
    ("sys/class/net/eth0/device/msi_irqs/26", "msix\n"),
    ("sys/class/net/eth0/queues/rx-0/rps_cpus", "00\n"),
    ("proc/irq/24/effective_affinity_list", "0\n"),
    ("proc/irq/25/effective_affinity_list", "0\n"),
    ("proc/irq/26/smp_affinity_list", "0\n"),
    ("etc/sysctl.conf", "net.core.somaxconn = 4096\n"),
    ("etc/sysctl.d/50-old.conf", "# old\n-net/ipv4/tcp_tw_recycle = 1\n"),
];

/// The folder of the script.
pub fn tuning_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel-tuning")
}

/// A folder that stands for `/`.
#[derive(Debug)]
pub struct Machine(TempDir);

impl Machine {
    /// One of these files alone.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self(TempDir::new().expect("a temporary folder"));
        for (path, text) in files {
            machine.write(path, text);
        }
        machine
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("as it was made")).expect("as it was made");
        fs::write(path, text).expect("as it was made");
    }

    /// What is in a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).expect("as it was made")
    }

    /// Every file and what is in it.
    pub fn files(&self) -> BTreeMap<PathBuf, String> {
        let (mut files, mut folders) = (BTreeMap::new(), vec![self.root().to_path_buf()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("as it was made") {
                let path = entry.expect("as it was made").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let text = fs::read_to_string(&path).expect("as it was made");
                    files.insert(
                        path.strip_prefix(self.root()).expect("as it was made").to_path_buf(),
                        text,
                    );
                }
            }
        }
        files
    }

    /// The script, to be run on it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(tuning_folder().join("tune"));
        command.args(arguments).arg("--root").arg(self.root());
        command
    }

    /// Runs the script on it.
    pub fn tune(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("as it was made")
    }

    /// Runs the script, which has to end well: what it printed.
    #[track_caller]
    pub fn tuned(&self, arguments: &[&str]) -> String {
        let output = self.tune(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// What both say of it, which must be the same.
    #[track_caller]
    pub fn check(&self, arguments: &[&str]) -> Report {
        let before = self.files();
        let output = self.tune(&[&["check", "--format", "json"], arguments].concat());
        let report: Value = serde_json::from_slice(&output.stdout).expect("as it was made");
        let root = self.root().display().to_string();
        let doctor = run(&[&["doctor", "--format", "json", "--root", &root], arguments].concat());
        same_report(&serde_json::from_str(&doctor.stdout).expect("as it was made"), &report);
        assert_eq!(doctor.status, output.status.code(), "{}", doctor.stderr);
        assert_eq!(self.files(), before, "a check only reads");
        Report(report)
    }
}

/// Both reports are the same, check by check.
#[track_caller]
pub fn same_report(doctor: &Value, script: &Value) {
    assert_eq!(doctor["profile"], script["profile"]);
    let checks = |report: &Value| report["checks"].as_array().expect("as it was made").clone();
    assert_eq!(checks(doctor).len(), checks(script).len());
    for (doctor, script) in checks(doctor).iter().zip(checks(script)) {
        assert_eq!(*doctor, script);
    }
}

/// What a check says of a machine.
#[derive(Clone, Debug)]
pub struct Report(pub Value);

impl Report {
    /// One check.
    pub fn of(&self, id: &str) -> &Value {
        let checks = self.0["checks"].as_array().expect("as it was made");
        checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no check {id}"))
    }

    /// The names of the checks in a state.
    pub fn in_state(&self, state: &str) -> Vec<&str> {
        let checks = self.0["checks"].as_array().expect("as it was made").iter();
        checks
            .filter(|it| it["state"] == state)
            .map(|it| it["id"].as_str().expect("as it was made"))
            .collect()
    }
}
