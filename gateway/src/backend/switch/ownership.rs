//! Which of a game's databases owns it, as a running gateway concludes from their rows.
//!
//! Invariant: a gateway takes a database for the owner if that one's own row says so and the other one's does not; or
//! if it has no row, and the other one's names it, or neither has one and the configuration names it first. What cannot be
//! read is never taken for a row that is not there.

use std::sync::Arc;

use super::gate::{Epoch, Owner};
use super::state::{Phase, State};

/// What one database says of a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Its row.
    Row(Box<State>),
    /// It has none.
    Absent,
    /// It has no table for it: nobody has flipped anything there.
    Untold,
    /// It does not answer.
    Away,
}

impl Said {
    const fn row(&self) -> Option<&State> {
        match self {
            Self::Row(state) => Some(state),
            Self::Absent | Self::Untold | Self::Away => None,
        }
    }

    fn names(&self, pool: &str) -> bool {
        self.row().is_some_and(|state| *state.owner == *pool)
    }

    /// What a write will have to find.
    const fn epoch(&self) -> Epoch {
        match self {
            Self::Row(state) => Epoch::Row(state.epoch),
            Self::Absent => Epoch::Absent,
            Self::Untold | Self::Away => Epoch::Unasked,
        }
    }
}

/// A database and what it says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice<'v> {
    /// The connection's name in the configuration.
    pub(super) pool: &'v str,
    /// What it says.
    pub(super) said: &'v Said,
}

impl Voice<'_> {
    fn owns(self) -> bool {
        self.said.names(self.pool)
    }

    fn owner(self) -> Owner {
        Owner { pool: Arc::from(self.pool), epoch: self.said.epoch() }
    }
}

/// What follows from the rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conclusion {
    /// This database owns the game.
    Owned(Owner),
    /// None does at the moment: the row of the owner of before, which one that is, says that it is on its way.
    Leaving {
        /// The connection's name in the configuration.
        from: Box<str>,
    },
    /// This database has to be asked, and does not answer.
    Away {
        /// The connection's name in the configuration.
        pool: Box<str>,
    },
    /// A database owns it that the configuration does not name; says which, and what to do.
    Elsewhere(Box<str>),
    /// Nobody can be let in; says why, and what to do.
    Stuck(Box<str>),
}

/// Concludes for a game with two databases.
///
/// - `first`: the one that the configuration has as `database`.
pub(super) fn conclude(game: &str, first: Voice<'_>, second: Voice<'_>) -> Conclusion {
    match (first.owns(), second.owns()) {
        (true, true) => {
            let (one, other) = (first.pool, second.pool);
            return Conclusion::Stuck(
                format!(
                    "`{one}` and `{other}` both say that they own {game}: find out which of them was written \
                     last, and set the other's row of gateway_switch to phase `mirror`"
                )
                .into(),
            );
        }
        (true, false) => return Conclusion::Owned(first.owner()),
        (false, true) => return Conclusion::Owned(second.owner()),
        (false, false) => {}
    }
    for (one, other) in [(first, second), (second, first)] {
        let is_leaving = |state: &State| {
            matches!(state.phase, Phase::Draining | Phase::Flipped) && *state.owner == *other.pool
        };
        if one.said.row().is_some_and(is_leaving) {
            return Conclusion::Leaving { from: one.pool.into() };
        }
    }
    if let Some(away) = [first, second].into_iter().find(|one| *one.said == Said::Away) {
        return Conclusion::Away { pool: away.pool.into() };
    }
    match (first.said.row(), second.said.row()) {
        (None, None) => Conclusion::Owned(first.owner()),
        (None, Some(state)) if *state.owner == *first.pool => Conclusion::Owned(first.owner()),
        (Some(state), None) if *state.owner == *second.pool => Conclusion::Owned(second.owner()),
        (first_row, second_row) => {
            let says = |pool: &str, row: Option<&State>| {
                let owner = row.map_or_else(|| "nobody".into(), |it| format!("`{}`", it.owner));
                format!("`{pool}` says that {owner} owns {game}")
            };
            Conclusion::Stuck(
                format!(
                    "{}, {}: `games.{game}` has to name the owner",
                    says(first.pool, first_row),
                    says(second.pool, second_row)
                )
                .into(),
            )
        }
    }
}

