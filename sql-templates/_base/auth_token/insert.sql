-- @desc       Records a login token by its hash. The gateway gives the id.
-- @kind       exec
-- @param      player_id bigint min=1
-- @param      token_hash string(64) pattern=[0-9a-f]{64}
-- @param      device string(64) pattern=(?s).+
-- @param      expires_at timestamp(6)
-- @mask       token_hash
-- @on         duplicate_key else 2142 TOKEN_EXISTS [409]
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/tokens
-- @invalidate player_tokens:{player_id}
INSERT INTO auth_token (token_id, player_id, token_hash, device, issued_at, expires_at, version)
VALUES (:_id, :player_id, :token_hash, :device, :_now, :expires_at, 1)
