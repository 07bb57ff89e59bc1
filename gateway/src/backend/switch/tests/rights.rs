//! Accounts that may not do everything: what is missing is told before anything is changed.

use std::time::{Duration, Instant};

use super::super::Flip;
use super::super::capture::present;
use super::super::{backfill, flip, mirror, status};
use super::copy::group;
use super::flip::{flipped, forced, mirrored, row};
use super::world::{World, between, open};
use crate::backend::standin::Standin;
use crate::backend::testing::Server;
use crate::catalog::Dialect;
use crate::config::{ConnectionConfig, Endpoint};

/// What the gateway's account needs on a mirror, but for triggers: `grants.sql`.
const OWN: [&str; 10] = [
    "gateway_request",
    "gateway_switch",
    "gateway_switch_table",
    "gateway_switch_instance",
    "gateway_switch_shadow",
    "gateway_switch_mismatch",
    "gateway_switch_reconcile",
    "gateway_copier",
    "gateway_outbox",
    "gateway_outbox_refused",
];

fn schema(config: &ConnectionConfig) -> &str {
    match &config.endpoint {
        Endpoint::Server { database, .. } => database,
        _ => panic!("a server"),
    }
}

/// Gives a user what `grants.sql` does, table by table.
async fn grant(server: &Server, schema: &str, user: &str) {
    let grant = async |rights: &str, table: &str| {
        server.admin(&format!("GRANT {rights} ON {schema}.{table} TO '{user}'@'%'")).await;
    };
    for table in OWN {
        grant("SELECT, INSERT, UPDATE, DELETE", table).await;
    }
    for table in ["gateway_stream", "gateway_event_batch"] {
        grant("SELECT, INSERT, UPDATE", table).await;
    }
    for table in ["thing", "wallet"] {
        grant("SELECT, INSERT, UPDATE, DELETE", table).await;
    }
}

/// What is held against a flip for rights.
async fn fault(world: &World) -> Option<Box<str>> {
    let checks = status(group(world)).await.expect("a status").checks;
    checks.into_iter().find(|check| check.name == "rights").expect("it is looked at").fault
}

