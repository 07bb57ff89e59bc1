-- @desc       Notes that a player logged in now.
-- @kind       exec
-- @param      player_id bigint min=1
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/logins
-- @invalidate player:{player_id}
UPDATE player
SET    last_login_at = :_now, version = version + 1
WHERE  player_id = :player_id
  AND  status <> 9
