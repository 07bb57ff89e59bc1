-- @replace step owner
-- @replace step credit

-- Of two first credits the second would be refused: MERGE does not wait for a row that is not there yet. So the
-- player's row is locked before.
-- @step owner one rows = 1 else 2101 PLAYER_NOT_FOUND [404]
SELECT p.status
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9
FOR UPDATE

-- @step credit exec affected = 1
MERGE INTO player_wallet w
USING dual
ON    (w.player_id = :player_id AND w.currency = :currency)
WHEN MATCHED THEN UPDATE SET balance = w.balance + :amount, version = w.version + 1
WHEN NOT MATCHED THEN INSERT (player_id, currency, balance, version)
                      VALUES (:player_id, :currency, :amount, 1)
