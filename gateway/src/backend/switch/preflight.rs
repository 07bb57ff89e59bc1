//! What has to be right before a flip, looked at without changing anything.

use std::time::{Duration, Instant};

use super::super::BackendError;
use super::capture;
use super::check::obstacles;
use super::copy::group_pairs;
use super::error::SwitchError;
use super::instance::{self, Instance, InstanceState};
use super::introspect::tables;
use super::lease::holder;
use super::outbox;
use super::pair::{Pair, Role};
use super::rights::{self, Need, Right};
use super::side::Side;
use super::state::{self, Group, Phase, State, now_ms, text};
use super::table::{is_own, same_name};
use super::verify::verified;
use crate::catalog::Scalar;
use crate::config::Dialect;

/// Longest time that a row may have waited, in milliseconds.
const LAG_MS_MAX: i64 = 5000;
/// Rows that may wait: they are copied within the pause, if they have not been by then.
const WAITING_COUNT_MAX: u64 = 5000;
/// How long a comparison of all rows counts.
const RECONCILED_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// How long a copier is waited for: as long as one that has gone keeps others out, and a little.
const COPIER_MAX: Duration = Duration::from_secs(12);
/// Between two looks for one.
const COPIER_PAUSE: Duration = Duration::from_millis(100);
/// Answers of both sides that have to have been compared.
const COMPARED_COUNT_MIN: u64 = 100;
/// Of rights where the tables do not go together.
const UNLOOKED: &str = "not looked at, because of `schemas`";
/// Refused rows that are counted.
const REFUSED_COUNT_MAX: usize = 1000;

const READ: &str =
    "SELECT mirror, ended_at, divergences FROM gateway_switch_reconcile WHERE group_name = ?";
const FORGET: &str = "DELETE FROM gateway_switch_reconcile WHERE group_name = ?";
const WRITE: &str = "INSERT INTO gateway_switch_reconcile \
    (group_name, mirror, began_at, ended_at, row_count, divergences) VALUES (?, ?, ?, ?, ?, ?)";

/// One thing that has to be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub name: &'static str,
    /// What is wrong with it, and what to do.
    pub fault: Option<Box<str>>,
}

impl Check {
    fn new(name: &'static str, fault: Option<String>) -> Self {
        Self { name, fault: fault.map(Into::into) }
    }
}

/// Looks at everything.
///
/// - `without`: tables of the owner that are left behind knowingly.
///
/// # Errors
///
/// [`SwitchError`]: a database does not answer.
pub(super) async fn preflight(
    owner: &mut Side,
    mirror: &mut Side,
    group: Group<'_>,
    state: &State,
    without: &[Box<str>],
) -> Result<Vec<Check>, SwitchError> {
    let id = group.id;
    let phase = (state.phase != Phase::Mirrored)
        .then(|| format!("it is `{}`, and has to be `mirrored`", state.phase.name()));
    let instances = instance::read_all(owner, id).await?;
    // Where gateways cannot register on the new owner, nobody would know of them after the flip.
    match instance::read_all(mirror, id).await {
        // That is told as `rights`.
        Ok(_) | Err(SwitchError::Statement { source: BackendError::NotWritable { .. }, .. }) => {}
        Err(error) => return Err(error),
    }
    let (schemas, rights) = match group_pairs(owner, mirror, group).await {
        Ok(pairs) => (
            schemas_fault((owner, mirror), group, &pairs).await?,
            rights_fault((owner, mirror), &pairs).await?,
        ),
        Err(SwitchError::Refused(text)) => (Some(text.into()), Some(UNLOOKED.into())),
        Err(error) => return Err(error),
    };
    Ok(vec![
        Check::new("phase", phase),
        Check::new("tables", tables_fault(owner, group).await?),
        Check::new("uncopied", uncopied_fault(owner, group, without).await?),
        Check::new("schemas", schemas),
        Check::new("rights", rights),
        Check::new("copier", copier_fault(owner, group).await?),
        Check::new("lag", lag_fault(owner).await?),
        Check::new("refused", refused_fault(owner, id).await?),
        Check::new("reconcile", reconcile_fault(owner, group).await?),
        Check::new("compares", compares_fault(group).await?),
        Check::new("gateways", instances_fault(&instances)),
        Check::new("letters", letters_fault(group, &instances)),
    ])
}

