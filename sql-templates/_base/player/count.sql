-- @desc   How many players a search would find. Ask for it only where a total is shown.
-- @kind   one
-- @param  server_id int min=1 sample=1
-- @param  level_min int optional min=1
-- @result player_count bigint
-- @allow  admin, gm
-- @http   GET /v1/{game}/players:count
SELECT COUNT(*) AS player_count
FROM   player p
WHERE  p.server_id = :server_id
  AND  p.status <> 9
  AND  p.player_level >= :level_min    -- ?
