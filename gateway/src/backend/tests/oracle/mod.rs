//! Oracle: here what needs no server, in `live` what the stand-in serves.

mod live;
mod speed;

use std::process::Command;
use std::time::{Duration, Instant};

use super::super::BackendError;
use super::super::connection::Statement;
use super::super::pool::Pool;
use super::super::testing::{config, far, heard, pool, sqlite_config, until};
use crate::config::{ConnectionConfig, Dialect, Endpoint, Secret, Zone};

/// A configuration of an Oracle that its client knows by that name.
pub(super) fn oracle_config(connect: &str) -> ConnectionConfig {
    let endpoint = Endpoint::Oracle {
        connect: connect.into(),
        username: "gateway".into(),
        password: Secret::new("secret"),
        time_zone: Zone::default(),
    };
    config(Dialect::Oracle, endpoint)
}

/// The library is looked for once a process, where the environment says; so this has one of its own.
#[test]
fn game_on_oracle_without_the_client_library_is_told_what_to_install_and_others_are_served() {
    let name = "backend::tests::oracle::without_the_client_library";
    let child = Command::new(std::env::current_exe().expect("this binary"))
        .args([name, "--exact", "--ignored", "--nocapture"])
        .env_remove("LD_LIBRARY_PATH")
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success() && told.contains("1 passed"), "{told}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process without the library"]
async fn without_the_client_library() {
    let (sink, told) = heard();
    let one = ConnectionConfig { idle_count_min: 1, ..oracle_config("//127.0.0.1:1521/game1") };
    let oracle = Pool::new(one, tokio::runtime::Handle::current(), sink);
    until(|| !oracle.stats().up).await;
    let error = oracle.acquire(far()).await.expect_err("there is no library");
    assert_eq!(error.code(), 1302);

    // While it is missing nobody waits, and it is not looked for each time.
    let started = Instant::now();
    for _ in 0..1000 {
        let refused = oracle.acquire(far()).await;
        assert!(matches!(refused, Err(BackendError::Unreachable { .. })));
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    let attempts = oracle.stats().connect_failures_total;
    assert!(attempts < 10, "{attempts} attempts");
    assert_eq!(*told.lock().expect("no panic"), ["down"]);

    let opened = super::super::connection::Connection::open(&oracle_config("//x/y")).await;
    let text = opened.expect_err("there is no library").to_string();
    assert!(text.contains("Instant Client") && text.contains("LD_LIBRARY_PATH"), "{text}");

    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = pool(sqlite_config(folder.path()));
    let mut lease = sqlite.acquire(far()).await.expect("it is there");
    let one = lease.fetch_texts(&Statement::plain("SELECT 1")).await.expect("served");
    assert_eq!(one, [[Some("1".to_owned())]]);
}
