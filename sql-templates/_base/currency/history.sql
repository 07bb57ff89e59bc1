-- @desc   What a wallet was given and what was taken, the newest first.
-- @kind   page
-- @param  player_id bigint min=1 sample=1001
-- @result entry_id bigint as string, request_id string, currency string, amount bigint as string,
-- @result balance_after bigint as string, reason string, created_at timestamp(6)
-- @page   keyset = l.entry_id DESC  default=50 max=200
-- @allow  game_server, admin, gm
-- @http   GET /v1/{game}/players/{player_id}/wallet:history
SELECT l.entry_id, l.request_id, l.currency, l.amount, l.balance_after, l.reason, l.created_at
FROM   wallet_ledger l
WHERE  l.player_id = :player_id
  AND  1 = 1                           -- #keyset
ORDER BY l.entry_id DESC
