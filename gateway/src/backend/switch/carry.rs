//! What goes along to the new owner at the end of a flip, while nobody writes: where its events begin.

use std::time::Instant;

use super::error::SwitchError;
use super::events::{carry_batches, order_all};
use super::side::Side;

/// Carries it over. Can be repeated: nothing is ever lowered.
///
/// # Errors
///
/// [`SwitchError`].
pub(super) async fn carry(
    owner: &mut Side,
    mirror: &mut Side,
    game: &str,
    until: Instant,
) -> Result<(), SwitchError> {
    order_all(owner, game, until).await?;
    mirror.begin().await?;
    match carry_batches(owner, mirror, game).await {
        Ok(()) => mirror.commit().await,
        Err(error) => {
            mirror.rollback().await;
            Err(error)
        }
    }
}
