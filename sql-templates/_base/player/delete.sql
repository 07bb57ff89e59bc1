-- @desc       Deletes a player by marking it: orders and logs go on naming it.
-- @kind       exec  affected = 1
-- @param      player_id bigint min=1
-- @param      version bigint min=1
-- @version    version
-- @current    player.get(player_id)
-- @allow      admin
-- @http       DELETE /v1/{game}/players/{player_id}
-- @invalidate player:{player_id}
-- @audit
UPDATE player
SET    status = 9, version = version + 1
WHERE  player_id = :player_id
  AND  version = :version
  AND  status <> 9
