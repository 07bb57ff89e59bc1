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
        local lane = redis.call('HMGET', KEYS[i + 1], 'last', 'dead')
        if lane[1] == n and not lane[2] then
            redis.call('DEL', KEYS[i + 1])
        else
            redis.call('HSET', KEYS[i + 1], 'done', n)
        end
    end
end
return 1
";

/// A lane that has dead letters is remembered, so that who tries one again knows what came after it.
///
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
    redis.call('HSET', KEYS[5], 'done', n)
    redis.call('HINCRBY', KEYS[5], 'dead', 1)
end
return 1
";

/// Keys: stream, counter, dead letters, request, lane. Arguments: entry, number, whether to do it behind later
/// orders, whether there is a lane, hash of the parameters, state. Returns 1 and the new number; 0: no such letter;
/// 2: it would come behind later orders of its lane, or one that died before lanes were remembered may.
const RETRY: &str = r"
local entry = redis.call('XRANGE', KEYS[3], ARGV[1], ARGV[1])[1]
if not entry then return {0, 0} end
if ARGV[4] == '1' and ARGV[3] ~= '1' then
    local lane = redis.call('HMGET', KEYS[5], 'last', 'dead')
    if not lane[2] or (lane[1] and tonumber(lane[1]) > tonumber(ARGV[2])) then return {2, 0} end
end
local record
for i = 1, #entry[2], 2 do
    if entry[2][i] == 'd' then record = entry[2][i + 1] end
end
local n = redis.call('INCR', KEYS[2])
redis.call('XADD', KEYS[1], string.format('%.0f-0', n), 'd', record)
redis.call('HSET', KEYS[4], 'p', ARGV[5], 'n', n, 's', ARGV[6])
redis.call('XDEL', KEYS[3], ARGV[1])
if ARGV[4] == '1' then
    redis.call('HSET', KEYS[5], 'last', n)
    if redis.call('HINCRBY', KEYS[5], 'dead', -1) <= 0 then redis.call('HDEL', KEYS[5], 'dead') end
end
return {1, n}
";

/// Keys: dead letters, request, lane. Arguments: entry, number, whether there is a lane. Returns 0: no such letter.
const FORGET: &str = r"
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
if redis.call('HGET', KEYS[2], 'n') == ARGV[2] then redis.call('DEL', KEYS[2]) end
if ARGV[3] == '1' and redis.call('HINCRBY', KEYS[3], 'dead', -1) <= 0 then
    redis.call('HDEL', KEYS[3], 'dead')
    local lane = redis.call('HMGET', KEYS[3], 'last', 'done')
    if lane[2] and tonumber(lane[2]) >= tonumber(lane[1] or 0) then redis.call('DEL', KEYS[3]) end
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
    pub(super) retry: Script,
    pub(super) forget: Script,
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
            retry: Script::new(RETRY),
            forget: Script::new(FORGET),
        }
    }
}
