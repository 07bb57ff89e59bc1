//! `/journal`: what waits in the journal, and what operators do with its dead letters and those of streams.
//!
//! Invariant: a value is shown only where the template of the record's own contract does not mask it.

mod entries;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::Shared;
use crate::catalog::Template;
use crate::journal::{Entry, Journal, OpenError, Standings, now_micros};
use crate::observe::{Event, emit};

pub use entries::{entry, whole_entry};

use entries::{backlog, with_standing};
use streams::LetterId;

/// Entries of each kind that one answer lists, if nothing is said, and at most.
const LISTED: (usize, usize) = (100, 1000);

/// Longest name of an operator that is written down, in bytes.
pub const OPERATOR_BYTES_MAX: usize = 64;

/// Longest reason of an operator, in bytes.
const REASON_BYTES_MAX: usize = 256;

/// What is told of one that is missing or too long.
const WANTED_REASON: &str = "want reason=TEXT of 1 to 256 bytes, percent-encoded";

/// How long whoever applies records may take to say why they wait.
const WHY_TIMEOUT: Duration = Duration::from_secs(2);

/// A status and a body.
type Told = (StatusCode, Value);

/// One request for the journal.
pub(super) struct Asked<'r> {
    /// Behind `/journal`: empty, `/7`, `/7/retry`, `/game1.3.7/retry`.
    pub(super) path: &'r str,
    /// `force=true&limit=10`.
    pub(super) query: &'r str,
    pub(super) is_post: bool,
    pub(super) peer: SocketAddr,
    /// The operator by their own word.
    pub(super) operator: &'r str,
}

impl Asked<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(own, _)| *own == name).map(|(_, value)| value).next()
    }

    fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.param(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    }

    fn is_forced(&self) -> bool {
        self.param("force") == Some("true")
    }

    /// Why, in the operator's words; `None`: that is not said, or not in a text that can be kept.
    fn reason(&self) -> Option<String> {
        let text = self.param("reason")?.replace('+', " ");
        let text = percent_decode_str(&text).decode_utf8().ok()?.trim().to_owned();
        let is_good = (1..=REASON_BYTES_MAX).contains(&text.len());
        (is_good && !text.chars().any(char::is_control)).then_some(text)
    }

    /// Who asks, for the record: the address is sure, the name is what they say.
    fn who(&self) -> String {
        let shown = |letter: &char| letter.is_ascii_graphic();
        let name: String = self.operator.chars().filter(shown).take(OPERATOR_BYTES_MAX).collect();
        if name.is_empty() { self.peer.to_string() } else { format!("{name} at {}", self.peer) }
    }
}

/// Answers; `None`: there is no such path, or not with this method.
pub(super) async fn answer(shared: &Shared, asked: Asked<'_>) -> Option<Told> {
    if !asked.path.is_empty() && !asked.path.starts_with('/') {
        return None;
    }
    let mut parts = asked.path.split('/').skip(1);
    let (id, action) = (parts.next().filter(|id| !id.is_empty()), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let told = match id {
        None if action.is_none() && !asked.is_post => list(shared, &asked).await,
        None => return None,
        Some(id) => match id.parse() {
            Ok(sequence) => of_record(shared, sequence, action, &asked).await?,
            Err(_) => streams::of_letter(shared, LetterId::parse(id)?, action, &asked).await?,
        },
    };
    Some(match told {
        Ok(body) => (StatusCode::OK, body),
        Err(Refused(status, error)) => (status, json!({ "error": error })),
    })
}

/// What is asked of a record of the journal; `None`: there is no such thing to ask.
async fn of_record(
    shared: &Shared,
    sequence: u64,
    action: Option<&str>,
    asked: &Asked<'_>,
) -> Option<Result<Value, Refused>> {
    let journal = match journal_of(shared) {
        Ok(journal) => journal,
        Err(refused) => return Some(Err(refused)),
    };
    let (action, done) = match (action, asked.is_post) {
        (None, false) => return Some(show(shared, journal, sequence).await.map_err(Refused::from)),
        (Some("retry"), true) => {
            let tried = journal.retry(sequence, asked.is_forced()).await;
            ("retry", tried.map(|new| (json!({ "sequence": new }), String::new())))
        }
        (Some("drop"), true) => {
            let dropped = forget(shared, journal, sequence).await;
            ("drop", dropped.map(|()| (json!({ "dropped": sequence }), String::new())))
        }
        (Some("bury"), true) => {
            let Some(reason) = asked.reason() else {
                return Some(Err(Refused(StatusCode::BAD_REQUEST, WANTED_REASON.into())));
            };
            let buried = bury(journal, sequence, &reason, asked).await;
            ("bury", buried.map(|()| (json!({ "buried": sequence }), reason)))
        }
        _ => return None,
    };
    let done = done.map_err(Refused::from);
    note(action, (sequence, ""), asked, done.as_ref().map(|(_, reason)| &**reason));
    Some(done.map(|(body, _)| body))
}

fn journal_of(shared: &Shared) -> Result<&Arc<Journal>, Refused> {
    let none = || Refused(StatusCode::NOT_FOUND, "no journal.path is configured".into());
    shared.core.journal.as_ref().ok_or_else(none)
}

/// Why something is not done: the status, and in words.
pub(super) struct Refused(StatusCode, String);

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        let status = match &error {
            OpenError::NoRecord { .. } => StatusCode::NOT_FOUND,
            OpenError::Overtaken { .. }
            | OpenError::NotDead { .. }
            | OpenError::Settled { .. }
            | OpenError::Untold { .. } => StatusCode::CONFLICT,
            OpenError::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, error.to_string())
    }
}

