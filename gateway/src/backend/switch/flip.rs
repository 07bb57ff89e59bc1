//! The flip, as changes of rows: each is one conditional update, so that of two who want to go on only one does.
//!
//! ```text
//! in the row of the owner of before (epoch e)
//!   mirrored ─▶ readying ─▶ blocking ─▶ draining (e+1, the other one owns) ─▶ flipped ─▶ mirror
//!      ▲───────────┴───────────┘            │                                  │
//!      └──────────── (e+2) ◀────────────────┘        the row of the new owner: mirrored (e+1)
//! ```
//! From `draining` on the owner of before is closed: whoever writes there asks its row, within the transaction. It is
//! opened again only from `draining`, the new one only from `flipped`: never both.
//!
//! Every function can be repeated, by a command as by a gateway that heals what a dead command left.

use super::capture::{is_ours, present, remove};
use super::error::SwitchError;
use super::lease::holder;
use super::outbox;
use super::side::Side;
use super::state::{self, Group, Phase, State, now, now_ms, text, who};
use crate::catalog::Scalar;
use crate::config::Dialect;

/// Rows of an outbox that are removed at once: writers are not to wait for it.
const CLEAR_COUNT: usize = 1000;

const MOVE: &str = "UPDATE gateway_switch SET phase = ?, epoch = ?, owner = ?, mirror = ?, flip_id = ?, \
    pause_max_ms = ?, flip_at_ms = ?, changed_at = ?, changed_by = ? \
    WHERE group_name = ? AND phase = ? AND epoch = ? AND flip_id = ?";
const OPEN: &str = "UPDATE gateway_switch SET phase = ?, epoch = ?, owner = ?, mirror = ?, flip_id = ?, \
    pause_max_ms = ?, flip_at_ms = ?, changed_at = ?, changed_by = ?, sample_ppm = 0 \
    WHERE group_name = ? AND epoch < ?";
const ENTER: &str = "INSERT INTO gateway_switch (phase, epoch, owner, mirror, flip_id, pause_max_ms, flip_at_ms, \
    changed_at, changed_by, group_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const ENTER_TABLE: &str = "INSERT INTO gateway_switch_table \
    (group_name, table_name, last_key, touched, is_done) VALUES (?, ?, NULL, 0, 1)";
const ENTER_LEASE: &str = "INSERT INTO gateway_copier (group_name, token, copier, seen_at, copied) \
    VALUES (?, 0, NULL, 0, 0)";

/// What an owner knows of its tables and of comparisons: nothing of the time before it was one.
pub(super) const OF_AN_OWNER: [&str; 4] = [
    "gateway_switch_table",
    "gateway_switch_reconcile",
    "gateway_switch_shadow",
    "gateway_switch_mismatch",
];

/// A connection that waits no longer than a second for those who write: whoever asks behind it waits as long.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn open_side(
    config: &crate::config::ConnectionConfig,
) -> Result<Side, SwitchError> {
    let mut side = Side::open(config).await?;
    if side.dialect() == Dialect::Mysql {
        side.run_text("SET SESSION innodb_lock_wait_timeout = 1").await?;
    }
    Ok(side)
}

/// Takes the row of the owner of before from the phase that was seen to the next one: `None` when it is not in that
/// phase of that attempt any more. Waits for the write transactions under way, whoever's they are, for a second.
///
/// - `pause_max_ms`: only where a new attempt begins.
///
/// # Errors
///
/// [`SwitchError`]; [`SwitchError::is_locked`] when transactions took longer.
pub(super) async fn forward(
    owner: &mut Side,
    group: Group<'_>,
    seen: &State,
    pause_max_ms: Option<i64>,
    by: &str,
) -> Result<Option<State>, SwitchError> {
    let mut next = seen.clone();
    next.flip_at_ms = now_ms();
    next.phase = match seen.phase {
        Phase::Mirrored => {
            next.flip_id += 1;
            next.pause_max_ms = pause_max_ms.unwrap_or(seen.pause_max_ms);
            Phase::Readying
        }
        Phase::Readying => Phase::Blocking,
        Phase::Blocking => {
            next.epoch += 1;
            next.owner = group.mirror.name.clone();
            next.mirror = Some(group.owner.name.clone());
            Phase::Draining
        }
        Phase::Draining => Phase::Flipped,
        other => {
            return Err(SwitchError::refused(format!("there is no flip in `{}`", other.name())));
        }
    };
    transition(owner, group.id, seen, next, by).await
}

