-- @desc   One player by id, kept in Redis and not in the gateway's own memory.
-- @kind   one   else 2101 PLAYER_NOT_FOUND
-- @param  player_id bigint min=1 sample=1
-- @result id bigint, name string, level int, exp bigint, gold bigint, diamonds int, vip int, guild_id bigint,
-- @result status int, created_at timestamp(0), updated_at timestamp(0)
-- @allow  game_server
-- @cache  l2=1h tag=player:{player_id}
SELECT id, name, level, exp, gold, diamonds, vip, guild_id, status, created_at, updated_at
FROM   players
WHERE  id = :player_id
