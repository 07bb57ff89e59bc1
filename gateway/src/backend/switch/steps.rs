//! The steps of a switch, each one command: can be ended anywhere, and repeated.

use super::backfill::touch;
use super::capture::{install, remove, script};
use super::check::obstacles;
use super::copy::{Copier, group_pairs};
use super::drain::{Drain, Progress};
use super::error::SwitchError;
use super::introspect::tables;
use super::lease::{Takeover, holder, lock};
use super::outbox::{self, Refused};
use super::pair::{Pair, Schema, pairs};
use super::side::Side;
use super::state::{self, Group, GroupTable, Phase, State, text};

/// Rows that are put into the outbox at once.
const TOUCH_COUNT: usize = 1000;
/// Rows of the outbox above which a backfill waits.
const DEPTH_MAX: u64 = 5000;
/// Rows of the outbox that are removed at once when a mirror is given up.
const CLEAR_COUNT: usize = 1000;
/// Refused rows that are tried again at once.
const REFUSED_COUNT: usize = 1000;

/// What `mirror` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The tables of the group.
    pub tables: Vec<Box<str>>,
    /// Triggers that were made.
    pub trigger_count: usize,
    /// What the schemas do not have in common.
    pub remarks: Vec<Box<str>>,
}

/// Begins to write down what changes on the owner.
///
/// - `wanted`: the tables; empty: all but the gateway's own, or those of before.
///
/// # Errors
///
/// [`SwitchError`]; a repeat goes on.
pub async fn mirror(
    group: Group<'_>,
    wanted: &[Box<str>],
    by: &str,
) -> Result<Mirrored, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let mut other = Side::open(group.mirror).await?;
    let before = may_mirror(&mut owner, &mut other, group).await?;
    let known = state::read_tables(&mut owner, group.id).await?;
    let pairs = wanted_pairs(&mut owner, &mut other, group, wanted, &known).await?;
    obstacles(&mut owner, &mut other, &pairs).await?;
    let epoch = before.as_ref().map_or(1, |state| state.epoch);
    let phase = before.map_or(Phase::Single, |state| state.phase);
    if !phase.copies() {
        other.begin().await?;
        state::write(&mut other, group, (epoch, Phase::Mirror), by).await?;
        other.commit().await?;
        owner.begin().await?;
        state::write(&mut owner, group, (epoch, Phase::Preparing), by).await?;
        enter_tables(&mut owner, group.id, &pairs, &known).await?;
        owner.commit().await?;
    }
    let trigger_count = install(&mut owner, &pairs, group.id, &group.mirror.name).await?;
    if !phase.copies() {
        owner.begin().await?;
        state::write(&mut owner, group, (epoch, Phase::Mirror), by).await?;
        owner.commit().await?;
    }
    owner.close().await;
    other.close().await;
    let remarks = pairs.iter().flat_map(|pair| pair.remarks.iter().cloned()).collect();
    let tables = pairs.into_iter().map(|pair| pair.name).collect();
    Ok(Mirrored { tables, trigger_count, remarks })
}

/// The script that makes the triggers, for a DBA. Changes nothing.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn mirror_script(group: Group<'_>, wanted: &[Box<str>]) -> Result<String, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let mut other = Side::open(group.mirror).await?;
    may_mirror(&mut owner, &mut other, group).await?;
    let known = state::read_tables(&mut owner, group.id).await?;
    let pairs = wanted_pairs(&mut owner, &mut other, group, wanted, &known).await?;
    obstacles(&mut owner, &mut other, &pairs).await?;
    let text = script(owner.dialect(), &pairs);
    owner.close().await;
    other.close().await;
    Ok(text)
}

/// The state of before, if it allows a mirror.
async fn may_mirror(
    owner: &mut Side,
    other: &mut Side,
    group: Group<'_>,
) -> Result<Option<State>, SwitchError> {
    let before = state::read(owner, group.id).await?;
    if let Some(state) = &before {
        state::fits(group, state)?;
        if state.phase == Phase::Retiring {
            let (id, name) = (group.id, &group.mirror.name);
            let told =
                format!("the mirror is being given up: `gateway switch {id} retire {name} --yes`");
            return Err(SwitchError::refused(told));
        }
    }
    match state::read(other, group.id).await? {
        Some(state) if state.owner == group.mirror.name => Err(SwitchError::refused(format!(
            "`{}` is itself an owner of {}, since {}: a mirror that is one would write its rows back",
            group.mirror.name, group.id, state.changed_at
        ))),
        _ => Ok(before),
    }
}

