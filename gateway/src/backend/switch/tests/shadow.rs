//! What shadow reads write down, on every database: figures add up, a new beginning forgets, the newest are kept.

use std::collections::BTreeMap;

use super::super::verify::{Tally, add_tallies, set_sample, verified};
use super::copy::{begin, drain, group};
use super::world::{everywhere, open, run};

/// So many answers of `t.get`, and of them ones that differed: with these parameters.
fn tallies(compared: u64, params: &[String]) -> BTreeMap<Box<str>, Tally> {
    let mismatched = params.len() as u64;
    let found = params.iter().map(|params| ((params.as_str().into(), "x".into()), 1));
    let tally =
        Tally { compared, mismatched, undecided: 1, fault: None, mismatches: found.collect() };
    BTreeMap::from([("t.get".into(), tally)])
}

/// As a backfill leaves it.
const MIRRORED: &str = "UPDATE gateway_switch SET phase = 'mirrored'";

#[tokio::test]
async fn figures_of_all_gateways_add_up_and_a_new_beginning_forgets_them() {
    everywhere("shadow", async |world| {
        let refused = set_sample(group(world), 50_000, None).await.expect_err("no mirror");
        assert!(refused.to_string().contains("phase `mirrored`"), "{refused}");
        begin(world).await;
        drain(world).await;
        run(&world.owner, MIRRORED).await;
        set_sample(group(world), 50_000, None).await.expect("set");
        let mut owner = open(&world.owner).await;
        let same = ["a=1".to_owned(), String::new()];
        for instance in ["one", "two"] {
            for _ in 0..2 {
                add_tallies(&mut owner, ("game1", instance), 1, &tallies(10, &same))
                    .await
                    .expect("added");
            }
        }
        // Whose reads were sampled before the last beginning adds nothing.
        add_tallies(&mut owner, ("game1", "one"), 0, &tallies(10, &same)).await.expect("nothing");
        let found = verified(group(world), 10).await.expect("found");
        assert_eq!((found.owner.as_deref(), found.ppm), (Some("owner"), 50_000));
        assert_eq!((found.compared(), found.mismatched()), (40, 8));
        assert_eq!(found.figures.iter().map(|one| one.undecided).sum::<u64>(), 4);
        let shown: Vec<(&str, u64)> =
            found.mismatches.iter().map(|one| (&*one.params, one.found_count)).collect();
        assert_eq!(shown, [("", 4), ("a=1", 4)]);
        set_sample(group(world), 0, None).await.expect("ended");
        assert_eq!(verified(group(world), 10).await.expect("found").compared(), 40, "still shown");
        set_sample(group(world), 1, None).await.expect("begun anew");
        let found = verified(group(world), 10).await.expect("found");
        assert_eq!((found.compared(), found.mismatches.len(), found.ppm), (0, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn newest_thousand_mismatches_are_kept() {
    everywhere("newest", async |world| {
        begin(world).await;
        run(&world.owner, MIRRORED).await;
        set_sample(group(world), 50_000, None).await.expect("set");
        let mut owner = open(&world.owner).await;
        let params = |range: std::ops::Range<u32>| -> Vec<String> {
            range.map(|number| format!("id={number}")).collect()
        };
        add_tallies(&mut owner, ("game1", "one"), 1, &tallies(0, &params(0..1)))
            .await
            .expect("added");
        let count = async || verified(group(world), 5000).await.expect("found").mismatches.len();
        add_tallies(&mut owner, ("game1", "one"), 1, &tallies(0, &params(1..1000)))
            .await
            .expect("added");
        assert_eq!(count().await, 1000);
        add_tallies(&mut owner, ("game1", "one"), 1, &tallies(0, &params(1000..1001)))
            .await
            .expect("added");
        let found = verified(group(world), 5000).await.expect("found").mismatches;
        assert!(found.len() <= 1000, "{}", found.len());
        assert_eq!(&*found[0].params, "id=1000");
        assert!(found.iter().all(|one| &*one.params != "id=0"), "the oldest is gone");
    })
    .await;
}

/// Their end is the databases' to know: no command has to be there for it.
#[tokio::test]
async fn shadow_reads_end_by_themselves_when_their_time_is_over() {
    everywhere("ended", async |world| {
        begin(world).await;
        run(&world.owner, MIRRORED).await;
        set_sample(group(world), 50_000, Some(60_000)).await.expect("set");
        assert_eq!(verified(group(world), 0).await.expect("found").ppm, 50_000);
        set_sample(group(world), 50_000, Some(-1)).await.expect("set");
        assert_eq!(verified(group(world), 0).await.expect("found").ppm, 0);
    })
    .await;
}
