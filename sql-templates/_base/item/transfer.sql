-- @desc       Moves items from one player to another: all or nothing.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      from_player bigint min=1
-- @param      to_player bigint min=1
-- @param      item_type int min=1
-- @param      qty int min=1 max=9999
-- @require    from_player <> to_player else 2102 SAME_PLAYER [422]
-- @allow      game_server
-- @http       POST /v1/{game}/items:transfer
-- @idempotent key=request_id ttl=24h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_items:{from_player}, player_items:{to_player}
-- @audit

-- Banned and deleted players do not trade.
-- @step sender one rows = 1 else 2101 PLAYER_NOT_FOUND [404]
SELECT p.player_level
FROM   player p
WHERE  p.player_id = :from_player
  AND  p.status = 1

-- @step receiver one rows = 1 else 2101 PLAYER_NOT_FOUND [404]
SELECT p.player_level
FROM   player p
WHERE  p.player_id = :to_player
  AND  p.status = 1

-- @step debit exec affected = 1 else 2103 ITEM_NOT_ENOUGH [409]
UPDATE player_item
SET    qty = qty - :qty, version = version + 1
WHERE  player_id = :from_player
  AND  item_type = :item_type
  AND  qty >= :qty

-- @step credit exec
UPDATE player_item
SET    qty = qty + :qty, version = version + 1
WHERE  player_id = :to_player
  AND  item_type = :item_type

-- Two transfers of a type that the receiver never had may arrive together: the second is to be repeated.
-- @step first exec affected = 1 on duplicate_key else 2127 BAG_CHANGED [409] when credit.affected = 0
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :to_player, :item_type, :qty, :_now, 1)

-- @step ledger exec affected = 2 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
VALUES (:from_player, :_id, :request_id, :item_type, 0 - :qty, 'transfer', :_now)
     , (:to_player, :_id, :request_id, :item_type, :qty, 'transfer', :_now)
