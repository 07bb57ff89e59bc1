//! What did not change is copied, too: its keys are put into the outbox as if it had.
//!
//! So there is one way that rows go, and no race between two. The place of each table is durable with what was put in.

use super::error::SwitchError;
use super::key::{Key, parse_key};
use super::outbox;
use super::pair::{Pair, Role};
use super::rows::{Columns, Range, bare_key, read_after, text_of};
use super::side::Side;
use super::state::text;
use crate::catalog::Scalar;
use crate::config::Dialect;

const PLACE: &str =
    "SELECT last_key, is_done FROM gateway_switch_table WHERE group_name = ? AND table_name = ?";
const MOVE: &str = "UPDATE gateway_switch_table SET last_key = ?, touched = touched + ?, is_done = ? \
    WHERE group_name = ? AND table_name = ?";

/// Puts the next keys of a table into the outbox. Returns how many, and whether those were the last ones.
///
/// # Errors
///
/// [`SwitchError`]; nothing was put in then.
pub(super) async fn touch(
    owner: &mut Side,
    group: &str,
    pair: &Pair,
    count: usize,
) -> Result<(u64, bool), SwitchError> {
    owner.begin().await?;
    let done = touch_within(owner, group, pair, count).await;
    match &done {
        Ok(_) => owner.commit().await?,
        Err(_) => owner.rollback().await,
    }
    done
}

async fn touch_within(
    owner: &mut Side,
    group: &str,
    pair: &Pair,
    count: usize,
) -> Result<(u64, bool), SwitchError> {
    let lock = if owner.dialect() == Dialect::Sqlite { "" } else { " FOR UPDATE" };
    let place = owner.texts(&format!("{PLACE}{lock}"), vec![text(group), text(&pair.name)]).await?;
    let mut texts = place.into_iter().next().unwrap_or_default().into_iter();
    let (last, is_done) = (texts.next().flatten(), texts.next().flatten());
    if is_done.is_none_or(|is_done| is_done != "0") {
        return Ok((0, true));
    }
    let strange = |fault| {
        SwitchError::refused(format!(
            "the place of `{}` in gateway_switch_table: {fault}",
            pair.name
        ))
    };
    let after = last.map(|text| parse_key(pair, &text)).transpose().map_err(strange)?;
    let columns = (pair, Role::Owner, Columns::Key);
    let rows = read_after(owner, columns, &Range::default(), after.as_ref(), count).await?;
    let keys =
        rows.into_iter().map(|row| bare_key(owner, pair, row)).collect::<Result<Vec<Key>, _>>()?;
    let is_last = keys.len() < count;
    let texts: Vec<(Box<str>, i64)> = keys.iter().map(|key| (text_of(key), 0)).collect();
    outbox::put(owner, &pair.name, &texts).await?;
    let last = texts.last().map(|(key, _)| &**key).or(None);
    let last = last.map(text).or_else(|| after.as_ref().map(|key| text(&text_of(key))));
    let binds = vec![
        last.unwrap_or(Scalar::Null),
        Scalar::Int(i64::try_from(texts.len()).unwrap_or(i64::MAX)),
        Scalar::Int(i64::from(is_last)),
        text(group),
        text(&pair.name),
    ];
    owner.execute(MOVE, binds).await?;
    Ok((texts.len() as u64, is_last))
}
