//! What only an Oracle has, on the stand-in for it: clocks of a zone, keys of moments, locks of tables.

use std::sync::Arc;

use super::super::super::standin::Standin;
use super::super::super::testing::Server;
use super::super::check::obstacles;
use super::super::compare::{Reconcile, reconcile};
use super::super::error::SwitchError;
use super::super::introspect::tables;
use super::super::lease::Takeover;
use super::super::pair::{Schema, pairs};
use super::super::side::Side;
use super::super::state::Group;
use super::super::{TableReport, backfill, copy, mirror, status};
use super::world::{open, run, set_up_with};
use crate::catalog::{Scalar, parse_timestamp};
use crate::config::{ConnectionConfig, Endpoint, Zone};

/// Keys that are moments of each kind, and one of a number with a fraction, bytes and a day.
const ORACLE: &str = "CREATE TABLE visit (at DATE NOT NULL, player_id NUMBER(19) NOT NULL, seen TIMESTAMP(3), \
    note VARCHAR2(80), CONSTRAINT visit_pk PRIMARY KEY (at, player_id)); \
    CREATE TABLE tick (at TIMESTAMP(6) NOT NULL, note VARCHAR2(80), CONSTRAINT tick_pk PRIMARY KEY (at)); \
    CREATE TABLE beat (at TIMESTAMP(6) WITH LOCAL TIME ZONE NOT NULL, note VARCHAR2(80), \
    CONSTRAINT beat_pk PRIMARY KEY (at)); \
    CREATE TABLE rate (amount NUMBER(12,4) NOT NULL, code RAW(4) NOT NULL, day DATE NOT NULL, note VARCHAR2(80), \
    CONSTRAINT rate_pk PRIMARY KEY (amount, code, day));";
const MYSQL: &str = "CREATE TABLE visit (at DATETIME NOT NULL, player_id BIGINT NOT NULL, seen DATETIME(3), \
    note VARCHAR(80), PRIMARY KEY (at, player_id)) ENGINE = InnoDB; \
    CREATE TABLE tick (at DATETIME(6) NOT NULL PRIMARY KEY, note VARCHAR(80)) ENGINE = InnoDB; \
    CREATE TABLE beat (at DATETIME(6) NOT NULL PRIMARY KEY, note VARCHAR(80)) ENGINE = InnoDB; \
    CREATE TABLE rate (amount DECIMAL(12,4) NOT NULL, code VARBINARY(4) NOT NULL, day DATE NOT NULL, \
    note VARCHAR(80), PRIMARY KEY (amount, code, day)) ENGINE = InnoDB";
const TABLES: [&str; 4] = ["visit", "tick", "beat", "rate"];

/// The stand-in in Beijing's time, and MariaDB, which keeps UTC.
async fn sides(name: &str) -> Option<(Arc<Standin>, ConnectionConfig, ConnectionConfig)> {
    let (server, standin) = (Server::get()?, Standin::get()?);
    let _turn = server.share().await;
    let mut oracle = standin.database(&format!("switch_{name}_oracle"));
    if let Endpoint::Oracle { time_zone, .. } = &mut oracle.endpoint {
        *time_zone = Zone::parse("Asia/Shanghai").expect("a zone");
    }
    oracle.name = "oracle".into();
    let mut mysql = server.database(&format!("switch_{name}_mysql")).await;
    mysql.name = "mysql".into();
    set_up_with(&oracle, ORACLE).await;
    set_up_with(&mysql, MYSQL).await;
    Some((standin, oracle, mysql))
}

fn moment(text: &str) -> Scalar<'static> {
    Scalar::Timestamp(parse_timestamp(text, 6).expect("a moment"))
}

fn note(text: &str) -> Scalar<'static> {
    Scalar::Str(text.to_owned().into())
}

async fn put(side: &mut Side, number: i64) {
    let at = moment("2024-02-29T20:30:00Z");
    let fine = moment("2024-02-29T20:30:00.123456Z");
    let sql = "INSERT INTO visit (at, player_id, seen, note) VALUES (?, ?, ?, ?)";
    let binds = vec![at, Scalar::Int(number), moment("2024-02-29T16:00:00.250Z"), note("here")];
    side.execute(sql, binds).await.expect("a visit");
    for table in ["tick", "beat"] {
        let later = match &fine {
            Scalar::Timestamp(micros) => Scalar::Timestamp(micros + number),
            _ => panic!("a moment"),
        };
        let sql = format!("INSERT INTO {table} (at, note) VALUES (?, ?)");
        side.execute(sql, vec![later, note("here")]).await.expect("a moment");
    }
    let sql = "INSERT INTO rate (amount, code, day, note) VALUES (?, ?, ?, ?)";
    let code = Scalar::Bytes(vec![0, 255, u8::try_from(number).expect("small")].into());
    let binds = vec![Scalar::Decimal("0.5".into()), code, Scalar::Date(19_782), note("here")];
    side.execute(sql, binds).await.expect("a rate");
}

