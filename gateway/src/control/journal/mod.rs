//! `/journal`: what waits in the journal, and what operators do with its dead letters.
//!
//! Invariant: a value is shown only where the template of the record's own contract does not mask it.

mod entries;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Shared;
use crate::catalog::Template;
use crate::journal::{Entry, Journal, OpenError, now_micros};
use crate::observe::{Event, emit};

pub use entries::{entry, whole_entry};

use entries::backlog;

/// Entries of each kind that one answer lists, if nothing is said, and at most.
const LISTED: (usize, usize) = (100, 1000);

/// Longest name of an operator that is written down, in bytes.
pub const OPERATOR_BYTES_MAX: usize = 64;

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
    let told = match (sequence, action, asked.is_post) {
        (None, None, false) => list(shared, journal, &asked).await,
        (Some(sequence), None, false) => show(shared, journal, sequence).await,
        (Some(sequence), Some("retry"), true) => {
            let force = asked.param("force") == Some("true");
            let tried = journal.retry(sequence, force).await;
            note("retry", sequence, &asked, tried.as_ref());
            tried.map(|new| json!({ "sequence": new }))
        }
        (Some(sequence), Some("drop"), true) => {
            let dropped = forget(shared, journal, sequence).await;
            note("drop", sequence, &asked, dropped.as_ref());
            dropped.map(|()| json!({ "dropped": sequence }))
        }
        _ => return None,
    };
    Some(told.map_or_else(|error| refused(&error), |body| (StatusCode::OK, body)))
}

fn refused(error: &OpenError) -> Told {
    let status = match error {
        OpenError::NoRecord { .. } => StatusCode::NOT_FOUND,
        OpenError::Overtaken { .. } | OpenError::NotDead { .. } => StatusCode::CONFLICT,
        OpenError::Journal(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, json!({ "error": error.to_string() }))
}

/// Writes down who did what.
fn note<T>(action: &'static str, sequence: u64, asked: &Asked<'_>, done: Result<T, &OpenError>) {
    let outcome = done.map_or_else(ToString::to_string, |_| "done".to_owned());
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
    let now = now_micros();
    let told = |entries: &[Entry]| -> Value {
        entries.iter().map(|it| entry(it, template_of(shared, it).as_deref(), now)).collect()
    };
    Ok(json!({
        "journal": format!("{:016x}", journal.id()),
        "backlog": backlog(&journal.backlog(), now),
        "dead": told(&dead),
        "waiting": told(&waiting),
    }))
}

async fn show(shared: &Shared, journal: &Arc<Journal>, sequence: u64) -> Result<Value, OpenError> {
    let found = read(journal, move |journal| journal.find(sequence)).await?;
    Ok(whole_entry(&found, template_of(shared, &found).as_deref(), now_micros()))
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
