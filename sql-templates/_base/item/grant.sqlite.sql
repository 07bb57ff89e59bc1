-- @step owner one rows = 1 else 2101 PLAYER_NOT_FOUND [404]
SELECT p.status
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9

-- @step stack exec affected = 1
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :player_id, :item_type, :qty, :_now, 1)
ON CONFLICT (player_id, item_type) DO UPDATE SET qty = qty + :qty, version = version + 1

-- The row is locked by now: what is read here is what will be there.
-- @step after one rows = 1 else 2124 STACK_FULL [409]
SELECT i.qty
FROM   player_item i
WHERE  i.player_id = :player_id
  AND  i.item_type = :item_type
  AND  i.qty <= 9999

-- @step ledger exec affected = 1 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
VALUES (:player_id, :_id, :request_id, :item_type, :qty, :reason, :_now)