/// Takes it back to `mirrored`, under the owner of before: `None` when it is not in that phase any more.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn back(
    owner: &mut Side,
    group: Group<'_>,
    seen: &State,
    by: &str,
) -> Result<Option<State>, SwitchError> {
    let mut next = State { phase: Phase::Mirrored, flip_at_ms: now_ms(), ..seen.clone() };
    match seen.phase {
        Phase::Readying | Phase::Blocking => {}
        Phase::Draining => {
            // Above what a gateway may have remembered of the way forward.
            next.epoch += 1;
            next.owner = group.owner.name.clone();
            next.mirror = Some(group.mirror.name.clone());
        }
        other => {
            let told = format!("there is no way back from `{}`", other.name());
            return Err(SwitchError::refused(told));
        }
    }
    transition(owner, group.id, seen, next, by).await
}

async fn transition(
    owner: &mut Side,
    group: &str,
    seen: &State,
    next: State,
    by: &str,
) -> Result<Option<State>, SwitchError> {
    owner.begin().await?;
    let done = async {
        lock_writers_out(owner).await?;
        let mut binds = row(&next, by);
        binds.extend([
            text(group),
            text(seen.phase.name()),
            Scalar::Int(seen.epoch),
            Scalar::Int(seen.flip_id),
        ]);
        owner.execute(MOVE, binds).await
    };
    match done.await {
        Ok(count) => {
            owner.commit().await?;
            Ok((count > 0).then_some(next))
        }
        Err(error) => {
            owner.rollback().await;
            Err(error)
        }
    }
}

/// On an Oracle, whose readers lock no rows, writers hold the table in share mode instead of the row.
async fn lock_writers_out(side: &mut Side) -> Result<(), SwitchError> {
    match side.dialect() {
        Dialect::Oracle => {
            side.run_text("LOCK TABLE gateway_switch IN EXCLUSIVE MODE WAIT 1").await
        }
        Dialect::Mysql | Dialect::Sqlite => Ok(()),
    }
}

fn row(state: &State, by: &str) -> Vec<Scalar<'static>> {
    vec![
        text(state.phase.name()),
        Scalar::Int(state.epoch),
        text(&state.owner),
        state.mirror.as_deref().map_or(Scalar::Null, text),
        Scalar::Int(state.flip_id),
        Scalar::Int(state.pause_max_ms),
        Scalar::Int(state.flip_at_ms),
        now(),
        who(by),
    ]
}

/// Opens the new owner, as the row of the one of before allows it, and has it copied back from there. Returns whether
/// nobody had done so before.
///
/// - `seen`: the row of the owner of before: `flipped`.
/// - `tables`: of the group.
///
/// # Errors
///
/// [`SwitchError`]; nothing is changed then.
pub(super) async fn open(
    mirror: &mut Side,
    group: Group<'_>,
    seen: &State,
    tables: &[Box<str>],
    by: &str,
) -> Result<bool, SwitchError> {
    if seen.phase != Phase::Flipped || seen.owner != group.mirror.name {
        let told = format!("`{}` may not be opened in `{}`", group.mirror.name, seen.phase.name());
        return Err(SwitchError::refused(told));
    }
    mirror.begin().await?;
    let done = open_within(mirror, group, seen, tables, by).await;
    match done {
        Ok(true) => mirror.commit().await?,
        Ok(false) | Err(_) => mirror.rollback().await,
    }
    done
}

async fn open_within(
    mirror: &mut Side,
    group: Group<'_>,
    seen: &State,
    tables: &[Box<str>],
    by: &str,
) -> Result<bool, SwitchError> {
    lock_writers_out(mirror).await?;
    let opened = State { phase: Phase::Mirrored, flip_at_ms: now_ms(), ..seen.clone() };
    let mut binds = row(&opened, by);
    binds.push(text(group.id));
    let mut update = binds.clone();
    update.push(Scalar::Int(seen.epoch));
    if mirror.execute(OPEN, update).await? == 0 {
        if state::read(mirror, group.id).await?.is_some() {
            return Ok(false);
        }
        mirror.execute(ENTER, binds).await?;
    }
    // What it knew of the time when it was the owner before is old.
    for table in OF_AN_OWNER {
        let sql = format!("DELETE FROM {table} WHERE group_name = ?");
        mirror.execute(sql, vec![text(group.id)]).await?;
    }
    mirror.execute("DELETE FROM gateway_outbox_refused", Vec::new()).await?;
    for table in tables {
        mirror.execute(ENTER_TABLE, vec![text(group.id), text(table)]).await?;
    }
    if holder(mirror, group.id, "").await?.is_none() {
        mirror.execute(ENTER_LEASE, vec![text(group.id)]).await?;
    }
    Ok(true)
}

