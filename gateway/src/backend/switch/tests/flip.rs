//! The flip: whoever is killed in the middle of it, one side owns the group, and what was written is there.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use super::super::capture::present;
use super::super::error::SwitchError;
use super::super::instance::InstanceState;
use super::super::lease::Takeover;
use super::super::side::Side;
use super::super::state::{self, Group, Phase, State, now_ms, text};
use super::super::{Flip, Flipped, backfill, by_rows, copy, flip, recover, status};
use super::copy::{begin, equal, group};
use super::world::{World, between, everywhere, open};
use crate::catalog::{Dialect, Scalar};
use crate::config::ConnectionConfig;

/// Everything copied, nothing flipped yet.
pub(super) async fn mirrored(world: &World) {
    begin(world).await;
    backfill(group(world), ("tests", "tests"), &mut |_| {}).await.expect("filled");
}

pub(super) fn forced(group: Group<'_>) -> Flip<'_> {
    let pause_max = Duration::from_secs(5);
    Flip { group, to: None, without: &[], is_forced: true, pause_max, by: "tests", name: "tests" }
}

pub(super) async fn flipped(group: Group<'_>) -> Result<Flipped, SwitchError> {
    Box::pin(flip(&forced(group), &mut |_| {})).await
}

pub(super) async fn now(world: &World) -> Group<'_> {
    by_rows(group(world)).await.expect("one owner")
}

pub(super) async fn row(config: &ConnectionConfig) -> State {
    let mut side = open(config).await;
    let row = state::read(&mut side, "game1").await.expect("read").expect("a row");
    side.close().await;
    row
}

