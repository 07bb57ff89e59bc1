-- @desc       Gives items to a player, a new stack or more in the one that is there, and says how many it has.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      player_id bigint min=1
-- @param      item_type int min=1
-- @param      qty int min=1 max=9999
-- @param      reason string(32) pattern=(?s).+ default=grant
-- @result     qty int
-- @return     affected = stack.affected
-- @return     qty = after.qty
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/items:grant
-- @idempotent key=request_id ttl=24h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_items:{player_id}
-- @audit

-- @step owner one rows = 1 else 2101 PLAYER_NOT_FOUND [404]
SELECT p.status
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9

-- @step stack exec affected = 1
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :player_id, :item_type, :qty, :_now, 1)
ON DUPLICATE KEY UPDATE qty = qty + :qty, version = version + 1

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
