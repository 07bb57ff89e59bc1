//! What shadow reads found, in the owner's database: `gateway_switch_shadow`, `gateway_switch_mismatch`; and how many of
//! them there are to be, in `gateway_switch`.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::super::error::SwitchError;
use super::super::side::Side;
use super::super::state::{now_ms, text};
use crate::catalog::Scalar;
use crate::config::Dialect;

/// Mismatches of a game that are kept.
const MISMATCH_COUNT_MAX: usize = 1000;
/// Characters of a text that are kept.
const TEXT_CHARS_MAX: usize = 1000;

const READ: &str = "SELECT epoch, owner, phase, sample_ppm, sample_until_ms, sample_run \
    FROM gateway_switch WHERE group_name = ?";
const SET: &str = "UPDATE gateway_switch SET sample_ppm = ?, sample_until_ms = ?, \
    sample_run = sample_run + ? WHERE group_name = ? AND owner = ? AND phase = 'mirrored'";
const ADD: &str = "UPDATE gateway_switch_shadow SET compared = compared + ?, mismatched = mismatched + ?, \
    undecided = undecided + ?, last_ms = ?, fault = ? \
    WHERE group_name = ? AND instance = ? AND operation = ?";
const ENTER: &str = "INSERT INTO gateway_switch_shadow \
    (compared, mismatched, undecided, last_ms, fault, group_name, instance, operation, since_ms) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const FIGURES: &str = "SELECT operation, SUM(compared), SUM(mismatched), SUM(undecided), MAX(fault), \
    MIN(since_ms), MAX(last_ms) FROM gateway_switch_shadow WHERE group_name = ? \
    GROUP BY operation ORDER BY operation";
const FOUND: &str = "UPDATE gateway_switch_mismatch SET found_count = found_count + ?, last_ms = ? \
    WHERE group_name = ? AND operation = ? AND digest = ?";
const FIND: &str = "INSERT INTO gateway_switch_mismatch \
    (found_count, last_ms, group_name, operation, digest, params, fault, first_ms) \
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";

/// What a database says of the shadow reads of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The owner's epoch.
    pub(super) epoch: i64,
    /// It is the owner, and everything was copied.
    pub(super) is_owner: bool,
    /// Of a million.
    pub(super) ppm: u32,
    /// Raised each time they begin.
    pub(super) run: i64,
}

/// What came of an operation's shadow reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShadowFigures {
    /// The operation.
    pub operation: Box<str>,
    /// Answers compared, on all gateways.
    pub compared: u64,
    /// Of those, ones that differed.
    pub mismatched: u64,
    /// Reads that were sampled and not compared: no answer in time, or rows that changed at every look.
    pub undecided: u64,
    /// Why no two answers of it can be compared.
    pub fault: Option<Box<str>>,
    /// Since when, in Unix milliseconds.
    pub since_ms: i64,
    /// When it was written last, in Unix milliseconds.
    pub last_ms: i64,
}

/// An answer that differed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// The operation.
    pub operation: Box<str>,
    /// The parameters as a log shows them.
    pub params: Box<str>,
    /// What differed: columns and counts.
    pub fault: Box<str>,
    /// How often that was found.
    pub found_count: u64,
    /// When it was found first, in Unix milliseconds.
    pub first_ms: i64,
    /// When it was found last, in Unix milliseconds.
    pub last_ms: i64,
}

/// What one gateway has to write down.
#[derive(Clone, Debug, Default)]
pub(in crate::backend::switch) struct Tally {
    pub(in crate::backend::switch) compared: u64,
    pub(in crate::backend::switch) mismatched: u64,
    pub(in crate::backend::switch) undecided: u64,
    pub(in crate::backend::switch) fault: Option<Box<str>>,
    /// Parameters and what differed, and how often.
    pub(in crate::backend::switch) mismatches: BTreeMap<(Box<str>, Box<str>), u64>,
}

/// Reads what a database says; nothing where it never heard of the group.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn said(side: &mut Side, group: &str) -> Result<Said, SwitchError> {
    let rows = side.texts(READ, vec![text(group)]).await?;
    let Some(row) = rows.first() else { return Ok(Said::default()) };
    let word = |at: usize| row.get(at)?.as_deref();
    let number = |at: usize| word(at).and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let is_owner = word(1) == Some(side.name()) && word(2) == Some("mirrored");
    let until_ms = number(4);
    let is_over = until_ms > 0 && now_ms() >= until_ms;
    let ppm = u32::try_from(number(3)).unwrap_or(0);
    Ok(Said { epoch: number(0), is_owner, ppm: if is_over { 0 } else { ppm }, run: number(5) })
}

/// Has so many of a group's reads compared from now on; what was found before is forgotten when they begin.
///
/// - `until_ms`: when they end by themselves, in Unix milliseconds; 0: never.
///
/// Returns whether the database is the owner and everything was copied: nothing was changed otherwise.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn set(
    side: &mut Side,
    group: &str,
    ppm: u32,
    until_ms: i64,
) -> Result<bool, SwitchError> {
    side.begin().await?;
    let done = async {
        let owner = text(side.name());
        let begins = Scalar::Int((ppm > 0).into());
        let share = Scalar::Int(ppm.into());
        let binds = vec![share, Scalar::Int(until_ms), begins, text(group), owner];
        let is_set = side.execute(SET, binds).await? > 0;
        if is_set && ppm > 0 {
            for table in ["gateway_switch_shadow", "gateway_switch_mismatch"] {
                let sql = format!("DELETE FROM {table} WHERE group_name = ?");
                side.execute(sql, vec![text(group)]).await?;
            }
        }
        Ok(is_set)
    };
    let done = done.await;
    match done {
        Ok(_) => side.commit().await?,
        Err(_) => side.rollback().await,
    }
    done
}

