//! One operation, answered by both sides of a game.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::super::super::write::{RunningKeys, Write, write};
use super::super::super::{
    BackendError, CursorKey, Limits, Outcome, Pool, Supplied, run, statement,
};
use super::answer::{Rules, Verdict};
use crate::bind::Bound;
use crate::cache::Stored;
use crate::catalog::{Repeatable, Template};
use crate::config::ConnectionConfig;

/// How long a side has to connect and to answer, where the template does not say less.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a good-bye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An operation on one side.
#[derive(Clone, Copy, Debug)]
pub struct OneSide<'b> {
    /// The database.
    pub config: &'b ConnectionConfig,
    /// The operation's template in its dialect.
    pub template: &'b Template,
    /// The parameters, as that template binds them.
    pub bound: &'b Bound<'static>,
}

/// An operation on both sides.
#[derive(Clone, Copy, Debug)]
pub struct Both<'b> {
    /// On the game's database.
    pub owner: OneSide<'b>,
    /// On the other one.
    pub mirror: OneSide<'b>,
    /// What the gateway supplies: the same to both.
    pub supplied: Supplied<'b>,
    /// Most bytes of an answer.
    pub result_bytes_max: u32,
}

/// What both sides answered.
#[derive(Debug)]
pub struct Answers {
    /// The owner's.
    pub owner: Result<Outcome, BackendError>,
    /// The mirror's.
    pub mirror: Result<Outcome, BackendError>,
    /// What came of comparing them.
    pub verdict: Verdict,
    /// Why a difference may be none: what no two databases answer alike.
    pub doubt: Option<String>,
}

/// Why a side did not answer: that says nothing of its rows.
#[derive(Debug, thiserror::Error)]
#[error("database `{connection}` does not answer")]
pub struct NoAnswer {
    /// The connection's name in the configuration.
    pub connection: Box<str>,
    /// Why.
    #[source]
    pub source: BackendError,
}

/// Has an operation answered by both sides. A write is done, answered and undone.
///
/// # Errors
///
/// [`NoAnswer`]; a refusal by a template or a database's fault with a statement are answers.
pub async fn answers(both: &Both<'_>) -> Result<Answers, NoAnswer> {
    let (owner, mirror) = tokio::join!(answer(both, both.owner), answer(both, both.mirror));
    let (owner, mirror) = (owner?, mirror?);
    let (template, twin) = (both.owner.template, both.mirror.template);
    let is_read = !template.kind.is_write();
    let look = |one| if is_read { Repeatable::of(one).map(Some) } else { Ok(None) };
    let looked = [template, twin].map(look);
    let [repeatable, other] = looked;
    let doubt = repeatable.as_ref().err().or(other.as_ref().err()).cloned();
    let keyset = statement::keyset(template, both.owner.bound);
    let dialects = [template.dialect, twin.dialect];
    let rules = Rules::new(template, repeatable.ok().flatten().as_ref(), keyset, dialects);
    let verdict = rules.compare(stored(&owner), stored(&mirror));
    Ok(Answers { owner, mirror, verdict, doubt })
}

/// What one side answers.
async fn answer(
    both: &Both<'_>,
    side: OneSide<'_>,
) -> Result<Result<Outcome, BackendError>, NoAnswer> {
    let config = ConnectionConfig { open_count_max: 1, idle_count_min: 0, ..side.config.clone() };
    let pool = Pool::new(config, Handle::current(), Arc::new(|_| {}));
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let answered = if side.template.kind.is_write() {
        let request = Write {
            template: side.template,
            bound: side.bound,
            supplied: both.supplied,
            dry_run: true,
            owner: None,
            has_unknown: false,
            result_bytes_max: both.result_bytes_max,
        };
        write(&pool, &RunningKeys::default(), &request, deadline).await.map(|it| it.outcome)
    } else {
        // No cursor comes in, and none that goes out is of use to anybody.
        let cursor_key = CursorKey::new(&[0; 32]);
        let limits = Limits { result_bytes_max: both.result_bytes_max, cursor_key: &cursor_key };
        run(&pool, side.template, side.bound, &both.supplied, &limits, deadline).await
    };
    pool.close(Instant::now() + CLOSE_TIMEOUT).await;
    match answered {
        Err(source) if is_no_answer(&source) => {
            Err(NoAnswer { connection: side.config.name.clone(), source })
        }
        answered => Ok(answered),
    }
}

pub(super) fn stored(answer: &Result<Outcome, BackendError>) -> Result<&Stored, &BackendError> {
    answer.as_ref().map(|outcome| &outcome.stored)
}

/// Whether a failure says nothing of the rows.
pub(super) const fn is_no_answer(error: &BackendError) -> bool {
    matches!(
        error,
        BackendError::PoolExhausted { .. }
            | BackendError::Unreachable { .. }
            | BackendError::NotWritable { .. }
            | BackendError::TimedOut
            | BackendError::Locked { .. }
            | BackendError::OutcomeUnknown { .. }
            | BackendError::KeyRunning
            | BackendError::Deadline
            | BackendError::Supply(_)
            | BackendError::Panicked { .. }
    )
}
