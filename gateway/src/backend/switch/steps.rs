//! The steps of a switch, each one command: can be ended anywhere, and repeated.

use std::time::Duration;

use super::backfill::touch;
use super::capture::{self, install, remove, script};
use super::check::obstacles;
use super::copy::{Batch, Copier, Holder, Takeover, group_pairs, holder, lock};
use super::error::SwitchError;
use super::introspect::tables;
use super::outbox::{self, Depth, Refused};
use super::pair::{Pair, Schema, pairs};
use super::side::Side;
use super::state::{self, Group, GroupTable, Phase, State, now_ms, text};
use crate::catalog::Scalar;

/// Rows that are put into the outbox at once.
const TOUCH_COUNT: usize = 1000;
/// Rows of the outbox above which a backfill waits.
const DEPTH_MAX: u64 = 5000;
/// Between two looks at what somebody else copies.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Rows of the outbox that are removed at once when a mirror is given up.
const CLEAR_COUNT: usize = 1000;
/// Refused rows that a status shows.
const REFUSED_SHOWN_MAX: usize = 1000;

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

/// How far a backfill or a copy is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The table whose keys are being put into the outbox; empty: all of them are.
    pub table: Box<str>,
    /// Rows that were put into the outbox by this command.
    pub touched: u64,
    /// Rows that were copied by this command; 0 where another copier does it.
    pub copied: u64,
    /// Rows that the mirror did not take from this command.
    pub refused: u64,
    /// Rows that wait, at most.
    pub waiting: u64,
    /// Who copies, if it is somebody else.
    pub copier: Option<Box<str>>,
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

/// Has the outbox emptied: by itself where nobody else does.
struct Drain<'c> {
    group: Group<'c>,
    name: &'c str,
    copier: Option<Copier>,
    progress: Progress,
}

impl<'c> Drain<'c> {
    fn new(group: Group<'c>, name: &'c str) -> Self {
        Self { group, name, copier: None, progress: Progress::default() }
    }

    /// Copies, or waits while somebody else does, until that holds of the outbox.
    async fn until(
        &mut self,
        owner: &mut Side,
        holds: impl Fn(&Depth) -> bool,
        told: &mut (dyn FnMut(&Progress) + Send),
    ) -> Result<(), SwitchError> {
        loop {
            let depth = outbox::depth(owner).await?;
            self.progress.waiting = depth.count_max;
            if holds(&depth) {
                return Ok(());
            }
            told(&self.progress);
            match self.copier().await? {
                Some(copier) => {
                    let Batch { copied, refused, .. } = copier.batch().await?;
                    self.progress.copied += copied;
                    self.progress.refused += refused;
                }
                None => tokio::time::sleep(LOOK_PAUSE).await,
            }
        }
    }

    /// The copier; `None`: somebody else copies.
    async fn copier(&mut self) -> Result<Option<&mut Copier>, SwitchError> {
        if self.copier.is_none() {
            match Copier::open(self.group, self.name, Takeover::WhenSilent).await {
                Ok(copier) => {
                    self.progress.copier = None;
                    self.copier = Some(copier);
                }
                Err(SwitchError::Held { copier, .. }) => self.progress.copier = Some(copier),
                Err(error) => return Err(error),
            }
        }
        Ok(self.copier.as_mut())
    }

    async fn end(self) -> Progress {
        if let Some(copier) = self.copier {
            copier.close().await;
        }
        self.progress
    }
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
    let refused = outbox::refused(&mut owner, REFUSED_SHOWN_MAX).await?;
    for Refused { table, key, .. } in &refused {
        outbox::put(&mut owner, table, &[(key.clone(), 0)]).await?;
    }
    let ids: Vec<i64> = refused.iter().map(|row| row.id).collect();
    outbox::take_out(&mut owner, "gateway_outbox_refused", &ids).await?;
    owner.commit().await?;
    owner.close().await;
    Ok(refused.len() as u64)
}

/// Where a group stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What the owner says; `None`: there was never a mirror.
    pub state: Option<State>,
    /// What the mirror says.
    pub mirror_state: Option<State>,
    /// The tables.
    pub tables: Vec<GroupTable>,
    /// How much waits.
    pub depth: Depth,
    /// For how long the first of it does, in milliseconds.
    pub age_ms: i64,
    /// The first rows that the mirror did not take.
    pub refused: Vec<Refused>,
    /// Who copies.
    pub holder: Option<Holder>,
    /// For how long it has not been heard of, in milliseconds.
    pub silent_ms: i64,
    /// Rows copied since the mirror was begun.
    pub copied: u64,
    /// Triggers that are missing.
    pub missing_trigger_count: usize,
}

/// Says where a group stands.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn status(group: Group<'_>) -> Result<Status, SwitchError> {
    let mut owner = Side::open(group.owner).await?;
    let mut other = Side::open(group.mirror).await?;
    let state = state::read(&mut owner, group.id).await?;
    let mirror_state = state::read(&mut other, group.id).await?;
    let tables = state::read_tables(&mut owner, group.id).await?;
    let missing_trigger_count = if tables.is_empty() {
        0
    } else {
        let pairs = group_pairs(&mut owner, &mut other, group).await?;
        capture::missing(&mut owner, &pairs).await?.len()
    };
    let depth = outbox::depth(&mut owner).await?;
    let age_ms = depth.since.map_or(0, |since| (now_ms() - since / 1000).max(0));
    let refused = outbox::refused(&mut owner, REFUSED_SHOWN_MAX).await?;
    let holder = holder(&mut owner, group.id, "").await?;
    let silent_ms = holder.as_ref().map_or(0, |holder| (now_ms() - holder.seen_at).max(0));
    let copied = copied(&mut owner, group.id).await?;
    owner.close().await;
    other.close().await;
    Ok(Status {
        state,
        mirror_state,
        tables,
        depth,
        age_ms,
        refused,
        holder,
        silent_ms,
        copied,
        missing_trigger_count,
    })
}

async fn copied(owner: &mut Side, group: &str) -> Result<u64, SwitchError> {
    let sql = "SELECT copied FROM gateway_copier WHERE group_name = ?";
    let rows = owner.texts(sql, vec![Scalar::Str(group.to_owned().into())]).await?;
    Ok(rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0))
}