/// Makes of an owner of before a mirror like any other: without triggers, with nothing in its outbox, and with a row
/// that says so. Nothing is done while a flip is on its way. Returns whether there was something to do.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn settle(
    owner: &mut Side,
    mirror: &mut Side,
    group: Group<'_>,
) -> Result<bool, SwitchError> {
    if is_settled(owner, mirror, group).await? {
        return Ok(false);
    }
    // The next flip makes triggers on the mirror: it waits for the end of this, or is seen by it.
    owner.begin().await?;
    let done = settle_within(owner, mirror, group).await;
    if done.is_ok() {
        owner.commit().await?;
    } else {
        mirror.rollback().await;
        owner.rollback().await;
    }
    done
}

async fn is_settled(
    owner: &mut Side,
    mirror: &mut Side,
    group: Group<'_>,
) -> Result<bool, SwitchError> {
    let Some(own) = state::read(owner, group.id).await? else { return Ok(true) };
    if own.phase.is_flip() || !own.copies(&group.owner.name, &group.mirror.name) {
        return Ok(true);
    }
    let is_mirror = state::read(mirror, group.id).await?.is_some_and(|it| {
        it.phase == Phase::Mirror && it.owner == own.owner && it.epoch == own.epoch
    });
    Ok(is_mirror && !present(mirror).await?.iter().any(|(name, _)| is_ours(name)))
}

async fn settle_within(
    owner: &mut Side,
    mirror: &mut Side,
    group: Group<'_>,
) -> Result<bool, SwitchError> {
    let own = state::read_shared(owner, group.id).await?;
    let own = own.filter(|own| !own.phase.is_flip());
    let own = own.filter(|own| own.copies(&group.owner.name, &group.mirror.name));
    let Some(own) = own else { return Ok(false) };
    if mirror.dialect() == Dialect::Mysql {
        // A table that a long transaction has read is waited for, and everybody waits behind that.
        mirror.run_text("SET SESSION lock_wait_timeout = 10").await?;
    }
    remove(mirror, &[]).await?;
    clear(mirror).await?;
    mirror.begin().await?;
    state::write(mirror, group, (own.epoch, Phase::Mirror), &own.changed_by).await?;
    mirror.commit().await?;
    Ok(true)
}

/// Empties the outbox, a little at a time.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn clear(side: &mut Side) -> Result<(), SwitchError> {
    loop {
        let ids: Vec<i64> =
            outbox::next(side, CLEAR_COUNT).await?.into_iter().map(|entry| entry.id).collect();
        if ids.is_empty() {
            break;
        }
        outbox::take_out(side, "gateway_outbox", &ids).await?;
    }
    side.execute("DELETE FROM gateway_outbox_refused", Vec::new()).await.map(drop)
}

/// What became of a flip that nobody drove any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// Somebody else went on: nothing was to be done.
    Nothing,
    /// The owner of before owns the group, as if there had been no flip.
    Back,
    /// The new owner is open.
    Forward,
}

/// Brings a flip that nobody drives any more to an end: back from `readying`, `blocking` and `draining`, forward from
/// `flipped`. A gateway calls it that has seen `seen` unchanged for too long (at once, where that is `flipped`).
///
/// - `group`: as [`by_rows`](super::by_rows) has it: the owner of before in the owner's place.
/// - `seen`: the row of the owner of before.
///
/// # Errors
///
/// [`SwitchError`]; a repeat goes on.
pub async fn recover(group: Group<'_>, seen: &State, by: &str) -> Result<Recovered, SwitchError> {
    let mut owner = open_side(group.owner).await?;
    let done = if seen.phase == Phase::Flipped {
        finish(&mut owner, group, seen, by).await
    } else {
        let is_back = back(&mut owner, group, seen, by).await?.is_some();
        Ok(if is_back { Recovered::Back } else { Recovered::Nothing })
    };
    owner.close().await;
    done
}

async fn finish(
    owner: &mut Side,
    group: Group<'_>,
    seen: &State,
    by: &str,
) -> Result<Recovered, SwitchError> {
    let tables = state::read_tables(owner, group.id).await?;
    let tables: Vec<Box<str>> = tables.into_iter().map(|table| table.name).collect();
    let mut mirror = open_side(group.mirror).await?;
    let is_opened = open(&mut mirror, group, seen, &tables, by).await;
    mirror.close().await;
    Ok(if is_opened? { Recovered::Forward } else { Recovered::Nothing })
}
