-- @desc    Several login tokens of a player by hash, at most 50.
-- @kind    many
-- @param   player_id bigint min=1 sample=1001
-- @param   token_hashes list(string(64)) max_items=50
-- @result  token_id bigint as string, player_id bigint as string, token_hash string, device string,
-- @result  issued_at timestamp(6), expires_at timestamp(6), revoked_at timestamp(6), version bigint
-- @mask    token_hashes
-- @allow   game_server, admin
-- @http    GET /v1/{game}/players/{player_id}/tokens:batch_get
-- @cache   l1=30m l2=2h tag=player_tokens:{player_id}
-- @limit   50
SELECT t.token_id, t.player_id, t.token_hash, t.device, t.issued_at, t.expires_at, t.revoked_at,
       t.version
FROM   auth_token t
WHERE  t.token_hash IN (:token_hashes)
  AND  t.player_id = :player_id
ORDER BY t.token_id
