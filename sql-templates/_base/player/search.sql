-- @desc   Players of one server. Lines ending in "-- ?" apply only when their parameter is given.
-- @kind   page
-- @param  server_id int min=1 sample=1
-- @param  name_prefix string(32) optional like=prefix
-- @param  level_min int optional min=1
-- @param  vip_levels list(int) optional max_items=20
-- @param  sort enum(newest,level) default=newest
-- @order  newest = p.created_at DESC, p.player_id DESC
-- @order  level  = p.player_level DESC, p.player_id DESC
-- @result player_id bigint as string, nickname string, player_level int, vip_level int,
-- @result status int, created_at timestamp(6), last_login_at timestamp(6)
-- @page   keyset = @sort default=20 max=100
-- @allow  admin, gm
-- @http   GET /v1/{game}/players
SELECT p.player_id, p.nickname, p.player_level, p.vip_level, p.status, p.created_at,
       p.last_login_at
FROM   player p
WHERE  p.server_id = :server_id
  AND  p.status <> 9
  AND  p.nickname LIKE :name_prefix    -- ?
  AND  p.player_level >= :level_min    -- ?
  AND  p.vip_level IN (:vip_levels)    -- ?
  AND  1 = 1                           -- #keyset
ORDER BY /* #sort */ p.created_at DESC, p.player_id DESC