async fn wanted_pairs(
    owner: &mut Side,
    other: &mut Side,
    group: Group<'_>,
    wanted: &[Box<str>],
    known: &[GroupTable],
) -> Result<Vec<Pair>, SwitchError> {
    let (own, others) = (tables(owner).await?, tables(other).await?);
    let known: Vec<Box<str>> = known.iter().map(|table| table.name.clone()).collect();
    let schema = Schema { connection: &group.owner.name, dialect: owner.dialect(), tables: &own };
    let connection = &group.mirror.name;
    let mirrored = Schema { connection, dialect: other.dialect(), tables: &others };
    let pairs = pairs(schema, mirrored, if wanted.is_empty() { &known } else { wanted })?;
    let names: Vec<&Box<str>> = pairs.iter().map(|pair| &pair.name).collect();
    let is_other = known.len() != names.len() || known.iter().any(|name| !names.contains(&name));
    if !known.is_empty() && is_other {
        return Err(SwitchError::refused(format!(
            "{} is mirrored with the tables {}: retire the mirror before you choose others",
            group.id,
            known.join(", ")
        )));
    }
    Ok(pairs)
}

/// Writes down which tables there are, and that there is a lease to take.
async fn enter_tables(
    owner: &mut Side,
    group: &str,
    pairs: &[Pair],
    known: &[GroupTable],
) -> Result<(), SwitchError> {
    for pair in pairs {
        if !known.iter().any(|table| table.name == pair.name) {
            let sql = "INSERT INTO gateway_switch_table \
                       (group_name, table_name, last_key, touched, is_done) VALUES (?, ?, NULL, 0, 0)";
            owner.execute(sql, vec![text(group), text(&pair.name)]).await?;
        }
    }
    if holder(owner, group, "").await?.is_none() {
        let sql = "INSERT INTO gateway_copier (group_name, token, copier, seen_at, copied) \
                   VALUES (?, 0, NULL, 0, 0)";
        owner.execute(sql, vec![text(group)]).await?;
    }
    Ok(())
}

/// Has everything copied that did not change since the mirror was begun.
///
/// - `name`: who copies where nobody else does.
/// - `told`: hears of the progress.
///
/// # Errors
///
/// [`SwitchError`]; a repeat goes on where this ended.
pub async fn backfill(
    group: Group<'_>,
    (name, by): (&str, &str),
    told: &mut (dyn FnMut(&Progress) + Send),
) -> Result<Progress, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let state = state::copied(&mut owner, group).await?;
    let mut other = Side::open(group.mirror).await?;
    let pairs = group_pairs(&mut owner, &mut other, group).await?;
    other.close().await;
    if state.phase == Phase::Mirror {
        advance(&mut owner, group, Phase::Backfill, by).await?;
    }
    let mut drain = Drain::new(group, name);
    for pair in &pairs {
        drain.progress.table = pair.name.clone();
        loop {
            drain.until(&mut owner, |depth| depth.count_max < DEPTH_MAX, told).await?;
            let (count, is_last) = touch(&mut owner, group.id, pair, TOUCH_COUNT).await?;
            drain.progress.touched += count;
            told(&drain.progress);
            if is_last {
                break;
            }
        }
    }
    drain.progress.table = "".into();
    // What comes later is no business of the backfill.
    let last = outbox::depth(&mut owner).await?.last;
    drain.until(&mut owner, |depth| depth.first == 0 || depth.first > last, told).await?;
    if state::copied(&mut owner, group).await?.phase == Phase::Backfill {
        advance(&mut owner, group, Phase::Mirrored, by).await?;
    }
    let progress = drain.end().await;
    owner.close().await;
    Ok(progress)
}

