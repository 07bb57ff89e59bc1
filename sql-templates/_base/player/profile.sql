-- @desc    A player with its characters and items, loaded side by side: what a game needs at login.
-- @kind    one   else 2101 PLAYER_NOT_FOUND
-- @param   player_id bigint min=1 sample=1001
-- @result  player_id bigint as string, nickname string, server_id int, player_level int,
-- @result  vip_level int, experience bigint as string, gold bigint as string, status int,
-- @result  version bigint, last_login_at timestamp(6)
-- @include characters = character.list_by_player(player_id)
-- @include items = item.list_by_player(player_id)
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/profile
-- @cache   l1=10m l2=1h negative=15s tag=player:{player_id}
SELECT p.player_id, p.nickname, p.server_id, p.player_level, p.vip_level, p.experience, p.gold,
       p.status, p.version, p.last_login_at
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9
