-- @desc    Several items of a player by id, at most 200. Ids that are not the player's are left out.
-- @kind    many
-- @param   player_id bigint min=1 sample=1001
-- @param   item_ids list(bigint) max_items=200
-- @result  item_id bigint as string, player_id bigint as string, item_type int, qty int,
-- @result  acquired_at timestamp(6), expires_at timestamp(6), version bigint
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/items:batch_get
-- @cache   l1=3m l2=15m tag=player_items:{player_id}
-- @limit   200
SELECT i.item_id, i.player_id, i.item_type, i.qty, i.acquired_at, i.expires_at, i.version
FROM   player_item i
WHERE  i.item_id IN (:item_ids)
  AND  i.player_id = :player_id
ORDER BY i.item_id
