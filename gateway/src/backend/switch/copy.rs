//! The copier: what the outbox names is read from the owner as it is now, and written to the mirror.
//!
//! One batch: the owner's lease row is locked; rows of the outbox are read in their order; the rows that they name are
//! read; in one transaction of the mirror the fence is raised and the rows are replaced; that is committed; the outbox
//! rows are removed; that is committed. Ended anywhere, it is done again from the start, and does no harm.
//!
//! Invariant: a row is read after the outbox row that names it, so the mirror never stays behind what was taken out. A
//! copier that was replaced writes nothing after its successor: the successor's token is durable before it reads
//! anything, and a mirror that has seen it takes no older one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::capture;
use super::divergence::RefusedRow;
use super::error::SwitchError;
use super::flip::settle;
use super::introspect::tables;
use super::key::{Key, parse_key};
use super::lease::{Takeover, held, lock, raise_fence, take};
use super::outbox::{self, Entry, Refused};
use super::pair::{Pair, Schema, pairs};
use super::rows::text_of;
use super::side::Side;
use super::state::{self, Group, now_ms, text};
use super::transfer::transfer;
use crate::catalog::Scalar;
use crate::config::{ConnectionConfig, Dialect};

/// Rows of the outbox that one batch takes.
const BATCH_COUNT_MAX: usize = 500;
/// Between two looks at the schemas and the triggers.
const LOOK_PAUSE: Duration = Duration::from_secs(10);
/// How often a batch is tried that did not get its locks.
const LOCKED_COUNT_MAX: u32 = 5;
/// Before its second attempt; longer before each later one.
const LOCKED_PAUSE: Duration = Duration::from_millis(50);
/// How often a row that stands in another one's way is tried before it counts as refused.
const ATTEMPT_COUNT_MAX: i64 = 10;
/// Rows that the mirror may refuse before copying stops.
const REFUSED_COUNT_MAX: usize = 1000;

const SEEN: &str = "UPDATE gateway_copier SET seen_at = ?, copied = copied + ? \
    WHERE group_name = ? AND token = ?";
const GIVE_BACK: &str =
    "UPDATE gateway_copier SET copier = NULL WHERE group_name = ? AND token = ?";

/// What one batch did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Rows of the outbox.
    pub taken: u64,
    /// Rows written to the mirror, or removed from it.
    pub copied: u64,
    /// Rows that the mirror does not take.
    pub refused: u64,
}

/// A copier with its lease.
#[derive(Debug)]
pub(super) struct Copier {
    owner: Side,
    mirror: Side,
    group: Box<str>,
    owner_config: ConnectionConfig,
    mirror_config: ConnectionConfig,
    /// When the schemas and triggers were looked at.
    looked_at: Instant,
    pairs: BTreeMap<Box<str>, Pair>,
    token: i64,
    has_put_back: bool,
}

impl Copier {
    /// Connects to both sides and takes the lease.
    ///
    /// - `name`: who copies, for `status`.
    ///
    /// # Errors
    ///
    /// [`SwitchError::Held`] when somebody else copies; [`SwitchError::Refused`] when the state or the schemas do not
    /// allow it.
    pub(super) async fn open(
        group: Group<'_>,
        name: &str,
        takeover: Takeover,
    ) -> Result<Self, SwitchError> {
        let mut owner = Side::open(group.owner).await?;
        state::copied(&mut owner, group).await?;
        let mut mirror = Side::open(group.mirror).await?;
        let pairs = group_pairs(&mut owner, &mut mirror, group).await?;
        all_triggers(&mut owner, &pairs, group).await?;
        settle(&mut owner, &mut mirror, group).await?;
        prepare(&mut mirror).await?;
        let token = take(&mut owner, group.id, name, takeover).await?;
        Ok(Self {
            owner,
            mirror,
            group: group.id.into(),
            owner_config: group.owner.clone(),
            mirror_config: group.mirror.clone(),
            looked_at: Instant::now(),
            pairs: by_name(pairs),
            token,
            has_put_back: false,
        })
    }

    /// Copies what the outbox names next. Nothing waits: says that it is alive.
    ///
    /// # Errors
    ///
    /// [`SwitchError`]; nothing of the batch stands then, unless the mirror has committed it: it is done again.
    pub(super) async fn batch(&mut self) -> Result<Batch, SwitchError> {
        self.look().await?;
        let mut attempt = 0;
        loop {
            let done = self.transact().await;
            let Err(error) = done else { return done };
            self.mirror.rollback().await;
            self.owner.rollback().await;
            attempt += 1;
            if !error.is_locked() || attempt == LOCKED_COUNT_MAX {
                return Err(error);
            }
            tokio::time::sleep(LOCKED_PAUSE * attempt).await;
        }
    }

