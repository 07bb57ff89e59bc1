-- game1 lets nobody trade before level 10: what bots make is never worth moving.
-- @extends
-- @replace step sender

-- @step sender one rows = 1 else 2106 LEVEL_TOO_LOW [409]
SELECT p.player_level
FROM   player p
WHERE  p.player_id = :from_player
  AND  p.status = 1
  AND  p.player_level >= 10
