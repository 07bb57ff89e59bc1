-- @desc    One player by id. Called at every login.
-- @kind    one   else 2101 PLAYER_NOT_FOUND
-- @param   player_id bigint min=1 sample=1001
-- @result  player_id bigint as string, account_name string, nickname string, server_id int,
-- @result  player_level int, vip_level int, experience bigint as string, gold bigint as string,
-- @result  status int, version bigint, created_at timestamp(6), last_login_at timestamp(6)
-- @version version
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}
-- @cache   l1=10m l2=1h negative=15s tag=player:{player_id}
SELECT p.player_id, p.account_name, p.nickname, p.server_id, p.player_level, p.vip_level,
       p.experience, p.gold, p.status, p.version, p.created_at, p.last_login_at
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9
