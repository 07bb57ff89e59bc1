//! What an operator asks of shadow reads: that they begin, that they end, what they found.

use std::time::{Duration, Instant};

use super::super::error::SwitchError;
use super::super::side::Side;
use super::super::state::{Group, now_ms};
use super::book::{self, Mismatch, Said, ShadowFigures};

/// Between two looks, while somebody waits for the end.
const WATCH_PAUSE: Duration = Duration::from_secs(1);
/// For how long gateways may still look again at what differed at the end.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// What shadow reads found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The connection that owns the group; `None`: none says so and has everything copied.
    pub owner: Option<Box<str>>,
    /// How many reads are compared now, of a million.
    pub ppm: u32,
    /// By operation.
    pub figures: Vec<ShadowFigures>,
    /// The newest ones.
    pub mismatches: Vec<Mismatch>,
}

impl Verified {
    /// Answers that were compared.
    pub fn compared(&self) -> u64 {
        self.figures.iter().map(|figures| figures.compared).sum()
    }

    /// Answers that differed.
    pub fn mismatched(&self) -> u64 {
        self.figures.iter().map(|figures| figures.mismatched).sum()
    }
}

/// Has so many of a group's reads compared by every gateway that runs, from the next second on. What was found before
/// is forgotten when they begin.
///
/// - `ppm`: of a million; 0 ends it.
/// - `for_ms`: for so long; `None`: until somebody ends it.
///
/// # Errors
///
/// [`SwitchError::Refused`] where not everything was copied.
pub async fn set_sample(
    group: Group<'_>,
    ppm: u32,
    for_ms: Option<i64>,
) -> Result<(), SwitchError> {
    let Some((mut owner, _)) = owner(group).await? else {
        return Err(SwitchError::refused(format!(
            "reads can be compared when everything is copied (phase `mirrored`): gateway switch {} status",
            group.id
        )));
    };
    let until_ms = for_ms.map_or(0, |for_ms| now_ms().saturating_add(for_ms));
    let is_set = book::set(&mut owner, group.id, ppm, until_ms).await?;
    owner.close().await;
    if is_set {
        return Ok(());
    }
    Err(SwitchError::refused("the owner changed meanwhile: try again"))
}

/// What shadow reads found.
///
/// - `count_max`: mismatches that are wanted.
///
/// # Errors
///
/// [`SwitchError`].
pub async fn verified(group: Group<'_>, count_max: usize) -> Result<Verified, SwitchError> {
    let Some((mut owner, said)) = owner(group).await? else { return Ok(Verified::default()) };
    let figures = book::figures(&mut owner, group.id).await?;
    let mismatches = book::mismatches(&mut owner, group.id, count_max).await?;
    let name = owner.name().into();
    owner.close().await;
    Ok(Verified { owner: Some(name), ppm: said.ppm, figures, mismatches })
}

/// Waits until shadow reads of that time have ended, and what differed was looked at again.
///
/// - `told`: hears every second what was found, and how much time is left.
///
/// # Errors
///
/// [`SwitchError`]; they go on and end all the same.
pub async fn watch(
    group: Group<'_>,
    duration: Duration,
    told: &mut impl FnMut(&Verified, Duration),
) -> Result<(), SwitchError> {
    let until = Instant::now() + duration + SETTLE_TIME;
    while Instant::now() < until {
        tokio::time::sleep(WATCH_PAUSE).await;
        let found = verified(group, 0).await?;
        told(&found, until.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// The side that owns the group and has everything copied, whichever order the configuration names them in.
async fn owner(group: Group<'_>) -> Result<Option<(Side, Said)>, SwitchError> {
    for config in [group.owner, group.mirror] {
        let mut side = Side::open(config).await?;
        let said = match book::said(&mut side, group.id).await {
            Err(SwitchError::Statement { connection, .. }) => {
                return Err(SwitchError::refused(format!(
                    "`{connection}` does not have the gateway's tables: run `gateway migrate` first"
                )));
            }
            said => said?,
        };
        if said.is_owner {
            return Ok(Some((side, said)));
        }
        side.close().await;
    }
    Ok(None)
}
