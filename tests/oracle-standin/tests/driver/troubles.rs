//! Time limits, cancelled calls, locks, deadlocks, lost connections, and faults on demand.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use oracle::{Connection, ErrorKind};

use crate::place::{Place, code, set_faults, take_faults};

/// The driver's own number.
fn dpi_code(error: &oracle::Error) -> i32 {
    error.dpi_code().unwrap_or_default()
}

/// Long enough to be noticed, and never waited for.
const LONG: &str = "SELECT pg_sleep(60) FROM dual";

#[test]
fn call_that_takes_too_long_is_ended_and_the_connection_goes_on() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (a NUMBER)", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    connection.set_call_timeout(Some(Duration::from_millis(200))).unwrap();
    let started = Instant::now();
    let error = connection.query(LONG, &[]).err().unwrap();
    assert_eq!(dpi_code(&error), 1067, "{error}");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    connection.set_call_timeout(None).unwrap();
    assert_eq!(
        connection.query_row_as::<i64>("SELECT COUNT(*) FROM t", &[]).unwrap(),
        1,
        "the transaction stands"
    );
}

#[test]
fn server_that_says_nothing_costs_the_connection() {
    let Some(place) = Place::new() else { return };
    let Some(_stand_in) = place.stand_in() else { return };
    let mut server = oracle_standin::server::Postgres::start().unwrap();
    server.create_database("hangs").unwrap();
    let connection = Connection::connect(
        "hangs",
        oracle_standin::server::PASSWORD,
        server.connect_string("hangs"),
    )
    .unwrap();
    connection.set_call_timeout(Some(Duration::from_millis(100))).unwrap();
    let pid = connection.query_row_as::<i64>("SELECT pg_backend_pid() FROM dual", &[]).unwrap();
    signal("STOP", pid);
    signal("STOP", i64::from(server.pid().unwrap()));
    let error = connection.query("SELECT 1 FROM dual", &[]).err().unwrap();
    signal("CONT", i64::from(server.pid().unwrap()));
    signal("CONT", pid);
    assert_eq!(dpi_code(&error), 1080, "{error}");
    assert!(connection.ping().is_err());
    server.stop().unwrap();
    drop(place);
}

fn signal(name: &str, pid: i64) {
    let command = format!("kill -{name} {pid}");
    assert!(std::process::Command::new("sh").args(["-c", &command]).status().unwrap().success());
}

#[test]
fn call_that_is_broken_from_another_thread_ends() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| connection.query(LONG, &[]).err().unwrap());
        // Broken until it was running: a break before that meets nothing.
        while !call.is_finished() {
            connection.break_execution().unwrap();
            std::thread::yield_now();
        }
        let error = call.join().unwrap();
        assert_eq!(code(&error), 1013, "{error}");
    });
    connection.ping().unwrap();
}

#[test]
fn row_that_is_locked_is_busy_or_waited_for_or_skipped() {
    let Some(place) = Place::new() else { return };
    let (holder, other) = (place.connect(), place.connect());
    holder.execute("CREATE TABLE t (id NUMBER PRIMARY KEY)", &[]).unwrap();
    holder.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    holder.execute("INSERT INTO t VALUES (2)", &[]).unwrap();
    holder.commit().unwrap();
    holder.query_row("SELECT id FROM t WHERE id = 1 FOR UPDATE", &[]).unwrap();
    let refused = |clause: &str| {
        let sql = format!("SELECT id FROM t WHERE id = 1 FOR UPDATE {clause}");
        code(&other.query(&sql, &[]).err().unwrap())
    };
    assert_eq!(refused("NOWAIT"), 54);
    assert_eq!(refused("WAIT 1"), 30006);
    let free = other.query_row_as::<i64>("SELECT id FROM t FOR UPDATE SKIP LOCKED", &[]).unwrap();
    assert_eq!(free, 2);
    holder.rollback().unwrap();
    other.query_row("SELECT id FROM t WHERE id = 1 FOR UPDATE NOWAIT", &[]).unwrap();
}

