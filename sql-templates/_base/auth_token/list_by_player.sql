-- @desc   The logins of a player: where it is logged in, without the hashes.
-- @kind   many
-- @param  player_id bigint min=1 sample=1001
-- @result token_id bigint as string, device string, issued_at timestamp(6),
-- @result expires_at timestamp(6), revoked_at timestamp(6)
-- @allow  game_server, admin, gm, player(player_id = claim.sub)
-- @http   GET /v1/{game}/players/{player_id}/tokens
-- @cache  l1=30m l2=2h tag=player_tokens:{player_id}
-- @limit  200
SELECT t.token_id, t.device, t.issued_at, t.expires_at, t.revoked_at
FROM   auth_token t
WHERE  t.player_id = :player_id
ORDER BY t.token_id
