//! Transactions of MySQL that are begun ahead, with the COMMIT of the one before: a round trip less for each.
//!
//! A connection that has run nothing but transactions of one isolation level lately begins the next one in the
//! text of its COMMIT. A transaction that has touched nothing holds nothing: no lock, and no view of the data,
//! which `InnoDB` makes at the first read. It stands until it is used, or a ping ends it. Where something else
//! comes first it is rolled back, which costs the round trip that was saved; hence only lately, and not always.
//!
//! The next transaction is begun in words (`COMMIT; START TRANSACTION`), not by `COMMIT AND CHAIN`: what stands
//! between here and the server, and routes by what it reads, knows that there is one.
//!
//! Invariant: nothing that is not part of a transaction is sent while one stands.

use std::borrow::Cow;

use crate::catalog::Isolation;

/// Ends what stands.
pub(super) const ROLLBACK: &str = "ROLLBACK";

/// How many transactions in a row, with nothing else between them, are taken for more to come.
const STREAK: u32 = 3;

/// Commits, and begins nothing.
const COMMIT: &str = "COMMIT";

/// The isolation of a transaction; `None`: the session's own.
type Level = Option<Isolation>;

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// In no transaction.
    #[default]
    Outside,
    /// In one that was begun ahead and has done nothing.
    Ahead(Level),
    /// In one that is at work.
    Inside(Level),
}

/// A session's transactions.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    stage: Stage,
    level: Level,
    /// Transactions of that level since anything else.
    streak: u32,
}

impl Ahead {
    /// What begins a transaction; `None`: it was begun. Then comes [`Ahead::enter`].
    pub(super) fn begin(&mut self, level: Level) -> Option<Cow<'static, str>> {
        match std::mem::take(&mut self.stage) {
            Stage::Ahead(ahead) if ahead == level => None,
            Stage::Ahead(_) => Some(format!("{ROLLBACK}; {}", start(level)).into()),
            Stage::Outside | Stage::Inside(_) => Some(start(level).into()),
        }
    }

    /// It is begun.
    pub(super) const fn enter(&mut self, level: Level) {
        self.stage = Stage::Inside(level);
    }

    /// What commits, and where the session is to [`Ahead::stand`] after it.
    pub(super) fn commit(&mut self) -> (&'static str, Stage) {
        let Stage::Inside(level) = std::mem::take(&mut self.stage) else {
            return (COMMIT, Stage::Outside);
        };
        self.streak = if level == self.level { self.streak.saturating_add(1) } else { 1 };
        self.level = level;
        if self.streak < STREAK {
            return (COMMIT, Stage::Outside);
        }
        (commit_and_start(level), Stage::Ahead(level))
    }

    /// The COMMIT was answered.
    pub(super) const fn stand(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// The transaction is rolled back.
    pub(super) const fn rollback(&mut self) {
        self.stage = Stage::Outside;
    }

    /// Something is to be sent. True: [`ROLLBACK`] comes first, because a transaction stands that it is no part of.
    pub(super) fn leave(&mut self) -> bool {
        if matches!(self.stage, Stage::Inside(_)) {
            return false;
        }
        self.streak = 0;
        matches!(std::mem::take(&mut self.stage), Stage::Ahead(_))
    }
}

/// Begins a transaction. The level is that of the next transaction only. Several statements of one text are one
/// round trip.
fn start(level: Level) -> &'static str {
    commit_and_start(level).trim_start_matches("COMMIT; ")
}

const fn commit_and_start(level: Level) -> &'static str {
    match level {
        None => "COMMIT; START TRANSACTION",
        Some(Isolation::ReadCommitted) => {
            "COMMIT; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION"
        }
        Some(Isolation::RepeatableRead) => {
            "COMMIT; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION"
        }
        Some(Isolation::Serializable) => {
            "COMMIT; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Level = None;
    const COMMITTED: Level = Some(Isolation::ReadCommitted);

    /// A transaction that commits: what begins it, and what commits it.
    fn run(ahead: &mut Ahead, level: Level) -> (String, &'static str) {
        let begin = ahead.begin(level).unwrap_or("".into()).into_owned();
        ahead.enter(level);
        assert!(!ahead.leave(), "its own statements are part of it");
        let (commit, next) = ahead.commit();
        ahead.stand(next);
        (begin, commit)
    }

    #[test]
    fn third_transaction_in_a_row_begins_the_next_which_then_costs_nothing() {
        let (mut ahead, start) = (Ahead::default(), "START TRANSACTION".to_owned());
        assert_eq!(run(&mut ahead, OWN), (start.clone(), "COMMIT"));
        assert_eq!(run(&mut ahead, OWN), (start.clone(), "COMMIT"));
        assert_eq!(run(&mut ahead, OWN), (start, "COMMIT; START TRANSACTION"));
        assert_eq!(run(&mut ahead, OWN), (String::new(), "COMMIT; START TRANSACTION"));
    }

    #[test]
    fn anything_else_ends_what_stands_once_and_the_row_begins_anew() {
        let mut ahead = Ahead::default();
        for _ in 0..4 {
            run(&mut ahead, COMMITTED);
        }
        assert!(ahead.leave());
        assert!(!ahead.leave());
        let start = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION";
        assert_eq!(run(&mut ahead, COMMITTED), (start.to_owned(), "COMMIT"));
    }

    #[test]
    fn transaction_of_another_level_does_not_take_what_stands() {
        let mut ahead = Ahead::default();
        for _ in 0..4 {
            run(&mut ahead, COMMITTED);
        }
        let start = "ROLLBACK; START TRANSACTION".to_owned();
        assert_eq!(run(&mut ahead, OWN), (start, "COMMIT"));
        assert!(!ahead.leave());
    }

    #[test]
    fn transaction_that_was_rolled_back_or_never_begun_leaves_nothing_standing() {
        let mut ahead = Ahead::default();
        for _ in 0..4 {
            run(&mut ahead, OWN);
        }
        assert!(ahead.begin(OWN).is_none());
        ahead.enter(OWN);
        ahead.rollback();
        assert!(!ahead.leave());
        assert_eq!(ahead.begin(OWN).as_deref(), Some("START TRANSACTION"));
        // It was refused: nobody entered it.
        assert!(!ahead.leave());
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn ping_ends_what_stands_and_the_next_transaction_begins_as_the_first() {
        use super::super::super::testing::Server;
        use super::super::Session;

        let Some(server) = Server::get() else { return };
        let _turn = server.share().await;
        let mut session = Session::open(&server.database("ahead").await).await.unwrap();
        for _ in 0..4 {
            session.begin(COMMITTED).await.unwrap();
            session.commit().await.unwrap();
        }
        assert_eq!(session.ahead.stage, Stage::Ahead(COMMITTED));
        session.ping().await.unwrap();
        assert_eq!(session.ahead.stage, Stage::Outside);
        session.ping().await.unwrap();
        session.begin(COMMITTED).await.unwrap();
        session.rollback().await.unwrap();
        assert_eq!(session.ahead.stage, Stage::Outside);
    }
}
