-- @desc    What a player has in its wallet, by currency.
-- @kind    many
-- @param   player_id bigint min=1 sample=1001
-- @result  currency string, balance bigint as string, version bigint
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/wallet
-- @cache   l1=1m l2=10m tag=player_wallet:{player_id}
-- @limit   50
SELECT w.currency, w.balance, w.version
FROM   player_wallet w
WHERE  w.player_id = :player_id
ORDER BY w.currency
