-- @desc       Takes some of an item, if there are enough, and says how many are left.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      player_id bigint min=1
-- @param      item_type int min=1
-- @param      qty int min=1 max=9999
-- @param      reason string(32) pattern=(?s).+ default=consume
-- @result     left int
-- @return     left = after.qty
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/items:consume
-- @idempotent key=request_id ttl=24h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_items:{player_id}

-- @step debit exec affected = 1 else 2103 ITEM_NOT_ENOUGH [409]
UPDATE player_item
SET    qty = qty - :qty, version = version + 1
WHERE  player_id = :player_id
  AND  item_type = :item_type
  AND  qty >= :qty

-- @step after one
SELECT i.qty
FROM   player_item i
WHERE  i.player_id = :player_id
  AND  i.item_type = :item_type

-- @step ledger exec affected = 1 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
VALUES (:player_id, :_id, :request_id, :item_type, 0 - :qty, :reason, :_now)
