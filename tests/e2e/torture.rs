//! Many clients that repeat the same requests and hang up in the middle: each effect once, and whoever waits for
//! an answer gets the first one.

use std::collections::BTreeMap;
use std::sync::Mutex;

use gateway_tests::{
    Caller, Database, Gateway, Outcome, Random, Setup, sample, seed_from_environment,
};
use serde_json::{Value, json};

gateway_tests::on_every_server! {
    transaction_repeated_by_many_clients_happens_once_and_each_repeat_has_the_first_answer,
    order_repeated_by_many_clients_is_in_the_database_once,
}

const CLIENT_COUNT: u64 = 64;
const REQUEST_COUNT: u64 = 1_000;

/// Requests that a client makes. So each of the thousand is made about ten times.
const CALLS_OF_A_CLIENT: u64 = 160;

/// Calls that a client has under way at a time.
const WINDOW: u64 = 8;

/// The environment's name for the seed.
const SEED: &str = "GATEWAY_TORTURE_SEED";

/// Answers with code 0, by request: the body, and whether it came as a repeat's.
type Answers = Mutex<BTreeMap<u64, Vec<(Value, bool)>>>;

/// What request `number` is, and its operation.
type Request = fn(u64) -> Value;

fn credit(number: u64) -> Value {
    let number = i64::try_from(number).unwrap();
    sample::money(&format!("torture-{number:06}"), 1001 + number % 20, 1 + number)
}

fn order(number: u64) -> Value {
    let number = i64::try_from(number).unwrap();
    sample::order(&format!("torture-{number:06}"), 1001 + number % 20, 1 + number % 999)
}

/// Runs all clients to their end, and then makes every request once more, so that each has an answer.
fn torture(gateway: &Gateway<'_>, operation: &'static str, request: Request) -> Answers {
    let seed = seed_from_environment(SEED);
    let mut random = Random::new(seed);
    let answers = Answers::default();
    std::thread::scope(|scope| {
        for _ in 0..CLIENT_COUNT {
            let (mut random, answers) = (random.split(), &answers);
            let mut caller = Caller::new(gateway.tcp_address(), sample::GAME);
            scope.spawn(move || {
                for _ in 0..CALLS_OF_A_CLIENT / WINDOW {
                    let numbers: Vec<u64> =
                        (0..WINDOW).map(|_| random.below(REQUEST_COUNT)).collect();
                    make(&mut caller, operation, request, &numbers, answers, &mut random);
                }
            });
        }
    });
    let mut caller = Caller::new(gateway.tcp_address(), sample::GAME);
    for number in 0..REQUEST_COUNT {
        let settled = caller.settle(operation, &request(number));
        note(&answers, number, settled.outcome);
    }
    answers
}

/// Makes a window of requests; every fifth time nobody waits for the answers.
fn make(
    caller: &mut Caller,
    operation: &'static str,
    request: Request,
    numbers: &[u64],
    answers: &Answers,
    random: &mut Random,
) {
    let params: Vec<Value> = numbers.iter().map(|number| request(*number)).collect();
    let calls: Vec<(&str, &Value)> = params.iter().map(|it| (operation, it)).collect();
    if random.chance(20) {
        caller.call_and_leave(&calls);
        return;
    }
    for (number, outcome) in numbers.iter().zip(caller.call_all(&calls)) {
        note(answers, *number, outcome);
    }
}

/// Keeps a good answer; the only refusals are those that ask for another try.
fn note(answers: &Answers, number: u64, outcome: Outcome) {
    assert!(outcome.code() == Some(0) || outcome.may_be_repeated(), "{number}: {outcome:?}");
    if let Outcome::Done { body, replayed } = outcome {
        answers.lock().unwrap().entry(number).or_default().push((body, replayed));
    }
}

/// Every request was answered, always in the same words.
#[track_caller]
fn check_answers(answers: &Answers) {
    let answers = answers.lock().unwrap();
    assert_eq!(answers.len() as u64, REQUEST_COUNT);
    for (number, all) in answers.iter() {
        let (first, _) = &all[0];
        assert!(all.iter().all(|(body, _)| body == first), "request {number}: {all:?}");
    }
}

fn transaction_repeated_by_many_clients_happens_once_and_each_repeat_has_the_first_answer(
    database: Database,
) {
    let Some(server) = database.shared() else { return };
    let gateway = Setup::on(server)
        .set("/logging/requests", json!("errors"))
        .set("/database/connections/game1/max_open_conns", json!(16))
        .start();
    let answers = torture(&gateway, sample::CREDIT, credit);
    check_answers(&answers);
    for (number, all) in answers.lock().unwrap().iter() {
        let fresh = all.iter().filter(|(_, replayed)| !replayed).count();
        assert!(fresh <= 1, "request {number} was new {fresh} times: {all:?}");
    }
    let schema = gateway.schemas().unwrap().name(sample::GAME);
    let sql = "SELECT COUNT(*), COUNT(DISTINCT request_id), SUM(amount) FROM wallet_ledger \
        WHERE request_id LIKE 'torture-%'; \
        SELECT SUM(balance) - 300 * 1000 FROM player_wallet";
    let sum: u64 = (1..=REQUEST_COUNT).sum();
    assert_eq!(server.query(&schema, sql), format!("1000\t1000\t{sum}\n{sum}\n"));
}

fn order_repeated_by_many_clients_is_in_the_database_once(database: Database) {
    let Some(server) = database.shared() else { return };
    let gateway = Setup::on(server).set("/logging/requests", json!("errors")).start();
    let answers = torture(&gateway, sample::ORDER_CREATE, order);
    check_answers(&answers);
    sample::wait_applied(&gateway);
    let schema = gateway.schemas().unwrap().name(sample::GAME);
    let rows = server.query(&schema, &(sample::orders_sql("torture-") + " ORDER BY order_no"));
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows.len() as u64, REQUEST_COUNT);
    for (number, row) in (0..).zip(rows) {
        let expected = sample::order_row(1001 + number % 20, 1 + number % 999);
        assert_eq!(row, format!("torture-{number:06}\t{expected}"));
    }
}
