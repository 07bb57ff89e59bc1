//! The course of a flip, as a command drives it through the phases of `flip`.
//!
//! Until `draining` nothing has happened but a pause; from `draining` there is a way back until `flipped`, and from there
//! only forward. Whatever ends the command, the rows say how it goes on: by another command, or by a gateway.

use std::time::{Duration, Instant};

use super::abandon::abandon;
use super::capture::{install, missing};
use super::carry::carry;
use super::copy::Copier;
use super::error::SwitchError;
use super::events::order_backlog;
use super::flip::{self, open_side, settle};
use super::instance::{self, Instance, InstanceState};
use super::lease::Takeover;
use super::preflight::{Check, back_pairs, preflight, preflight_with_copier};
use super::side::Side;
use super::state::{self, Group, Phase, State, now_ms};
use crate::observe::chain;

/// How long gateways may take to say that they look closely; one that died is waited for as long.
const READY_MAX: Duration = Duration::from_secs(15);
/// How long after the end of its pause a flip counts as left.
const LEFT_AFTER_MS: i64 = 2000;
/// Between two looks at what the gateways say.
const LOOK_PAUSE: Duration = Duration::from_millis(5);
/// How long the new owner's gateways are waited for, to tell of their pauses.
const OPEN_MAX: Duration = Duration::from_secs(5);
/// Rows that may wait when the pause begins.
const WAITING_COUNT_MAX: u64 = 500;

/// What a flip is to do.
#[derive(Clone, Copy, Debug)]
pub struct Flip<'c> {
    /// The databases as [`by_rows`](super::by_rows) has them.
    pub group: Group<'c>,
    /// Which of them is to be the owner; `None`: the one that is not.
    pub to: Option<&'c str>,
    /// Tables of the owner that nobody copies, and that are left behind.
    pub without: &'c [Box<str>],
    /// Whether it goes on where a check found something.
    pub is_forced: bool,
    /// How long the calls of the game may wait.
    pub pause_max: Duration,
    /// Who does this.
    pub by: &'c str,
    /// Who copies what waits in the meantime, for `status`.
    pub name: &'c str,
}

/// What a flip did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flipped {
    /// The owner now.
    pub owner: Box<str>,
    /// Its mirror.
    pub mirror: Box<str>,
    /// The owner's epoch.
    pub epoch: i64,
    /// Checks that found something, and were forced.
    pub overridden: Vec<Check>,
    /// How long the calls of the game waited, as this command saw it; `None`: there was nothing to do, or another command
    /// began it.
    pub pause: Option<Duration>,
    /// The gateways that run, with the pause that each of them saw.
    pub instances: Vec<Instance>,
    /// What is left to be done, by a copier of the game or by a repeat.
    pub left: Option<Box<str>>,
}

