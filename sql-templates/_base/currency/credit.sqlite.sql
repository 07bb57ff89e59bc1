-- @replace step credit

-- @step credit exec affected = 1
INSERT INTO player_wallet (player_id, currency, balance, version)
VALUES (:player_id, :currency, :amount, 1)
ON CONFLICT (player_id, currency) DO UPDATE SET balance = balance + :amount, version = version + 1