/// Adds what one gateway found, unless others have begun meanwhile.
///
/// # Errors
///
/// [`SwitchError`]; nothing was added then.
pub(in crate::backend::switch) async fn add(
    side: &mut Side,
    (group, instance): (&str, &str),
    run: i64,
    tallies: &BTreeMap<Box<str>, Tally>,
) -> Result<(), SwitchError> {
    side.begin().await?;
    let done = async {
        if said(side, group).await?.run != run {
            return Ok(());
        }
        for (operation, tally) in tallies {
            add_one(side, (group, instance), (operation, tally)).await?;
        }
        if tallies.values().any(|tally| !tally.mismatches.is_empty()) {
            trim(side, group).await?;
        }
        Ok(())
    };
    let done: Result<(), SwitchError> = done.await;
    match done {
        Ok(()) => side.commit().await,
        Err(error) => {
            side.rollback().await;
            Err(error)
        }
    }
}

async fn add_one(
    side: &mut Side,
    (group, instance): (&str, &str),
    (operation, tally): (&str, &Tally),
) -> Result<(), SwitchError> {
    let number = |count: u64| Scalar::Int(i64::try_from(count).unwrap_or(i64::MAX));
    let now = Scalar::Int(now_ms());
    let mut binds = vec![
        number(tally.compared),
        number(tally.mismatched),
        number(tally.undecided),
        now.clone(),
        tally.fault.as_ref().map_or(Scalar::Null, |fault| cut(fault)),
        text(group),
        text(instance),
        text(operation),
    ];
    if side.execute(ADD, binds.clone()).await? == 0 {
        binds.push(now.clone());
        side.execute(ENTER, binds).await?;
    }
    for ((params, fault), count) in &tally.mismatches {
        let digest = text(&digest(params, fault));
        let keys = [text(group), text(operation), digest];
        let mut binds = vec![number(*count), now.clone()];
        binds.extend(keys);
        if side.execute(FOUND, binds.clone()).await? == 0 {
            // '' is NULL on an Oracle.
            let params = if params.is_empty() { " " } else { params };
            binds.extend([cut(params), cut(fault), now.clone()]);
            side.execute(FIND, binds).await?;
        }
    }
    Ok(())
}

/// Removes the oldest mismatches beyond those that are kept.
async fn trim(side: &mut Side, group: &str) -> Result<(), SwitchError> {
    let cut = match side.dialect() {
        Dialect::Mysql | Dialect::Sqlite => format!(" LIMIT 1 OFFSET {MISMATCH_COUNT_MAX}"),
        Dialect::Oracle => {
            format!(" OFFSET {MISMATCH_COUNT_MAX} ROWS FETCH NEXT 1 ROWS ONLY")
        }
    };
    let sql = "SELECT last_ms FROM gateway_switch_mismatch WHERE group_name = ? ORDER BY last_ms DESC, operation, digest";
    let rows = side.texts(&format!("{sql}{cut}"), vec![text(group)]).await?;
    let newest = rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
    let Some(newest) = newest else { return Ok(()) };
    let sql = "DELETE FROM gateway_switch_mismatch WHERE group_name = ? AND last_ms <= ?";
    side.execute(sql, vec![text(group), Scalar::Int(newest)]).await.map(drop)
}

/// The figures of a group's shadow reads, by operation.
///
/// # Errors
///
/// [`SwitchError`].
pub(in crate::backend::switch) async fn figures(
    side: &mut Side,
    group: &str,
) -> Result<Vec<ShadowFigures>, SwitchError> {
    let rows = side.texts(FIGURES, vec![text(group)]).await?;
    let figures = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        Some(ShadowFigures {
            operation: texts.next()??.into(),
            compared: count(texts.next()?)?,
            mismatched: count(texts.next()?)?,
            undecided: count(texts.next()?)?,
            fault: texts.next()?.map(Into::into),
            since_ms: texts.next()??.parse().ok()?,
            last_ms: texts.next()??.parse().ok()?,
        })
    };
    Ok(rows.into_iter().filter_map(figures).collect())
}

/// The newest mismatches of a group, the newest first.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn mismatches(
    side: &mut Side,
    group: &str,
    count_max: usize,
) -> Result<Vec<Mismatch>, SwitchError> {
    let sql = format!(
        "SELECT operation, params, fault, found_count, first_ms, last_ms FROM gateway_switch_mismatch \
         WHERE group_name = ? ORDER BY last_ms DESC, operation, params{}",
        super::super::side::limit(side.dialect(), count_max)
    );
    let rows = side.texts(&sql, vec![text(group)]).await?;
    let mismatch = |row: Vec<Option<String>>| {
        let mut texts = row.into_iter();
        Some(Mismatch {
            operation: texts.next()??.into(),
            params: texts.next()??.trim_end().into(),
            fault: texts.next()??.into(),
            found_count: count(texts.next()?)?,
            first_ms: texts.next()??.parse().ok()?,
            last_ms: texts.next()??.parse().ok()?,
        })
    };
    Ok(rows.into_iter().filter_map(mismatch).collect())
}

/// A whole number, however a database writes a sum.
fn count(text: Option<String>) -> Option<u64> {
    let text = text?;
    text.split('.').next()?.parse().ok()
}

fn cut(value: &str) -> Scalar<'static> {
    let cut: String = value.chars().take(TEXT_CHARS_MAX).collect();
    text(&cut)
}

fn digest(params: &str, fault: &str) -> String {
    let mut hash = Sha256::new();
    hash.update((params.len() as u64).to_be_bytes());
    hash.update(params);
    hash.update(fault);
    let hash = hash.finalize();
    let half = hash.first_chunk::<16>().map_or(0, |half| u128::from_be_bytes(*half));
    format!("{half:032x}")
}
