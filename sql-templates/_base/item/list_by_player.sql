-- @desc    The bag of a player.
-- @kind    many
-- @param   player_id bigint min=1 sample=1001
-- @result  item_id bigint as string, player_id bigint as string, item_type int, qty int,
-- @result  acquired_at timestamp(6), expires_at timestamp(6), version bigint
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/items
-- @cache   l1=3m l2=15m tag=player_items:{player_id}
-- @limit   500
SELECT i.item_id, i.player_id, i.item_type, i.qty, i.acquired_at, i.expires_at, i.version
FROM   player_item i
WHERE  i.player_id = :player_id
ORDER BY i.item_type
