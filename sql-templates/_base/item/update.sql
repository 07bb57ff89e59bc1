-- @desc       Changes what is given of an item, of the version that the caller saw.
-- @kind       exec  affected = 1
-- @param      player_id bigint min=1
-- @param      item_id bigint min=1
-- @param      version bigint min=1
-- @param      qty int optional min=0 max=9999
-- @param      expires_at timestamp(6) optional
-- @version    version
-- @current    item.get(player_id, item_id)
-- @allow      game_server, admin
-- @http       PATCH /v1/{game}/players/{player_id}/items/{item_id}
-- @invalidate player_items:{player_id}
UPDATE player_item
SET    version = version + 1
     , qty = :qty                      -- ?
     , expires_at = :expires_at        -- ?
WHERE  item_id = :item_id
  AND  player_id = :player_id
  AND  version = :version
