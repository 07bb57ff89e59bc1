//! The steps of a write in Redis, each one atomic script.
//!
//! Per tag there is a random generation and a sorted set of writers in flight, scored with when they
//! expire by Redis' own clock. The set lives until its last member expires: a writer that died closes
//! the tag until then and no longer. Dead members leave when a writer ends.
//!
//! A cluster would run each script once a slot, the PUBLISH last: validity is judged by what a reader
//! finds per tag, so the scripts need not be atomic over tags.

use std::time::Duration;

use redis::{Script, ScriptInvocation};

use super::{GENERATION_LIFE_MS, L2, L2Error, message, random};
use crate::cache::{Tag, l1};

/// Keys: generation and writers of each tag. Arguments: channel, message, generations' life, writer,
/// window, then a generation for each tag.
const BEGIN: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #KEYS, 2 do
    local generation, writers = KEYS[i], KEYS[i + 1]
    redis.call('ZADD', writers, string.format('%.0f', now + ARGV[5]), ARGV[4])
    redis.call('PEXPIREAT', writers, redis.call('ZRANGE', writers, -1, -1, 'WITHSCORES')[2])
    redis.call('SET', generation, ARGV[5 + (i + 1) / 2], 'PX', ARGV[3])
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
";

/// As [`BEGIN`], without a window. Also delivers what is owed, with a writer that nobody is.
const END: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 1, #KEYS, 2 do
    local generation, writers = KEYS[i], KEYS[i + 1]
    redis.call('SET', generation, ARGV[4 + (i + 1) / 2], 'PX', ARGV[3])
    redis.call('ZREM', writers, ARGV[4])
    redis.call('ZREMRANGEBYSCORE', writers, '-inf', now)
    local last = redis.call('ZRANGE', writers, -1, -1, 'WITHSCORES')[2]
    if last then redis.call('PEXPIREAT', writers, last) end
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
";

/// Keys: the server's name, the epoch. Arguments: this server's run, channel, message, generations'
/// life, a generation. Always writes, so that a server that refuses writes is not used.
const MEET: &str = r"
local before = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1])
if before ~= ARGV[1] then
    redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[4])
    redis.call('PUBLISH', ARGV[2], ARGV[3])
end
";

/// The scripts, with their hashes.
#[derive(Debug)]
pub(super) struct Scripts {
    begin: Script,
    end: Script,
    meet: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self { begin: Script::new(BEGIN), end: Script::new(END), meet: Script::new(MEET) }
    }

    /// Step 1 of a write.
    pub(super) fn begin(
        &self,
        l2: &L2,
        tags: &[Tag],
        writer: u64,
        window: Duration,
    ) -> Result<ScriptInvocation<'_>, L2Error> {
        let mut call = self.begin.prepare_invoke();
        tell(&mut call, l2, tags);
        call.arg(writer).arg(l1::millis(window).max(1));
        put_tags(&mut call, l2, tags)?;
        Ok(call)
    }

    /// Step 3 of a write.
    pub(super) fn end(
        &self,
        l2: &L2,
        tags: &[Tag],
        writer: u64,
    ) -> Result<ScriptInvocation<'_>, L2Error> {
        let mut call = self.end.prepare_invoke();
        tell(&mut call, l2, tags);
        call.arg(writer);
        put_tags(&mut call, l2, tags)?;
        Ok(call)
    }

    /// Meets a server: unless the namespace's epoch is of this very run of it, there is a new epoch.
    /// A server restored from a dump or a replica that took over may have forgotten writes.
    pub(super) fn meet(&self, l2: &L2, run: &str) -> Result<ScriptInvocation<'_>, L2Error> {
        let mut call = self.meet.prepare_invoke();
        call.key(l2.names.server()).key(l2.names.generation(Tag::EVERYTHING)).arg(run);
        tell(&mut call, l2, &[Tag::EVERYTHING]);
        call.arg(&random()?.to_be_bytes());
        Ok(call)
    }
}

fn tell(call: &mut ScriptInvocation<'_>, l2: &L2, tags: &[Tag]) {
    call.arg(l2.names.channel())
        .arg(message::encode(l2.instance, tags))
        .arg(GENERATION_LIFE_MS.saturating_mul(2));
}

fn put_tags(call: &mut ScriptInvocation<'_>, l2: &L2, tags: &[Tag]) -> Result<(), L2Error> {
    for tag in tags {
        call.key(l2.names.generation(*tag)).key(l2.names.writers(*tag));
        call.arg(&random()?.to_be_bytes());
    }
    Ok(())
}