#[test]
fn deadlock_costs_one_of_two_its_statement_and_not_its_transaction() {
    let Some(place) = Place::new() else { return };
    let setup = place.connect();
    setup.execute("CREATE TABLE t (id NUMBER PRIMARY KEY, a NUMBER)", &[]).unwrap();
    setup
        .execute("INSERT ALL INTO t VALUES (1, 0) INTO t VALUES (2, 0) SELECT * FROM dual", &[])
        .unwrap();
    setup.commit().unwrap();
    let update = "UPDATE t SET a = a + 1 WHERE id = :1";
    let (first, second) = (place.connect(), place.connect());
    first.execute(update, &[&1]).unwrap();
    second.execute(update, &[&2]).unwrap();
    let cross = |connection: &Connection, id: i32| {
        let result = connection.execute(update, &[&id]).map(drop);
        let number = result.as_ref().err().map_or(0, code);
        // The loser still holds the lock of its first statement, until it ends its transaction.
        if result.is_err() {
            connection.rollback().unwrap();
        } else {
            connection.commit().unwrap();
        }
        number
    };
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(|| cross(&first, 2)), scope.spawn(|| cross(&second, 1)));
        vec![one.join().unwrap(), two.join().unwrap()]
    });
    assert!(codes == [0, 60] || codes == [60, 0], "{codes:?}");
    let sum = setup.query_row_as::<i64>("SELECT SUM(a) FROM t", &[]).unwrap();
    assert_eq!(sum, 2);
}

#[test]
fn lost_connection_is_told_and_a_new_one_finds_nothing_of_it() {
    let Some(place) = Place::new() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE t (id NUMBER)", &[]).unwrap();
    connection.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
    let Some(server) = place.stand_in() else { return };
    server.end_connections(&place.name).unwrap();
    let error = connection.execute("INSERT INTO t VALUES (2)", &[]).unwrap_err();
    assert_eq!(dpi_code(&error), 1080, "the driver's word for a closed connection: {error}");
    assert!(error.to_string().contains("ORA-03113"), "{error}");
    assert_eq!(connection.status().unwrap(), oracle::ConnStatus::Closed);
    let again = place.connect();
    assert_eq!(again.query_row_as::<i64>("SELECT COUNT(*) FROM t", &[]).unwrap(), 0);
}

#[test]
fn threads_work_side_by_side_each_on_its_own_connection() {
    let Some(place) = Place::new() else { return };
    let setup = place.connect();
    setup.execute("CREATE TABLE t (id NUMBER PRIMARY KEY, a NUMBER)", &[]).unwrap();
    setup.execute("INSERT INTO t VALUES (1, 0)", &[]).unwrap();
    setup.commit().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let connection = place.connect();
                for _ in 0..25 {
                    connection.execute("UPDATE t SET a = a + 1 WHERE id = 1", &[]).unwrap();
                    connection.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(setup.query_row_as::<i64>("SELECT a FROM t", &[]).unwrap(), 100);
}

#[test]
fn connection_moves_between_threads() {
    let Some(place) = Place::new() else { return };
    let (to_other, here) = sync_channel::<Connection>(1);
    to_other.send(place.connect()).unwrap();
    let answer = std::thread::spawn(move || {
        here.recv().unwrap().query_row_as::<i64>("SELECT 7 FROM dual", &[])
    });
    assert_eq!(answer.join().unwrap().unwrap(), 7);
}

#[test]
fn faults_happen_on_demand_and_are_written_down() {
    let Some(place) = Place::new() else { return };
    let Some(_faults) = place.stand_in() else { return };
    let connection = place.connect();
    connection.execute("CREATE TABLE faulty (id NUMBER)", &[]).unwrap();
    let insert = "INSERT INTO faulty VALUES (1)";
    let of = |rule: &str| {
        set_faults(&format!("{rule} match=faulty"));
        connection.execute(insert, &[]).err().map_or(0, |error| code(&error))
    };
    assert_eq!(of("execute deadlock times=1"), 60);
    assert_eq!(of("execute busy times=1"), 54);
    assert_eq!(of("execute not-serializable times=1"), 8177);
    assert_eq!(of("execute ORA-1555 times=1"), 1555);
    assert_eq!(of("execute slow=50 times=1"), 0);
    connection.set_call_timeout(Some(Duration::from_millis(50))).unwrap();
    set_faults("execute slow=60000 times=1 match=faulty");
    let error = connection.execute(insert, &[]).unwrap_err();
    assert_eq!(dpi_code(&error), 1067, "{error}");
    connection.set_call_timeout(None).unwrap();

    set_faults(&format!("login login-refused times=1 match={}", place.name));
    let refused = |password: &str| {
        Connection::connect(&place.name, password, place.connect_string())
            .err()
            .map(|error| code(&error))
    };
    assert_eq!(refused(oracle_standin::server::PASSWORD), Some(1017));
    assert_eq!(refused(oracle_standin::server::PASSWORD), None);

    set_faults("execute lost times=1 match=faulty");
    let error = connection.execute(insert, &[]).unwrap_err();
    assert_eq!((error.kind(), dpi_code(&error)), (ErrorKind::DpiError, 1080), "{error}");
    let again = place.connect();
    assert_eq!(again.query_row_as::<i64>("SELECT COUNT(*) FROM faulty", &[]).unwrap(), 0);
    let fired = take_faults();
    assert!(fired.contains("execute: execute lost times=1"), "{fired}");
}
