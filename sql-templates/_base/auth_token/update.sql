-- @desc       Extends a login token that is not revoked.
-- @kind       exec  affected = 1
-- @param      player_id bigint min=1
-- @param      token_hash string(64) pattern=[0-9a-f]{64}
-- @param      version bigint min=1
-- @param      expires_at timestamp(6)
-- @mask       token_hash
-- @version    version
-- @current    auth_token.get(player_id, token_hash)
-- @allow      game_server
-- @http       PATCH /v1/{game}/players/{player_id}/tokens/{token_hash}
-- @invalidate player_tokens:{player_id}
UPDATE auth_token
SET    expires_at = :expires_at, version = version + 1
WHERE  token_hash = :token_hash
  AND  player_id = :player_id
  AND  version = :version
  AND  revoked_at IS NULL
