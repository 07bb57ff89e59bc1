-- @desc       Takes some of an item, if there are enough: affected is 0 when there are not.
-- @kind       exec
-- @param      player_id bigint min=1
-- @param      item_type int min=1
-- @param      qty int min=1 max=9999
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/items:consume
-- @invalidate player_items:{player_id}
UPDATE player_item
SET    qty = qty - :qty, version = version + 1
WHERE  player_id = :player_id
  AND  item_type = :item_type
  AND  qty >= :qty
