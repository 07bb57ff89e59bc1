//! The dead letters of streams, which all instances share: `game1.3.7` is number 7 of game1's stream 3.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::entries::{entry, whole_entry};
use super::{Asked, Refused, note, template_of};
use crate::config::QueueKind;
use crate::control::Shared;
use crate::journal::{Entry, OpenError, now_micros};
use crate::stream::{StreamError, StreamLetter, Streams, Tried};

/// A dead letter's place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LetterId<'i> {
    game: &'i str,
    stream: u32,
    sequence: u64,
}

impl<'i> LetterId<'i> {
    /// `None`: it is no such id.
    pub(super) fn parse(id: &'i str) -> Option<Self> {
        let mut parts = id.split('.');
        let (game, stream, sequence) = (parts.next()?, parts.next()?, parts.next()?);
        let is_end = parts.next().is_none();
        let (stream, sequence) = (stream.parse().ok()?, sequence.parse().ok()?);
        is_end.then_some(Self { game, stream, sequence })
    }
}

impl From<StreamError> for Refused {
    fn from(error: StreamError) -> Self {
        let status = match &error {
            StreamError::Foreign { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

/// Each game's streams: what waits, and the letters, of each stream as many as asked for.
pub(super) async fn list(
    shared: &Shared,
    streams: &Streams,
    count: usize,
) -> Result<Value, Refused> {
    let snapshot = shared.core.snapshot.load_full();
    let now = now_micros();
    let mut told = Vec::new();
    let games = snapshot.config.games.iter().filter(|game| game.queue == QueueKind::Stream);
    for game in games {
        let game = game.id.as_str();
        for (stream, backlog) in (0..).zip(streams.backlog(game).await?) {
            let letters = match backlog.dead_count {
                0 => Vec::new(),
                _ => streams.letters(game, stream, count).await?,
            };
            let letters = letters.into_iter().map(|letter| {
                let letter = entry_of(letter);
                let told = entry(&letter, template_of(shared, &letter).as_deref(), now);
                with_id(told, game, stream)
            });
            told.push(json!({
                "game": game,
                "stream": stream,
                "records": backlog.record_count,
                "dead": backlog.dead_count,
                "letters": letters.collect::<Value>(),
            }));
        }
    }
    Ok(told.into())
}

/// What is asked of a letter; `None`: there is no such thing to ask.
pub(super) async fn of_letter(
    shared: &Shared,
    id: LetterId<'_>,
    action: Option<&str>,
    asked: &Asked<'_>,
) -> Option<Result<Value, Refused>> {
    let action = match (action, asked.is_post) {
        (None, false) => return Some(show(shared, &id).await),
        (Some("retry"), true) => "retry",
        (Some("drop"), true) => "drop",
        _ => return None,
    };
    let done = match action {
        "retry" => retry(shared, &id, asked.is_forced()).await,
        _ => forget(shared, &id).await,
    };
    let stream = format!("{}.{}", id.game, id.stream);
    note(action, (id.sequence, &stream), asked, done.as_ref().map(|_| ""));
    Some(done)
}

async fn show(shared: &Shared, id: &LetterId<'_>) -> Result<Value, Refused> {
    let (_, letter) = find(shared, id).await?;
    let letter = entry_of(letter);
    let told = whole_entry(&letter, template_of(shared, &letter).as_deref(), now_micros());
    Ok(with_id(told, id.game, id.stream))
}

async fn retry(shared: &Shared, id: &LetterId<'_>, is_forced: bool) -> Result<Value, Refused> {
    let (streams, letter) = find(shared, id).await?;
    let sequence = id.sequence;
    match streams.retry(id.game, &letter, is_forced).await? {
        Tried::Again(new) => Ok(json!({ "sequence": new })),
        Tried::Overtaken => Err(OpenError::Overtaken { sequence }.into()),
        Tried::Gone => Err(OpenError::NoRecord { sequence }.into()),
    }
}

async fn forget(shared: &Shared, id: &LetterId<'_>) -> Result<Value, Refused> {
    let (streams, letter) = find(shared, id).await?;
    if streams.forget(id.game, &letter).await? {
        return Ok(json!({ "dropped": id.sequence }));
    }
    Err(OpenError::NoRecord { sequence: id.sequence }.into())
}

async fn find<'s>(
    shared: &'s Shared,
    id: &LetterId<'_>,
) -> Result<(&'s Streams, StreamLetter), Refused> {
    let none = || Refused(StatusCode::NOT_FOUND, "no section `queue` is configured".into());
    let streams = shared.core.streams.as_deref().ok_or_else(none)?;
    let letter = streams.letter(id.game, id.stream, id.sequence).await?;
    let letter = letter.ok_or(OpenError::NoRecord { sequence: id.sequence })?;
    Ok((streams, letter))
}

fn entry_of(letter: StreamLetter) -> Entry {
    Entry::of_letter(letter.letter, letter.is_overtaken)
}

fn with_id(mut told: Value, game: &str, stream: u32) -> Value {
    if let Value::Object(members) = &mut told {
        let sequence = members.get("sequence").cloned().unwrap_or_default();
        members.insert("id".into(), format!("{game}.{stream}.{sequence}").into());
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_of_a_stream_is_a_game_a_stream_and_a_number() {
        let id = LetterId { game: "game_1", stream: 3, sequence: 7 };
        assert_eq!(LetterId::parse("game_1.3.7"), Some(id));
        for bad in ["", "x", "game1.3", "game1.3.7.1", "game1.x.7", "game1.3.-7", "game1..7"] {
            assert_eq!(LetterId::parse(bad), None, "{bad}");
        }
    }
}
