-- @desc   Deletes an order that was never paid; any other stays.
-- @kind   exec
-- @param  order_id bigint min=1
-- @param  version bigint min=1
-- @allow  admin
-- @http   DELETE /v1/{game}/orders/{order_id}
-- @audit
DELETE FROM game_order
WHERE  order_id = :order_id
  AND  version = :version
  AND  status = 0
