//! Tables that a flip would leave behind.

use super::super::status;
use super::super::{Flip, backfill, flip, mirror, retire};
use super::copy::group;
use super::flip::{flipped, forced, mirrored, now};
use super::world::{World, between, open, run};
use crate::catalog::Dialect;

const DIRECTIONS: [(Dialect, Dialect); 3] = [
    (Dialect::Mysql, Dialect::Sqlite),
    (Dialect::Sqlite, Dialect::Mysql),
    (Dialect::Oracle, Dialect::Mysql),
];

/// What is held against a flip for tables that nobody copies.
async fn fault(world: &World) -> Option<Box<str>> {
    let checks = status(now(world).await).await.expect("a status").checks;
    checks.into_iter().find(|check| check.name == "uncopied").expect("it is looked at").fault
}

#[tokio::test]
async fn table_that_is_newer_than_the_mirror_is_not_left_behind_by_force_but_by_its_name() {
    between("uncopied", &DIRECTIONS, async |world| {
        mirrored(world).await;
        assert_eq!(fault(world).await, None);
        for side in [&world.owner, &world.mirror] {
            run(side, "CREATE TABLE guild (id INTEGER NOT NULL PRIMARY KEY)").await;
        }
        run(&world.owner, "INSERT INTO guild (id) VALUES (1)").await;
        let told = fault(world).await.expect("it is newer");
        assert!(told.contains("nobody copies guild: "), "{told}");
        assert!(told.contains("`gateway switch game1 retire mirror --yes`, then"), "{told}");
        assert!(told.contains("`flip --without guild`"), "{told}");
        let told = flipped(group(world)).await.expect_err("not even by force").to_string();
        assert!(told.contains("uncopied: nobody copies guild"), "{told}");
        assert!(!told.contains("--force"), "{told}");
        for (without, words) in [
            (&["gild"][..], "--without gild: no such table"),
            (&["guild", "wallet"], "--without wallet: no such table"),
            (&["guild", "gateway_outbox"], "--without gateway_outbox: no such table"),
        ] {
            let without: Vec<Box<str>> = without.iter().copied().map(Into::into).collect();
            let plan = Flip { without: &without, ..forced(group(world)) };
            let told = Box::pin(flip(&plan, &mut |_| {})).await.expect_err("refused").to_string();
            assert!(told.contains(words) && told.contains("but guild"), "{told}");
        }
        let without = ["GUILD".into()];
        let plan = Flip { without: &without, ..forced(group(world)) };
        let done = Box::pin(flip(&plan, &mut |_| {})).await.expect("it is meant");
        assert_eq!(done.owner, world.mirror.name);
        assert!(done.overridden.iter().all(|check| check.name != "uncopied"), "{done:?}");
        // And the way back, until the mirror is begun anew.
        let back = now(world).await;
        assert!(fault(world).await.is_some_and(|told| told.contains("retire owner --yes")));
        retire(back, "tests").await.expect("retired");
        mirror(back, &[], "tests").await.expect("begun with all");
        backfill(back, ("tests", "tests"), &mut |_| {}).await.expect("filled");
        assert_eq!(fault(world).await, None);
        assert_eq!(flipped(back).await.expect("nothing is left behind").owner, world.owner.name);
    })
    .await;
}

#[tokio::test]
async fn requests_that_took_effect_come_along_whichever_tables_are_named() {
    between("requests", &DIRECTIONS, async |world| {
        let hash = "00112233445566778899AABBCCDDEEFF";
        let done = match world.owner.dialect {
            Dialect::Oracle => format!("HEXTORAW('{hash}')"),
            Dialect::Mysql | Dialect::Sqlite => format!("X'{hash}'"),
        };
        let sql = format!(
            "INSERT INTO gateway_request (request_hash, params_hash, expires_at) VALUES ({done}, {done}, 9)"
        );
        run(&world.owner, &sql).await;
        let begun = mirror(group(world), &["thing".into()], "tests").await.expect("begun");
        assert_eq!(begun.tables, ["thing", "gateway_request"].map(Box::<str>::from));
        backfill(group(world), ("tests", "tests"), &mut |_| {}).await.expect("filled");
        let told = flipped(group(world)).await.expect_err("a part").to_string();
        assert!(told.contains("nobody copies wallet: "), "{told}");
        let without = ["wallet".into()];
        let plan = Flip { without: &without, ..forced(group(world)) };
        Box::pin(flip(&plan, &mut |_| {})).await.expect("it is meant");
        let mut owner = open(&world.mirror).await;
        let sql = "SELECT expires_at FROM gateway_request";
        let rows = owner.texts(sql, Vec::new()).await.expect("asked");
        assert_eq!(rows, [[Some("9".to_owned())]]);
    })
    .await;
}
