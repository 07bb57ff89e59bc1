-- @desc       Takes an order: in the journal when this is answered, in the database soon after.
-- The number is the shop's: the same order sent again is the same order.
-- @kind       exec  affected = 1
-- @param      order_no string(32) pattern=[0-9A-Za-z_-]{8,32}
-- @param      player_id bigint min=1
-- @param      product_id string(64) pattern=(?s).+
-- @param      qty int min=1 max=999
-- @param      amount decimal(12,2) min=0.01
-- @param      currency string(3) pattern=[A-Z]{3}
-- @param      channel string(32) pattern=(?s).+
-- @on         duplicate_key else 2132 ORDER_NO_TAKEN [409]
-- @allow      game_server
-- @http       POST /v1/{game}/orders
-- @idempotent key=order_no ttl=72h
-- @async      max=500 linger=5ms dead=10 priority=high
-- @lane       player_id
-- @status     order.get(order_no)
INSERT INTO game_order (order_id, order_no, player_id, product_id, qty, amount, currency, channel,
                        status, version, created_at)
VALUES (:_id, :order_no, :player_id, :product_id, :qty, :amount, :currency, :channel,
        0, 1, :_now)
