//! Idempotency keys: one effect, equal answers.

use super::*;

fn earn() -> Template {
    let mut template = keyed(exec("UPDATE account SET gold = gold + {1} WHERE id = 1"));
    template.write.guard = guard(Comparison::Eq, 1, None);
    template
}

fn asked(key: &str, gold: i64) -> Vec<Scalar<'static>> {
    vec![text(key), Scalar::Int(gold)]
}

#[tokio::test]
async fn repeat_gets_the_first_answer_and_other_parameters_are_refused() {
    let beds = beds("w_repeat").await;
    let batch = {
        let mut template = keyed(template(Dialect::Mysql, Kind::Batch));
        template.write.batch_slot = Some(1);
        template.slots = vec![rows_slot(&[]), rows_slot(&["id"])];
        template.plan = folding("INSERT INTO ledger (id, account, delta) VALUES ({1.0}, 1, 1)");
        template
    };
    let steps = keyed(tx(vec![step(
        "earn",
        StepKind::Exec,
        "UPDATE account SET gold = gold + {1} WHERE id = 2",
    )]));
    for bed in &beds.all {
        for (template, first, other) in [
            (earn(), asked("a", 5), asked("a", 6)),
            (steps.clone(), asked("b", 5), asked("b", 6)),
            (
                batch.clone(),
                vec![text("c"), Scalar::List(vec![row(&[1]), row(&[1]), row(&[2])])],
                vec![text("c"), Scalar::List(vec![row(&[3])])],
            ),
        ] {
            let mut template = template;
            // One name each, as in a catalog: a key is known within its operation.
            template.op =
                gateway_protocol::OpId::new(&format!("test.k{}", template.write.steps.len()))
                    .expect("a name");
            let written = bed.run(&template, first.clone(), far()).await.expect("done");
            assert!(!written.replayed);
            let again = bed.run(&template, first, far()).await.expect("known");
            assert!(again.replayed);
            assert_eq!(body(&again), body(&written));
            let reused = bed.run(&template, other, far()).await.expect_err("refused");
            assert_eq!(reused.code(), 2020);
        }
        assert_eq!(bed.golds().await, "105 105 100 100 100");
        assert_eq!(bed.ask("SELECT COUNT(*) FROM ledger").await, "2");
        assert_eq!(bed.keys.count(), 0);
    }
}

#[tokio::test]
async fn business_failure_rolls_its_key_back_and_a_repeat_is_judged_afresh() {
    let beds = beds("w_afresh").await;
    let mut template =
        keyed(exec("UPDATE account SET gold = gold - {1} WHERE id = 1 AND gold >= {1}"));
    template.write.guard = guard(Comparison::Eq, 1, Some(error(2103, "TOO_LITTLE")));
    for bed in &beds.all {
        let refused = bed.run(&template, asked("a", 101), far()).await.expect_err("refused");
        assert_eq!(refused.code(), 2103);
        assert_eq!(bed.key_count().await, "0");
        bed.body(&exec("UPDATE account SET gold = 200 WHERE id = 1"), Vec::new()).await;
        assert!(!bed.run(&template, asked("a", 101), far()).await.expect("done").replayed);
        assert_eq!(bed.golds().await, "99 100 100 100 100");
    }
}

