//! Which of a game's two databases owns it: what their own rows say, whatever order the configuration names them in.
//!
//! Invariant: a database owns a group if and only if its own row says so, or neither has a row that says otherwise and
//! the configuration names it first. At most one does; in the middle of a flip none does.

use super::error::SwitchError;
use super::side::Side;
use super::state::{self, Group, Phase, State};

/// The two databases of a group in the places that their rows give them. In the middle of a flip the owner of before
/// is still in the owner's place.
///
/// - `group`: in any order; the owner's place is that of `games.<id>.database`.
///
/// # Errors
///
/// [`SwitchError`]: a database is not there, or both say that they are the owner.
pub async fn by_rows(group: Group<'_>) -> Result<Group<'_>, SwitchError> {
    let mut first = Side::open(group.owner).await?;
    let mut second = Side::open(group.mirror).await?;
    let states = async {
        let first = state::read(&mut first, group.id).await?;
        Ok((first, state::read(&mut second, group.id).await?))
    };
    let states = states.await;
    first.close().await;
    second.close().await;
    let (first, second) = states?;
    directed(group, first.as_ref(), second.as_ref())
}

/// The same of rows that were read.
///
/// # Errors
///
/// [`SwitchError::Refused`]: both say that they are the owner.
pub(super) fn directed<'c>(
    group: Group<'c>,
    first: Option<&State>,
    second: Option<&State>,
) -> Result<Group<'c>, SwitchError> {
    let (one, other) = (&group.owner.name, &group.mirror.name);
    let says = |state: Option<&State>, name: &str| state.is_some_and(|it| *it.owner == *name);
    let is_leaving = |state: Option<&State>| {
        state.is_some_and(|it| matches!(it.phase, Phase::Draining | Phase::Flipped))
    };
    match (says(first, one), says(second, other)) {
        (true, true) => Err(SwitchError::refused(format!(
            "`{one}` and `{other}` both say that they own {}: stop every gateway of the game, find out which of \
             them was written last, and set the other's row of gateway_switch to phase `mirror`",
            group.id
        ))),
        (false, true) => Ok(group.reversed()),
        (false, false)
            if !is_leaving(first)
                && (is_leaving(second) || (second.is_none() && says(first, other))) =>
        {
            Ok(group.reversed())
        }
        (true | false, false) => Ok(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConnectionConfig, Dialect, Endpoint};

    fn named(name: &str) -> ConnectionConfig {
        let mut config =
            super::super::super::testing::config(Dialect::Sqlite, Endpoint::File("x".into()));
        config.name = name.into();
        config
    }

    impl State {
        /// A row that says this, and nothing else.
        pub(in crate::backend::switch) fn plain(owner: &str, phase: Phase, epoch: i64) -> Self {
            Self {
                epoch,
                owner: owner.into(),
                mirror: None,
                phase,
                changed_at: "".into(),
                changed_by: "".into(),
                flip_id: 0,
                pause_max_ms: 0,
                flip_at_ms: 0,
                sample_ppm: 0,
            }
        }
    }

    fn row(owner: &str, phase: Phase) -> State {
        State::plain(owner, phase, 1)
    }

    /// Who is in the owner's place of `a` and `b`, in whichever order they are named; `None`: refused.
    #[track_caller]
    fn check(a: Option<&State>, b: Option<&State>, expected: Option<&str>) {
        let (one, other) = (named("a"), named("b"));
        let group = Group { id: "game1", owner: &one, mirror: &other };
        let name = |found: Result<Group<'_>, SwitchError>| {
            found.ok().map(|group| group.owner.name.to_string())
        };
        let found = name(directed(group, a, b));
        assert_eq!(found.as_deref(), expected, "{a:?} {b:?}");
        if a.is_some() || b.is_some() {
            let found = name(directed(group.reversed(), b, a));
            assert_eq!(found.as_deref(), expected, "reversed: {a:?} {b:?}");
        }
    }

    #[test]
    fn rows_say_who_owns_and_the_configuration_only_where_there_are_none() {
        check(None, None, Some("a"));
        check(Some(&row("a", Phase::Mirrored)), None, Some("a"));
        check(Some(&row("a", Phase::Mirrored)), Some(&row("a", Phase::Mirror)), Some("a"));
        check(Some(&row("b", Phase::Mirror)), Some(&row("b", Phase::Mirrored)), Some("b"));
        check(Some(&row("b", Phase::Single)), Some(&row("b", Phase::Single)), Some("b"));
        check(Some(&row("a", Phase::Mirrored)), Some(&row("b", Phase::Mirrored)), None);
    }

    #[test]
    fn owner_of_before_keeps_its_place_until_the_other_one_is_opened() {
        check(Some(&row("a", Phase::Blocking)), Some(&row("a", Phase::Mirror)), Some("a"));
        check(Some(&row("b", Phase::Draining)), Some(&row("a", Phase::Mirror)), Some("a"));
        check(Some(&row("b", Phase::Flipped)), Some(&row("a", Phase::Mirror)), Some("a"));
        check(Some(&row("b", Phase::Flipped)), None, Some("a"));
        check(Some(&row("b", Phase::Flipped)), Some(&row("b", Phase::Mirrored)), Some("b"));
    }

    /// `mirror` writes the mirror's row first, and may be killed there.
    #[test]
    fn row_of_a_mirror_alone_names_its_owner() {
        check(None, Some(&row("a", Phase::Mirror)), Some("a"));
    }
}
