//! The dead letters of streams: listed, tried again, forgotten, by whichever instance is asked. Each step is one
//! script, so it does not matter who owns the stream.

use redis::streams::{StreamId, StreamRangeReply};

use super::{StreamError, Streams, names};
use crate::cache::QueuedState;
use crate::journal::{Cause, DeadLetter, Draft, now_micros};

/// Entries that one look takes.
const PAGE: usize = 500;

/// A dead letter of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamLetter {
    /// The game's stream that it is of.
    pub stream: u32,
    /// What it says.
    pub letter: DeadLetter,
    /// Later orders of its lane were taken, or nobody knows.
    pub is_overtaken: bool,
    /// Its entry.
    id: Box<str>,
}

/// What trying again came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// It waits, under this number.
    Again(u64),
    /// It would come behind later orders of its lane.
    Overtaken,
    /// It lies there no more.
    Gone,
}

/// What waits in a stream, and its dead letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamBacklog {
    /// Orders that wait.
    pub record_count: u64,
    /// Dead letters.
    pub dead_count: u64,
}

impl Streams {
    /// The oldest dead letters of a stream, at most `count_max`.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; also at a letter that this build cannot read.
    pub async fn letters(
        &self,
        game: &str,
        stream: u32,
        count_max: usize,
    ) -> Result<Vec<StreamLetter>, StreamError> {
        self.letters_behind("-", game, stream, count_max).await
    }