/// As many as 64 at once, half of them by another instance, which shares no table of running keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_repeats_of_20_keys_give_20_effects_and_equal_replies() {
    let beds = beds("w_many").await;
    let mut template = keyed(tx(vec![
        step("earn", StepKind::Exec, "UPDATE account SET gold = gold + 1 WHERE id = 1"),
        step("after", StepKind::One, "SELECT gold FROM account WHERE id = 1"),
    ]));
    template.write.steps[1].columns = vec!["gold".into()];
    template.columns = vec![crate::catalog::Column {
        name: "gold".into(),
        ty: Type::Bigint,
        json_string: false,
        empty_as_null: false,
    }];
    template.write.returns = vec![crate::catalog::Returned {
        name: "gold".into(),
        value: crate::catalog::ReturnedValue::Step { step: 1, value: StepValue::Column(0) },
        column: Some(0),
    }];
    template.write.retry =
        Some(crate::catalog::Retry { count: 5, on_deadlock: true, on_lock_timeout: true });
    for bed in &beds.all {
        let instances = [bed.clone(), Bed { keys: Arc::default(), ..bed.clone() }];
        let template = Arc::new(template.clone());
        let workers: Vec<_> = (0..64)
            .map(|worker| {
                let (bed, template) = (instances[worker % 2].clone(), Arc::clone(&template));
                tokio::spawn(async move {
                    let mut replies = Vec::new();
                    for index in 0..20 {
                        // Each begins at another key, so that all of them are fought for.
                        let key = format!("k{}", (index + worker) % 20);
                        let written = loop {
                            match bed.run(&template, vec![text(&key)], far()).await {
                                // The pool is small: that many in line are refused, as they should be.
                                Err(BackendError::PoolExhausted { .. }) => {
                                    tokio::task::yield_now().await;
                                }
                                written => break written.expect("done"),
                            }
                        };
                        replies.push((key, body(&written), written.replayed));
                    }
                    replies
                })
            })
            .collect();
        let mut by_key = std::collections::HashMap::new();
        let mut first_count = 0;
        for worker in workers {
            for (key, body, replayed) in worker.await.expect("no panic") {
                first_count += i32::from(!replayed);
                assert_eq!(by_key.entry(key).or_insert_with(|| body.clone()), &body);
            }
        }
        assert_eq!((by_key.len(), first_count), (20, 20));
        assert_eq!(bed.ask("SELECT gold FROM account WHERE id = 1").await, "120");
        assert_eq!(bed.key_count().await, "20");
        assert_eq!(bed.keys.count(), 0);
    }
}

/// Waiting for the key takes no connection: all of them stay free for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_that_wait_hold_no_connection_and_give_up_at_their_deadline() {
    let Some(server) = Server::get() else { return };
    let _turn = server.share().await;
    let bed = Bed::new(pool(server.database("w_wait").await), Dialect::Mysql).await;
    let slow = keyed(tx(vec![
        step("earn", StepKind::Exec, "UPDATE account SET gold = gold + 1 WHERE id = 1"),
        step("wait", StepKind::One, "SELECT SLEEP(1)"),
    ]));
    let run = |deadline: Instant| {
        let (bed, slow) = (bed.clone(), slow.clone());
        tokio::spawn(async move { bed.run(&slow, vec![text("k")], deadline).await })
    };
    let first = run(far());
    super::super::super::testing::until(|| bed.pool.stats().leased == 1).await;
    let hasty: Vec<_> = (0..8).map(|_| run(Instant::now() + Duration::from_millis(200))).collect();
    let patient: Vec<_> = (0..8).map(|_| run(far())).collect();
    for one in hasty {
        let refused = one.await.expect("no panic").expect_err("still running");
        assert_eq!(refused.code(), 2021, "{refused:?}");
        assert_eq!(bed.pool.stats().leased, 1);
    }
    assert!(!first.await.expect("no panic").expect("done").replayed);
    for one in patient {
        assert!(one.await.expect("no panic").expect("done").replayed);
    }
    // On another instance they wait in the database.
    let other = Bed { keys: Arc::default(), ..bed.clone() };
    let mut lease = bed.pool.acquire(far()).await.expect("one");
    lease.begin_transaction(None).await.expect("begun");
    lease.run_text("SELECT * FROM gateway_request FOR UPDATE").await.expect("locked");
    let soon = Instant::now() + Duration::from_millis(200);
    let refused = other.run(&slow, vec![text("k")], soon).await.expect_err("locked");
    assert_eq!(refused.code(), 2021, "{refused:?}");
    assert_eq!(bed.ask("SELECT gold FROM account WHERE id = 1").await, "101");
}