/// Writes down who did what, and why where they say so.
///
/// - `record`: its sequence, and the stream that it is of; empty: it is the journal's.
fn note(
    action: &'static str,
    (sequence, stream): (u64, &str),
    asked: &Asked<'_>,
    done: Result<&str, &Refused>,
) {
    let outcome = match done {
        Ok("") => "done".to_owned(),
        Ok(reason) => format!("done: {reason}"),
        Err(Refused(_, error)) => error.clone(),
    };
    emit(&Event::JournalHandled { action, sequence, stream, who: &asked.who(), outcome: &outcome });
}

/// Reads files on a thread that may wait for them.
async fn read<T: Send + 'static>(
    journal: &Arc<Journal>,
    read: impl FnOnce(&Journal) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let journal = Arc::clone(journal);
    let read = tokio::task::spawn_blocking(move || read(&journal)).await;
    read.unwrap_or_else(|error| Err(OpenError::interrupted(error)))
}

/// What waits and what is dead: of the journal, and of streams.
async fn list(shared: &Shared, asked: &Asked<'_>) -> Result<Value, Refused> {
    let limit = asked.number("limit", LISTED.0 as u64).min(LISTED.1 as u64);
    let count = usize::try_from(limit).unwrap_or(LISTED.1);
    if shared.core.journal.is_none() && shared.core.streams.is_none() {
        journal_of(shared)?;
    }
    let mut told = match &shared.core.journal {
        Some(journal) => list_journal(shared, journal, asked.number("from", 0), count).await?,
        None => json!({}),
    };
    if let (Some(streams), Value::Object(members)) = (&shared.core.streams, &mut told) {
        // Redis away: the journal is told of all the same.
        match streams::list(shared, streams, count).await {
            Ok(streams) => members.insert("streams".into(), streams),
            Err(Refused(_, error)) => members.insert("streams_error".into(), error.into()),
        };
    }
    Ok(told)
}

async fn list_journal(
    shared: &Shared,
    journal: &Arc<Journal>,
    from: u64,
    count: usize,
) -> Result<Value, OpenError> {
    let (dead, waiting) =
        read(journal, move |it| Ok((it.letters(from, count)?, it.waiting(from, count)?))).await?;
    let why = why(journal, &waiting).await;
    let now = now_micros();
    let told = |it: &Entry| {
        let told = entry(it, template_of(shared, it).as_deref(), now);
        with_standing(told, why.get(&it.sequence))
    };
    Ok(json!({
        "journal": format!("{:016x}", journal.id()),
        "backlog": backlog(&journal.backlog(), now),
        "dead": dead.iter().map(told).collect::<Value>(),
        "waiting": waiting.iter().map(told).collect::<Value>(),
    }))
}

/// Why records wait, as far as whoever applies them says so in time.
async fn why(journal: &Journal, waiting: &[Entry]) -> Standings {
    let asked = waiting.iter().map(|it| (it.sequence, it.draft.lane)).collect();
    tokio::time::timeout(WHY_TIMEOUT, journal.why(asked)).await.unwrap_or_default()
}

async fn show(shared: &Shared, journal: &Arc<Journal>, sequence: u64) -> Result<Value, OpenError> {
    let found = read(journal, move |journal| journal.find(sequence)).await?;
    let why = match &found.dead {
        None => why(journal, std::slice::from_ref(&found)).await,
        Some(_) => Standings::default(),
    };
    let told = whole_entry(&found, template_of(shared, &found).as_deref(), now_micros());
    Ok(with_standing(told, why.get(&sequence)))
}

/// Gives a record up that waits.
async fn bury(
    journal: &Arc<Journal>,
    sequence: u64,
    reason: &str,
    asked: &Asked<'_>,
) -> Result<(), OpenError> {
    let found = read(journal, move |journal| journal.find(sequence)).await?;
    if found.dead.is_some() {
        return Err(OpenError::Settled { sequence });
    }
    let reason = format!("{}: {reason}", asked.who());
    journal.bury(found.into_record(), reason.into(), asked.is_forced()).await
}

/// Drops a dead letter, here and in what other instances were told.
async fn forget(shared: &Shared, journal: &Arc<Journal>, sequence: u64) -> Result<(), OpenError> {
    let found = read(journal, move |journal| journal.find(sequence)).await?;
    journal.drop_dead(sequence).await?;
    shared.core.cache.tell_queued(&[(found.draft.key.request, None)], Duration::ZERO).await;
    Ok(())
}

/// The template that a record was taken under, if it is still in effect.
fn template_of(shared: &Shared, entry: &Entry) -> Option<Arc<Template>> {
    let payload = &entry.draft.payload;
    let snapshot = shared.core.snapshot.load();
    let game = snapshot.game(&payload.game).ok()?;
    let template = game.template(&payload.op)?;
    (template.contract == payload.contract).then(|| Arc::clone(template))
}
