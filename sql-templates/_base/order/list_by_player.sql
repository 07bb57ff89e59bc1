-- @desc    The orders of a player, the newest first.
-- @kind    page
-- @param   player_id bigint min=1 sample=1001
-- @param   statuses list(int) optional max_items=5
-- @result  order_id bigint as string, order_no string, player_id bigint as string,
-- @result  product_id string, qty int, amount decimal(12,2), currency string, channel string,
-- @result  status int, version bigint, created_at timestamp(6), paid_at timestamp(6)
-- @page    keyset = o.created_at DESC, o.order_id DESC  default=20 max=100
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/orders
SELECT o.order_id, o.order_no, o.player_id, o.product_id, o.qty, o.amount, o.currency, o.channel,
       o.status, o.version, o.created_at, o.paid_at
FROM   game_order o
WHERE  o.player_id = :player_id
  AND  o.status IN (:statuses)         -- ?
  AND  1 = 1                           -- #keyset
ORDER BY o.created_at DESC, o.order_id DESC