async fn equal(group: Group<'_>, rows: u64) {
    let plan = Reconcile {
        owner: group.owner,
        mirror: group.mirror,
        group: group.id.into(),
        tables: TABLES.map(Into::into).into(),
        from: None,
        to: None,
        chunk: 3,
        repair_max: None,
        with_values: true,
    };
    let mut reports: Vec<TableReport> = Vec::new();
    reconcile(&plan, |report| reports.push(report)).await.expect("compared");
    for report in &reports {
        assert_eq!((report.divergence_count(), report.row_count), (0, rows), "{report:?}");
    }
    assert_eq!(reports.len(), TABLES.len());
}

/// What is there before and after, what changes its key, and what goes: all of it known by its key.
async fn moments_are_copied(owner: &ConnectionConfig, other: &ConnectionConfig) {
    let group = Group { id: "game1", owner, mirror: other };
    let mut side = open(owner).await;
    for number in 1..=4 {
        put(&mut side, number).await;
    }
    let made = mirror(group, &TABLES.map(Into::into), "tests").await.expect("a mirror");
    assert_eq!(made.trigger_count, 15);
    for number in 5..=8 {
        put(&mut side, number).await;
    }
    for table in TABLES {
        side.execute(format!("UPDATE {table} SET note = 'there'"), Vec::new()).await.expect("set");
    }
    let (from, to) = (moment("2024-02-29T20:30:00.123457Z"), moment("2024-07-01T00:00:00Z"));
    for table in ["tick", "beat"] {
        let sql = format!("UPDATE {table} SET at = ? WHERE at = ?");
        side.execute(sql, vec![to.clone(), from.clone()]).await.expect("moved");
    }
    run(owner, "UPDATE rate SET amount = 1.25 WHERE note = 'there'").await;
    let sql = "DELETE FROM visit WHERE player_id = ?";
    side.execute(sql, vec![Scalar::Int(8)]).await.expect("gone");
    put_visit_again(&mut side).await;
    backfill(group, ("tests", "tests"), &mut |_| {}).await.expect("filled");
    equal(group, 8).await;
    let told = status(group).await.expect("a status");
    assert_eq!((told.refused, told.missing_trigger_count), (Vec::new(), 0));
    for table in TABLES {
        run(owner, &format!("DELETE FROM {table}")).await;
    }
    let done = copy(group, "tests", Takeover::Now, &mut |_| {}).await.expect("copied");
    assert_eq!(done.refused, 0);
    equal(group, 0).await;
}

async fn put_visit_again(side: &mut Side) {
    let sql = "INSERT INTO visit (at, player_id, note) VALUES (?, ?, ?)";
    let binds = vec![moment("1988-07-01T00:00:00Z"), Scalar::Int(8), note("in summer time")];
    side.execute(sql, binds).await.expect("a visit");
}

#[tokio::test]
async fn keys_and_values_of_moments_are_copied_between_beijings_clocks_and_utc_both_ways() {
    let Some((_standin, oracle, mysql)) = sides("moments").await else { return };
    moments_are_copied(&oracle, &mysql).await;
    let Some((_standin, oracle, mysql)) = sides("moments_back").await else { return };
    moments_are_copied(&mysql, &oracle).await;
}

/// Another program's session, of another zone, and a row by its clock: the trigger's key is the connection's zone's.
#[tokio::test]
async fn row_that_another_program_wrote_by_the_clock_is_the_moment_of_the_connections_zone() {
    let Some((_standin, oracle, mysql)) = sides("clock").await else { return };
    let group = Group { id: "game1", owner: &oracle, mirror: &mysql };
    mirror(group, &TABLES.map(Into::into), "tests").await.expect("a mirror");
    let mut other = open(&oracle).await;
    other.run_text("ALTER SESSION SET TIME_ZONE = '-05:00'").await.expect("another zone");
    for sql in [
        "INSERT INTO visit (at, player_id, note) VALUES \
         (TO_DATE('2024-03-01 04:30:00', 'YYYY-MM-DD HH24:MI:SS'), 1, 'by the clock')",
        "INSERT INTO beat (at, note) VALUES \
         (TO_TIMESTAMP_TZ('2024-02-29 15:30:00 -05:00', 'YYYY-MM-DD HH24:MI:SS TZH:TZM'), 'by its own zone')",
    ] {
        other.execute(sql, Vec::new()).await.expect(sql);
    }
    let mut owner = open(&oracle).await;
    let waits = super::super::outbox::depth(&mut owner).await.expect("a depth");
    let age = super::super::state::now_ms() - waits.since.expect("one waits") / 1000;
    assert!((0..60_000).contains(&age), "since {age} ms, whatever the writer's zone");
    copy(group, "tests", Takeover::Now, &mut |_| {}).await.expect("copied");
    let mut mysql_side = open(&mysql).await;
    for table in ["visit", "beat"] {
        let sql = format!("SELECT CAST(at AS CHAR) FROM {table}");
        let at = mysql_side.texts(&sql, Vec::new()).await.expect("a row");
        let at = at[0][0].as_deref().expect("a text");
        assert!(at.starts_with("2024-02-29 20:30:00"), "{table}: {at}");
    }
}

