-- @desc   Moves an order to another state; affected is 0 when the version is another one.
-- States: 0 new, 1 paid, 2 delivered, 3 refunded, 4 failed.
-- @kind   exec
-- @param  order_id bigint min=1
-- @param  version bigint min=1
-- @param  status int min=1 max=4
-- @param  paid_at timestamp(6) optional
-- @allow  game_server, admin
-- @http   PATCH /v1/{game}/orders/{order_id}
-- @audit
UPDATE game_order
SET    status = :status, version = version + 1
     , paid_at = :paid_at              -- ?
WHERE  order_id = :order_id
  AND  version = :version