/// Plays a running gateway: registers on both sides, and says what the phase asks for.
pub(super) async fn play(world: &World, name: &str, stop: &AtomicBool) {
    let mut sides = [open(&world.owner).await, open(&world.mirror).await];
    while !stop.load(Ordering::Relaxed) {
        let mut rows = Vec::new();
        for side in &mut sides {
            rows.push(state::read(side, "game1").await.expect("read").expect("a row"));
        }
        let leaving = rows.iter().find(|row| row.phase.is_flip());
        let names = [&world.owner.name, &world.mirror.name];
        let owning = rows.iter().zip(names).find(|(row, name)| row.owner == **name);
        // The game may have changed hands between the two looks.
        let Some(seen) = leaving.or(owning.map(|(row, _)| row)) else { continue };
        let said = match seen.phase {
            Phase::Readying => InstanceState::Ready,
            Phase::Blocking | Phase::Draining | Phase::Flipped => InstanceState::Blocked,
            _ => InstanceState::Open,
        };
        for side in &mut sides {
            // Somebody else may hold the file for a moment.
            drop(say(side, name, (seen.epoch, seen.flip_id, said)).await);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn say(
    side: &mut Side,
    name: &str,
    (epoch, flip_id, said): (i64, i64, InstanceState),
) -> Result<(), SwitchError> {
    let sql = "UPDATE gateway_switch_instance SET seen_at = ?, epoch = ?, flip_id = ?, state = ? \
               WHERE group_name = 'game1' AND instance = ?";
    let numbers = [now_ms(), epoch, flip_id].map(Scalar::Int);
    let mut binds = numbers.to_vec();
    binds.extend([text(said.name()), text(name)]);
    if side.execute(sql, binds.clone()).await? == 0 {
        let sql = "INSERT INTO gateway_switch_instance \
                   (seen_at, epoch, flip_id, state, instance, fault, pause_ms, dead_letters, group_name) \
                   VALUES (?, ?, ?, ?, ?, NULL, 7, 0, 'game1')";
        side.execute(sql, binds).await?;
    }
    Ok(())
}

/// Writes as a gateway does that knows nothing of the flip: where it believes the owner to be, under its row's lock.
async fn write_on(
    world: &World,
    player: i64,
    stop: &AtomicBool,
    written: &Mutex<BTreeSet<String>>,
) {
    let configs = [&world.owner, &world.mirror];
    let mut sides = [open(&world.owner).await, open(&world.mirror).await];
    let (mut at, mut number) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let currency = format!("w{number}");
        let side = &mut sides[at];
        let done = async {
            side.begin().await?;
            let row = state::read_shared(side, "game1").await?;
            if row.is_none_or(|row| row.owner != configs[at].name) {
                return Ok(false);
            }
            let sql = "INSERT INTO wallet (player_id, currency, balance) VALUES (?, ?, 1)";
            side.execute(sql, vec![Scalar::Int(player), text(&currency)]).await?;
            side.commit().await?;
            Ok::<_, SwitchError>(true)
        };
        match done.await {
            Ok(true) => {
                written.lock().expect("whole").insert(format!("{player} {currency}"));
                number += 1;
            }
            Ok(false) => {
                side.rollback().await;
                at = 1 - at;
            }
            // A commit whose outcome is not known is not told to anybody.
            Err(_) => {
                side.rollback().await;
                number += 1;
            }
        }
        // A pace that a mirror in a debug build keeps up with.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Everything that was acknowledged is on the owner, once, and both sides are alike when what waits is copied.
async fn nothing_is_lost(world: &World, written: &Mutex<BTreeSet<String>>) {
    let group = now(world).await;
    copy(group, "tests", Takeover::Now, &mut |_| {}).await.expect("copied");
    equal(world).await;
    let mut owner = open(group.owner).await;
    let sql = "SELECT player_id, currency FROM wallet";
    let rows = owner.texts(sql, Vec::new()).await.expect("rows");
    let found: BTreeSet<String> = rows
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" "))
        .collect();
    let written = written.lock().expect("whole");
    assert!(!written.is_empty());
    let lost: Vec<_> = written.difference(&found).collect();
    assert_eq!(lost, Vec::<&String>::new(), "acknowledged, and not on `{}`", group.owner.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn game_goes_to_its_mirror_and_back_and_forward_again_beside_writers() {
    everywhere("flip", async |world| {
        mirrored(world).await;
        let (stop, written) = (AtomicBool::new(false), Mutex::default());
        let work = async {
            for epoch in 2..=4 {
                let before = now(world).await;
                let done = flipped(before).await.expect("flipped");
                assert_eq!((&*done.owner, done.epoch), (&*before.mirror.name, epoch));
                assert!(done.pause.expect("there was one") < Duration::from_secs(5));
                assert_eq!(done.left, None);
                let names: Vec<_> =
                    done.instances.iter().map(|it| (&*it.name, it.pause_ms)).collect();
                assert_eq!(names, [("one", 7), ("two", 7)]);
                let after = now(world).await;
                assert_eq!(after.owner.name, before.mirror.name);
                let told = status(after).await.expect("a status");
                assert_eq!(told.state.as_ref().map(|it| it.phase), Some(Phase::Mirrored));
                assert_eq!(told.mirror_state.as_ref().map(|it| it.phase), Some(Phase::Mirror));
                assert_eq!(told.missing_trigger_count, 0);
                let mut old = open(after.mirror).await;
                assert_eq!(present(&mut old).await.expect("triggers"), []);
                // It is the owner already.
                let again = Flip { to: Some(&after.owner.name), ..forced(after) };
                let again = flip(&again, &mut |_| {}).await.expect("nothing to do");
                assert_eq!((again.epoch, again.pause), (epoch, None));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(
            play(world, "one", &stop),
            play(world, "two", &stop),
            write_on(world, 1, &stop, &written),
            write_on(world, 2, &stop, &written),
            work
        );
        nothing_is_lost(world, &written).await;
        let mut both = 0;
        for config in [&world.owner, &world.mirror] {
            both += i64::from(row(config).await.owner == config.name);
        }
        assert_eq!(both, 1);
    })
    .await;
}

/// A flip that is dropped the moment it waits for the `limit`th time after it told of so many phases; what it said if it
/// did not wait so often.
async fn flip_killed(
    group: Group<'_>,
    place: usize,
    limit: usize,
) -> Option<Result<Flipped, SwitchError>> {
    let (told, mut count) = (AtomicUsize::new(0), 0);
    let plan = forced(group);
    let mut note = |_: &str| {
        told.fetch_add(1, Ordering::Relaxed);
    };
    let mut future = pin!(flip(&plan, &mut note));
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if told.load(Ordering::Relaxed) < place => Poll::Pending,
        Poll::Pending if count == limit => Poll::Ready(None),
        Poll::Pending => {
            count += 1;
            Poll::Pending
        }
    })
    .await
}

/// What ends a flip that was left: a gateway, or the command again.
async fn heal(world: &World, by_command: bool) {
    let group = now(world).await;
    let seen = row(group.owner).await;
    if !seen.phase.is_flip() {
        return;
    }
    if by_command && matches!(seen.phase, Phase::Draining | Phase::Flipped) {
        flipped(group).await.expect("it goes on");
        return;
    }
    recover(group, &seen, "tests").await.expect("ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flip_killed_between_any_two_steps_leaves_one_owner_and_loses_nothing() {
    let directions = [(Dialect::Mysql, Dialect::Mysql), (Dialect::Mysql, Dialect::Oracle)];
    between("flipkilled", &directions, async |world| {
        mirrored(world).await;
        let (stop, written) = (AtomicBool::new(false), Mutex::default());
        let work = async {
            let mut phases = BTreeSet::new();
            // Before it begins, then in each of its phases: at its start, a little later, and so on to its end.
            for (place, step) in [(0, 700), (1, 500), (2, 80), (3, 30), (4, 15)] {
                let mut limit = 0;
                loop {
                    let group = now(world).await;
                    let done = flip_killed(group, place, limit).await;
                    phases.insert(row(group.owner).await.phase.name());
                    let mut count = 0;
                    while let Err(error) = healed(world, limit % 2 == 0).await {
                        count += 1;
                        assert!(count < 20, "{error}");
                    }
                    // What a copier does meanwhile.
                    drop(copy(now(world).await, "tests", Takeover::Now, &mut |_| {}).await);
                    match done {
                        None => limit += step,
                        Some(Ok(_)) => break,
                        // It met a writer for too long, and is tried again.
                        Some(Err(error)) => println!("{error}"),
                    }
                }
                assert!(limit > 0, "killed in phase {place}");
            }
            stop.store(true, Ordering::Relaxed);
            phases
        };
        let (.., phases) = tokio::join!(
            play(world, "one", &stop),
            write_on(world, 1, &stop, &written),
            write_on(world, 2, &stop, &written),
            work
        );
        println!("killed in {phases:?}");
        let all = ["readying", "blocking", "draining", "flipped"];
        assert!(all.iter().all(|phase| phases.contains(phase)), "{phases:?}");
        nothing_is_lost(world, &written).await;
    })
    .await;
}

/// That no flip is on its way, after an attempt to end it.
pub(super) async fn healed(world: &World, by_command: bool) -> Result<(), String> {
    heal(world, by_command).await;
    let phase = row(now(world).await.owner).await.phase;
    if phase.is_flip() { Err(format!("still {}", phase.name())) } else { Ok(()) }
}
