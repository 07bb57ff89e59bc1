-- @desc       Puts a new type of item into a player's bag. The gateway gives the id.
-- @kind       exec
-- @param      player_id bigint min=1
-- @param      item_type int min=1
-- @param      qty int min=1 max=9999
-- @param      expires_at timestamp(6) optional
-- @on         duplicate_key else 2122 ITEM_ALREADY_HELD [409]
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/items
-- @invalidate player_items:{player_id}
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, expires_at, version)
VALUES (:_id, :player_id, :item_type, :qty, :_now, :expires_at, 1)
