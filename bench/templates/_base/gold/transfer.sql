-- @desc   Moves gold from one player to another: four statements, one transaction.
-- @kind   tx  isolation=read_committed
-- @param  request_id string(64)
-- @param  from_player bigint
-- @param  to_player bigint
-- @param  amount bigint min=1
-- @require from_player <> to_player else 2102 SAME_PLAYER
-- @result gold bigint
-- @return gold = after.gold
-- @retry  3 on=deadlock,lock_timeout
-- @allow  game_server
-- @invalidate player:{from_player}, player:{to_player}
-- @stale_ok lists of players may be as old as they are kept

-- @step ledger exec affected = 1
INSERT INTO gold_ledger (request_id, from_player, to_player, amount, created_at)
VALUES (:request_id, :from_player, :to_player, :amount, :_now)

-- @step debit exec affected = 1 else 2151 BALANCE_NOT_ENOUGH
UPDATE players SET gold = gold - :amount
WHERE  id = :from_player AND gold >= :amount

-- @step credit exec affected = 1
UPDATE players SET gold = gold + :amount
WHERE  id = :to_player

-- @step after one
SELECT p.gold FROM players p WHERE p.id = :from_player
