//! One operation, answered by two databases: what differs is told, and what no database promises is none.

use super::super::verify::{Answers, Both, OneSide, Verdict, answers};
use super::world::{World, everywhere, open, put_thing, run};
use crate::backend::Supplied;
use crate::bind::bind;
use crate::catalog::load::tests::template;
use crate::config::Dialect;

const THING: &str = "-- @kind optional\n-- @param id bigint\n-- @allow admin\n\
    -- @result id bigint, name string, amount decimal(12,2), at timestamp(3)\n\
    SELECT t.id, t.name, t.amount, t.at FROM thing t WHERE t.id = :id\n";
const THINGS: &str = "-- @kind many\n-- @param id bigint\n-- @allow admin\n\
    -- @result id bigint, name string\n\
    SELECT t.id, t.name FROM thing t WHERE t.name >= 'a' AND 0 < :id\n";
const RENAME: &str = "-- @kind exec\n-- @param id bigint\n-- @allow admin\n\
    UPDATE thing SET name = 'renamed' WHERE id = :id\n";

async fn asked(world: &World, text: &str, id: i64) -> Answers {
    let (own, other) = (template(text, world.owner.dialect), template(text, world.mirror.dialect));
    let params =
        || vec![(std::borrow::Cow::Borrowed("id"), gateway_protocol::Value::Int(id)).into()];
    let bound = bind(&own, params()).expect("they fit").into_owned();
    let supplied = Supplied {
        now_micros: 1_709_210_096_789_000,
        id: 1,
        row_ids: &[],
        caller: "tests",
        claims: &[],
        trace: "tests",
    };
    let both = Both {
        owner: OneSide { config: &world.owner, template: &own, bound: &bound },
        mirror: OneSide { config: &world.mirror, template: &other, bound: &bound },
        supplied,
        result_bytes_max: 1 << 20,
    };
    answers(&both).await.expect("both answer")
}

async fn told(world: &World, text: &str, id: i64) -> String {
    match asked(world, text, id).await.verdict {
        Verdict::Different(difference) => difference.told(),
        verdict => format!("{verdict:?}"),
    }
}

/// The same things on both sides.
async fn fill(world: &World, count: i64) {
    for config in [&world.owner, &world.mirror] {
        let mut side = open(config).await;
        for id in 1..=count {
            // In the order of their names the other way round.
            put_thing(&mut side, id, &format!("name {}", 100 - id)).await;
        }
        side.close().await;
    }
}

#[tokio::test]
async fn each_kind_of_divergence_is_told_by_its_column_and_what_is_alike_is_not() {
    everywhere("answers", async |world| {
        fill(world, 7).await;
        let moment = match world.mirror.dialect {
            Dialect::Sqlite => "'2024-02-29T20:34:56.790003Z'",
            _ => "'2024-02-29 20:34:56.790003'",
        };
        for sql in [
            "UPDATE thing SET name = 'changed' WHERE id = 2",
            "DELETE FROM thing WHERE id = 3",
            "UPDATE thing SET amount = 4.5 WHERE id = 4",
            &format!("UPDATE thing SET at = {moment} WHERE id = 5"),
            "UPDATE thing SET name = NULL WHERE id = 6",
            "UPDATE thing SET amount = '7.51' WHERE id = 7",
        ] {
            let sql = match world.mirror.dialect {
                // There a decimal is a text: another scale of the same number.
                Dialect::Sqlite => sql.replace("= 4.5 ", "= '4.5' "),
                _ => sql.to_owned(),
            };
            run(&world.mirror, &sql).await;
        }
        run(&world.owner, "UPDATE thing SET name = '' WHERE id = 6").await;
        assert_eq!(told(world, THING, 1).await, "Same");
        assert_eq!(told(world, THING, 2).await, "1 row different in name");
        assert_eq!(told(world, THING, 3).await, "1 row missing on the mirror");
        assert_eq!(told(world, THING, 4).await, "Same", "the same number");
        assert_eq!(told(world, THING, 5).await, "1 row different in at");
        let empty = told(world, THING, 6).await;
        // There '' is NULL, in the answer or in the comparison.
        let is_alike = ["Same", "Alike"].contains(&empty.as_str());
        assert!(
            if world.has_oracle() { is_alike } else { empty == "1 row different in name" },
            "{empty}"
        );
        assert_eq!(told(world, THING, 7).await, "1 row different in amount");
        assert_eq!(told(world, THING, 8).await, "Same", "neither has it");
    })
    .await;
}

/// An index that only the mirror has lets its rows come in another order.
#[tokio::test]
async fn order_that_nobody_asked_for_is_no_divergence() {
    everywhere("orders", async |world| {
        fill(world, 5).await;
        run(&world.mirror, "CREATE INDEX by_name ON thing (name, id)").await;
        let found = told(world, THINGS, 1).await;
        // Behind the stand-in a small table is read without its index.
        let is_alike =
            found == "Alike" || (world.mirror.dialect == Dialect::Oracle && found == "Same");
        assert!(is_alike, "{found}");
        let ordered = THINGS.replace(":id\n", ":id ORDER BY t.id\n");
        assert_eq!(told(world, &ordered, 1).await, "Same");
        if world.has_oracle() {
            // It has other words for a limit.
            return;
        }
        let cut = THINGS.replace(":id\n", ":id LIMIT 2\n");
        let answers = asked(world, &cut, 1).await;
        assert!(matches!(answers.verdict, Verdict::Different(_)), "{:?}", answers.verdict);
        assert!(answers.doubt.is_some_and(|doubt| doubt.contains("no ORDER BY")));
    })
    .await;
}

#[tokio::test]
async fn write_is_answered_and_undone_on_both_sides() {
    everywhere("undone", async |world| {
        fill(world, 1).await;
        run(&world.mirror, "UPDATE thing SET name = 'name 99' WHERE id = 1").await;
        assert_eq!(told(world, RENAME, 1).await, "Same");
        for config in [&world.owner, &world.mirror] {
            let mut side = open(config).await;
            let names = side.texts("SELECT name FROM thing", Vec::new()).await.expect("read");
            assert_eq!(names, [[Some("name 99".to_owned())]]);
        }
        run(&world.mirror, "DELETE FROM thing").await;
        assert_eq!(told(world, RENAME, 1).await, "1 row different in affected");
    })
    .await;
}

#[tokio::test]
async fn side_that_does_not_answer_is_named_and_nothing_is_compared() {
    everywhere("silent", async |world| {
        let (own, other) =
            (template(THING, world.owner.dialect), template(THING, world.mirror.dialect));
        let bound = crate::bind::Bound {
            values: [crate::catalog::Scalar::Int(1)].into_iter().collect(),
            given: 1,
        };
        let mut gone = world.mirror.clone();
        match &mut gone.endpoint {
            crate::config::Endpoint::File(path) => *path = "no/such/folder/mirror.db".into(),
            crate::config::Endpoint::Server { port, .. } => *port = 1,
            crate::config::Endpoint::Oracle { connect, .. } => *connect = "//127.0.0.1:1/no".into(),
        }
        let supplied =
            Supplied { now_micros: 0, id: 1, row_ids: &[], caller: "", claims: &[], trace: "" };
        let both = Both {
            owner: OneSide { config: &world.owner, template: &own, bound: &bound },
            mirror: OneSide { config: &gone, template: &other, bound: &bound },
            supplied,
            result_bytes_max: 1 << 20,
        };
        let silent = answers(&both).await.expect_err("one is not there");
        assert_eq!(&*silent.connection, "mirror");
    })
    .await;
}