    /// Whether the schemas and the triggers are still what they were, every few seconds: a column that was added
    /// meanwhile would not be copied.
    async fn look(&mut self) -> Result<(), SwitchError> {
        if self.looked_at.elapsed() < LOOK_PAUSE {
            return Ok(());
        }
        let Self { group, owner_config, mirror_config, .. } = &*self;
        let (id, owner, mirror) = (group.clone(), owner_config.clone(), mirror_config.clone());
        let group = Group { id: &id, owner: &owner, mirror: &mirror };
        let pairs = group_pairs(&mut self.owner, &mut self.mirror, group).await?;
        all_triggers(&mut self.owner, &pairs, group).await?;
        settle(&mut self.owner, &mut self.mirror, group).await?;
        if by_name(pairs) != self.pairs {
            let told = "the schema was changed: the tables are read anew, reconcile them when that is done";
            return Err(SwitchError::refused(told));
        }
        self.looked_at = Instant::now();
        Ok(())
    }

    /// Has it look at the schemas at its next batch.
    #[cfg(test)]
    #[cfg(all(feature = "mysql", feature = "oracle", feature = "sqlite"))]
    pub(super) fn look_next(&mut self) {
        self.looked_at -= LOOK_PAUSE;
    }

    async fn transact(&mut self) -> Result<Batch, SwitchError> {
        self.owner.begin().await?;
        self.hold().await?;
        let entries = outbox::next(&mut self.owner, BATCH_COUNT_MAX).await?;
        self.has_put_back = false;
        let mut batch = Batch { taken: entries.len() as u64, ..Batch::default() };
        if !entries.is_empty() {
            let refused = outbox::refused(&mut self.owner, REFUSED_COUNT_MAX).await?;
            if refused.len() == REFUSED_COUNT_MAX {
                return Err(SwitchError::refused(format!(
                    "the mirror refuses {REFUSED_COUNT_MAX} rows, so copying has stopped: `gateway switch {} status` \
                     shows them",
                    self.group
                )));
            }
            let mut work = Work::sort(&self.pairs, &entries);
            self.mirror.begin().await?;
            raise_fence(&mut self.mirror, &self.group, self.token).await?;
            for (table, keys) in &work.wanted {
                let Some(pair) = self.pairs.get(table) else { continue };
                let keys: Vec<Key> = keys.values().map(|wanted| wanted.key.clone()).collect();
                let done = transfer(&mut self.owner, &mut self.mirror, pair, &keys).await?;
                batch.copied += done.written + done.removed;
                work.refused.push((table.clone(), done.refused));
            }
            self.mirror.commit().await?;
            batch.refused = self.settle(work, &refused).await?;
            let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
            outbox::take_out(&mut self.owner, "gateway_outbox", &ids).await?;
        }
        let copied = i64::try_from(batch.copied).unwrap_or(i64::MAX);
        let (group, token) = (text(&self.group), Scalar::Int(self.token));
        let binds = vec![Scalar::Int(now_ms()), Scalar::Int(copied), group, token];
        self.owner.execute(SEEN, binds).await?;
        self.owner.commit().await?;
        Ok(batch)
    }

    /// Whether the last batch put rows back to try them once more.
    pub(super) const fn has_put_back(&self) -> bool {
        self.has_put_back
    }

    /// How much waits.
    ///
    /// # Errors
    ///
    /// [`SwitchError`].
    pub(super) async fn depth(&mut self) -> Result<outbox::Depth, SwitchError> {
        outbox::depth(&mut self.owner).await
    }

    /// Rows that the mirror does not take, up to the bound at which copying stops.
    ///
    /// # Errors
    ///
    /// [`SwitchError`].
    pub(super) async fn refused_count(&mut self) -> Result<u64, SwitchError> {
        Ok(outbox::refused(&mut self.owner, REFUSED_COUNT_MAX).await?.len() as u64)
    }

    /// Gives the lease back and closes.
    pub(super) async fn close(mut self) {
        let binds = vec![text(&self.group), Scalar::Int(self.token)];
        // A lease that is not given back is over in 10 s.
        drop(self.owner.execute(GIVE_BACK, binds).await);
        self.owner.close().await;
        self.mirror.close().await;
    }

    /// Locks the lease for the transaction.
    async fn hold(&mut self) -> Result<(), SwitchError> {
        let holder = lock(&mut self.owner, &self.group).await?;
        if holder.token != self.token {
            return Err(held(&self.group, &holder));
        }
        let state = state::read(&mut self.owner, &self.group).await?;
        let (owner, mirror) = (&self.owner_config.name, &self.mirror_config.name);
        if state.is_some_and(|state| state.copies(owner, mirror)) {
            return Ok(());
        }
        Err(SwitchError::refused("the mirror is being given up, or the game was switched to it"))
    }