    /// One dead letter, by its number. Looks at all before it.
    ///
    /// # Errors
    ///
    /// As [`Streams::letters`].
    pub async fn letter(
        &self,
        game: &str,
        stream: u32,
        sequence: u64,
    ) -> Result<Option<StreamLetter>, StreamError> {
        let mut begin = "-".to_owned();
        loop {
            let page = self.letters_behind(&begin, game, stream, PAGE).await?;
            let Some(last) = page.last() else { return Ok(None) };
            begin = format!("({}", last.id);
            let found = page.into_iter().find(|it| it.letter.sequence == sequence);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    async fn letters_behind(
        &self,
        begin: &str,
        game: &str,
        stream: u32,
        count_max: usize,
    ) -> Result<Vec<StreamLetter>, StreamError> {
        let name = names::dead(&self.names.stream(game, stream));
        let mut range = redis::cmd("XRANGE");
        range.arg(&name).arg(begin).arg("+").arg("COUNT").arg(count_max.max(1));
        let found: StreamRangeReply = self.ask(&range).await?;
        let mut letters = Vec::with_capacity(found.ids.len());
        for entry in found.ids.iter().take(count_max) {
            let foreign =
                || StreamError::Foreign { stream: (&*name).into(), id: (&*entry.id).into() };
            let letter = read(entry).ok_or_else(foreign)?;
            let id = (&*entry.id).into();
            letters.push(StreamLetter { stream, letter, is_overtaken: false, id });
        }
        self.look_behind(&mut letters).await?;
        Ok(letters)
    }

    /// Finds out which of them later orders of their lanes came behind.
    async fn look_behind(&self, letters: &mut [StreamLetter]) -> Result<(), StreamError> {
        let mut pipeline = redis::pipe();
        for lane in letters.iter().filter_map(|it| it.letter.draft.lane) {
            pipeline.cmd("HMGET").arg(self.names.lane(lane)).arg("last").arg("dead");
        }
        if pipeline.is_empty() {
            return Ok(());
        }
        let mut connection = self.connection().await?;
        let answered = pipeline.query_async(&mut connection).await;
        let known: Vec<(Option<u64>, Option<i64>)> =
            self.settle(answered.map_err(StreamError::from)).await?;
        let in_lanes = letters.iter_mut().filter(|it| it.letter.draft.lane.is_some());
        for (own, (last, dead)) in in_lanes.zip(known) {
            own.is_overtaken =
                dead.is_none() || last.is_some_and(|last| last > own.letter.sequence);
        }
        Ok(())
    }

    /// Has a dead letter applied again, as a new order at the end of its stream.
    ///
    /// - `force`: also behind later orders of its lane.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; whether it was done is not known then.
    pub async fn retry(
        &self,
        game: &str,
        letter: &StreamLetter,
        force: bool,
    ) -> Result<Tried, StreamError> {
        let name = self.names.stream(game, letter.stream);
        let draft = &letter.letter.draft;
        let lane = draft.lane.map(|lane| self.names.lane(lane));
        let state = QueuedState::Journalled { since_micros: now_micros() };
        let mut retry = self.scripts.retry.prepare_invoke();
        retry.key(&name).key(names::counter(&name)).key(names::dead(&name));
        retry.key(self.names.request(&draft.key.request));
        retry.arg(&*letter.id).arg(letter.letter.sequence).arg(u8::from(force));
        retry.arg(u8::from(lane.is_some())).arg(&draft.key.params[..]).arg(state.encode());
        retry.key(lane.unwrap_or_default());
        let mut connection = self.connection().await?;
        let answered = retry.invoke_async::<(u8, u64)>(&mut connection).await;
        Ok(match self.settle(answered.map_err(StreamError::from)).await? {
            (0, _) => Tried::Gone,
            (1, sequence) => Tried::Again(sequence),
            _ => Tried::Overtaken,
        })
    }

    /// Forgets a dead letter: its key may be used anew. False: it lies there no more.
    ///
    /// # Errors
    ///
    /// [`StreamError`]; whether it was done is not known then.
    pub async fn forget(&self, game: &str, letter: &StreamLetter) -> Result<bool, StreamError> {
        let name = self.names.stream(game, letter.stream);
        let draft = &letter.letter.draft;
        let lane = draft.lane.map(|lane| self.names.lane(lane));
        let mut forget = self.scripts.forget.prepare_invoke();
        forget.key(names::dead(&name)).key(self.names.request(&draft.key.request));
        forget.arg(&*letter.id).arg(letter.letter.sequence).arg(u8::from(lane.is_some()));
        forget.key(lane.unwrap_or_default());
        let mut connection = self.connection().await?;
        let answered = forget.invoke_async::<u8>(&mut connection).await;
        Ok(self.settle(answered.map_err(StreamError::from)).await? == 1)
    }

    /// What waits in each of a game's streams.
    ///
    /// # Errors
    ///
    /// [`StreamError`].
    pub async fn backlog(&self, game: &str) -> Result<Vec<StreamBacklog>, StreamError> {
        let count = self.count(game).await?;
        let mut pipeline = redis::pipe();
        for index in 0..count {
            let name = self.names.stream(game, index);
            pipeline.cmd("XLEN").arg(&name).cmd("XLEN").arg(names::dead(&name));
        }
        let mut connection = self.connection().await?;
        let answered = pipeline.query_async(&mut connection).await;
        let counts: Vec<u64> = self.settle(answered.map_err(StreamError::from)).await?;
        let pairs = counts.chunks_exact(2).filter_map(|pair| pair.first_chunk::<2>());
        let backlog = pairs.map(|[record_count, dead_count]| StreamBacklog {
            record_count: *record_count,
            dead_count: *dead_count,
        });
        Ok(backlog.collect())
    }

    /// Looks at what waits in these games' streams, for the metrics.
    pub async fn sample(&self, games: &[Box<str>]) {
        let mut all = Vec::new();
        for game in games {
            // Redis away: what was known is not true any more.
            let Ok(backlog) = self.backlog(game).await else { continue };
            all.extend((0..).zip(backlog).map(|(index, own)| (game.clone(), index, own)));
        }
        self.stats.set_backlog(all);
    }
}

fn read(entry: &StreamId) -> Option<DeadLetter> {
    let cause = Cause {
        code: entry.get("c")?,
        message: entry.get::<String>("m")?.into(),
        detail: entry.get::<String>("w").unwrap_or_default().into(),
        since_micros: entry.get("t")?,
    };
    let draft = Draft::decode(&entry.get::<Vec<u8>>("d")?)?;
    Some(DeadLetter { sequence: entry.get("n")?, cause, draft })
}
