-- @desc   One player by id, kept in the cache.
-- @kind   one   else 2101 PLAYER_NOT_FOUND
-- @param  player_id bigint min=1 sample=1
-- @result id bigint, name string, level int, exp bigint, gold bigint, diamonds int, vip int, guild_id bigint,
-- @result status int, created_at timestamp(0), updated_at timestamp(0)
-- @allow  game_server, player
-- @http   GET /v1/{game}/players/{player_id}
-- @cache  l1=10m l2=1h negative=15s tag=player:{player_id}
SELECT id, name, level, exp, gold, diamonds, vip, guild_id, status, created_at, updated_at
FROM   players
WHERE  id = :player_id