#[tokio::test]
async fn right_that_the_next_owner_lacks_is_held_against_a_flip_however_it_is_granted_later() {
    let Some(server) = Server::get() else { return };
    between("rights", &[(Dialect::Mysql, Dialect::Mysql)], async |world| {
        let user = "switch_rights_user";
        let Some(limited) = server.limited(world.mirror.clone(), user).await else { return };
        let name = schema(&world.mirror).to_owned();
        let admin = async |sql: &str| {
            let sql = sql.replace("SCHEMA", &name).replace("USER", &format!("'{user}'@'%'"));
            server.admin(&sql).await;
        };
        grant(server, &name, user).await;
        let limited = World::seen_by(world.owner.clone(), limited);
        // Heard of at the first step, as a note: copying does not need it.
        let all = ["thing", "wallet"].map(Into::into);
        let begun = mirror(group(&limited), &all, "tests").await.expect("begun");
        let note = begun.remarks.iter().find(|it| it.contains("a flip will need")).expect("a note");
        assert!(
            note.contains("TRIGGER on thing, wallet, gateway_request") && note.contains("`mirror`"),
            "{note}"
        );
        backfill(group(&limited), ("tests", "tests"), &mut |_| {}).await.expect("filled");
        let told = fault(&limited).await.expect("no triggers");
        assert!(
            told.contains("lacks TRIGGER on gateway_request, thing, wallet: grant it"),
            "{told}"
        );
        let plan = Flip { is_forced: false, ..forced(group(&limited)) };
        let told = flip(&plan, &mut |_| {}).await.expect_err("refused").to_string();
        assert!(
            told.contains("rights: ") && told.contains("TRIGGER on gateway_request, thing, wallet"),
            "{told}"
        );
        admin("GRANT TRIGGER ON SCHEMA.gateway_request TO USER").await;
        // On one table only, on both; by a role; by a pattern; on everything.
        admin("GRANT TRIGGER ON SCHEMA.wallet TO USER").await;
        assert!(fault(&limited).await.is_some_and(|told| told.contains("TRIGGER on thing: ")));
        admin("GRANT TRIGGER ON SCHEMA.thing TO USER").await;
        assert_eq!(fault(&limited).await, None);
        admin("REVOKE TRIGGER ON SCHEMA.thing FROM USER").await;
        admin("CREATE OR REPLACE ROLE switch_rights_role").await;
        admin("GRANT TRIGGER ON SCHEMA.* TO switch_rights_role").await;
        admin("GRANT switch_rights_role TO USER").await;
        assert!(fault(&limited).await.is_some(), "the role is not in effect");
        admin("SET DEFAULT ROLE switch_rights_role FOR USER").await;
        assert_eq!(fault(&limited).await, None);
        admin("DROP ROLE switch_rights_role").await;
        assert!(fault(&limited).await.is_some());
        admin("GRANT TRIGGER ON `switch\\_rights\\_%`.* TO USER").await;
        assert_eq!(fault(&limited).await, None);
        // Nothing was made to find that out.
        assert_eq!(present(&mut open(&world.mirror).await).await.expect("asked"), []);
        // What the owner's account may not do, the mirror's need not.
        admin("REVOKE UPDATE, DELETE ON SCHEMA.wallet FROM USER").await;
        admin("REVOKE INSERT ON SCHEMA.gateway_outbox FROM USER").await;
        let told = fault(&limited).await.expect("three are missing");
        let missing = "lacks INSERT on gateway_outbox; UPDATE on wallet; DELETE on wallet: ";
        assert!(told.contains(missing), "{told}");
        let owner = "switch_rights_owner";
        let reading = server.limited(world.owner.clone(), owner).await.expect("ours");
        grant(server, schema(&world.owner), owner).await;
        server
            .admin(&format!("REVOKE UPDATE ON {}.wallet FROM '{owner}'@'%'", schema(&world.owner)))
            .await;
        server
            .admin(&format!("GRANT TRIGGER ON {}.* TO '{owner}'@'%'", schema(&world.owner)))
            .await;
        let both = World::seen_by(reading, limited.mirror.clone());
        let told = fault(&both).await.expect("two are missing");
        assert!(told.contains("lacks INSERT on gateway_outbox; DELETE on wallet: "), "{told}");
        admin("GRANT DELETE ON SCHEMA.wallet TO USER").await;
        admin("GRANT INSERT ON SCHEMA.gateway_outbox TO USER").await;
        assert_eq!(fault(&both).await, None);
    })
    .await;
}

/// Who is the owner now is written to by copiers after the flip: without that there is no way back.
#[tokio::test]
async fn owner_that_could_not_be_copied_back_to_is_held_against_a_flip() {
    let Some(server) = Server::get() else { return };
    between("rightsback", &[(Dialect::Mysql, Dialect::Sqlite)], async |world| {
        let user = "switch_rightsback_user";
        let Some(limited) = server.limited(world.owner.clone(), user).await else { return };
        let name = schema(&world.owner).to_owned();
        let admin = async |sql: &str| {
            let sql = sql.replace("SCHEMA", &name).replace("USER", &format!("'{user}'@'%'"));
            server.admin(&sql).await;
        };
        grant(server, &name, user).await;
        admin("GRANT TRIGGER ON SCHEMA.* TO USER").await;
        // What a ledger has; the game's own right to UPDATE is not needed for the way back.
        admin("REVOKE INSERT, DELETE ON SCHEMA.wallet FROM USER").await;
        admin("REVOKE UPDATE ON SCHEMA.thing FROM USER").await;
        let limited = World::seen_by(limited, world.mirror.clone());
        let missing = "the account of `owner` lacks INSERT on wallet; DELETE on wallet: grant it";
        let all = ["thing", "wallet"].map(Into::into);
        let begun = mirror(group(&limited), &all, "tests").await.expect("begun");
        let note = begun.remarks.iter().find(|it| it.contains("a flip will need")).expect("a note");
        assert!(note.contains(missing), "{note}");
        assert!(fault(&limited).await.is_some_and(|told| told.contains(missing)));
        admin("GRANT INSERT, DELETE ON SCHEMA.wallet TO USER").await;
        assert_eq!(fault(&limited).await, None);
    })
    .await;
}