/// Makes the mirror the owner, and the owner its mirror.
///
/// - `told`: hears of each phase.
///
/// # Errors
///
/// [`SwitchError`], which says where the game is; a repeat goes on.
pub async fn flip(
    plan: &Flip<'_>,
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<Flipped, SwitchError> {
    let group = plan.group;
    let mut owner = open_side(group.owner).await?;
    let mut mirror = open_side(group.mirror).await?;
    let state = state::read(&mut owner, group.id).await?.ok_or_else(|| {
        let (id, mirror) = (group.id, &group.mirror.name);
        SwitchError::refused(format!(
            "there is no mirror yet: `gateway switch {id} mirror {mirror}`"
        ))
    })?;
    if plan.to == Some(&*group.owner.name) {
        if state.phase.is_flip() {
            let (id, mirror) = (group.id, &group.mirror.name);
            let told =
                format!("a flip to `{mirror}` is on its way: `gateway switch {id} flip` ends it");
            return Err(SwitchError::refused(told));
        }
        return is_owner(owner, mirror, group, &state).await;
    }
    let (state, overridden) = begin(plan, (&mut owner, &mut mirror), state, told).await?;
    let flip_id = state.flip_id;
    let mut course = Course { plan, owner, mirror, state, begun: None };
    let done = Box::pin(course.run(told)).await;
    match done {
        Ok(pause) => Ok(course.end(overridden, pause).await),
        Err(error) => {
            let became = abandon(group, flip_id, plan.by).await;
            Err(SwitchError::refused(format!("{}. {became}", chain(&error))))
        }
    }
}

/// That there is nothing to do, but perhaps to clean up.
async fn is_owner(
    mut owner: Side,
    mut mirror: Side,
    group: Group<'_>,
    state: &State,
) -> Result<Flipped, SwitchError> {
    settle(&mut owner, &mut mirror, group).await?;
    let instances = instance::read_alive(&mut owner, group.id).await?;
    owner.close().await;
    mirror.close().await;
    Ok(Flipped {
        owner: group.owner.name.clone(),
        mirror: group.mirror.name.clone(),
        epoch: state.epoch,
        overridden: Vec::new(),
        pause: None,
        instances,
        left: None,
    })
}

/// Begins a new attempt, or finds out where one that was left goes on.
async fn begin(
    plan: &Flip<'_>,
    (owner, mirror): (&mut Side, &mut Side),
    mut state: State,
    told: &mut (dyn FnMut(&str) + Send),
) -> Result<(State, Vec<Check>), SwitchError> {
    let group = plan.group;
    if matches!(state.phase, Phase::Draining | Phase::Flipped) {
        return Ok((state, Vec::new()));
    }
    if state.phase.is_flip() {
        let ready_ms = i64::try_from(READY_MAX.as_millis()).unwrap_or(i64::MAX);
        let phase_ms = if state.phase == Phase::Readying { ready_ms } else { state.pause_max_ms };
        if now_ms() < state.flip_at_ms + phase_ms + LEFT_AFTER_MS {
            let (phase, by) = (state.phase.name(), &state.changed_by);
            let told =
                format!("a flip is on its way: {phase}, by {by}, since {}", state.changed_at);
            return Err(SwitchError::refused(told));
        }
        state = flip::back(owner, group, &state, plan.by).await?.ok_or_else(overtaken)?;
    }
    let checks = if plan.is_forced {
        preflight(owner, mirror, group, &state, plan.without).await?
    } else {
        preflight_with_copier((owner, mirror), (group, plan.without), &state, told).await?
    };
    let found: Vec<Check> = checks.into_iter().filter(|check| check.fault.is_some()).collect();
    let is_certain =
        |check: &Check| matches!(check.name, "phase" | "tables" | "uncopied" | "schemas");
    if !plan.is_forced && !found.is_empty() || found.iter().any(is_certain) {
        let lines: Vec<String> = found
            .iter()
            .map(|check| format!("{}: {}", check.name, check.fault.as_deref().unwrap_or_default()))
            .collect();
        let most = if found.iter().any(is_certain) { "" } else { " (--force goes on without)" };
        let told = format!("the game stays on `{}`: {}{most}", group.owner.name, lines.join("; "));
        return Err(SwitchError::refused(told));
    }
    let pause_max_ms = i64::try_from(plan.pause_max.as_millis()).unwrap_or(i64::MAX);
    // It may be a day's: before anybody waits.
    order_backlog(owner, group.id).await?;
    let until = Instant::now() + READY_MAX;
    Ok((forward(owner, plan, &state, Some(pause_max_ms), until).await?, found))
}

/// To the next phase, while transactions that are in its way may end until then.
async fn forward(
    owner: &mut Side,
    plan: &Flip<'_>,
    seen: &State,
    pause_max_ms: Option<i64>,
    until: Instant,
) -> Result<State, SwitchError> {
    loop {
        match flip::forward(owner, plan.group, seen, pause_max_ms, plan.by).await {
            Err(error) if error.is_locked() && Instant::now() < until => {}
            done => return done?.ok_or_else(overtaken),
        }
    }
}

fn overtaken() -> SwitchError {
    SwitchError::refused("somebody else has changed the state meanwhile: look at `status`")
}

/// A flip on its way.
struct Course<'p> {
    plan: &'p Flip<'p>,
    owner: Side,
    mirror: Side,
    /// The row of the owner of before, as it was last written.
    state: State,
    /// When the pause began.
    begun: Option<Instant>,
}

