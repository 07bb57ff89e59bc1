//! Records that wait and dead letters as JSON, which is also what `gateway journal` prints.
//!
//! Invariant: a value is shown only where the template of the record's own contract does not mask it.

use serde_json::{Map, Value, json};

use crate::catalog::{Scalar, Template};
use crate::journal::{Backlog, Entry, Standing, Waits};

/// What stands where a value is not shown.
const MASKED: &str = "***";

/// Figures of what waits.
pub(super) fn backlog(backlog: &Backlog, now_micros: i64) -> Value {
    json!({
        "records": backlog.record_count,
        "bytes": backlog.bytes,
        "oldest_age_s": backlog.oldest_micros.map(|at| age(at, now_micros)),
        "dead": backlog.dead_count,
        "dead_oldest_age_s": backlog.dead_oldest_micros.map(|at| age(at, now_micros)),
    })
}

/// A record or dead letter on one line of a list.
///
/// - `template`: of its own contract; says whether its key is masked. `None`: nobody can say, so nothing is shown.
pub fn entry(entry: &Entry, template: Option<&Template>, now_micros: i64) -> Value {
    let payload = &entry.draft.payload;
    let is_shown = template.is_some_and(|template| {
        let key = template.write.idempotent.map(|idempotent| idempotent.key_slot);
        !key.is_some_and(|slot| template.masked.contains(&slot))
    });
    let key = if is_shown { &*payload.key_text } else { MASKED };
    let dead = entry.dead.as_ref().map(|cause| {
        json!({
            "code": cause.code,
            "message": &*cause.message,
            "detail": Some(&*cause.detail).filter(|detail| !detail.is_empty()),
            "age_s": age(cause.since_micros, now_micros),
            "needs_force": entry.is_overtaken,
        })
    });
    json!({
        "id": entry.sequence.to_string(),
        "sequence": entry.sequence,
        "state": if dead.is_some() { "dead" } else { "journalled" },
        "game": &*payload.game,
        "operation": &*payload.op,
        "key": key,
        "lane": entry.draft.lane.map(|lane| format!("{:016x}", lane.0)),
        "lane_value": template.and_then(|template| lane_value(entry, template)),
        "age_s": age(payload.now_micros, now_micros),
        "bytes": entry.draft.encode().len(),
        "dead": dead,
    })
}

/// Adds why a record waits. `None`: whoever applies records has not come to it, or says nothing.
pub(super) fn with_standing(mut told: Value, standing: Option<&Standing>) -> Value {
    if let (Value::Object(members), Some(standing)) = (&mut told, standing) {
        let Standing { try_count, last, waits } = standing;
        let (state, next, behind) = match waits {
            Waits::Running => ("running", None, None),
            Waits::Next(left) => ("again", Some(left), None),
            Waits::Behind(first) => ("behind", None, Some(first)),
            Waits::Away(left) => ("away", Some(left), None),
            Waits::Turn => ("turn", None, None),
        };
        let told = json!({
            "state": state,
            "next_s": next.map(|left| left.as_millis().div_ceil(1000)),
            "behind": behind,
            "tries": try_count,
            "last": last.as_ref().map(|cause| json!({
                "code": cause.code,
                "message": &*cause.message,
                "detail": Some(&*cause.detail).filter(|detail| !detail.is_empty()),
            })),
        });
        members.insert("waits".into(), told);
    }
    told
}

/// What the hash of the lane was made of, where its template may show that.
fn lane_value(entry: &Entry, template: &Template) -> Option<String> {
    let slot = template.write.lane.filter(|slot| !template.masked.contains(slot))?;
    let value = entry.draft.payload.bound.values.get(slot)?;
    entry.draft.lane.map(|_| text_of(value))
}

/// The same, with who asked for it and its parameters.
pub fn whole_entry(whole: &Entry, template: Option<&Template>, now_micros: i64) -> Value {
    let payload = &whole.draft.payload;
    let mut params = Map::new();
    for (index, value) in payload.bound.values.iter().enumerate() {
        let slot = template.and_then(|template| template.slots.get(index));
        let is_shown = template.is_some_and(|template| !template.masked.contains(&index));
        let name = slot.map_or_else(|| format!("#{index}"), |slot| slot.name.to_string());
        params.insert(name, if is_shown { text_of(value).into() } else { MASKED.into() });
    }
    let mut told = entry(whole, template, now_micros);
    if let Value::Object(members) = &mut told {
        members.insert("caller".into(), json!(&*payload.caller));
        members.insert("trace".into(), json!(&*payload.trace));
        members.insert("template".into(), json!(format!("{:016x}", payload.version)));
        members.insert("contract".into(), json!(format!("{:016x}", payload.contract)));
        members.insert("params".into(), params.into());
    }
    told
}

fn text_of(value: &Scalar<'_>) -> String {
    let mut text = String::new();
    value.tag_text(&mut text);
    text
}

/// Seconds since then; never negative, whatever the clock does.
fn age(since_micros: i64, now_micros: i64) -> u64 {
    u64::try_from(now_micros.saturating_sub(since_micros)).unwrap_or(0) / 1_000_000
}
