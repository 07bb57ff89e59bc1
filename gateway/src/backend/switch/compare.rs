//! Reconciling: both sides are walked chunk by chunk, and what differs is told, and made alike where that is asked for.
//!
//! A chunk is read from one side in the order of its keys there; the other side is asked for those keys. So no two
//! databases have to agree on an order. First the owner's rows are looked up on the mirror (missing, different), then
//! the mirror's keys on the owner (extra). Chunks whose checksums agree are done.
//!
//! Rows that change while they are read differ for a moment: what differs is read again, and counts only when both
//! sides show the same difference twice and nothing of it is on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::canonical::{RowDigest, digest, fold};
use super::divergence::TableReport;
use super::error::SwitchError;
use super::introspect::tables;
use super::key::{Key, parse_key, parse_value};
use super::outbox;
use super::pair::{OneSided, Pair, Role, Schema, Tables, matched, pairs};
use super::preflight::enter_reconcile;
use super::rows::{Columns, Range, Row, bare_key, key_of, read_after, read_keys, text_of};
use super::side::Side;
use super::state::{self, Group, table_names};
use super::transfer::transfer;
use crate::config::ConnectionConfig;

/// Between two looks at rows that differ.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// Looks at rows that differ, the first one included.
const LOOK_COUNT_MAX: u32 = 10;

/// What to compare.
#[derive(Clone, Debug)]
pub struct Reconcile<'c> {
    /// The side that is right.
    pub owner: &'c ConnectionConfig,
    /// The side that should be like it.
    pub mirror: &'c ConnectionConfig,
    /// The game: whether its mirror is kept up to date stands under its name.
    pub group: Box<str>,
    /// Tables; empty: those of the game's group where its mirror is kept up to date, else all that are not the
    /// gateway's own.
    pub tables: Vec<Box<str>>,
    /// Only keys whose first column is this or more.
    pub from: Option<Box<str>>,
    /// Only keys whose first column is this or less.
    pub to: Option<Box<str>>,
    /// Rows of a chunk.
    pub chunk: usize,
    /// Most rows that are made alike; `None`: nothing is changed.
    pub repair_max: Option<u64>,
    /// Whether values are told, too.
    pub with_values: bool,
}

/// Tables that were not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uncompared {
    /// Those that only one side has: divergences, too.
    pub one_sided: Vec<OneSided>,
    /// Those that are not copied to the mirror, because `switch mirror` was not to, or because they are newer.
    pub left_out: Vec<Box<str>>,
}

/// Compares both sides.
///
/// - `told`: hears of each table when it is done.
///
/// Returns what there is beside the tables that were compared, where none were named.
///
/// # Errors
///
/// [`SwitchError`]; what was repaired before stays so.
pub async fn reconcile(
    plan: &Reconcile<'_>,
    mut told: impl FnMut(TableReport),
) -> Result<Uncompared, SwitchError> {
    if plan.owner.name == plan.mirror.name {
        return Err(SwitchError::refused("both sides are one connection"));
    }
    let mut owner = Side::open(plan.owner).await?;
    let mut mirror = Side::open(plan.mirror).await?;
    let is_mirrored = is_mirrored(&mut owner, plan).await?;
    let tables = chosen(&mut owner, &mut mirror, plan, is_mirrored).await?;
    let Tables { both: pairs, one_sided, left_out } = tables;
    let ranges = pairs.iter().map(|pair| range(plan, pair)).collect::<Result<Vec<_>, _>>()?;
    let began_at_ms = state::now_ms();
    let mut sums: BTreeMap<Box<str>, (u64, u64)> =
        one_sided.iter().map(|one| (one.table.clone(), (0, 1))).collect();
    let mut repair_left = plan.repair_max.unwrap_or(0);
    for (pair, range) in pairs.iter().zip(&ranges) {
        let report = TableReport {
            table: pair.name.clone(),
            remarks: pair.remarks.clone(),
            ..TableReport::default()
        };
        let mut work = Work {
            plan,
            pair,
            range,
            owner: &mut owner,
            mirror: &mut mirror,
            is_mirrored,
            repair_left,
            report,
        };
        work.walk(Role::Owner).await?;
        work.walk(Role::Mirror).await?;
        repair_left = work.repair_left;
        let sum = (work.report.row_count, work.report.divergence_count());
        sums.insert(pair.name.clone(), sum);
        told(work.report);
    }
    if is_mirrored && plan.from.is_none() && plan.to.is_none() {
        enter(&mut owner, plan, began_at_ms, &sums).await?;
    }
    owner.close().await;
    mirror.close().await;
    Ok(Uncompared { one_sided, left_out })
}

