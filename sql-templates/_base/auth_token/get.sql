-- @desc    A login token by its hash.
-- The hash is hexadecimal SHA-256; the token itself is stored nowhere. Whether it has ended or was
-- revoked is the caller's to see in the reply: the reply may be older than that moment.
-- @kind    one   else 2141 TOKEN_NOT_FOUND
-- @param   player_id bigint min=1 sample=1001
-- @param   token_hash string(64) pattern=[0-9a-f]{64}
-- @result  token_id bigint as string, player_id bigint as string, token_hash string, device string,
-- @result  issued_at timestamp(6), expires_at timestamp(6), revoked_at timestamp(6), version bigint
-- @version version
-- @mask    token_hash
-- @allow   game_server, admin
-- @http    GET /v1/{game}/players/{player_id}/tokens/{token_hash}
-- @cache   l1=30m l2=2h negative=5s tag=player_tokens:{player_id}
SELECT t.token_id, t.player_id, t.token_hash, t.device, t.issued_at, t.expires_at, t.revoked_at,
       t.version
FROM   auth_token t
WHERE  t.token_hash = :token_hash
  AND  t.player_id = :player_id
