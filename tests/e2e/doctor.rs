//! `kernel-tuning/tune check`, `gateway doctor` and what `serve` does with the same table.

use std::fs;
use std::process::Command;

use gateway_tests::{
    ADMIN_KEY, Codec, Credential, Machine, PLAIN_MACHINE, Report, Setup, binary, run, same_report,
    tuning_folder, wait_until,
};
use serde_json::{Value, json};

#[test]
fn script_and_doctor_say_the_same_of_a_machine_and_change_nothing() {
    let machine = Machine::new(PLAIN_MACHINE);
    let report = machine.check(&[]);
    assert_eq!(report.0["profile"], "8c32g");
    let to_change = [
        "net.ipv4.tcp_max_syn_backlog",
        "net.core.netdev_max_backlog",
        "net.ipv4.tcp_mem",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_tw_recycle",
        "vm.swappiness",
        "kernel.io_uring_disabled",
        "thp.enabled",
        "cpu.governor",
        "clocksource",
        "cgroup.cpu",
        "nic.queues",
        "nic.irqs",
    ];
    assert_eq!(report.in_state("change"), to_change);
    assert_eq!(report.in_state("unknown"), ["io_uring.setup", "io_uring.flags"]);
    for (id, found, wanted) in [
        ("limit.nofile", "524288", "at-least 524288"),
        ("cgroup.cpu", "350", "at-least 800"),
        ("cgroup.memory", "9663676416", "at-least 8589934592"),
        ("cgroup.pids", "max", "at-least 512"),
        ("cpu.governor", "performance powersave", "one-of performance"),
        ("net.ipv4.tcp_tw_recycle", "/etc/sysctl.d/50-old.conf", "unset"),
        ("nic.queues", "eth0 1 for 8 CPUs, steering no", "spread"),
        ("nic.irqs", "eth0 3 in 1 places", "spread"),
    ] {
        let check = report.of(id);
        assert_eq!((&check["found"], &check["wanted"]), (&json!(found), &json!(wanted)), "{id}");
    }
    let texts = ["why", "load", "cost", "source"];
    for check in report.0["checks"].as_array().unwrap() {
        assert!(texts.iter().all(|name| !check[name].as_str().unwrap().is_empty()), "{check}");
    }
    for profile in ["4c16g", "8c32g", "16c64g", "32c128g"] {
        machine.check(&["--profile", profile]);
    }
}

#[test]
fn script_and_doctor_say_the_same_of_this_machine() {
    let gateway = binary().display().to_string();
    let tune = Command::new(tuning_folder().join("tune"))
        .args(["check", "--format", "json", "--gateway", &gateway])
        .output()
        .unwrap();
    let doctor = run(&["doctor", "--format", "json"]);
    let report: Value = serde_json::from_slice(&tune.stdout).unwrap();
    same_report(&serde_json::from_str(&doctor.stdout).unwrap(), &report);
    let report = Report(report);
    assert_ne!(report.of("io_uring.setup")["state"], "unknown", "the kernel was asked");
}

#[test]
fn values_that_cannot_be_told_or_are_not_there_are_no_fault() {
    let machine = Machine::new(&[
        ("sys/devices/system/cpu/online", "0\n"),
        ("proc/self/limits", "Max open files  1024  unlimited  files\n"),
        ("proc/self/cgroup", ""),
        ("proc/sys/net/ipv4/tcp_mem", "1 2\n"),
        ("proc/sys/vm/swappiness", "-1 \"odd\\\n"),
    ]);
    let report = machine.check(&[]);
    assert_eq!(report.in_state("change"), [] as [&str; 0]);
    assert_eq!(report.in_state("ok"), ["limit.nofile", "net.ipv4.tcp_tw_recycle"]);
    let unknown = ["net.ipv4.tcp_mem", "vm.swappiness", "io_uring.setup", "io_uring.flags"];
    assert_eq!(report.in_state("unknown"), unknown);
    assert_eq!(report.of("vm.swappiness")["found"], "-1 \"odd\\");
}

