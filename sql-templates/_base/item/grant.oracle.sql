-- @replace step owner
-- @replace step stack

-- Of two first grants the second would be refused: MERGE does not wait for a row that is not there yet. So the
-- player's row is locked before.
-- @step owner one rows = 1 else 2101 PLAYER_NOT_FOUND [404]
SELECT p.status
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9
FOR UPDATE

-- @step stack exec affected = 1
MERGE INTO player_item i
USING dual
ON    (i.player_id = :player_id AND i.item_type = :item_type)
WHEN MATCHED THEN UPDATE SET qty = i.qty + :qty, version = i.version + 1
WHEN NOT MATCHED THEN INSERT (item_id, player_id, item_type, qty, acquired_at, version)
                      VALUES (:_id, :player_id, :item_type, :qty, :_now, 1)
