-- @desc   Several players by id, at most 100. Ids without a player are left out.
-- @kind   many
-- @param  player_ids list(bigint) max_items=100
-- @result player_id bigint as string, nickname string, server_id int, player_level int,
-- @result vip_level int, status int, version bigint
-- @allow  game_server, admin, gm
-- @http   GET /v1/{game}/players:batch_get
-- @cache  l1=10m l2=1h tag=player:{player_ids}
-- @limit  100
SELECT p.player_id, p.nickname, p.server_id, p.player_level, p.vip_level, p.status, p.version
FROM   player p
WHERE  p.player_id IN (:player_ids)
  AND  p.status <> 9
ORDER BY p.player_id