#[tokio::test]
async fn foreign_key_on_the_mirror_and_a_disabled_trigger_on_the_owner_are_told() {
    let Some((standin, oracle, mysql)) = sides("obstacles").await else { return };
    let sql = "CREATE TABLE child (id NUMBER(19) PRIMARY KEY, at TIMESTAMP(6) NOT NULL, \
               CONSTRAINT child_tick FOREIGN KEY (at) REFERENCES tick (at))";
    open(&oracle).await.run_text(sql).await.expect("made");
    let sql = "CREATE TABLE child (id BIGINT PRIMARY KEY, at DATETIME(6) NOT NULL)";
    open(&mysql).await.run_text(sql).await.expect("made");
    let told = async |owner: &ConnectionConfig, other: &ConnectionConfig| {
        let (mut owner, mut other) = (open(owner).await, open(other).await);
        let (own, theirs) = (tables(&mut owner).await, tables(&mut other).await);
        let (own, theirs) = (own.expect("tables"), theirs.expect("tables"));
        let schema = |side: &Side| (side.dialect(), side.name().to_owned());
        let ((one, name), (two, twin)) = (schema(&owner), schema(&other));
        let own = Schema { connection: &name, dialect: one, tables: &own };
        let theirs = Schema { connection: &twin, dialect: two, tables: &theirs };
        let pairs = pairs(own, theirs, &["child".into()]).expect("a pair");
        obstacles(&mut owner, &mut other, &pairs, false).await
    };
    let refused = told(&mysql, &oracle).await.expect_err("rows come in no order").to_string();
    assert!(refused.contains("`CHILD`, CHILD_TICK: rows come in no order"), "{refused}");
    told(&oracle, &mysql).await.expect("nothing of an owner's");

    let group = Group { id: "game1", owner: &oracle, mirror: &mysql };
    mirror(group, &["tick".into()], "tests").await.expect("a mirror");
    let sql = "ALTER TABLE switch_obstacles_oracle.tick DISABLE TRIGGER USER";
    standin.postgres().admin("switch_obstacles_oracle", sql).expect("disabled");
    assert_eq!(status(group).await.expect("a status").missing_trigger_count, 3);
    let again = mirror(group, &[], "tests").await.expect("a mirror");
    assert_eq!(
        (again.trigger_count, status(group).await.expect("one").missing_trigger_count),
        (3, 0)
    );
}

/// What a flip relies on: writers share a table, who wants it alone waits for all of them, and readers for nobody.
#[tokio::test]
async fn table_that_is_locked_alone_keeps_writers_out_and_readers_in() {
    let Some(standin) = Standin::get() else { return };
    let config = standin.database("switch_locks");
    set_up_with(&config, "").await;
    let lock = |mode: &str| format!("LOCK TABLE gateway_switch IN {mode} MODE NOWAIT");
    let is_busy = |done: Result<u64, SwitchError>| done.is_err_and(|error| error.is_locked());
    let (mut one, mut two, mut three) =
        (open(&config).await, open(&config).await, open(&config).await);
    for side in [&mut one, &mut two] {
        side.begin().await.expect("begun");
        side.execute(lock("ROW SHARE"), Vec::new()).await.expect("shared");
    }
    three.begin().await.expect("begun");
    assert!(is_busy(three.execute(lock("EXCLUSIVE"), Vec::new()).await));
    one.commit().await.expect("committed");
    assert!(is_busy(three.execute(lock("EXCLUSIVE"), Vec::new()).await), "of the other one");
    two.commit().await.expect("committed");
    three.execute(lock("EXCLUSIVE"), Vec::new()).await.expect("alone");
    one.begin().await.expect("begun");
    assert!(is_busy(one.execute(lock("ROW SHARE"), Vec::new()).await));
    let count = one.texts("SELECT COUNT(*) FROM gateway_switch", Vec::new()).await.expect("read");
    assert_eq!(count[0][0].as_deref(), Some("0"));
    three.rollback().await;
    one.execute(lock("ROW SHARE"), Vec::new()).await.expect("shared again");
    one.rollback().await;
}
