//! Where a game stands, as `gateway switch GAME status` tells it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::backend::switch::{Check, Instance, Phase, State, Status};

/// Refused rows that a status for people has.
const SHOWN_MAX: usize = 20;

/// Where the game stands, for people.
pub(super) fn for_people(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write_people(&mut text, status);
    text
}

fn write_people(text: &mut String, status: &Status) -> std::fmt::Result {
    let Some(state) = &status.state else {
        return writeln!(text, "no mirror was ever begun");
    };
    writeln!(
        text,
        "phase     {}, since {} by {}\nowner     {} (epoch {})\nmirror    {}",
        state.phase.name(),
        state.changed_at,
        state.changed_by,
        state.owner,
        state.epoch,
        state.mirror.as_deref().unwrap_or("none")
    )?;
    if state.phase == Phase::Single {
        return Ok(());
    }
    if state.phase.is_flip() {
        writeln!(
            text,
            "FLIP      attempt {}, from `{}` to `{}`, for {} ms in this phase",
            state.flip_id, status.owner, status.mirror, status.phase_ms
        )?;
    }
    match &status.holder {
        Some(holder) => writeln!(
            text,
            "copier    {}, {} rows copied",
            match &holder.name {
                Some(name) => format!("{name}, heard of {} ms ago", status.silent_ms),
                None => "nobody".to_owned(),
            },
            status.copied
        )?,
        None => writeln!(text, "copier    nobody")?,
    }
    let (waiting, age) = (status.depth.count_max, status.age_ms);
    writeln!(text, "outbox    {waiting} rows at most, the first one for {age} ms")?;
    if status.missing_trigger_count > 0 {
        let count = status.missing_trigger_count;
        writeln!(
            text,
            "TRIGGERS  {count} are missing: changes were lost; repeat `mirror`, then reconcile"
        )?;
    }
    for table in &status.tables {
        let done = if table.is_done { "all" } else { "so far" };
        writeln!(text, "  {}: {} rows put in, {done}", table.name, table.touched)?;
    }
    let count = status.refused.len();
    if count > 0 {
        writeln!(text, "refused   {count} rows that the mirror does not take:")?;
    }
    for row in status.refused.iter().take(SHOWN_MAX) {
        writeln!(text, "  {} {}: {}", row.table, row.key, row.fault)?;
    }
    write_gateways(text, status)?;
    for Check { name, fault } in &status.checks {
        match fault {
            Some(fault) => writeln!(text, "flip      NO: {name}: {fault}")?,
            None => writeln!(text, "flip      ok: {name}")?,
        }
    }
    Ok(())
}

fn write_gateways(text: &mut String, status: &Status) -> std::fmt::Result {
    for gateway in &status.instances {
        let (name, state, epoch) = (&gateway.name, gateway.state.name(), gateway.epoch);
        let fault = gateway.fault.as_deref().map_or(String::new(), |fault| format!(": {fault}"));
        let pause = gateway.pause_ms;
        let letters = match gateway.dead_letters {
            Some(0) => String::new(),
            Some(count) => format!(", {count} dead letters"),
            None => ", dead letters not counted".to_owned(),
        };
        writeln!(
            text,
            "gateway   {name}: {state}, epoch {epoch}, last pause {pause} ms{letters}{fault}"
        )?;
    }
    if status.instances.is_empty() {
        writeln!(text, "gateway   none runs, as far as is known")?;
    }
    Ok(())
}

/// The same for programs.
pub(super) fn for_programs(status: &Status) -> String {
    let state = |state: &Option<State>| {
        state.as_ref().map(|state| {
            json!({
                "phase": state.phase.name(), "epoch": state.epoch, "owner": state.owner,
                "mirror": state.mirror, "changed_at": state.changed_at, "changed_by": state.changed_by,
                "flip_id": state.flip_id, "sample_ppm": state.sample_ppm,
            })
        })
    };
    let tables = status.tables.iter().map(|table| {
        json!({
            "table": table.name, "rows_put_in": table.touched, "is_done": table.is_done,
            "last_key": table.last_key,
        })
    });
    let refused = status
        .refused
        .iter()
        .map(|row| json!({ "table": row.table, "key": row.key, "fault": row.fault }));
    let text = json!({
        "state": state(&status.state),
        "mirror_state": state(&status.mirror_state),
        "tables": tables.collect::<Vec<_>>(),
        "outbox_rows": status.depth.count_max,
        "outbox_age_ms": status.age_ms,
        "copier": status.holder.as_ref().and_then(|holder| holder.name.as_ref()),
        "copier_silent_ms": status.silent_ms,
        "copied_rows": status.copied,
        "missing_triggers": status.missing_trigger_count,
        "refused": refused.collect::<Vec<_>>(),
        "gateways": status.instances.iter().map(instance).collect::<Vec<_>>(),
        "checks": status.checks.iter().map(check).collect::<Vec<_>>(),
    });
    format!("{text:#}\n")
}

/// A gateway, for programs.
pub(super) fn instance(gateway: &Instance) -> Value {
    json!({
        "name": gateway.name, "state": gateway.state.name(), "epoch": gateway.epoch,
        "flip_id": gateway.flip_id, "fault": gateway.fault, "pause_ms": gateway.pause_ms,
        "dead_letters": gateway.dead_letters,
    })
}

/// A check before a flip, for programs.
pub(super) fn check(check: &Check) -> Value {
    json!({ "check": check.name, "fault": check.fault })
}
