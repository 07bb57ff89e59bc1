//! Migrations on every database there is, with the stand-in in Oracle's place: once each, in order, by whoever comes first.

use std::time::Duration;

use super::super::connection::{Connection, Statement};
use super::super::migrate::{MigrateError, MigrateMode, MigrationState, MigrationStep, migrate};
use super::super::migration::Migration;
use super::super::standin::Standin;
use super::super::testing::{Server, sqlite_config};
use crate::config::{ConnectionConfig, Dialect};

fn file(scope: &str, number: u32, sql: &str) -> Migration {
    let checksum = format!("{:064}", sql.len());
    let (name, checksum) = ("step".into(), checksum.into());
    Migration { scope: scope.into(), number, name, checksum, sql: sql.into() }
}

fn files() -> Vec<Migration> {
    vec![
        file(
            "_base",
            1,
            "CREATE TABLE a (id INT);\n-- a comment; with a semicolon\nINSERT INTO a VALUES (1)",
        ),
        file("_base", 2, "INSERT INTO a VALUES (2);\nINSERT INTO a VALUES (3);"),
        file("game1", 1, "CREATE TABLE b (id INT); INSERT INTO b SELECT id FROM a;"),
    ]
}

fn states(steps: &[MigrationStep]) -> Vec<MigrationState> {
    steps.iter().map(|step| step.state).collect()
}

async fn count(config: &ConnectionConfig, table: &str) -> String {
    let mut connection = Connection::open(config).await.expect("it answers");
    let question = Statement::plain(format!("SELECT COUNT(*) FROM {table}"));
    let rows = connection.fetch_texts(&question).await.expect("a count");
    connection.close(Duration::from_secs(1)).await;
    rows[0][0].clone().expect("a number")
}

/// Runs a check on a new database of each kind there is.
async fn on_both(name: &str, check: impl AsyncFn(&ConnectionConfig)) {
    let folder = tempfile::tempdir().expect("a folder");
    check(&sqlite_config(folder.path())).await;
    if let Some(server) = Server::get() {
        let _turn = server.share().await;
        check(&server.database(name).await).await;
    }
    let Some(standin) = Standin::get() else { return };
    check(&standin.database(name)).await;
}

#[tokio::test]
async fn files_are_applied_once_in_order_and_the_status_changes_nothing() {
    use MigrationState::{Applied, Pending, Present};
    on_both("mig_once", async |config| {
        let status = migrate(config, &files(), MigrateMode::Status).await.expect("a status");
        assert_eq!(states(&status), [Pending; 3]);
        let first = migrate(config, &files()[..2], MigrateMode::Apply).await.expect("applied");
        assert_eq!(states(&first), [Applied; 2]);
        let status = migrate(config, &files(), MigrateMode::Status).await.expect("a status");
        assert_eq!(states(&status), [Present, Present, Pending]);
        let second = migrate(config, &files(), MigrateMode::Apply).await.expect("applied");
        assert_eq!(states(&second), [Present, Present, Applied]);
        let third = migrate(config, &files(), MigrateMode::Apply).await.expect("nothing to do");
        assert_eq!(states(&third), [Present; 3]);
        assert_eq!((count(config, "a").await, count(config, "b").await), ("3".into(), "3".into()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_migrate_at_once_apply_every_file_once() {
    on_both("mig_race", async |config| {
        let runs: Vec<_> = (0..4)
            .map(|_| {
                let config = config.clone();
                tokio::spawn(async move { migrate(&config, &files(), MigrateMode::Apply).await })
            })
            .collect();
        let mut applied = 0;
        for run in runs {
            let steps = run.await.expect("no panic").expect("done by one of them");
            applied +=
                states(&steps).iter().filter(|state| **state == MigrationState::Applied).count();
        }
        assert_eq!(applied, 3);
        assert_eq!((count(config, "a").await, count(config, "b").await), ("3".into(), "3".into()));
    })
    .await;
}

#[tokio::test]
async fn files_that_were_changed_removed_or_put_between_are_refused() {
    on_both("mig_guard", async |config| {
        migrate(config, &files(), MigrateMode::Apply).await.expect("applied");
        let run = async |files: &[Migration]| migrate(config, files, MigrateMode::Apply).await;
        let mut changed = files();
        changed[1] = file("_base", 2, "INSERT INTO a VALUES (4)");
        let refused = run(&changed).await;
        assert!(
            matches!(&refused, Err(MigrateError::Changed { file }) if file.contains("_base/0002"))
        );
        let refused = run(&[files()[0].clone(), files()[2].clone()]).await;
        assert!(matches!(refused, Err(MigrateError::Gone { .. })));
        // Another game's history is not this run's affair.
        assert!(run(&files()[..2]).await.is_ok());
        assert_eq!(count(config, "a").await, "3");
    })
    .await;
}

#[tokio::test]
async fn file_that_fails_leaves_nothing_in_sqlite_and_blocks_elsewhere() {
    on_both("mig_dirty", async |config| {
        let mut broken = files();
        broken[1] = file("_base", 2, "INSERT INTO a VALUES (2);\nINSERT INTO nothing VALUES (3);");
        let failed = migrate(config, &broken, MigrateMode::Apply).await;
        let Err(MigrateError::Statement { file, line: 2, dirty, .. }) = failed else {
            panic!("{failed:?}")
        };
        assert_eq!(&*file, "_base/0002_step.sql");
        assert_eq!(dirty, config.dialect != Dialect::Sqlite);
        if !dirty {
            let done = migrate(config, &files(), MigrateMode::Apply).await.expect("mended");
            return assert_eq!(states(&done), [MigrationState::Applied; 3]);
        }
        for mode in [MigrateMode::Apply, MigrateMode::Status] {
            let blocked = migrate(config, &files(), mode).await;
            let Err(error) = blocked else { panic!("not blocked") };
            assert!(matches!(error, MigrateError::Dirty { number: 2, .. }), "{error}");
            assert!(error.to_string().contains("DELETE its row"), "{error}");
        }
        let mut connection = Connection::open(config).await.expect("it answers");
        let number = if config.dialect == Dialect::Oracle { "file_number" } else { "number" };
        let forget = format!("DELETE FROM gateway_migration WHERE {number} = 2");
        for sql in ["DELETE FROM a WHERE id = 2", &forget] {
            connection.run_text(sql).await.expect("by hand");
        }
        let done = migrate(config, &files(), MigrateMode::Apply).await.expect("mended");
        assert_eq!(states(&done)[0], MigrationState::Present);
        assert_eq!(count(config, "b").await, "3");
    })
    .await;
}

#[tokio::test]
async fn script_that_cannot_be_cut_stops_the_run_before_the_first_file() {
    on_both("mig_cut", async |config| {
        let mut broken = files();
        broken[2] = file("game1", 1, "INSERT INTO a VALUES ('x);");
        let refused = migrate(config, &broken, MigrateMode::Apply).await;
        assert!(matches!(refused, Err(MigrateError::Script { .. })), "{refused:?}");
        let status = migrate(config, &files(), MigrateMode::Status).await.expect("a status");
        assert_eq!(states(&status), [MigrationState::Pending; 3]);
    })
    .await;
}