#[test]
fn wrong_command_is_refused_with_2() {
    let machine = Machine::new(PLAIN_MACHINE);
    for arguments in [
        &["tune"][..],
        &["check", "--profile", "64c"],
        &["check", "--format", "xml"],
        &["apply", "--user", "a b"],
        &["check", "--profile"],
    ] {
        assert_eq!(machine.tune(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(run(&["doctor", "--profile", "64c"]).status, Some(2));
}

#[test]
fn doctor_tells_people_why_and_asks_for_what_a_configuration_needs() {
    let machine = Machine::new(PLAIN_MACHINE);
    let root = machine.root().display().to_string();
    let plain = run(&["doctor", "--root", &root]);
    assert_eq!(plain.status, Some(1));
    assert!(plain.stdout.contains("\nchange  vm.swappiness                       60 (at-most 10)\n        load    every load\n        why     "));
    assert!(plain.stdout.ends_with("profile 8c32g: 15 of 29 to change\n"), "{}", plain.stdout);
    let script = machine.tune(&["check"]).stdout;
    assert_eq!(plain.stdout, String::from_utf8_lossy(&script));
    let explained = run(&["doctor", "--explain", "--root", &root]);
    let script = machine.tune(&["check", "--explain"]).stdout;
    assert_eq!(explained.stdout, String::from_utf8_lossy(&script));

    let setup = Setup::sqlite()
        .set("/server/tcp/max_connections", json!(600_000))
        .set("/server/http/max_connections", json!(1000));
    setup.write_config();
    let config = setup.config_path().display().to_string();
    let told = run(&["doctor", "--config", &config, "--format", "json", "--root", &root]);
    let report = Report(serde_json::from_str(&told.stdout).unwrap());
    let files = report.of("limit.nofile");
    assert_eq!(files["state"], "change");
    let wanted = files["wanted"].as_str().and_then(|text| text.strip_prefix("at-least "));
    let wanted: u64 = wanted.unwrap().parse().unwrap();
    assert!((601_256..602_000).contains(&wanted), "{wanted}");
}

#[test]
fn serve_raises_its_file_limit_as_far_as_it_may_and_warns_where_that_is_too_little() {
    let small = json!(100);
    let setup = Setup::sqlite().open_files(300, 1500);
    let enough = setup
        .set("/server/tcp/max_connections", small.clone())
        .set("/server/http/max_connections", small)
        .start();
    let too_few = Setup::sqlite().open_files(300, 1500).start();
    for (gateway, is_warned) in [(&enough, false), (&too_few, true)] {
        let limits = fs::read_to_string(format!("/proc/{}/limits", gateway.pid())).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(files.split_whitespace().collect::<Vec<_>>()[3..5], ["1500", "1500"]);
        let log = gateway.log();
        let warnings = log.lines().filter(|line| line.contains("\"machine_warning\""));
        let warning = warnings.into_iter().find(|line| line.contains("\"limit.nofile\""));
        assert_eq!(warning.is_some(), is_warned, "{log}");
        let Some(warning) = warning else { continue };
        let warning: Value = serde_json::from_str(warning).unwrap();
        assert_eq!((&warning["level"], &warning["found"]), (&json!("WARN"), &json!("1500")));
        assert!(warning["why"].as_str().unwrap().contains("EMFILE"), "{warning}");
    }

    // More connections than the limit that it was started with.
    let admin = Credential::ApiKey(ADMIN_KEY.to_owned());
    let mut wires: Vec<_> =
        (0..600).map(|_| too_few.connect("game1", &admin, Codec::Msgpack)).collect();
    wait_until("all are open", || {
        let open = too_few.metric("gateway_connections_open", &["\"tcp\""]);
        (open > 599.5).then_some(())
    });
    for wire in &mut wires {
        assert_eq!(wire.ok("player.get", &json!({ "player_id": 1001 }))["player_id"], 1001);
    }
}
