-- @desc   Login tokens that end before a moment, the oldest first: for cleaning up.
-- @kind   page
-- @param  expires_before timestamp(6)
-- @param  device string(64) optional
-- @result token_id bigint as string, player_id bigint as string, device string,
-- @result issued_at timestamp(6), expires_at timestamp(6), revoked_at timestamp(6)
-- @page   keyset = t.expires_at ASC, t.token_id ASC  default=50 max=500
-- @allow  admin
-- @http   GET /v1/{game}/tokens
SELECT t.token_id, t.player_id, t.device, t.issued_at, t.expires_at, t.revoked_at
FROM   auth_token t
WHERE  t.expires_at < :expires_before
  AND  t.device = :device              -- ?
  AND  1 = 1                           -- #keyset
ORDER BY t.expires_at ASC, t.token_id ASC
