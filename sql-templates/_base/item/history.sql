-- @desc   What a player was given and what was taken, the newest first.
-- @kind   page
-- @param  player_id bigint min=1 sample=1001
-- @result entry_id bigint as string, request_id string, item_type int, qty int, reason string,
-- @result created_at timestamp(6)
-- @page   keyset = l.entry_id DESC  default=50 max=200
-- @allow  game_server, admin, gm
-- @http   GET /v1/{game}/players/{player_id}/items:history
SELECT l.entry_id, l.request_id, l.item_type, l.qty, l.reason, l.created_at
FROM   item_ledger l
WHERE  l.player_id = :player_id
  AND  1 = 1                           -- #keyset
ORDER BY l.entry_id DESC