/// The tables to compare: those that are named; else those that are copied, which both may not have any more; else
/// all.
async fn chosen(
    owner: &mut Side,
    mirror: &mut Side,
    plan: &Reconcile<'_>,
    is_mirrored: bool,
) -> Result<Tables, SwitchError> {
    let (own, other) = (tables(owner).await?, tables(mirror).await?);
    let owners = Schema { connection: &plan.owner.name, dialect: owner.dialect(), tables: &own };
    let connection = &plan.mirror.name;
    let mirrors = Schema { connection, dialect: mirror.dialect(), tables: &other };
    if !plan.tables.is_empty() {
        let both = pairs(owners, mirrors, &plan.tables)?;
        return Ok(Tables { both, ..Tables::default() });
    }
    let group = if is_mirrored { table_names(owner, &plan.group).await? } else { Vec::new() };
    matched(owners, mirrors, &group)
}

/// Whether what changes on the owner is copied to this mirror: then a row may be on its way.
async fn is_mirrored(owner: &mut Side, plan: &Reconcile<'_>) -> Result<bool, SwitchError> {
    let state = match state::read(owner, &plan.group).await {
        // Two databases that the gateway knows nothing of can be compared, too.
        Err(SwitchError::Refused(_)) => return Ok(false),
        read => read?,
    };
    Ok(state.is_some_and(|state| state.copies(&plan.owner.name, &plan.mirror.name)))
}

/// Writes down what was found, for the flip, where it was all tables of the group.
async fn enter(
    owner: &mut Side,
    plan: &Reconcile<'_>,
    began_at_ms: i64,
    sums: &BTreeMap<Box<str>, (u64, u64)>,
) -> Result<(), SwitchError> {
    let group = Group { id: &plan.group, owner: plan.owner, mirror: plan.mirror };
    let tables = state::read_tables(owner, group.id).await?;
    let of_group = tables.iter().map(|table| sums.get(&table.name).copied());
    let all = of_group.collect::<Option<Vec<(u64, u64)>>>();
    let Some(all) = all.filter(|all| !all.is_empty()) else { return Ok(()) };
    let sum = all.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    enter_reconcile(owner, group, began_at_ms, sum).await
}

fn range(plan: &Reconcile<'_>, pair: &Pair) -> Result<Range, SwitchError> {
    let first = pair.key_columns().next();
    let bound = |text: &Option<Box<str>>| match (text, first) {
        (Some(text), Some(column)) => parse_value(column, text)
            .map(Some)
            .map_err(|fault| SwitchError::refused(format!("table `{}`: {fault}", pair.name))),
        _ => Ok(None),
    };
    Ok(Range { from: bound(&plan.from)?, to: bound(&plan.to)? })
}

/// The comparison of one table.
struct Work<'w> {
    plan: &'w Reconcile<'w>,
    pair: &'w Pair,
    range: &'w Range,
    owner: &'w mut Side,
    mirror: &'w mut Side,
    is_mirrored: bool,
    repair_left: u64,
    report: TableReport,
}

/// A key that differed, and what both sides had.
struct Suspect {
    key: Key,
    seen: [Option<RowDigest>; 2],
}

