//! `@idempotent`, `@async`, `@retry`, `@return` and guards: what only writes declare.

use std::time::Duration;

use super::reader::{Fault, Reader};
use super::rules::{business_error, comparison};
use crate::catalog::{Asynchronous, Guard, Isolation, Retry};

/// Longest time that a repeat is recognised: the keys of that time stand in the database.
const TTL_MAX: Duration = Duration::from_hours(90 * 24);
/// How long a repeat is recognised where nothing is said.
const TTL_DEFAULT: Duration = Duration::from_hours(24);
/// Most records of one transaction.
const BATCH_COUNT_MAX: u32 = 10_000;
/// Longest time that a record waits for others.
const LINGER_MAX: Duration = Duration::from_secs(10);
/// Most failures of a record before it is a dead letter; its lane waits as long.
const FAILURE_COUNT_MAX: u32 = 1_000;
/// Most repetitions after a deadlock.
const RETRY_COUNT_MAX: u32 = 100;
/// Longest topic, and longest name of an event, in characters.
const EVENT_NAME_MAX: usize = 64;

/// `@idempotent key=request_id ttl=24h`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdempotentDecl {
    /// The parameter with the key.
    pub(crate) key: Box<str>,
    pub(crate) ttl: Duration,
}

/// `@return gold = after.gold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReturnDecl {
    pub(crate) name: Box<str>,
    /// Step and member; `None`: `_id`.
    pub(crate) value: Option<(Box<str>, Box<str>)>,
}

/// `@emit player.changed player_id, gold`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EmitDecl {
    pub(crate) topic: Box<str>,
    pub(crate) event: Box<str>,
    /// What it carries; none: what the operation's parameters say.
    pub(crate) fields: Vec<Box<str>>,
}

/// `affected = 1`, without what a failure answers; `None` when no such word is next.
pub(crate) fn guard(reader: &mut Reader<'_>, word: &str) -> Result<Option<Guard>, Fault> {
    if !reader.eat_word(word) {
        return Ok(None);
    }
    let comparison = comparison(reader)?;
    Ok(Some(Guard { comparison, count: reader.number()?, error: None }))
}

/// `affected = 1 else 2105 STALE [412]`: of `@kind exec` and `@kind batch`.
pub(super) fn kind_guard(reader: &mut Reader<'_>) -> Result<Option<Guard>, Fault> {
    let Some(mut guard) = guard(reader, "affected")? else { return Ok(None) };
    if reader.eat_word("else") {
        guard.error = Some(business_error(reader, 409)?);
    }
    Ok(Some(guard))
}

/// `isolation=read_committed`, or nothing.
pub(super) fn isolation(reader: &mut Reader<'_>) -> Result<Option<Isolation>, Fault> {
    let levels = [
        ("read_committed", Isolation::ReadCommitted),
        ("repeatable_read", Isolation::RepeatableRead),
        ("serializable", Isolation::Serializable),
    ];
    let mut chosen = None;
    reader.options(|reader, option| {
        if option != "isolation" {
            return Ok(false);
        }
        chosen = levels.iter().find(|(name, _)| reader.eat_word(name)).map(|(_, level)| *level);
        if chosen.is_none() {
            let fix = format!("use {}", levels.map(|(name, _)| name).join(", "));
            return reader.fault("no such isolation", fix);
        }
        Ok(true)
    })?;
    Ok(chosen)
}