async fn advance(
    owner: &mut Side,
    group: Group<'_>,
    phase: Phase,
    by: &str,
) -> Result<(), SwitchError> {
    owner.begin().await?;
    let state = state::copied(owner, group).await?;
    state::write(owner, group, (state.epoch, phase), by).await?;
    owner.commit().await
}

/// Copies what waits now, and what comes in the meantime as far as it is on the way.
///
/// # Errors
///
/// [`SwitchError`]; [`SwitchError::Held`] when somebody else copies.
pub async fn copy(
    group: Group<'_>,
    name: &str,
    takeover: Takeover,
    told: &mut (dyn FnMut(&Progress) + Send),
) -> Result<Progress, SwitchError> {
    let mut copier = Copier::open(group, name, takeover).await?;
    let mut progress = Progress::default();
    let last = copier.depth().await?.last;
    loop {
        let batch = copier.batch().await?;
        progress.copied += batch.copied;
        progress.refused += batch.refused;
        let depth = copier.depth().await?;
        // A row that stands in another one's way is put in again, behind the others.
        let is_behind = depth.first > last && depth.count_max > 0;
        if depth.first == 0 || (is_behind && !copier.has_put_back()) {
            break;
        }
        progress.waiting = depth.count_max;
        told(&progress);
    }
    copier.close().await;
    Ok(progress)
}

/// Gives the mirror up: nothing is written down any more, and what waits is forgotten.
///
/// # Errors
///
/// [`SwitchError`]; a repeat goes on.
pub async fn retire(group: Group<'_>, by: &str) -> Result<(), SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let state = state::read(&mut owner, group.id).await?;
    let state = state.filter(|state| state.phase != Phase::Single);
    let state = state.ok_or_else(|| SwitchError::refused("there is no mirror to give up"))?;
    state::fits(group, &state)?;
    // Waits for a batch that is under way; the copier hears of it at its next one.
    owner.begin().await?;
    if holder(&mut owner, group.id, "").await?.is_some() {
        lock(&mut owner, group.id).await?;
        let sql = "UPDATE gateway_copier SET token = token + 1, copier = NULL WHERE group_name = ?";
        owner.execute(sql, vec![text(group.id)]).await?;
    }
    state::write(&mut owner, group, (state.epoch, Phase::Retiring), by).await?;
    owner.commit().await?;
    remove(&mut owner, &[]).await?;
    clear(&mut owner).await?;
    let mut other = Side::open(group.mirror).await?;
    other.begin().await?;
    state::forget(&mut other, group.id).await?;
    other.commit().await?;
    other.close().await;
    owner.begin().await?;
    let sql = "DELETE FROM gateway_switch_table WHERE group_name = ?";
    owner.execute(sql, vec![text(group.id)]).await?;
    state::write(&mut owner, group, (state.epoch, Phase::Single), by).await?;
    owner.commit().await?;
    owner.close().await;
    Ok(())
}

/// Empties the outbox, a little at a time: writers are not to wait for it.
async fn clear(owner: &mut Side) -> Result<(), SwitchError> {
    loop {
        let ids: Vec<i64> =
            outbox::next(owner, CLEAR_COUNT).await?.into_iter().map(|entry| entry.id).collect();
        if ids.is_empty() {
            break;
        }
        outbox::take_out(owner, "gateway_outbox", &ids).await?;
    }
    owner.execute("DELETE FROM gateway_outbox_refused", Vec::new()).await.map(drop)
}

/// Has the rows that the mirror did not take tried again.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn retry_refused(group: Group<'_>) -> Result<u64, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    state::copied(&mut owner, group).await?;
    owner.begin().await?;
    let refused = outbox::refused(&mut owner, REFUSED_COUNT).await?;
    for Refused { table, key, .. } in &refused {
        outbox::put(&mut owner, table, &[(key.clone(), 0)]).await?;
    }
    let ids: Vec<i64> = refused.iter().map(|row| row.id).collect();
    outbox::take_out(&mut owner, "gateway_outbox_refused", &ids).await?;
    owner.commit().await?;
    owner.close().await;
    Ok(refused.len() as u64)
}
