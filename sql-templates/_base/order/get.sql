-- @desc    One order by its number, also while it is on its way to the database: `state` is journalled,
-- committed, or dead with the reason.
-- @kind    one   else 2131 ORDER_NOT_FOUND
-- @param   order_no string(32)
-- @result  order_id bigint as string, order_no string, player_id bigint as string,
-- @result  product_id string, qty int, amount decimal(12,2), currency string, channel string,
-- @result  status int, version bigint, created_at timestamp(6), paid_at timestamp(6)
-- @version version
-- @allow   game_server, admin, gm
-- @http    GET /v1/{game}/orders/{order_no}
SELECT o.order_id, o.order_no, o.player_id, o.product_id, o.qty, o.amount, o.currency, o.channel,
       o.status, o.version, o.created_at, o.paid_at
FROM   game_order o
WHERE  o.order_no = :order_no