/// `key=request_id ttl=24h`.
pub(super) fn idempotent(reader: &mut Reader<'_>) -> Result<IdempotentDecl, Fault> {
    let (mut key, mut ttl) = (None, TTL_DEFAULT);
    reader.options(|reader, option| {
        match option {
            "key" => key = Some(reader.name()?.into()),
            "ttl" => ttl = within(reader, Duration::from_secs(1), TTL_MAX)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match key {
        Some(key) => Ok(IdempotentDecl { key, ttl }),
        None => reader.fault("`key=` is missing", "name the parameter: `key=request_id`"),
    }
}

/// `max=500 linger=5ms dead=10 priority=high`.
pub(super) fn asynchronous(reader: &mut Reader<'_>) -> Result<Asynchronous, Fault> {
    let mut decl = Asynchronous {
        batch_count_max: 500,
        linger: Duration::from_millis(5),
        failure_count_max: 10,
        is_urgent: false,
    };
    reader.options(|reader, option| {
        match option {
            "max" => decl.batch_count_max = positive(reader, BATCH_COUNT_MAX)?,
            "dead" => decl.failure_count_max = positive(reader, FAILURE_COUNT_MAX)?,
            "linger" => decl.linger = within(reader, Duration::ZERO, LINGER_MAX)?,
            "priority" if reader.eat_word("high") => decl.is_urgent = true,
            "priority" if reader.eat_word("normal") => decl.is_urgent = false,
            "priority" => return reader.fault("no such priority", "use high or normal"),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(decl)
}

/// `3 on=deadlock,lock_timeout`.
pub(super) fn retry(reader: &mut Reader<'_>) -> Result<Retry, Fault> {
    let count = positive(reader, RETRY_COUNT_MAX)?;
    let mut decl = Retry { count, on_deadlock: false, on_lock_timeout: false };
    reader.options(|reader, option| {
        if option != "on" {
            return Ok(false);
        }
        reader.list(|reader| {
            if reader.eat_word("deadlock") {
                decl.on_deadlock = true;
            } else if reader.eat_word("lock_timeout") {
                decl.on_lock_timeout = true;
            } else {
                return reader.fault("no such cause", "use deadlock, lock_timeout");
            }
            Ok(())
        })?;
        Ok(true)
    })?;
    if !decl.on_deadlock && !decl.on_lock_timeout {
        (decl.on_deadlock, decl.on_lock_timeout) = (true, true);
    }
    Ok(decl)
}

/// `x = step.col`, `x = _id`.
pub(super) fn returned(reader: &mut Reader<'_>) -> Result<ReturnDecl, Fault> {
    let name = reader.name()?.to_ascii_lowercase().into();
    reader.expect("=")?;
    if reader.eat_word("_id") {
        return Ok(ReturnDecl { name, value: None });
    }
    let step = reader.name()?.into();
    reader.expect(".")?;
    let member = reader.name()?.to_ascii_lowercase().into();
    Ok(ReturnDecl { name, value: Some((step, member)) })
}

/// `TOPIC.EVENT [FIELD, …]`.
pub(super) fn emit(reader: &mut Reader<'_>) -> Result<EmitDecl, Fault> {
    let at = {
        reader.rest();
        reader.at()
    };
    let path = reader.path()?;
    let Some((topic, event)) = path.rsplit_once('.') else {
        let fix = "write `TOPIC.EVENT`: `player.level_changed`";
        return Err(Fault::new(at, "an event has a topic and a name", fix));
    };
    if topic.len() > EVENT_NAME_MAX || event.len() > EVENT_NAME_MAX {
        let fix = format!("write at most {EVENT_NAME_MAX} characters each");
        return Err(Fault::new(at, "the topic or the event's name is too long", fix));
    }
    let fields = if reader.is_empty() {
        Vec::new()
    } else {
        reader.list(|reader| reader.name().map(Into::into))?
    };
    Ok(EmitDecl { topic: topic.into(), event: event.into(), fields })
}

/// `step NAME`.
pub(super) fn replace(reader: &mut Reader<'_>) -> Result<Box<str>, Fault> {
    reader.expect_word("step")?;
    Ok(reader.name()?.into())
}

fn positive(reader: &mut Reader<'_>, max: u32) -> Result<u32, Fault> {
    let number = reader.number()?;
    if !(1..=max).contains(&number) {
        return reader.fault(format!("{number} is out of range"), format!("write 1 to {max}"));
    }
    Ok(number)
}

fn within(reader: &mut Reader<'_>, min: Duration, max: Duration) -> Result<Duration, Fault> {
    let time = reader.duration()?;
    if time < min || time > max {
        let fix = format!("write {}s to {}s", min.as_secs(), max.as_secs());
        return reader.fault("the time is out of range", fix);
    }
    Ok(time)
}
