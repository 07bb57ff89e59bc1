-- @desc       Logs a player out everywhere: the tokens stay, revoked now.
-- @kind       exec
-- @param      player_id bigint min=1
-- @allow      game_server, admin, gm, player(player_id = claim.sub)
-- @http       POST /v1/{game}/players/{player_id}/tokens:revoke
-- @invalidate player_tokens:{player_id}
-- @audit
UPDATE auth_token
SET    revoked_at = :_now, version = version + 1
WHERE  player_id = :player_id
  AND  revoked_at IS NULL
