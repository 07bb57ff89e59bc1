-- @desc   Writes an order at once: in the database when it is answered.
-- @kind   exec  affected = 1
-- @param  order_no string(32)
-- @param  player_id bigint min=1
-- @param  item_id int
-- @param  amount int min=1
-- @param  price_cents bigint min=1
-- @allow  game_server
-- @http   POST /v1/{game}/orders/now
-- @stale_ok nothing of orders is cached
INSERT INTO orders (order_no, player_id, item_id, amount, price_cents, status, created_at)
VALUES (:order_no, :player_id, :item_id, :amount, :price_cents, 0, :_now)
