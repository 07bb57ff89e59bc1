//! `gateway call`: an operation from the shell, and how it ends.

use std::net::TcpListener;

use gateway_tests::{ADMIN_KEY, Setup, run};
use serde_json::Value;

#[test]
fn call_tries_an_operation_from_the_shell() {
    let gateway = Setup::sqlite().start();
    let address = gateway.tcp_address().to_string();
    let call = |operation: &str, parameter: &str| {
        run(&["call", "--address", &address, "--key", ADMIN_KEY, "game1", operation, parameter])
    };
    let body: Value =
        serde_json::from_str(&call("player.get", "player_id=1001").succeeded()).unwrap();
    assert_eq!(body["nickname"], "Player1001");
    let output = call("player.get", "player_id=5");
    assert_eq!((output.status, &*output.stdout), (Some(1), ""));
    assert!(output.stderr.starts_with("2101 PLAYER_NOT_FOUND"), "{}", output.stderr);
}

#[test]
fn call_ends_with_1_where_the_gateway_said_no_and_with_2_where_nobody_was_asked() {
    let gateway = Setup::sqlite().start();
    let address = gateway.tcp_address().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let ended = |address: &str, more: &[&str]| {
        let asked = ["game1", "player.get", "player_id=1001"];
        let output = run(&[&["call", "--address", address][..], more, &asked].concat());
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{}", output.text());
        output.status
    };
    assert_eq!(ended(&address, &["--key", "nobodys-key-that-is-long-enough"]), Some(1));
    assert_eq!(ended("127.0.0.1:1", &["--key", ADMIN_KEY]), Some(2), "nobody listens there");
    let late = ["--key", ADMIN_KEY, "--deadline-ms", "200"];
    assert_eq!(ended(&silent, &late), Some(2), "nobody answers there");
    assert_eq!(ended(&address, &[]), Some(2), "there is no credential");
    assert_eq!(ended(&address, &["--nosuch"]), Some(2), "there is no such argument");
}
