//! Random operations against the gateway and against the game in memory: every answer is the model's, repeats
//! and refusals too, on SQLite and on MariaDB.

use gateway_tests::{
    ADMIN_KEY, Caller, Credential, Database, Gateway, Outcome, Random, sample,
    seed_from_environment, wait_until,
};
use serde_json::{Value, json};

use crate::world::{Call, Expected, World};

gateway_tests::on_every_database! {
    random_operations_answer_as_the_model,
}

/// Calls of one run.
const CALL_COUNT: usize = 600;

/// The environment's name for the seed.
const SEED: &str = "GATEWAY_MODEL_SEED";

/// 1001 and 1002 are below the level of traders, 1009 is not in the model and 9 nowhere.
const PLAYERS: [i64; 7] = [1001, 1002, 1003, 1004, 1005, 1006, 9];

/// The calls of a run, one after the other.
struct Script {
    random: Random,
    /// Of this run, so that no other run's keys are met.
    seed: u64,
    made: Vec<Call>,
    orders: Vec<String>,
}

impl Script {
    fn next(&mut self) -> Call {
        // A fifth are calls that were made before, half of them with something else in them.
        if !self.made.is_empty() && self.random.chance(20) {
            let mut call = self.random.pick(&self.made).clone();
            if call.key.is_some() && self.random.chance(50) {
                Self::change(&mut call);
            }
            return call;
        }
        let call = self.draw();
        self.made.push(call.clone());
        call
    }

    /// Another value in one parameter that is not the key.
    fn change(call: &mut Call) {
        for name in ["qty", "amount"] {
            match call.params.get(name) {
                Some(Value::Number(number)) => {
                    call.params[name] = json!(1 + number.as_i64().unwrap() % 900);
                    return;
                }
                Some(Value::String(_)) => {
                    call.params[name] = json!("6.99");
                    return;
                }
                _ => {}
            }
        }
    }

    fn player(&mut self) -> i64 {
        *self.random.pick(&PLAYERS)
    }

    fn key(&self) -> String {
        format!("model-{}-{:05}", self.seed, self.made.len())
    }

    fn draw(&mut self) -> Call {
        let player = self.player();
        let (item_type, qty) = (self.random.between(1, 9), self.random.between(1, 60));
        let own = json!({ "player_id": player });
        let key = self.key();
        let call = |operation, key, params| Call { operation, key, params };
        match self.random.below(13) {
            0 => call("player.get", None, own),
            1 => call("item.list_by_player", None, own),
            2 => {
                let (version, level) = (self.random.between(1, 3), self.random.between(1, 99));
                let params =
                    json!({ "player_id": player, "version": version, "player_level": level });
                call("player.update", None, params)
            }
            3 | 4 => {
                let operation = if self.random.chance(50) { "item.grant" } else { "item.consume" };
                let params = json!({
                    "request_id": key, "player_id": player, "item_type": item_type, "qty": qty,
                });
                call(operation, Some("request_id"), params)
            }
            5 | 6 => {
                let players = (player, self.player());
                let params = sample::transfer(&key, players, item_type, qty);
                call(sample::TRANSFER, Some("request_id"), params)
            }
            7 | 8 => {
                let operation = if self.random.chance(50) { sample::CREDIT } else { sample::DEBIT };
                let params = sample::money(&key, player, self.random.between(1, 900));
                call(operation, Some("request_id"), params)
            }
            9 => {
                self.orders.push(key.clone());
                let params = sample::order(&key, player.max(1001), qty);
                call(sample::ORDER_CREATE, Some("order_no"), params)
            }
            10 => self.mails(&key),
            _ => self.after_order(player, &key),
        }
    }

    fn mails(&mut self, key: &str) -> Call {
        let campaign = format!("c{}", self.random.below(3));
        let count = self.random.between(1, 4);
        let mails: Vec<Value> = (0..count)
            .map(|_| json!({ "player_id": self.random.between(1001, 1006), "item_type": 1, "qty": 1 }))
            .collect();
        let params = json!({
            "request_id": key, "campaign": campaign, "title": "Gift", "mails": mails,
        });
        Call { operation: "mail.send_many", key: Some("request_id"), params }
    }

