//! Records that operators give up: taken out of the order between two batches, so that none is both applied and
//! buried.
//!
//! A crash before the letter is on disk leaves the record waiting, after that it is a letter. What a crash let the
//! database have and nobody heard of, its key's row tells: such a record is not buried.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_protocol::Code;

use super::outcome::{Ended, Outcome};
use super::schedule::Pulled;
use super::source::SourceError;
use super::{Loop, Shared};
use crate::backend::BackendError;
use crate::backend::write::has_effect;
use crate::journal::{Burial, Cause, OpenError, Record, Standings, Wish};

/// How long the database may take to say whether it has a record's effect.
const ASK_TIMEOUT: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 5 });

/// What clients are told of an order that was given up.
const MESSAGE: &str = "withdrawn by an operator";

impl Loop {
    /// Hears what an operator wishes.
    pub(super) fn hear(&mut self, wish: Wish) {
        match wish {
            Wish::Bury(burial) => self.bury(*burial),
            Wish::Why(records, reply) => {
                let now = Instant::now();
                let mut told = Standings::default();
                for (sequence, lane) in records {
                    let mut desks = self.desks.values();
                    let standing = desks.find_map(|desk| desk.standing(sequence, lane, now));
                    told.extend(standing.map(|standing| (sequence, standing)));
                }
                // Nobody waits any more, maybe.
                let _heard = reply.send(told);
            }
        }
    }

    /// Begins the burials that waited for the end of a batch.
    pub(super) fn bury_late(&mut self) {
        for burial in std::mem::take(&mut self.burials) {
            self.bury(burial);
        }
    }

    fn bury(&mut self, burial: Burial) {
        let (record, now) = (&burial.record, Instant::now());
        let (sequence, game) = (record.sequence, record.payload.game.clone());
        let desk = self.desks.entry(game.clone()).or_default();
        match desk.pull(record) {
            Pulled::Taken => {}
            Pulled::Running => return self.burials.push(burial),
            Pulled::Unknown if self.shared.source.is_pending(sequence) => {
                // The reader comes to it later, and is to leave it then.
                self.ahead.insert(sequence);
                desk.push_pulled(record, &self.shared.applier.snapshot.load(), now);
            }
            Pulled::Unknown => {
                let _heard = burial.reply.send(Err(OpenError::Settled { sequence }));
                return;
            }
        }
        let cause = cause(&burial.reason, desk.cause(sequence));
        let shared = Arc::clone(&self.shared);
        let under_way = Arc::clone(&shared.burials).try_read_owned();
        // Of its own: were it to end with a loop that panics, the letter might come while the next loop has the
        // record in a transaction. The next one waits for it.
        let task = tokio::spawn(async move {
            let ended = give_up(&shared, burial, cause).await;
            drop(under_way);
            ended
        });
        let outcome = (sequence, Outcome::Panicked);
        let waiting = self.running.spawn(async move {
            let lost = |_panicked| Ended { outcomes: vec![outcome], ..Ended::default() };
            task.await.unwrap_or_else(lost)
        });
        self.batches.insert(waiting.id(), (game, vec![sequence]));
    }
}

/// What the letter says: to clients the last failure's code where there was one.
fn cause(reason: &str, last: Option<(u32, &Cause)>) -> Cause {
    let Some((count, last)) = last else {
        return Cause::now(Code::OrderWithdrawn.number(), MESSAGE).with_detail(reason);
    };
    let Cause { code, message, detail, .. } = last;
    let tried = format!("{reason}; tried {count} times, the last time {code} {message} {detail}");
    Cause::now(Code::OrderWithdrawn.number(), MESSAGE).with_detail(tried.trim_end())
}

async fn give_up(shared: &Shared, burial: Burial, cause: Cause) -> Ended {
    let Burial { record, is_forced, reply, .. } = burial;
    let (outcome, told) = decide(shared, &record, cause, is_forced).await;
    let _heard = reply.send(told);
    Ended { outcomes: vec![(record.sequence, outcome)], ..Ended::default() }
}

async fn decide(
    shared: &Shared,
    record: &Record,
    cause: Cause,
    is_forced: bool,
) -> (Outcome, Result<(), OpenError>) {
    let sequence = record.sequence;
    match is_in_database(shared, record).await {
        Ok(true) => {
            shared.teller.applied(&[record]);
            shared.source.applied(&[record]).await;
            return (Outcome::Applied, Err(OpenError::Settled { sequence }));
        }
        Err(error) if !is_forced => {
            let why = error.client_message().into();
            return (Outcome::Held, Err(OpenError::Untold { sequence, why }));
        }
        Ok(false) | Err(_) => {}
    }
    match shared.source.dead(record, &cause).await {
        Ok(()) => {
            shared.teller.dead(record, cause);
            (Outcome::Buried, Ok(()))
        }
        Err(error) => {
            shared.journal_failed("a dead letter", &error);
            let told = match error {
                SourceError::Journal(error) => OpenError::Journal(error),
                error => OpenError::interrupted(error),
            };
            (Outcome::Held, Err(told))
        }
    }
}

/// Whether the record's key stands in the database that owns its game.
async fn is_in_database(shared: &Shared, record: &Record) -> Result<bool, BackendError> {
    let snapshot = shared.applier.snapshot.load_full();
    let game = snapshot.game(&record.payload.game).ok();
    let deadline = Instant::now() + ASK_TIMEOUT;
    let lost = |pool: &str| BackendError::Unreachable { pool: pool.into(), source: None };
    // An operation that is gone has its game's database still.
    let any =
        game.and_then(|game| game.known(&record.payload.op).or_else(|| game.operations().next()));
    let Some(operation) = any else {
        return Err(lost(game.map_or("", |game| &game.pool)));
    };
    let entered = shared.applier.gates.enter(operation, deadline).await?;
    let Some(pool) = shared.applier.pools.named(entered.placed.pool) else {
        return Err(lost(entered.placed.pool));
    };
    has_effect(&pool, &record.key, deadline).await
}
