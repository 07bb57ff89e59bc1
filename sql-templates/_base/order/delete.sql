-- @desc    Deletes an order that was never paid; any other stays.
-- @kind    exec  affected = 1
-- @param   order_no string(32)
-- @param   version bigint min=1
-- @version version
-- @current order.get(order_no)
-- @allow   admin
-- @http    DELETE /v1/{game}/orders/{order_no}
-- @audit
DELETE FROM game_order
WHERE  order_no = :order_no
  AND  version = :version
  AND  status IN (0, 4)
