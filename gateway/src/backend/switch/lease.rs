//! Who copies: the lease on the owner, and the fence on the mirror.
//!
//! Invariant: a taker's token is durable before it reads anything, and larger than those before.

use sha2::{Digest, Sha256};

use super::super::BackendError;
use super::error::SwitchError;
use super::side::Side;
use super::state::{now_ms, text};
use crate::catalog::Scalar;
use crate::config::Dialect;

/// How long a copier that is not heard of keeps others out, in milliseconds.
const LEASE_MS: i64 = 10_000;

const HOLD: &str = "SELECT token, copier, seen_at FROM gateway_copier WHERE group_name = ?";
const TAKE: &str =
    "UPDATE gateway_copier SET token = token + 1, copier = ?, seen_at = ? WHERE group_name = ?";
const RAISE: &str = "UPDATE gateway_stream SET token = ? WHERE stream = ? AND token <= ?";
const ENTER: &str = "INSERT INTO gateway_stream (stream, token) VALUES (?, ?)";

/// When a lease that somebody holds is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// When its holder has not been heard of for 10 s.
    WhenSilent,
    /// At once.
    Now,
}

/// Who copies a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name; `None`: nobody does.
    pub name: Option<Box<str>>,
    /// When it was heard of, in Unix milliseconds.
    pub seen_at: i64,
    /// Its token.
    pub token: i64,
}

impl Holder {
    /// Whether somebody copies.
    pub fn is_alive(&self) -> bool {
        self.name.is_some() && now_ms().saturating_sub(self.seen_at) < LEASE_MS
    }
}

/// Takes the lease, durably, before anything is read under it. Returns its token.
///
/// # Errors
///
/// [`SwitchError::Held`] when somebody else has it.
pub(super) async fn take(
    owner: &mut Side,
    group: &str,
    name: &str,
    takeover: Takeover,
) -> Result<i64, SwitchError> {
    owner.begin().await?;
    let holder = lock(owner, group).await?;
    if takeover == Takeover::WhenSilent && holder.is_alive() {
        owner.rollback().await;
        return Err(held(group, &holder));
    }
    owner.execute(TAKE, vec![text(name), Scalar::Int(now_ms()), text(group)]).await?;
    owner.commit().await?;
    Ok(holder.token + 1)
}

/// Reads the lease and locks it for the transaction.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn lock(owner: &mut Side, group: &str) -> Result<Holder, SwitchError> {
    // SQLite's transaction is the only one that writes.
    let lock = if owner.dialect() == Dialect::Sqlite { "" } else { " FOR UPDATE" };
    let holder = holder(owner, group, lock).await?;
    holder.ok_or_else(|| SwitchError::refused("there is no mirror: its lease is gone"))
}

/// Reads the lease.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn holder(
    owner: &mut Side,
    group: &str,
    lock: &str,
) -> Result<Option<Holder>, SwitchError> {
    let rows = owner.texts(&format!("{HOLD}{lock}"), vec![text(group)]).await?;
    Ok(rows.into_iter().next().and_then(|row| {
        let mut texts = row.into_iter();
        let token = texts.next()??.parse().ok()?;
        let name = texts.next()?.map(Into::into);
        Some(Holder { name, seen_at: texts.next()??.parse().ok()?, token })
    }))
}

/// That somebody else copies.
pub(super) fn held(group: &str, holder: &Holder) -> SwitchError {
    let name = holder.name.as_deref().unwrap_or("another one").into();
    SwitchError::Held { group: group.into(), copier: name }
}

/// Keeps every copier with an older token from writing, from now on and after the commit, within the mirror's
/// transaction.
///
/// # Errors
///
/// [`SwitchError::Held`]: a newer one has written.
pub(super) async fn raise_fence(
    mirror: &mut Side,
    group: &str,
    token: i64,
) -> Result<(), SwitchError> {
    let (stream, token) = (Scalar::Int(copier_fence(group)), Scalar::Int(token));
    let raise = vec![token.clone(), stream.clone(), token.clone()];
    if mirror.execute(RAISE, raise).await? > 0 {
        return Ok(());
    }
    match mirror.execute(ENTER, vec![stream, token]).await {
        Ok(_) => Ok(()),
        Err(SwitchError::Statement { source: BackendError::Duplicate { .. }, .. }) => {
            Err(held(group, &Holder { name: None, seen_at: 0, token: 0 }))
        }
        Err(error) => Err(error),
    }
}

/// The group's row in the mirror's `gateway_stream`.
pub(super) fn copier_fence(group: &str) -> i64 {
    let digest = Sha256::digest(format!("switch\0{group}"));
    i64::from_be_bytes(digest.first_chunk().copied().unwrap_or_default())
}