impl Work<'_> {
    /// Walks one side to its end.
    async fn walk(&mut self, role: Role) -> Result<(), SwitchError> {
        let pair = self.pair;
        // An extra row is known by its key alone.
        let columns = if role == Role::Owner { Columns::All } else { Columns::Key };
        let mut after: Option<Key> = None;
        loop {
            let chunk = self.plan.chunk;
            let (range, side) = (self.range, self.side(role));
            let rows = read_after(side, (pair, role, columns), range, after.as_ref(), chunk);
            let rows = rows.await?;
            let count = rows.len();
            let keyed = rows
                .into_iter()
                .map(|row| match columns {
                    Columns::All => Ok((key_of(side, pair, &row)?, Some(row))),
                    Columns::Key => Ok((bare_key(side, pair, row)?, None)),
                })
                .collect::<Result<Vec<_>, SwitchError>>()?;
            let Some((last, _)) = keyed.last() else { return Ok(()) };
            after = Some(last.clone());
            self.report.chunk_count += 1;
            let suspects = match role {
                Role::Owner => self.compare_rows(keyed).await?,
                Role::Mirror => self.find_extra(keyed).await?,
            };
            if !suspects.is_empty() {
                self.report.differing_chunk_count += 1;
                self.settle(suspects).await?;
            }
            if count < chunk {
                return Ok(());
            }
        }
    }

    fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Owner => self.owner,
            Role::Mirror => self.mirror,
        }
    }

    /// Looks the owner's rows up on the mirror.
    async fn compare_rows(
        &mut self,
        rows: Vec<(Key, Option<Row>)>,
    ) -> Result<Vec<Suspect>, SwitchError> {
        let pair = self.pair;
        self.report.row_count += rows.len() as u64;
        let keys: Vec<Key> = rows.iter().map(|(key, _)| key.clone()).collect();
        let theirs = self.digests(Role::Mirror, &keys).await?;
        let own: Vec<RowDigest> = rows
            .iter()
            .map(|(_, row)| digest(pair.columns.iter(), row.as_ref().unwrap_or(&Vec::new())))
            .collect();
        let found: Vec<Option<RowDigest>> =
            keys.iter().map(|key| theirs.get(&text_of(key)).copied()).collect();
        if found.iter().all(Option::is_some)
            && fold(own.iter().copied()) == fold(found.iter().copied().flatten())
        {
            return Ok(Vec::new());
        }
        let all = keys.into_iter().zip(own).zip(found);
        let differ = all.filter(|((_, own), found)| *found != Some(*own));
        Ok(differ.map(|((key, own), found)| Suspect { key, seen: [Some(own), found] }).collect())
    }

    /// Looks the mirror's keys up on the owner.
    async fn find_extra(
        &mut self,
        rows: Vec<(Key, Option<Row>)>,
    ) -> Result<Vec<Suspect>, SwitchError> {
        let keys: Vec<Key> = rows.into_iter().map(|(key, _)| key).collect();
        let columns = (self.pair, Role::Owner, Columns::Key);
        let mut present = BTreeSet::new();
        for row in read_keys(self.owner, columns, &keys).await? {
            present.insert(text_of(&bare_key(self.owner, self.pair, row)?));
        }
        let absent: Vec<Key> =
            keys.into_iter().filter(|key| !present.contains(&text_of(key))).collect();
        if absent.is_empty() {
            return Ok(Vec::new());
        }
        let theirs = self.digests(Role::Mirror, &absent).await?;
        let suspect = |key: Key| {
            let seen = [None, theirs.get(&text_of(&key)).copied()];
            Suspect { key, seen }
        };
        Ok(absent.into_iter().map(suspect).collect())
    }

    /// Looks again at what differed until it differs no more, or in the same way twice.
    async fn settle(&mut self, mut suspects: Vec<Suspect>) -> Result<(), SwitchError> {
        for _ in 1..LOOK_COUNT_MAX {
            tokio::time::sleep(LOOK_PAUSE).await;
            let keys: Vec<Key> = suspects.iter().map(|suspect| suspect.key.clone()).collect();
            // What is on its way may arrive, and leave the outbox, while the rows are read.
            let mut waiting = self.waiting().await?;
            // The mirror first: what it has not got yet, the owner had when it was read.
            let theirs = self.rows(Role::Mirror, &keys).await?;
            let own = self.rows(Role::Owner, &keys).await?;
            waiting.extend(self.waiting().await?);
            let mut settled = Vec::new();
            let mut open = Vec::new();
            for suspect in suspects {
                let text = text_of(&suspect.key);
                let of = |rows: &BTreeMap<Box<str>, Row>| {
                    rows.get(&text).map(|row| digest(self.pair.columns.iter(), row))
                };
                let seen = [of(&own), of(&theirs)];
                match seen {
                    [one, other] if one == other => {}
                    seen if seen == suspect.seen && !waiting.contains(&text) => {
                        settled.push(suspect.key);
                    }
                    seen => open.push(Suspect { key: suspect.key, seen }),
                }
            }
            for key in &settled {
                let text = text_of(key);
                let sides = (own.get(&text), theirs.get(&text));
                self.report.add(self.pair, &text, sides, self.plan.with_values);
            }
            self.repair(&settled).await?;
            suspects = open;
            if suspects.is_empty() {
                return Ok(());
            }
        }
        // On their way all the time, or changed at every look.
        self.report.pending_count += suspects.len() as u64;
        Ok(())
    }

    /// Keys of the table that are on their way to the mirror.
    async fn waiting(&mut self) -> Result<BTreeSet<Box<str>>, SwitchError> {
        if !self.is_mirrored {
            return Ok(BTreeSet::new());
        }
        let texts = outbox::waiting(self.owner, &self.pair.name).await?;
        let keys = texts.iter().filter_map(|text| parse_key(self.pair, text).ok());
        Ok(keys.map(|key| text_of(&key)).collect())
    }

    async fn repair(&mut self, keys: &[Key]) -> Result<(), SwitchError> {
        let count = self.repair_left.min(keys.len() as u64);
        self.repair_left -= count;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let Some(keys) = keys.get(..count).filter(|keys| !keys.is_empty()) else { return Ok(()) };
        if self.is_mirrored {
            // The copier's way: beside it, an older row could be written after a newer one.
            let keys: Vec<(Box<str>, i64)> = keys.iter().map(|key| (text_of(key), 0)).collect();
            self.owner.begin().await?;
            outbox::put(self.owner, &self.pair.name, &keys).await?;
            self.owner.commit().await?;
            self.report.repaired_count += keys.len() as u64;
            return Ok(());
        }
        self.mirror.begin().await?;
        let done = match transfer(self.owner, self.mirror, self.pair, keys).await {
            Ok(done) => done,
            Err(error) => {
                self.mirror.rollback().await;
                return Err(error);
            }
        };
        self.mirror.commit().await?;
        self.report.repaired_count += done.written + done.removed;
        self.report.add_refused(done.refused);
        Ok(())
    }

    async fn digests(
        &mut self,
        role: Role,
        keys: &[Key],
    ) -> Result<BTreeMap<Box<str>, RowDigest>, SwitchError> {
        let pair = self.pair;
        let rows = self.rows(role, keys).await?;
        let all = rows.into_iter();
        Ok(all.map(|(key, row)| (key, digest(pair.columns.iter(), &row))).collect())
    }

    /// Rows by their keys' texts.
    async fn rows(
        &mut self,
        role: Role,
        keys: &[Key],
    ) -> Result<BTreeMap<Box<str>, Row>, SwitchError> {
        let pair = self.pair;
        let side = self.side(role);
        let mut rows = BTreeMap::new();
        for row in read_keys(side, (pair, role, Columns::All), keys).await? {
            rows.insert(text_of(&key_of(side, pair, &row)?), row);
        }
        Ok(rows)
    }
}