    /// Something with an order: of its player, as a rule.
    fn after_order(&mut self, player: i64, key: &str) -> Call {
        let number = if self.orders.is_empty() {
            "model-none".to_owned()
        } else {
            self.random.pick(&self.orders).clone()
        };
        let of_order = |made: &&Call| {
            made.operation == sample::ORDER_CREATE && made.params["order_no"] == number.as_str()
        };
        let owner = self.made.iter().find(of_order).map(|made| made.params["player_id"].clone());
        let owner = owner.filter(|_| self.random.chance(85)).unwrap_or(json!(player.max(1001)));
        match self.random.below(3) {
            0 => {
                let params = json!({ "order_no": number });
                Call { operation: sample::ORDER_GET, key: None, params }
            }
            1 => {
                let params = json!({
                    "payment_id": key, "order_no": number, "player_id": owner, "amount": "5.99",
                    "currency": "CNY",
                });
                Call { operation: "order.pay", key: Some("payment_id"), params }
            }
            _ => {
                let params = json!({ "request_id": key, "order_no": number, "player_id": owner });
                Call { operation: "order.refund", key: Some("request_id"), params }
            }
        }
    }
}

/// Whether every member that is expected is there, and the same.
fn agrees(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .all(|(name, value)| found.get(name).is_some_and(|found| agrees(value, found))),
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| agrees(expected, found))
        }
        _ => expected == found,
    }
}

/// Refunds are the admins' to make.
fn caller_of<'c>(call: &Call, game: &'c mut Caller, admin: &'c mut Caller) -> &'c mut Caller {
    if call.operation == "order.refund" { admin } else { game }
}

fn compare(gateway: &Gateway<'_>) {
    let seed = seed_from_environment(SEED);
    let mut world = World::seeded(1001..=1006);
    let mut script =
        Script { random: Random::new(seed), seed, made: Vec::new(), orders: Vec::new() };
    let mut game = Caller::new(gateway.tcp_address(), sample::GAME);
    let key = Credential::ApiKey(ADMIN_KEY.to_owned());
    let mut admin = Caller::with_credential(gateway.tcp_address(), sample::GAME, key);
    for index in 0..CALL_COUNT {
        let call = script.next();
        let caller = caller_of(&call, &mut game, &mut admin);
        if call.key.is_some() && call.operation != sample::ORDER_CREATE && script.random.chance(10)
        {
            // Tells what would be, and leaves everything as it is.
            let untouched = world.clone().take(&call).0;
            let outcome = caller.dry_run(call.operation, &call.params);
            check(&format!("call {index}, dry"), &call, (&untouched, None), &outcome);
        }
        let (expected, is_repeat) = world.take(&call);
        let outcome = ask(caller, &call);
        // A journalled order's answer is the same each time, and need not say that it is a repeat.
        let is_repeat = (call.operation != sample::ORDER_CREATE).then_some(is_repeat);
        check(&format!("call {index}"), &call, (&expected, is_repeat), &outcome);
    }
}

/// One call; what is asked of an order is asked until it is in the database.
fn ask(caller: &mut Caller, call: &Call) -> Outcome {
    if call.operation != sample::ORDER_GET {
        return caller.call(call.operation, &call.params);
    }
    wait_until("the order is in the database", || {
        let outcome = caller.call(call.operation, &call.params);
        let waits = matches!(&outcome, Outcome::Done { body, .. } if body["state"] == "journalled");
        (!waits).then_some(outcome)
    })
}

#[track_caller]
fn check(what: &str, call: &Call, expected: (&Expected, Option<bool>), outcome: &Outcome) {
    let is_right = match (expected.0, outcome) {
        (Ok(body), Outcome::Done { body: found, replayed }) => {
            agrees(body, found) && expected.1.is_none_or(|is_repeat| is_repeat == *replayed)
        }
        (Err(code), Outcome::Refused { code: found, .. }) => code == found,
        _ => false,
    };
    assert!(is_right, "{what}: {call:?}: {expected:?} expected, {outcome:?} found");
}

fn random_operations_answer_as_the_model(database: Database) {
    let Some(setup) = database.setup() else { return };
    compare(&setup.start());
}
