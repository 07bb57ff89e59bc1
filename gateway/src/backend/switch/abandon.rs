//! The end of an attempt to flip that failed.

use super::flip::{Recovered, recover};
use super::side::Side;
use super::state::{self, Group};
use crate::observe::chain;

/// How often a way back is tried while transactions are in its way, a second each.
const BACK_COUNT_MAX: u32 = 5;

/// Ends an attempt that failed, as its row allows it, and says where the game is.
pub(super) async fn abandon(group: Group<'_>, flip_id: i64, by: &str) -> String {
    let (old, new, id) = (&group.owner.name, &group.mirror.name, group.id);
    let mut last = String::new();
    for _ in 0..BACK_COUNT_MAX {
        let done = async {
            let mut owner = Side::open(group.owner).await?;
            let state = state::read(&mut owner, id).await?;
            owner.close().await;
            match state {
                Some(state) if state.flip_id == flip_id && state.phase.is_flip() => {
                    recover(group, &state, by).await
                }
                // A gateway was faster.
                Some(state) if state.owner == *new => Ok(Recovered::Forward),
                _ => Ok(Recovered::Nothing),
            }
        };
        match Box::pin(done).await {
            Ok(Recovered::Forward) => return format!("The game is on `{new}` nevertheless"),
            Ok(_) => return format!("The game is on `{old}` as before (see `status`)"),
            Err(error) => last = chain(&error),
        }
    }
    format!(
        "What became of the game is not known ({last}): a gateway of the game ends what was begun, or \
         `gateway switch {id} flip`; see `status`"
    )
}
