-- @desc       Logs out: deletes one login token.
-- @kind       exec
-- @param      player_id bigint min=1
-- @param      token_hash string(64) pattern=[0-9a-f]{64}
-- @mask       token_hash
-- @allow      game_server, admin, player(player_id = claim.sub)
-- @http       DELETE /v1/{game}/players/{player_id}/tokens/{token_hash}
-- @invalidate player_tokens:{player_id}
DELETE FROM auth_token
WHERE  token_hash = :token_hash
  AND  player_id = :player_id
