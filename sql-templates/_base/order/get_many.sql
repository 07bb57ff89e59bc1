-- @desc    Several orders by id, at most 100. Ids without an order are left out.
-- @kind    many
-- @param   order_ids list(bigint) max_items=100
-- @result  order_id bigint as string, order_no string, player_id bigint as string,
-- @result  product_id string, qty int, amount decimal(12,2), currency string, channel string,
-- @result  status int, version bigint, created_at timestamp(6), paid_at timestamp(6)
-- @allow   game_server, admin, gm
-- @http    GET /v1/{game}/orders:batch_get
-- @limit   100
SELECT o.order_id, o.order_no, o.player_id, o.product_id, o.qty, o.amount, o.currency, o.channel,
       o.status, o.version, o.created_at, o.paid_at
FROM   game_order o
WHERE  o.order_id IN (:order_ids)
ORDER BY o.order_id
