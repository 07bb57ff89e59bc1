//! Every operation of the sample games, with the same calls, on two kinds of databases: the replies are the same
//! bytes, over TCP (MessagePack) and over HTTP (JSON).
//!
//! What the gateway makes up itself (ids, moments, cursors) differs from run to run and is made equal before it is
//! compared; nothing else is. `docs/dialects.md` lists that, and what the gateway does so that replies agree.

mod run;
mod script;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use gateway_tests::{Database, Gateway};
use serde_json::json;

use run::{Run, Told, Way};

/// The games of a setup, whose operations are all to be called.
const GAMES: [&str; 2] = ["game1", "game2"];

/// What was told on one kind of database.
struct Transcript {
    told: Vec<(Way, Vec<Told>)>,
    succeeded: BTreeSet<String>,
}

/// Plays the whole script on fresh databases, each way.
fn transcript(database: Database) -> Option<Transcript> {
    let mut transcript = Transcript { told: Vec::new(), succeeded: BTreeSet::new() };
    for way in Way::ALL {
        let gateway = database.setup()?.set("/logging/requests", json!("errors")).start();
        let mut run = Run::new(&gateway, way);
        for game in GAMES {
            script::play(&mut run, game);
        }
        // SQLite has no procedures.
        if database != Database::Sqlite {
            script::rewards(&mut run, "game1");
        }
        let missing: Vec<_> =
            operations(&gateway).filter(|one| !run.succeeded.contains(one)).collect();
        assert!(missing.is_empty(), "the script has no call that succeeds of {missing:?}");
        transcript.told.push((way, run.told));
        transcript.succeeded.append(&mut run.succeeded);
    }
    Some(transcript)
}

/// `game operation` of everything that a gateway serves.
fn operations(gateway: &Gateway<'_>) -> impl Iterator<Item = String> {
    let all = gateway.admin("/operations").json();
    GAMES.into_iter().flat_map(move |game| {
        let own = all["games"][game]["operations"].as_array().unwrap().clone();
        own.into_iter().map(move |one| format!("{game} {}", one["operation"].as_str().unwrap()))
    })
}

/// The transcript of MySQL, which the others are compared with.
fn of_mysql() -> Option<&'static Transcript> {
    static TRANSCRIPT: OnceLock<Option<Transcript>> = OnceLock::new();
    TRANSCRIPT.get_or_init(|| transcript(Database::Mysql)).as_ref()
}

/// Compares, and ends with a line of counts.
fn compare_with_mysql(database: Database) {
    let (Some(mysql), Some(other)) = (of_mysql(), transcript(database)) else { return };
    let (mut compared, mut mismatches) = (0, Vec::new());
    let served = |told: &&Told| database != Database::Sqlite || !told.is_of("reward.");
    for ((way, first), (_, second)) in mysql.told.iter().zip(&other.told) {
        let first: Vec<&Told> = first.iter().filter(served).collect();
        let second: Vec<&Told> = second.iter().collect();
        assert_eq!(first.len(), second.len(), "{way:?}: both were asked the same");
        compared += first.len();
        let differs = first.iter().zip(&second).filter(|(first, second)| first != second);
        mismatches.extend(
            differs.map(|(first, second)| {
                format!("{way:?}\n  Mysql: {first}\n  {database:?}: {second}")
            }),
        );
    }
    println!(
        "Mysql and {database:?}: {} operations, {compared} replies compared, {} mismatches",
        other.succeeded.len(),
        mismatches.len()
    );
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n"));
}

mod sqlite {
    #[test]
    fn every_operation_answers_with_the_same_bytes_as_on_mysql() {
        super::compare_with_mysql(super::Database::Sqlite);
    }
}

mod oracle_stand_in {
    #[test]
    fn every_operation_answers_with_the_same_bytes_as_on_mysql() {
        super::compare_with_mysql(super::Database::Oracle);
    }
}
