//! The number in the ids that a gateway gives out: one of its own for each that lives.

use gateway_tests::{Gateway, Redis, Setup, Signal, wait_until};
use serde_json::json;

#[test]
fn second_gateway_of_a_number_does_not_start_until_the_first_has_ended() {
    let Some(redis) = Redis::start() else { return };
    let mut first = Setup::sqlite().redis(&redis).set("/runtime/node", json!(5)).start();
    let mut second = Setup::beside(&first).set("/runtime/node", json!(6)).start();
    end(&mut second);
    second.write_config("/runtime/node", json!(5));
    second.launch();
    assert!(!second.wait_exit().success());
    let log = second.log();
    assert!(log.contains("runtime.node: number 5 is the gateway's at "), "{log}");
    assert!(log.contains(&first.admin_address().to_string()), "{log}");
    // One that is killed gets its own number again at once; one that ends gives it to whoever comes.
    first.kill();
    first.restart();
    end(&mut first);
    second.restart();
    end(&mut second);
}

#[test]
fn gateway_whose_redis_is_away_says_that_its_number_is_not_known_to_be_its_own_and_serves() {
    let Some(mut redis) = Redis::start() else { return };
    let setup = Setup::sqlite().redis(&redis);
    redis.kill();
    let gateway = setup.start();
    let told = || gateway.log().contains("redis does not tell who has number 0");
    wait_until("it is told", || told().then_some(()));
}

fn end(gateway: &mut Gateway<'_>) {
    gateway.signal(Signal::Drain);
    let status = gateway.wait_exit();
    assert!(status.success(), "{status}");
}
