//! Steps that the state, the schemas or a trigger do not allow are refused, with a sentence and in time.

use super::super::capture::present;
use super::super::copy::Copier;
use super::super::error::SwitchError;
use super::super::lease::Takeover;
use super::super::state::{Group, Phase};
use super::super::{copy, mirror, mirror_script, retire, status};
use super::copy::{TABLES, begin, drain, equal, group};
use super::world::{World, everywhere, open, put_thing, run};
use crate::catalog::Dialect;
use crate::config::ConnectionConfig;

#[tokio::test]
async fn steps_are_refused_with_a_sentence_where_the_state_does_not_allow_them() {
    everywhere("refusals", async |world| {
        let told = async |result: Result<(), SwitchError>| match result {
            Err(SwitchError::Refused(text)) => text.into_string(),
            other => panic!("{other:?}"),
        };
        let copied = copy(group(world), "tests", Takeover::Now, &mut |_| {}).await;
        assert!(told(copied.map(drop)).await.contains("gateway switch game1 mirror mirror"));
        assert!(told(retire(group(world), "tests").await.map(drop)).await.contains("no mirror"));
        let script = mirror_script(group(world), &["thing".into()]).await.expect("a script");
        let made = ["CREATE TRIGGER", "CREATE OR REPLACE TRIGGER"];
        let made: usize = made.iter().map(|words| script.matches(words).count()).sum();
        assert_eq!(made, 6, "{script}");
        begin(world).await;
        begin_again(world).await;
        let others = mirror(group(world), &["thing".into()], "tests").await;
        assert!(told(others.map(drop)).await.contains("retire the mirror before"));
        let back = Group { id: "game1", owner: &world.mirror, mirror: &world.owner };
        let reversed = mirror(back, &TABLES.map(Into::into), "tests").await;
        assert!(told(reversed.map(drop)).await.contains("`owner` owns game1"));
        // A trigger that somebody dropped.
        let mut owner = open(&world.owner).await;
        let (name, _) = present(&mut owner).await.expect("some")[0].clone();
        run(&world.owner, &format!("DROP TRIGGER {name}")).await;
        let copied = copy(group(world), "tests", Takeover::Now, &mut |_| {}).await;
        assert!(told(copied.map(drop)).await.contains("1 triggers are missing"));
        assert_eq!(status(group(world)).await.expect("a status").missing_trigger_count, 1);
        let checks = status(group(world)).await.expect("a status").checks;
        let fault = |name| checks.iter().find(|it| it.name == name).and_then(|it| it.fault.clone());
        assert!(fault("schemas").is_some_and(|told| told.contains("1 triggers are missing")));
        assert_eq!(fault("rights"), None, "the pairs are there to be asked about");
        put_thing(&mut owner, 1, "left").await;
        let first = retire(group(world), "tests").await.expect("retired");
        assert_eq!(first.before, None);
        let again = retire(group(world), "somebody else").await.expect("nothing to do");
        let before = again.before.expect("it was done");
        assert_eq!((before.phase, &*before.changed_by), (Phase::Single, "tests"));
        let status = status(group(world)).await.expect("a status");
        assert_eq!(status.state.map(|state| state.phase), Some(Phase::Single));
        assert_eq!((status.depth.count_max, status.mirror_state), (0, None));
        assert_eq!(present(&mut owner).await.expect("none"), []);
        begin(world).await;
    })
    .await;
}

/// A column that is added while rows are copied: on one side only nothing is copied, on both it is.
#[tokio::test]
async fn change_of_the_schema_stops_the_copier_that_does_not_know_it() {
    everywhere("altered", async |world| {
        begin(world).await;
        let mut copier = Copier::open(group(world), "tests", Takeover::Now).await.expect("taken");
        run(&world.owner, adding(&world.owner)).await;
        copier.look_next();
        let told = copier.batch().await.expect_err("one side only").to_string();
        let told = told.to_ascii_lowercase();
        assert!(told.contains("`thing`.`more` is not on `mirror`"), "{told}");
        let checks = status(group(world)).await.expect("a status all the same").checks;
        let fault = |name| checks.iter().find(|it| it.name == name).and_then(|it| it.fault.clone());
        assert!(fault("schemas").is_some_and(|told| told.to_ascii_lowercase().contains("`more`")));
        assert_eq!(fault("rights").as_deref(), Some("not looked at, because of `schemas`"));
        run(&world.mirror, adding(&world.mirror)).await;
        let told = copier.batch().await.expect_err("not what it knows").to_string();
        assert!(told.contains("the schema was changed"), "{told}");
        drop(copier);
        put_thing(&mut open(&world.owner).await, 1, "more").await;
        run(&world.owner, "UPDATE thing SET more = 5").await;
        drain(world).await;
        equal(world).await;
    })
    .await;
}

fn adding(side: &ConnectionConfig) -> &'static str {
    match side.dialect {
        Dialect::Oracle => "ALTER TABLE thing ADD (more NUMBER(10))",
        Dialect::Mysql | Dialect::Sqlite => "ALTER TABLE thing ADD COLUMN more INTEGER",
    }
}

async fn begin_again(world: &World) {
    let again = mirror(group(world), &[], "tests").await.expect("repeated");
    assert_eq!((again.trigger_count, again.tables.len()), (0, 3));
}

/// What a mirror would double or miss is found before anything is changed.
#[tokio::test]
async fn obstacles_are_told_before_anything_is_changed() {
    everywhere("obstacles", async |world| {
        let trigger = match world.mirror.dialect {
            Dialect::Sqlite => {
                "CREATE TRIGGER twice AFTER INSERT ON thing BEGIN DELETE FROM wallet; END"
            }
            Dialect::Oracle => {
                "CREATE TRIGGER twice AFTER INSERT ON thing FOR EACH ROW BEGIN DELETE FROM wallet; END;"
            }
            Dialect::Mysql => "CREATE TRIGGER twice AFTER INSERT ON thing FOR EACH ROW DELETE FROM wallet",
        };
        let mut side = open(&world.mirror).await;
        side.run_text(trigger).await.expect("made");
        if world.owner.dialect == Dialect::Mysql {
            let mut owner = open(&world.owner).await;
            for sql in [
                "CREATE TABLE child (id BIGINT PRIMARY KEY, thing_id BIGINT, \
                 FOREIGN KEY (thing_id) REFERENCES thing (id) ON DELETE CASCADE)",
                "CREATE TABLE plain (id BIGINT PRIMARY KEY) ENGINE = MyISAM",
            ] {
                owner.run_text(sql).await.expect("made");
            }
            let number = if side.dialect() == Dialect::Oracle { "NUMBER(19)" } else { "BIGINT" };
            for sql in [
                format!("CREATE TABLE child (id {number} PRIMARY KEY, thing_id {number})"),
                format!("CREATE TABLE plain (id {number} PRIMARY KEY)"),
            ] {
                side.run_text(&sql).await.expect("made");
            }
        }
        let refused = mirror(group(world), &[], "tests").await.expect_err("refused").to_string();
        let told = refused.to_ascii_lowercase();
        assert!(told.contains("the trigger twice on `thing`"), "{refused}");
        if world.owner.dialect == Dialect::Mysql {
            assert!(refused.contains("`child`") && refused.contains("cascade"), "{refused}");
            assert!(refused.contains("`plain`, MyISAM"), "{refused}");
        }
        assert_eq!(status(group(world)).await.expect("a status").state, None);
    })
    .await;
}
