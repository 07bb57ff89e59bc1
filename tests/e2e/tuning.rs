//! `kernel-tuning/tune apply` and `revert` on folders that stand for `/`: what is written, set and put back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use gateway_tests::{Machine, PLAIN_MACHINE, copy_folder, tuning_folder};
use tempfile::TempDir;

/// A file that an operator had under the name that `apply` writes.
const OWN: (&str, &str) = ("etc/sysctl.d/90-gateway.conf", "vm.swappiness = 30\n");

#[test]
fn apply_sets_what_a_check_finds_and_revert_restores_every_file_and_value() {
    let machine = Machine::new(&[PLAIN_MACHINE, &[OWN]].concat());
    let before = machine.files();
    machine.tuned(&["apply", "--user", "gate", "--unit", "gw"]);

    assert_eq!(
        machine.read("proc/sys/net/ipv4/tcp_mem"),
        "524288 900000 1048576\n",
        "none is less"
    );
    assert_eq!(machine.read("proc/sys/net/ipv4/tcp_rmem"), "4096 131072 2097152\n");
    assert_eq!(machine.read("proc/sys/net/ipv4/ip_local_reserved_ports"), "8080-8082\n");
    assert_eq!(machine.read("proc/sys/fs/file-max"), "9223372036854775807\n", "never lowered");
    assert_eq!(machine.read("proc/sys/kernel/io_uring_disabled"), "2\n", "not ours to allow");
    assert_eq!(machine.read("sys/kernel/mm/transparent_hugepage/enabled"), "madvise\n");
    let sysctl = machine.read("etc/sysctl.d/90-gateway.conf");
    assert!(sysctl.contains("\nnet.core.netdev_max_backlog = 4000\n"), "{sysctl}");
    assert!(!sysctl.contains("tcp_tw_recycle") && !sysctl.contains("file-max"), "{sysctl}");
    let tmpfiles = machine.read("etc/tmpfiles.d/90-gateway.conf");
    let governor = "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor";
    assert!(tmpfiles.contains(&format!("\nw {governor} - - - - performance\n")), "{tmpfiles}");
    let limits = machine.read("etc/security/limits.d/90-gateway.conf");
    assert!(limits.contains("\ngate hard nofile 524288\n"), "{limits}");
    assert!(limits.contains("\ngate soft memlock 8192\n"), "in KiB: {limits}");
    let unit = machine.read("etc/systemd/system/gw.service.d/90-tuning.conf");
    assert!(unit.contains("\n[Service]\nLimitNOFILE=524288\nLimitMEMLOCK=8388608\n"), "{unit}");
    let left = [
        "net.ipv4.tcp_tw_recycle",
        "kernel.io_uring_disabled",
        "clocksource",
        "cgroup.cpu",
        "nic.queues",
        "nic.irqs",
    ];
    let report = machine.check(&[]);
    assert_eq!(report.in_state("change"), left);
    for id in left {
        assert_ne!(report.of(id)["fix"], "", "{id} says what to do");
    }

    let applied = machine.files();
    let again = machine.tuned(&["apply", "--user", "gate", "--unit", "gw"]);
    assert_eq!(machine.files(), applied);
    assert!(!again.contains("set /") && !again.contains("wrote"), "{again}");

    machine.tuned(&["revert"]);
    assert_eq!(machine.files(), before);
    assert_eq!(machine.tuned(&["revert"]), "nothing to revert\n");
}

#[test]
fn another_profile_leaves_nothing_of_the_one_before_it() {
    let (machine, other) = (Machine::new(PLAIN_MACHINE), Machine::new(PLAIN_MACHINE));
    let before = machine.files();
    machine.tuned(&["apply", "--profile", "32c128g", "--unit", "old"]);
    assert_eq!(machine.read("proc/sys/net/ipv4/tcp_mem"), "2097152 2796202 4194304\n");
    machine.tuned(&["apply", "--profile", "4c16g"]);
    other.tuned(&["apply", "--profile", "4c16g"]);
    let without_notes = |machine: &Machine| {
        let mut files = machine.files();
        files.retain(|path, _| !path.starts_with("var"));
        files
    };
    assert_eq!(without_notes(&machine), without_notes(&other));
    assert_eq!(machine.read("proc/sys/net/ipv4/tcp_mem"), "381234 900000 762468\n");
    machine.tuned(&["revert"]);
    assert_eq!(machine.files(), before);
}

#[test]
fn dry_run_tells_everything_and_writes_nothing() {
    let machine = Machine::new(&[PLAIN_MACHINE, &[OWN]].concat());
    let before = machine.files();
    let text = machine.tuned(&["apply", "--dry-run"]);
    assert!(text.contains("would set /proc/sys/vm/swappiness: 60 -> 10\n"), "{text}");
    assert!(text.contains("would write /etc/sysctl.d/90-gateway.conf:\n"), "{text}");
    assert!(text.contains("    LimitNOFILE=524288\n"), "{text}");
    assert_eq!(machine.files(), before);
    machine.tuned(&["apply"]);
    let applied = machine.files();
    let text = machine.tuned(&["revert", "--dry-run"]);
    assert!(text.contains("would set /proc/sys/vm/swappiness: 10 -> 60\n"), "{text}");
    assert!(text.contains("would restore /etc/sysctl.d/90-gateway.conf\n"), "{text}");
    assert_eq!(machine.files(), applied);
}

#[test]
fn tuning_that_is_killed_anywhere_can_be_put_back_and_put_back_again() {
    let programs = TempDir::new().unwrap();
    for program in ["cp", "mv", "sync", "rm"] {
        let real = ["/bin", "/usr/bin"].map(|folder| format!("{folder}/{program}"));
        let real = real.iter().find(|path| Path::new(path).exists()).unwrap();
        // Counts down; at 0 it ends the script before it does anything.
        let script = format!(
            "#!/bin/sh\nread -r left <\"$STEPS\"\necho $((left - 1)) >\"$STEPS\"\n\
             [ \"$left\" -gt 0 ] || {{ kill -9 $PPID; exit 1; }}\nexec {real} \"$@\"\n"
        );
        let path = programs.path().join(program);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let machine = Machine::new(&[PLAIN_MACHINE, &[OWN]].concat());
    let before = machine.files();
    let steps = programs.path().join("steps");
    let killed_after = |count: usize, action: &str| {
        fs::write(&steps, format!("{count}\n")).unwrap();
        let mut command = machine.command(&[action]);
        !command.env("PATH", &path).env("STEPS", &steps).output().unwrap().status.success()
    };
    let mut kills = 0;
    for count in 0.. {
        let was_killed = killed_after(count, "apply");
        for count in 0..count {
            if !killed_after(count, "revert") {
                break;
            }
            kills += 1;
        }
        machine.tuned(&["revert"]);
        assert_eq!(machine.files(), before, "killed at step {count}");
        if !was_killed {
            break;
        }
        kills += 1;
    }
    assert!(kills > 20, "killed {kills} times");
}

#[test]
fn apply_without_root_is_refused_and_says_what_to_do() {
    // Nobody may read the folder of the sources.
    let copy = TempDir::new().unwrap();
    copy_folder(&tuning_folder(), &copy.path().join("tuning"));
    fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tune = copy.path().join("tuning/tune");
    fs::set_permissions(&tune, fs::Permissions::from_mode(0o755)).unwrap();
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = Command::new(if is_root { Path::new("setpriv") } else { &tune });
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&tune);
    }
    let output = command.arg("apply").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text, "tune: apply needs root; --dry-run shows what it would do\n");
}
