-- @desc   The same fifty players, kept in the cache.
-- @kind   many
-- @param  player_id bigint min=1 sample=1
-- @result id bigint, name string, level int, exp bigint, gold bigint, diamonds int, vip int, guild_id bigint,
-- @result status int, created_at timestamp(0), updated_at timestamp(0)
-- @limit  50
-- @allow  game_server
-- @cache  l1=10m l2=1h tag=players
SELECT id, name, level, exp, gold, diamonds, vip, guild_id, status, created_at, updated_at
FROM   players
WHERE  id >= :player_id AND id < :player_id + 50
ORDER  BY id