    /// Puts aside what the mirror did not take: for a later try where another row stood in its way. Returns how much
    /// it refused for good.
    async fn settle(&mut self, work: Work, before: &[Refused]) -> Result<u64, SwitchError> {
        let mut count = 0;
        // What was refused before and is named again was copied now, or is refused again.
        let again = before.iter().filter(|row| {
            let keys = work.wanted.get(&row.table);
            keys.is_some_and(|keys| keys.contains_key(&row.key))
        });
        let again: Vec<i64> = again.map(|row| row.id).collect();
        outbox::take_out(&mut self.owner, "gateway_outbox_refused", &again).await?;
        for row in &work.strange {
            outbox::refuse(&mut self.owner, row).await?;
            count += 1;
        }
        for (table, refused) in &work.refused {
            let mut later = Vec::new();
            for RefusedRow { key, is_duplicate, fault } in refused {
                let wanted = work.wanted.get(table).and_then(|keys| keys.get(key));
                let (id, attempt) = wanted.map_or((0, 0), |wanted| (wanted.id, wanted.attempt + 1));
                if *is_duplicate && attempt < ATTEMPT_COUNT_MAX {
                    later.push((key.clone(), attempt));
                } else {
                    let (table, key, fault) = (table.clone(), key.clone(), fault.clone());
                    outbox::refuse(&mut self.owner, &Refused { id, table, key, fault }).await?;
                    count += 1;
                }
            }
            self.has_put_back |= !later.is_empty();
            outbox::put(&mut self.owner, table, &later).await?;
        }
        Ok(count)
    }
}

/// What a batch is to do, by table and key.
struct Work {
    wanted: BTreeMap<Box<str>, BTreeMap<Box<str>, Wanted>>,
    refused: Vec<(Box<str>, Vec<RefusedRow>)>,
    /// Rows of the outbox that name nothing that there is.
    strange: Vec<Refused>,
}

/// A row to copy, and the last row of the outbox that names it.
struct Wanted {
    key: Key,
    id: i64,
    attempt: i64,
}

impl Work {
    fn sort(pairs: &BTreeMap<Box<str>, Pair>, entries: &[Entry]) -> Self {
        let mut work = Self { wanted: BTreeMap::new(), refused: Vec::new(), strange: Vec::new() };
        for entry in entries {
            let parsed = match pairs.get(&entry.table) {
                Some(pair) => parse_key(pair, &entry.key),
                None => Err("the group has no such table".into()),
            };
            match parsed {
                Ok(key) => {
                    let keys = work.wanted.entry(entry.table.clone()).or_default();
                    let attempt = entry.attempt;
                    let wanted = keys.entry(text_of(&key));
                    let wanted = wanted.or_insert(Wanted { key, id: entry.id, attempt });
                    wanted.id = entry.id;
                    wanted.attempt = wanted.attempt.max(attempt);
                }
                Err(fault) => {
                    let (id, table, key) = (entry.id, entry.table.clone(), entry.key.clone());
                    work.strange.push(Refused { id, table, key, fault });
                }
            }
        }
        work
    }
}

fn by_name(pairs: Vec<Pair>) -> BTreeMap<Box<str>, Pair> {
    pairs.into_iter().map(|pair| (pair.name.clone(), pair)).collect()
}

/// That no trigger is missing.
async fn all_triggers(
    owner: &mut Side,
    pairs: &[Pair],
    group: Group<'_>,
) -> Result<(), SwitchError> {
    let missing = capture::missing(owner, pairs).await?;
    let Some(trigger) = missing.first() else { return Ok(()) };
    let (id, mirror) = (group.id, &group.mirror.name);
    Err(SwitchError::refused(format!(
        "{} triggers are missing on `{}`, the first one on `{}`: changes were lost since. Repeat `gateway switch {id} \
         mirror {mirror}`, then `gateway reconcile {id}`",
        missing.len(),
        group.owner.name,
        trigger.table
    )))
}

/// The tables of a group on both sides.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn group_pairs(
    owner: &mut Side,
    mirror: &mut Side,
    group: Group<'_>,
) -> Result<Vec<Pair>, SwitchError> {
    let wanted = state::table_names(owner, group.id).await?;
    pairs_of(owner, mirror, group, &wanted).await
}

/// These tables on both sides; none named: all.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn pairs_of(
    owner: &mut Side,
    mirror: &mut Side,
    group: Group<'_>,
    wanted: &[Box<str>],
) -> Result<Vec<Pair>, SwitchError> {
    let (own, other) = (tables(owner).await?, tables(mirror).await?);
    let owners = Schema { connection: &group.owner.name, dialect: owner.dialect(), tables: &own };
    let connection = &group.mirror.name;
    let mirrors = Schema { connection, dialect: mirror.dialect(), tables: &other };
    pairs(owners, mirrors, wanted)
}

/// Sets the mirror's session up: rows come in no order that foreign keys could follow.
async fn prepare(mirror: &mut Side) -> Result<(), SwitchError> {
    match mirror.dialect() {
        Dialect::Mysql => {
            let sql = "SET SESSION foreign_key_checks = 0, \
                       SESSION sql_mode = CONCAT(@@sql_mode, ',NO_AUTO_VALUE_ON_ZERO')";
            mirror.run_text(sql).await
        }
        Dialect::Sqlite => mirror.run_text("PRAGMA foreign_keys = OFF").await,
        Dialect::Oracle => Ok(()),
    }
}
