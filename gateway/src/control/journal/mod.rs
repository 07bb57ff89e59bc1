//! `/journal`: what waits in the journal, and what operators do with its dead letters.
//!
//! Invariant: a value is shown only where the template of the record's own contract does not mask it.

mod entries;

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
    /// Behind `/journal`: empty, `/7`, `/7/retry`.
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
    let (sequence, action) = (parts.next(), parts.next());
    if parts.next().is_some() {
        return None;
    }
    let sequence = match sequence {
        None | Some("") => None,
        Some(text) => Some(text.parse::<u64>().ok()?),
    };
    let Some(journal) = &shared.core.journal else {
        return Some((StatusCode::NOT_FOUND, json!({ "error": "no journal.path is configured" })));
    };
    let is_burial = asked.is_post && action == Some("bury");
    let reason = asked.reason();
    if is_burial && reason.is_none() {
        return Some((StatusCode::BAD_REQUEST, json!({ "error": WANTED_REASON })));
    }
    let reason = reason.unwrap_or_default();
    let told = match (sequence, action, asked.is_post) {
        (None, None, false) => list(shared, journal, &asked).await,
        (Some(sequence), None, false) => show(shared, journal, sequence).await,
        (Some(sequence), Some("retry"), true) => {
            let force = asked.param("force") == Some("true");
            let tried = journal.retry(sequence, force).await;
            note("retry", sequence, &asked, tried.as_ref().map(|_| ""));
            tried.map(|new| json!({ "sequence": new }))
        }
        (Some(sequence), Some("bury"), true) => {
            let buried = bury(journal, sequence, &reason, &asked).await;
            note("bury", sequence, &asked, buried.as_ref().map(|()| &*reason));
            buried.map(|()| json!({ "buried": sequence }))
        }
        (Some(sequence), Some("drop"), true) => {
            let dropped = forget(shared, journal, sequence).await;
            note("drop", sequence, &asked, dropped.as_ref().map(|()| ""));
            dropped.map(|()| json!({ "dropped": sequence }))
        }
        _ => return None,
    };
    Some(told.map_or_else(|error| refused(&error), |body| (StatusCode::OK, body)))
}

fn refused(error: &OpenError) -> Told {
    let status = match error {
        OpenError::NoRecord { .. } => StatusCode::NOT_FOUND,
        OpenError::Overtaken { .. }
        | OpenError::NotDead { .. }
        | OpenError::Settled { .. }
        | OpenError::Untold { .. } => StatusCode::CONFLICT,
        OpenError::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, json!({ "error": error.to_string() }))
}

/// Writes down who did what, and why where they say so.
fn note(action: &'static str, sequence: u64, asked: &Asked<'_>, done: Result<&str, &OpenError>) {
    let outcome = match done {
        Ok("") => "done".to_owned(),
        Ok(reason) => format!("done: {reason}"),
        Err(error) => error.to_string(),
    };
    emit(&Event::JournalHandled { action, sequence, who: &asked.who(), outcome: &outcome });
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

async fn list(
    shared: &Shared,
    journal: &Arc<Journal>,
    asked: &Asked<'_>,
) -> Result<Value, OpenError> {
    let from = asked.number("from", 0);
    let limit = asked.number("limit", LISTED.0 as u64).min(LISTED.1 as u64);
    let count = usize::try_from(limit).unwrap_or(LISTED.1);
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
    journal.bury(found.into_record(), reason.into(), asked.param("force") == Some("true")).await
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
