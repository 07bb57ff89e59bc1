-- @desc       Takes an order: in the journal when it is answered, in the database soon after.
-- @kind       exec
-- @param      order_no string(32)
-- @param      player_id bigint min=1
-- @param      item_id int
-- @param      amount int min=1
-- @param      price_cents bigint min=1
-- @allow      game_server
-- @http       POST /v1/{game}/orders
-- @idempotent key=order_no ttl=24h
-- @async      max=500 linger=5ms dead=10
-- @lane       player_id
INSERT INTO orders (order_no, player_id, item_id, amount, price_cents, status, created_at)
VALUES (:order_no, :player_id, :item_id, :amount, :price_cents, 0, :_now)
