//! What goes along to the new owner at the end of a flip, while nobody writes: where its events begin, and who may apply
//! orders of streams.

use std::time::Instant;

use super::error::SwitchError;
use super::events::{carry_batches, order_all};
use super::lease::copier_fence;
use super::side::Side;
use crate::catalog::Scalar;

const FENCES: &str = "SELECT stream, token FROM gateway_stream WHERE stream <> ? ORDER BY stream";
const FENCE: &str = "SELECT token FROM gateway_stream WHERE stream = ?";
const RAISE: &str = "UPDATE gateway_stream SET token = ? WHERE stream = ? AND token < ?";
const ENTER: &str = "INSERT INTO gateway_stream (stream, token) VALUES (?, ?)";

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
    let done = async {
        carry_batches(owner, mirror, game).await?;
        carry_fences(owner, mirror, game).await
    };
    match done.await {
        Ok(()) => mirror.commit().await,
        Err(error) => {
            mirror.rollback().await;
            Err(error)
        }
    }
}

/// An owner of a stream that was replaced is refused on the new database, too. The copiers' fence is no stream's: each
/// side has one of its own, with the tokens of the other one's lease.
async fn carry_fences(owner: &mut Side, mirror: &mut Side, game: &str) -> Result<(), SwitchError> {
    let copiers = Scalar::Int(copier_fence(game));
    for row in owner.texts(FENCES, vec![copiers]).await? {
        let mut numbers = row.into_iter().map(|text| text?.parse::<i64>().ok());
        let (Some(Some(stream)), Some(Some(token))) = (numbers.next(), numbers.next()) else {
            return Err(SwitchError::refused("gateway_stream holds what is no fence"));
        };
        let (stream, token) = (Scalar::Int(stream), Scalar::Int(token));
        let binds = vec![token.clone(), stream.clone(), token.clone()];
        let is_raised = mirror.execute(RAISE, binds).await? > 0;
        if !is_raised && mirror.texts(FENCE, vec![stream.clone()]).await?.is_empty() {
            mirror.execute(ENTER, vec![stream, token]).await?;
        }
    }
    Ok(())
}