#[tokio::test]
async fn locked_table_is_told_as_one_that_could_not_be_asked_about_and_is_not_waited_for() {
    between("rightslocked", &[(Dialect::Mysql, Dialect::Mysql)], async |world| {
        mirrored(world).await;
        assert_eq!(fault(world).await, None);
        for (config, name) in [(&world.owner, "owner"), (&world.mirror, "mirror")] {
            let mut busy = open(config).await;
            busy.run_text("LOCK TABLES thing WRITE").await.expect("locked");
            let begun = Instant::now();
            let told = fault(world).await.expect("nobody knows");
            let unasked = format!("the rights on thing of `{name}` could not be asked about");
            assert!(told.contains(&unasked) && !told.contains("lacks"), "{told}");
            // The server's own patience is a day.
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
            busy.run_text("UNLOCK TABLES").await.expect("free");
            assert_eq!(fault(world).await, None);
        }
    })
    .await;
}

#[tokio::test]
async fn mirror_that_the_account_may_not_write_is_refused_before_anything_is_changed() {
    let Some(server) = Server::get() else { return };
    between("rightsless", &[(Dialect::Sqlite, Dialect::Mysql)], async |world| {
        let user = "switch_rightsless_user";
        let Some(limited) = server.limited(world.mirror.clone(), user).await else { return };
        let name = schema(&world.mirror);
        grant(server, name, user).await;
        server.admin(&format!("REVOKE DELETE ON {name}.thing FROM '{user}'@'%'")).await;
        let limited = World::seen_by(world.owner.clone(), limited);
        let all = ["thing", "wallet"].map(Into::into);
        let told = mirror(group(&limited), &all, "tests").await.expect_err("refused").to_string();
        assert!(told.contains("lacks DELETE on thing: grant it"), "{told}");
        assert_eq!(status(group(world)).await.expect("a status").state, None);
        server.admin(&format!("GRANT DELETE ON {name}.thing TO '{user}'@'%'")).await;
        mirror(group(&limited), &all, "tests").await.expect("begun");
    })
    .await;
}

/// The stand-in's word for the privilege is that of its schema, where its triggers' functions are made.
#[tokio::test]
async fn privilege_that_an_oracle_lacks_is_held_against_a_flip() {
    between("rightsoracle", &[(Dialect::Mysql, Dialect::Oracle)], async |world| {
        let Some(standin) = Standin::get() else { return };
        mirrored(world).await;
        assert_eq!(fault(world).await, None);
        let Endpoint::Oracle { username, .. } = &world.mirror.endpoint else { panic!("an Oracle") };
        let admin = |sql: &str| {
            let sql = sql.replace("NAME", &format!("\"{username}\""));
            standin.postgres().admin(username, &sql).expect("may do that");
        };
        admin("ALTER ROLE NAME NOSUPERUSER");
        admin("REVOKE CREATE ON SCHEMA NAME FROM NAME");
        let told = fault(world).await.expect("it lacks it");
        assert!(told.contains("the account of `mirror` lacks CREATE TRIGGER: grant it"), "{told}");
        admin("GRANT CREATE ON SCHEMA NAME TO NAME");
        assert_eq!(fault(world).await, None);
        admin("ALTER ROLE NAME SUPERUSER");
        flipped(group(world)).await.expect("flipped");
        assert_eq!(row(&world.mirror).await.owner, world.mirror.name);
    })
    .await;
}
