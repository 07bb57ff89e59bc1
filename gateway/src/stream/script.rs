//! The steps of an order's life in Redis, each one atomic script.
//!
//! One server: a script's keys lie together. Redis Cluster is not served.

use redis::Script;

/// Keys: request, stream, counter, dead letters, and the lane's where there is one. Arguments: hash of the
/// parameters, record, most entries of the stream and dead letters, state. Returns what became of it, and its number.
///
/// Numbers are given here, not taken from Redis' clock: they are dense and never go back.
const APPEND: &str = r"
local known = redis.call('HMGET', KEYS[1], 'p', 'n')
if known[1] then
    if known[1] ~= ARGV[1] then return {2, tonumber(known[2])} end
    return {1, tonumber(known[2])}
end
local kept = redis.call('XLEN', KEYS[2]) + redis.call('XLEN', KEYS[4])
if kept >= tonumber(ARGV[3]) then return {3, 0} end
local n = redis.call('INCR', KEYS[3])
redis.call('XADD', KEYS[2], string.format('%.0f-0', n), 'd', ARGV[2])
redis.call('HSET', KEYS[1], 'p', ARGV[1], 'n', n, 's', ARGV[4])
if KEYS[5] then redis.call('HSET', KEYS[5], 'last', n) end
return {0, n}
";

/// Keys: owner, token. Arguments: instance, lease. Returns the new token, or 0: another instance has it.
///
/// A token is larger than the last one, and than one of a Redis that forgot: it is not below the time.
const TAKE: &str = r"
local owner = redis.call('GET', KEYS[1])
local own = ARGV[1] .. ' '
if owner and string.sub(owner, 1, #own) ~= own then return 0 end
local time = redis.call('TIME')
local token = math.max(redis.call('INCR', KEYS[2]), time[1] * 1000 + math.floor(time[2] / 1000))
local text = string.format('%.0f', token)
redis.call('SET', KEYS[2], text)
redis.call('SET', KEYS[1], own .. text, 'PX', ARGV[2])
return token
";

/// Keys: owner. Arguments: instance and token, lease. Returns 0 when another one owns it.
const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

/// Keys: owner. Arguments: instance and token.
const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// Keys: owner, stream, then request and lane of each record. Arguments: instance and token, life of a key, then
/// each record's number, and 1 where there is a lane. Returns 0 when another one owns it.
const DONE: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 3, #KEYS, 2 do
    local n, has_lane = ARGV[i], ARGV[i + 1]
    local is_there = redis.call('XDEL', KEYS[2], n .. '-0') == 1
    if redis.call('HGET', KEYS[i], 'n') == n then
        redis.call('HSET', KEYS[i], 's', 'a')
        redis.call('PEXPIRE', KEYS[i], ARGV[2])
    end
    if is_there and has_lane == '1' then
        if redis.call('HGET', KEYS[i + 1], 'last') == n then
            redis.call('DEL', KEYS[i + 1])
        else
            redis.call('HSET', KEYS[i + 1], 'done', n)
        end
    end
end
return 1
";

/// Keys: owner, stream, dead letters, request, lane. Arguments: instance and token, number, whether there is a
/// lane, record, code, message, since when, state, detail. Returns 0 when another one owns it.
const BURY: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local n = ARGV[2]
if redis.call('XDEL', KEYS[2], n .. '-0') == 0 then return 1 end
redis.call('XADD', KEYS[3], '*', 'd', ARGV[4], 'n', n, 'c', ARGV[5], 'm', ARGV[6], 't', ARGV[7],
    'w', ARGV[9])
redis.call('HSET', KEYS[4], 's', ARGV[8])
if ARGV[3] == '1' then
    if redis.call('HGET', KEYS[5], 'last') == n then
        redis.call('DEL', KEYS[5])
    else
        redis.call('HSET', KEYS[5], 'done', n)
    end
end
return 1
";

/// The scripts, with their hashes.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) append: Script,
    pub(super) take: Script,
    pub(super) renew: Script,
    pub(super) release: Script,
    pub(super) done: Script,
    pub(super) bury: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            append: Script::new(APPEND),
            take: Script::new(TAKE),
            renew: Script::new(RENEW),
            release: Script::new(RELEASE),
            done: Script::new(DONE),
            bury: Script::new(BURY),
        }
    }
}