/// The same, once more where nobody copies that a running gateway can be expected to: after a backfill or a flip none does for
/// a moment.
///
/// - `told`: hears that it is waited for.
///
/// # Errors
///
/// As [`preflight`].
pub(super) async fn preflight_with_copier(
    (owner, mirror): (&mut Side, &mut Side),
    (group, without): (Group<'_>, &[Box<str>]),
    state: &State,
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<Vec<Check>, SwitchError> {
    let checks = preflight(owner, mirror, group, state, without).await?;
    let found: Vec<&str> =
        checks.iter().filter(|check| check.fault.is_some()).map(|check| check.name).collect();
    // Rows wait for as long as nobody copies them.
    let may_pass =
        found.contains(&"copier") && found.iter().all(|it| ["copier", "lag"].contains(it));
    let is_expected = |it: &Instance| !it.lacks_mirror();
    if !may_pass || !instance::read_alive(owner, group.id).await?.iter().any(is_expected) {
        return Ok(checks);
    }
    told("nobody copies yet: a gateway is waited for");
    let until = Instant::now() + COPIER_MAX;
    // One that has come takes a moment for what has waited longer than it should.
    while (copier_fault(owner, group).await?.is_some() || lag_fault(owner).await?.is_some())
        && Instant::now() < until
    {
        tokio::time::sleep(COPIER_PAUSE).await;
    }
    preflight(owner, mirror, group, state, without).await
}

async fn tables_fault(owner: &mut Side, group: Group<'_>) -> Result<Option<String>, SwitchError> {
    let tables = state::read_tables(owner, group.id).await?;
    if tables.is_empty() {
        return Ok(Some("the group has none".into()));
    }
    let left: Vec<&str> =
        tables.iter().filter(|table| !table.is_done).map(|table| &*table.name).collect();
    let told = || format!("not all rows of {} were copied: `backfill`", left.join(", "));
    Ok((!left.is_empty()).then(told))
}

/// Whether the owner has tables that would not be on the next one: those that were left out, and those that are newer
/// than the mirror.
async fn uncopied_fault(
    owner: &mut Side,
    group: Group<'_>,
    without: &[Box<str>],
) -> Result<Option<String>, SwitchError> {
    let copied = state::table_names(owner, group.id).await?;
    let has = |names: &[Box<str>], name: &str| names.iter().any(|it| same_name(it, name));
    let all = tables(owner).await?.into_iter().map(|table| table.name);
    let uncopied: Vec<Box<str>> = all
        .filter(|name| !is_own(name) && !has(&copied, name))
        .map(|name| name.to_ascii_lowercase().into())
        .collect();
    let unknown: Vec<&str> =
        without.iter().filter(|name| !has(&uncopied, name)).map(|name| &**name).collect();
    if !unknown.is_empty() {
        let (names, owner) = (unknown.join(", "), &group.owner.name);
        let left = if uncopied.is_empty() { "none".into() } else { uncopied.join(", ") };
        return Ok(Some(format!(
            "--without {names}: no such table of `{owner}` is left behind, but {left}"
        )));
    }
    let left: Vec<&str> =
        uncopied.iter().filter(|name| !has(without, name)).map(|name| &**name).collect();
    let told = || {
        let (id, mirror) = (group.id, &group.mirror.name);
        format!(
            "nobody copies {}: `gateway switch {id} retire {mirror} --yes`, then `mirror` and `backfill` again, because a \
             mirror gets no more tables; or `flip --without {}` leaves them behind",
            left.join(", "),
            uncopied.join(","),
        )
    };
    Ok((!left.is_empty()).then(told))
}

/// Whether what changes is written down, and could be on the other side.
async fn schemas_fault(
    (owner, mirror): (&mut Side, &mut Side),
    group: Group<'_>,
    pairs: &[Pair],
) -> Result<Option<String>, SwitchError> {
    let missing = capture::missing(owner, pairs).await?.len();
    if missing > 0 {
        let mirror = &group.mirror.name;
        return Ok(Some(format!(
            "{missing} triggers are missing, changes were lost: `mirror {mirror}`, then `gateway reconcile`"
        )));
    }
    let checked = async {
        let back = back_pairs(owner, mirror, group).await?;
        obstacles(mirror, owner, &back, true).await
    };
    match checked.await {
        Ok(()) => Ok(None),
        Err(SwitchError::Refused(text)) => Ok(Some(text.into())),
        Err(error) => Err(error),
    }
}

/// Whether both accounts may do what they have to after a flip: that on the mirror what that of an owner does, which is what the
/// latter is allowed as far as that can be asked, and what copying from there and triggers take; that on the owner what copying
/// back takes.
async fn rights_fault(
    (owner, mirror): (&mut Side, &mut Side),
    pairs: &[Pair],
) -> Result<Option<String>, SwitchError> {
    let copying = [Right::Select, Right::Insert, Right::Delete];
    let mut needs = Need::of_pairs(pairs, Role::Mirror, &copying);
    Need::add(&mut needs, Right::Trigger, |_| true);
    let mut of_owner = Need::of_pairs(pairs, Role::Owner, &copying);
    Need::add(&mut of_owner, Right::Update, |_| true);
    let mut denied = rights::lacking(owner, &of_owner).await?;
    // Those of a SQLite and of an Oracle's own tables are everything, and say nothing of what the game needs.
    if owner.dialect() == Dialect::Mysql {
        Need::add(&mut needs, Right::Update, |table| !denied.has(Right::Update, table));
    }
    denied.forgive(Right::Update);
    needs.extend(Need::of_own());
    let lacking = rights::lacking(mirror, &needs).await?;
    let sides = [(&*mirror, &lacking), (&*owner, &denied)];
    let faults = sides.into_iter().filter(|(_, lacking)| !lacking.is_empty());
    let told: Vec<String> = faults.map(|(side, lacking)| rights::told(side, lacking)).collect();
    Ok((!told.is_empty()).then(|| told.join("; ")))
}

/// The tables of a group as the mirror's triggers will see them, when it is the owner.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn back_pairs(
    owner: &mut Side,
    mirror: &mut Side,
    group: Group<'_>,
) -> Result<Vec<Pair>, SwitchError> {
    let wanted = state::table_names(owner, group.id).await?;
    super::copy::pairs_of(mirror, owner, group.reversed(), &wanted).await
}

async fn copier_fault(owner: &mut Side, group: Group<'_>) -> Result<Option<String>, SwitchError> {
    let is_alive = holder(owner, group.id, "").await?.is_some_and(|holder| holder.is_alive());
    Ok((!is_alive).then(|| "nobody copies: a gateway of the game has to run".into()))
}

async fn lag_fault(owner: &mut Side) -> Result<Option<String>, SwitchError> {
    let depth = outbox::depth(owner).await?;
    let age_ms = depth.since.map_or(0, |since| (now_ms() - since / 1000).max(0));
    let count = depth.count_max;
    let is_large = age_ms > LAG_MS_MAX || count > WAITING_COUNT_MAX;
    Ok(is_large.then(|| {
        format!("{count} rows wait, the first one for {age_ms} ms: {WAITING_COUNT_MAX} rows and {LAG_MS_MAX} ms at most")
    }))
}

async fn refused_fault(owner: &mut Side, id: &str) -> Result<Option<String>, SwitchError> {
    let count = outbox::refused(owner, REFUSED_COUNT_MAX).await?.len();
    Ok((count > 0).then(|| {
        format!("the mirror does not take {count} rows: `status` shows them, `gateway switch {id} copy --retry-refused`")
    }))
}

async fn reconcile_fault(
    owner: &mut Side,
    group: Group<'_>,
) -> Result<Option<String>, SwitchError> {
    let rows = owner.texts(READ, vec![text(group.id)]).await?;
    let mut texts = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
    let (mirror, ended_at, count) = (texts.next(), texts.next(), texts.next());
    let number = |text: Option<String>| text.and_then(|text| text.parse::<i64>().ok());
    let command = format!("`gateway reconcile {}`", group.id);
    let (Some(ended_at), Some(count)) = (number(ended_at), number(count)) else {
        return Ok(Some(format!(
            "not all rows were compared since `{}` is the owner: {command}",
            group.owner.name
        )));
    };
    let hours = now_ms().saturating_sub(ended_at) / 3_600_000;
    Ok(if mirror.as_deref() != Some(&*group.mirror.name) {
        Some(format!("the rows were compared with another mirror's: {command}"))
    } else if count > 0 {
        Some(format!(
            "the last comparison found {count} divergences: {command} --repair owner-to-mirror, then again"
        ))
    } else if now_ms().saturating_sub(ended_at) > RECONCILED_MS_MAX {
        Some(format!("all rows were compared {hours} hours ago, 24 at most: {command}"))
    } else {
        None
    })
}

async fn compares_fault(group: Group<'_>) -> Result<Option<String>, SwitchError> {
    let found = verified(group, 1).await?;
    let (compared, mismatched) = (found.compared(), found.mismatched());
    let command = format!("`gateway switch {} verify", group.id);
    Ok(if mismatched > 0 {
        Some(format!("{mismatched} of {compared} answers differed: {command}` shows them"))
    } else if compared < COMPARED_COUNT_MIN {
        Some(format!(
            "{compared} answers of the owner were compared with the mirror's, {COMPARED_COUNT_MIN} at least: \
             {command} --sample 5%`"
        ))
    } else {
        None
    })
}

fn instances_fault(instances: &[Instance]) -> Option<String> {
    let alive = instances.iter().filter(|it| it.is_alive());
    let unfit = alive.filter(|it| it.state == InstanceState::Unfit);
    let told: Vec<String> = unfit
        .map(|it| {
            format!("{} cannot go along: {}", it.name, it.fault.as_deref().unwrap_or("unfit"))
        })
        .collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Dead letters in the gateways' journals; of a gateway that has gone as many as it told of last.
fn letters_fault(group: Group<'_>, instances: &[Instance]) -> Option<String> {
    let told = |it: &Instance| {
        let name = &it.name;
        let Some(count) = it.dead_letters else {
            return format!(
                "{name} is a gateway of an older version: it does not count its dead letters"
            );
        };
        if it.is_alive() {
            return format!("{name} has {count} dead letters");
        }
        let (seconds, id) = (it.silent_ms.max(0) / 1000, group.id);
        format!(
            "{name}, which was last heard of {seconds} s ago, had {count} dead letters: start it again, or, where its \
             journal is gone for ever, `DELETE FROM gateway_switch_instance WHERE group_name = '{id}' AND \
             instance = '{name}'` on both databases"
        )
    };
    let is_held = |it: &&Instance| match it.dead_letters {
        Some(count) => count > 0,
        None => it.is_alive(),
    };
    let told: Vec<String> = instances.iter().filter(is_held).map(told).collect();
    let has_letters = instances.iter().any(|it| it.dead_letters.is_some_and(|count| count > 0));
    let next = if has_letters { ". `gateway journal list`, then retry or drop them" } else { "" };
    (!told.is_empty()).then(|| format!("{}{next}", told.join("; ")))
}

/// Writes down what a comparison of all rows of a group found, in the owner's database.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn enter_reconcile(
    owner: &mut Side,
    group: Group<'_>,
    began_at_ms: i64,
    (row_count, divergence_count): (u64, u64),
) -> Result<(), SwitchError> {
    let count = |count: u64| Scalar::Int(i64::try_from(count).unwrap_or(i64::MAX));
    owner.begin().await?;
    owner.execute(FORGET, vec![text(group.id)]).await?;
    let binds = vec![
        text(group.id),
        text(&group.mirror.name),
        Scalar::Int(began_at_ms),
        Scalar::Int(now_ms()),
        count(row_count),
        count(divergence_count),
    ];
    owner.execute(WRITE, binds).await?;
    owner.commit().await
}