impl Course<'_> {
    /// From the present phase to the end of the pause. How long that was.
    async fn run(
        &mut self,
        told: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Option<Duration>, SwitchError> {
        if self.state.phase != Phase::Flipped {
            let Flip { group, name, .. } = *self.plan;
            let mut copier = Copier::open(group, name, Takeover::Now).await?;
            let done = self.close_owner(&mut copier, told).await;
            copier.close().await;
            done?;
        }
        told("flipped: the mirror is opened");
        let tables = state::read_tables(&mut self.owner, self.plan.group.id).await?;
        let tables: Vec<Box<str>> = tables.into_iter().map(|table| table.name).collect();
        let Flip { group, by, .. } = *self.plan;
        // A gateway may have been faster.
        flip::open(&mut self.mirror, group, &self.state, &tables, by).await?;
        Ok(self.begun.map(|begun| begun.elapsed()))
    }

    /// Up to the moment when everything is on the mirror, and nobody can write on the owner.
    async fn close_owner(
        &mut self,
        copier: &mut Copier,
        told: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), SwitchError> {
        let refused = copier.refused_count().await?;
        if self.state.phase == Phase::Readying {
            told("readying: the mirror gets its triggers, the gateways look closely");
            self.capture().await?;
            let until = Instant::now() + READY_MAX;
            self.await_instances(copier, InstanceState::Ready, until).await?;
            while copier.depth().await?.count_max > WAITING_COUNT_MAX {
                if Instant::now() > until {
                    return Err(SwitchError::refused("rows come faster than they are copied"));
                }
                copier.batch().await?;
            }
            // The rest, which was written meanwhile, has its turn within the pause.
            order_backlog(&mut self.owner, self.plan.group.id).await?;
            self.begun = Some(Instant::now());
            let until = self.pause_end();
            self.advance(until).await?;
        }
        let until = self.pause_end();
        if self.state.phase == Phase::Blocking {
            told("blocking: calls wait, those under way end");
            self.await_instances(copier, InstanceState::Blocked, until).await?;
            self.advance(until).await?;
        }
        told("draining: the last rows are copied");
        while copier.depth().await?.first != 0 {
            if Instant::now() > until {
                return Err(SwitchError::refused("not all rows were copied within --pause-max"));
            }
            copier.batch().await?;
        }
        if copier.refused_count().await? > refused {
            let told = "the mirror refused rows that were copied last: `status` shows them";
            return Err(SwitchError::refused(told));
        }
        let id = self.plan.group.id;
        carry(&mut self.owner, &mut self.mirror, id, until).await?;
        self.advance(until).await
    }

    /// When the pause has to be over.
    fn pause_end(&self) -> Instant {
        self.begun.unwrap_or_else(Instant::now) + self.plan.pause_max
    }

    /// To the next phase.
    async fn advance(&mut self, until: Instant) -> Result<(), SwitchError> {
        self.state = forward(&mut self.owner, self.plan, &self.state, None, until).await?;
        Ok(())
    }

    /// Has written down on the mirror what will change there. Nothing is lost before its triggers are all there.
    async fn capture(&mut self) -> Result<(), SwitchError> {
        let group = self.plan.group;
        let pairs = back_pairs(&mut self.owner, &mut self.mirror, group).await?;
        install(&mut self.mirror, &pairs, None).await?;
        match missing(&mut self.mirror, &pairs).await?.len() {
            0 => Ok(()),
            count => {
                let told = format!("{count} triggers are missing on `{}`", group.mirror.name);
                Err(SwitchError::refused(told))
            }
        }
    }

    /// Copies until every gateway has said so.
    async fn await_instances(
        &mut self,
        copier: &mut Copier,
        wanted: InstanceState,
        until: Instant,
    ) -> Result<(), SwitchError> {
        let flip_id = self.state.flip_id;
        loop {
            let all = instance::read_alive(&mut self.owner, self.plan.group.id).await?;
            let unfit = all.iter().find(|it| it.state == InstanceState::Unfit);
            if let (Some(unfit), false) = (unfit, self.plan.is_forced) {
                let fault = unfit.fault.as_deref().unwrap_or("unfit");
                let told = format!("the gateway {} cannot go along: {fault}", unfit.name);
                return Err(SwitchError::refused(told));
            }
            let late: Vec<&str> = all
                .iter()
                .filter(|it| it.state != InstanceState::Unfit && !it.has_reached(flip_id, wanted))
                .map(|it| &*it.name)
                .collect();
            if late.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                let (state, late) = (wanted.name(), late.join(", "));
                let told = format!("these gateways did not say `{state}` in time: {late}");
                return Err(SwitchError::refused(told));
            }
            if copier.depth().await?.first == 0 {
                tokio::time::sleep(LOOK_PAUSE).await;
            } else {
                copier.batch().await?;
            }
        }
    }

    /// What is done when the calls go on: the owner of before becomes a mirror, the gateways tell of their pauses.
    async fn end(mut self, overridden: Vec<Check>, pause: Option<Duration>) -> Flipped {
        let group = self.plan.group.reversed();
        let settled = settle(&mut self.mirror, &mut self.owner, group).await;
        let left = settled.err().map(|error| {
            let (name, error) = (&group.mirror.name, chain(&error));
            format!("`{name}` still has its triggers, which its copier removes: {error}").into()
        });
        let epoch = self.state.epoch;
        let instances = self.await_open(epoch).await.unwrap_or_default();
        self.owner.close().await;
        self.mirror.close().await;
        let (owner, mirror) = (group.owner.name.clone(), group.mirror.name.clone());
        Flipped { owner, mirror, epoch, overridden, pause, instances, left }
    }

    async fn await_open(&mut self, epoch: i64) -> Result<Vec<Instance>, SwitchError> {
        let until = Instant::now() + OPEN_MAX;
        loop {
            let all = instance::read_alive(&mut self.mirror, self.plan.group.id).await?;
            let is_open = |it: &Instance| {
                it.state == InstanceState::Unfit
                    || (it.state == InstanceState::Open && it.epoch >= epoch)
            };
            if all.iter().all(is_open) || Instant::now() > until {
                return Ok(all);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }
}
