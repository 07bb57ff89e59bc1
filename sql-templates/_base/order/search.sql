-- @desc    Orders in a state, the newest first; from and before are moments of creation.
-- @kind    page
-- @param   status int min=0 max=4 sample=1
-- @param   created_from timestamp(6) optional
-- @param   created_before timestamp(6) optional
-- @param   channel string(32) optional
-- @result  order_id bigint as string, order_no string, player_id bigint as string,
-- @result  product_id string, qty int, amount decimal(12,2), currency string, channel string,
-- @result  status int, version bigint, created_at timestamp(6), paid_at timestamp(6)
-- @page    keyset = o.created_at DESC, o.order_id DESC  default=50 max=200
-- @allow   admin, gm
-- @http    GET /v1/{game}/orders
SELECT o.order_id, o.order_no, o.player_id, o.product_id, o.qty, o.amount, o.currency, o.channel,
       o.status, o.version, o.created_at, o.paid_at
FROM   game_order o
WHERE  o.status = :status
  AND  o.created_at >= :created_from   -- ?
  AND  o.created_at < :created_before  -- ?
  AND  o.channel = :channel            -- ?
  AND  1 = 1                           -- #keyset
ORDER BY o.created_at DESC, o.order_id DESC
