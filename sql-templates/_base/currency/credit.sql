-- @desc       Puts an amount into a player's wallet.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      player_id bigint min=1
-- @param      currency string(16) pattern=[a-z][a-z_]{1,15}
-- @param      amount bigint min=1 max=1000000000000
-- @param      reason string(32) pattern=(?s).+
-- @result     balance bigint as string
-- @return     balance = after.balance
-- @allow      game_server, admin
-- @http       POST /v1/{game}/players/{player_id}/wallet:credit
-- @idempotent key=request_id ttl=72h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_wallet:{player_id}
-- @audit

-- @step owner one rows = 1 else 2101 PLAYER_NOT_FOUND [404]
SELECT p.status
FROM   player p
WHERE  p.player_id = :player_id
  AND  p.status <> 9

-- @step credit exec affected = 1
INSERT INTO player_wallet (player_id, currency, balance, version)
VALUES (:player_id, :currency, :amount, 1)
ON DUPLICATE KEY UPDATE balance = balance + :amount, version = version + 1

-- @step after one
SELECT w.balance
FROM   player_wallet w
WHERE  w.player_id = :player_id
  AND  w.currency = :currency

-- @step ledger exec affected = 1 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT INTO wallet_ledger (player_id, entry_id, request_id, currency, amount, balance_after, reason,
                           created_at)
VALUES (:player_id, :_id, :request_id, :currency, :amount, :after.balance, :reason, :_now)
