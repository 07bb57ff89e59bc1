-- @desc    One item of a player.
-- @kind    one   else 2121 ITEM_NOT_FOUND
-- @param   player_id bigint min=1 sample=1001
-- @param   item_id bigint min=1 sample=10010001
-- @result  item_id bigint as string, player_id bigint as string, item_type int, qty int,
-- @result  acquired_at timestamp(6), expires_at timestamp(6), version bigint
-- @version version
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/items/{item_id}
-- @cache   l1=3m l2=15m negative=15s tag=player_items:{player_id}
SELECT i.item_id, i.player_id, i.item_type, i.qty, i.acquired_at, i.expires_at, i.version
FROM   player_item i
WHERE  i.item_id = :item_id
  AND  i.player_id = :player_id
