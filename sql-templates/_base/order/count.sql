-- @desc    How many orders are in a state, of those created in a span of time.
-- @kind    one
-- @param   status int min=0 max=4 sample=1
-- @param   created_from timestamp(6)
-- @param   created_before timestamp(6)
-- @require created_from < created_before else 2134 ORDER_SPAN_EMPTY [422]
-- @result  order_count bigint
-- @allow   admin, gm
-- @http    GET /v1/{game}/orders:count
SELECT COUNT(*) AS order_count
FROM   game_order o
WHERE  o.status = :status
  AND  o.created_at >= :created_from
  AND  o.created_at < :created_before
