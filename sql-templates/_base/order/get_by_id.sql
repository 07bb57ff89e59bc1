-- @desc    One order by the id that the gateway gave it, as logs and ledgers name it; null when there is none.
-- @kind    optional
-- @param   order_id bigint min=1 sample=100100001
-- @result  order_id bigint as string, order_no string, player_id bigint as string,
-- @result  product_id string, qty int, amount decimal(12,2), currency string, channel string,
-- @result  status int, version bigint, created_at timestamp(6), paid_at timestamp(6)
-- @version version
-- @allow   admin, gm
-- @http    GET /v1/{game}/orders:by_id
SELECT o.order_id, o.order_no, o.player_id, o.product_id, o.qty, o.amount, o.currency, o.channel,
       o.status, o.version, o.created_at, o.paid_at
FROM   game_order o
WHERE  o.order_id = :order_id