/// Concludes for a game whose configuration has no mirror; `None`: it has nothing to do with a switch.
pub(super) fn conclude_alone(game: &str, only: Voice<'_>) -> Option<Conclusion> {
    match only.said {
        Said::Absent | Said::Untold => None,
        Said::Away => Some(Conclusion::Away { pool: only.pool.into() }),
        Said::Row(_) if only.owns() => Some(Conclusion::Owned(only.owner())),
        // It may come back.
        Said::Row(state) if matches!(state.phase, Phase::Draining | Phase::Flipped) => {
            Some(Conclusion::Leaving { from: only.pool.into() })
        }
        Said::Row(state) => Some(Conclusion::Elsewhere(
            format!(
                "`{}` says that `{}` owns {game}, which `games.{game}` does not name: set `database` to it",
                only.pool, state.owner
            )
            .into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(owner: &str, phase: Phase, epoch: i64) -> Said {
        Said::Row(Box::new(State::plain(owner, phase, epoch)))
    }

    /// What follows for `a`, which is the configuration's `database`, and `b`: who owns and under which epoch, or
    /// the first word of why nobody does.
    #[track_caller]
    fn check(a: &Said, b: &Said, expected: &str) {
        let voice = |pool, said| Voice { pool, said };
        let told = match conclude("game1", voice("a", a), voice("b", b)) {
            Conclusion::Owned(owner) => format!("{} {:?}", owner.pool, owner.epoch),
            Conclusion::Leaving { from } => format!("leaving {from}"),
            Conclusion::Away { pool } => format!("away {pool}"),
            Conclusion::Elsewhere(_) => "elsewhere".into(),
            Conclusion::Stuck(_) => "stuck".into(),
        };
        assert_eq!(told, expected, "{a:?} {b:?}");
    }

    #[test]
    fn owner_is_who_says_so_of_itself_whatever_the_other_one_says_or_does() {
        for other in [Said::Absent, Said::Untold, Said::Away, row("a", Phase::Mirror, 3)] {
            check(&row("a", Phase::Mirrored, 3), &other, "a Row(3)");
        }
        for other in [Said::Absent, Said::Untold, Said::Away, row("b", Phase::Mirror, 3)] {
            check(&other, &row("b", Phase::Mirrored, 4), "b Row(4)");
        }
        check(&row("b", Phase::Flipped, 4), &row("b", Phase::Mirrored, 4), "b Row(4)");
        check(&row("a", Phase::Blocking, 3), &row("a", Phase::Mirror, 3), "a Row(3)");
    }

    #[test]
    fn without_rows_it_is_who_the_configuration_names_first_and_with_one_whom_that_names() {
        check(&Said::Absent, &Said::Absent, "a Absent");
        check(&Said::Untold, &Said::Absent, "a Unasked");
        check(&Said::Absent, &row("a", Phase::Mirror, 1), "a Absent");
        check(&row("b", Phase::Mirror, 1), &Said::Absent, "b Absent");
    }

    #[test]
    fn nobody_is_it_in_the_middle_of_a_flip_and_where_the_rows_do_not_fit() {
        check(&row("b", Phase::Draining, 4), &row("a", Phase::Mirror, 3), "leaving a");
        check(&row("b", Phase::Flipped, 4), &Said::Away, "leaving a");
        check(&row("b", Phase::Mirror, 3), &row("a", Phase::Draining, 4), "leaving b");
        check(&row("a", Phase::Mirrored, 3), &row("b", Phase::Mirrored, 4), "stuck");
        check(&row("b", Phase::Mirror, 4), &row("a", Phase::Mirror, 4), "stuck");
        check(&row("c", Phase::Mirrored, 4), &Said::Absent, "stuck");
    }

    #[test]
    fn database_that_does_not_answer_is_not_taken_for_one_that_says_nothing() {
        check(&Said::Absent, &Said::Away, "away b");
        check(&Said::Away, &Said::Absent, "away a");
        check(&Said::Away, &row("a", Phase::Mirror, 1), "away a");
        check(&row("b", Phase::Mirror, 1), &Said::Away, "away b");
    }

    #[test]
    fn game_without_a_mirror_has_to_do_with_a_switch_only_where_its_database_says_so() {
        let alone = |said: &Said| conclude_alone("game1", Voice { pool: "a", said });
        assert_eq!(alone(&Said::Absent), None);
        assert_eq!(alone(&Said::Untold), None);
        let told = alone(&row("a", Phase::Mirrored, 3));
        let owner = Owner { pool: "a".into(), epoch: Epoch::Row(3) };
        assert_eq!(told, Some(Conclusion::Owned(owner)));
        for phase in [Phase::Mirror, Phase::Single, Phase::Mirrored] {
            let gone = alone(&row("b", phase, 4));
            let told =
                matches!(&gone, Some(Conclusion::Elsewhere(why)) if why.contains("`b` owns game1"));
            assert!(told, "{gone:?}");
        }
        for phase in [Phase::Draining, Phase::Flipped] {
            let leaving = Conclusion::Leaving { from: "a".into() };
            assert_eq!(alone(&row("b", phase, 4)), Some(leaving), "it may come back");
        }
    }
}
