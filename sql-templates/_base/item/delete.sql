-- @desc       Throws an item away.
-- @kind       exec  affected = 1
-- @param      player_id bigint min=1
-- @param      item_id bigint min=1
-- @param      version bigint min=1
-- @version    version
-- @current    item.get(player_id, item_id)
-- @allow      game_server, admin, player(player_id = claim.sub)
-- @http       DELETE /v1/{game}/players/{player_id}/items/{item_id}
-- @invalidate player_items:{player_id}
DELETE FROM player_item
WHERE  item_id = :item_id
  AND  player_id = :player_id
  AND  version = :version
