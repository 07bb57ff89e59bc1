//! The steps of a switch, each one command: can be ended anywhere, and repeated.

use super::backfill::touch;
use super::capture::{install, script};
use super::check::obstacles;
use super::copy::{Copier, group_pairs, pairs_of};
use super::drain::{Drain, Progress};
use super::error::SwitchError;
use super::lease::{Takeover, holder};
use super::outbox::{self, Refused};
use super::pair::Pair;
use super::preflight::back_pairs;
use super::rights;
use super::side::Side;
use super::state::{self, Group, GroupTable, Phase, State, text};
use super::table::{REQUESTS, same_name};

/// Rows that are put into the outbox at once.
const TOUCH_COUNT: usize = 1000;
/// Rows of the outbox above which a backfill waits.
const DEPTH_MAX: u64 = 5000;
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
/// - `wanted`: the tables, to which `gateway_request` comes; empty: all but the gateway's own, or those of before.
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
    let (before, mirrors) = may_mirror(&mut owner, &mut other, group).await?;
    let known = state::read_tables(&mut owner, group.id).await?;
    let pairs = wanted_pairs(&mut owner, &mut other, group, wanted, &known).await?;
    obstacles(&mut owner, &mut other, &pairs, mirrors.is_some()).await?;
    let late = rights::may_copy(&mut owner, &mut other, &pairs).await?;
    // One that was once an owner itself is not to fall behind what was known of it.
    let epochs = [&before, &mirrors].map(|state| state.as_ref().map_or(1, |state| state.epoch));
    let epoch = epochs.into_iter().fold(1, i64::max);
    let has_one = before.is_some_and(|it| it.copies(&group.owner.name, &group.mirror.name));
    if !has_one {
        other.begin().await?;
        state::write(&mut other, group, (epoch, Phase::Mirror), by).await?;
        other.commit().await?;
        owner.begin().await?;
        state::write(&mut owner, group, (epoch, Phase::Preparing), by).await?;
        enter_tables(&mut owner, group.id, &pairs, &known).await?;
        owner.commit().await?;
    }
    let command = format!("{} mirror {}", group.id, group.mirror.name);
    let trigger_count = install(&mut owner, &pairs, Some(&command)).await?;
    if !has_one {
        owner.begin().await?;
        state::write(&mut owner, group, (epoch, Phase::Mirror), by).await?;
        owner.commit().await?;
    }
    owner.close().await;
    other.close().await;
    let remarks = pairs.iter().flat_map(|pair| pair.remarks.iter().cloned()).chain(late).collect();
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
    let (_, mirrors) = may_mirror(&mut owner, &mut other, group).await?;
    let known = state::read_tables(&mut owner, group.id).await?;
    let pairs = wanted_pairs(&mut owner, &mut other, group, wanted, &known).await?;
    obstacles(&mut owner, &mut other, &pairs, mirrors.is_some()).await?;
    let text = script(owner.dialect(), &pairs);
    owner.close().await;
    other.close().await;
    Ok(text)
}

/// The triggers that a flip makes on the mirror, for a DBA who wants to see them before. Changes nothing.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn flip_script(group: Group<'_>) -> Result<String, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let mut other = Side::open(group.mirror).await?;
    state::copied(&mut owner, group).await?;
    let pairs = back_pairs(&mut owner, &mut other, group).await?;
    let text = script(other.dialect(), &pairs);
    owner.close().await;
    other.close().await;
    Ok(text)
}

/// The states of both sides of before, if they allow a mirror.
async fn may_mirror(
    owner: &mut Side,
    other: &mut Side,
    group: Group<'_>,
) -> Result<(Option<State>, Option<State>), SwitchError> {
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
        other => Ok((before, other)),
    }
}

async fn wanted_pairs(
    owner: &mut Side,
    other: &mut Side,
    group: Group<'_>,
    wanted: &[Box<str>],
    known: &[GroupTable],
) -> Result<Vec<Pair>, SwitchError> {
    let known: Vec<Box<str>> = known.iter().map(|table| table.name.clone()).collect();
    let mut chosen = if wanted.is_empty() { known.clone() } else { wanted.to_vec() };
    // A request whose row stayed behind would take effect once more.
    if !wanted.is_empty() && !wanted.iter().any(|name| same_name(name, REQUESTS)) {
        chosen.push(REQUESTS.into());
    }
    let pairs = pairs_of(owner, other, group, &chosen).await?;
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
        advance(&mut owner, group, &state, Phase::Backfill, by).await?;
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
    let state = state::copied(&mut owner, group).await?;
    if state.phase == Phase::Backfill {
        advance(&mut owner, group, &state, Phase::Mirrored, by).await?;
    }
    let progress = drain.end().await;
    owner.close().await;
    Ok(progress)
}

/// Goes on to a phase, unless somebody else did.
async fn advance(
    owner: &mut Side,
    group: Group<'_>,
    seen: &State,
    phase: Phase,
    by: &str,
) -> Result<(), SwitchError> {
    owner.begin().await?;
    state::advance(owner, group.id, seen, phase, by).await?;
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
