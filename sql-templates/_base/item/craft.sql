-- @desc       Makes one item out of others: every material is taken, or nothing happens.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      player_id bigint min=1
-- @param      item_type int min=1
-- @param      materials rows(item_type int, qty int) max_items=20
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/items:craft
-- @idempotent key=request_id ttl=24h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_items:{player_id}

-- A material named twice is booked twice, which the ledger refuses.
-- @step take exec each materials affected = 1 else 2103 ITEM_NOT_ENOUGH [409]
UPDATE player_item
SET    qty = qty - :materials.qty, version = version + 1
WHERE  player_id = :player_id
  AND  item_type = :materials.item_type
  AND  :materials.qty >= 1
  AND  qty >= :materials.qty

-- @step taken exec each materials affected = 1 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
VALUES (:player_id, :_id, :request_id, :materials.item_type, 0 - :materials.qty, 'craft', :_now)

-- @step more exec
UPDATE player_item
SET    qty = qty + 1, version = version + 1
WHERE  player_id = :player_id
  AND  item_type = :item_type

-- @step first exec affected = 1 on duplicate_key else 2127 BAG_CHANGED [409] when more.affected = 0
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :player_id, :item_type, 1, :_now, 1)

-- @step made exec affected = 1 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
VALUES (:player_id, :_id, :request_id, :item_type, 1, 'craft', :_now)
