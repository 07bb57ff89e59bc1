-- @desc    Ends an order: a paid one is delivered (2), a new one has failed (4). `pay` and `refund` do the rest.
-- States: 0 new, 1 paid, 2 delivered, 3 refunded, 4 failed.
-- @kind    exec  affected = 1
-- @param   order_no string(32)
-- @param   version bigint min=1
-- @param   status int min=2 max=4
-- @require status <> 3 else 2139 REFUND_INSTEAD [422]
-- @version version
-- @current order.get(order_no)
-- @allow   game_server, admin
-- @http    PATCH /v1/{game}/orders/{order_no}
-- @audit
UPDATE game_order
SET    status = :status, version = version + 1
WHERE  order_no = :order_no
  AND  version = :version
  AND  ((status = 1 AND :status = 2) OR (status = 0 AND :status = 4))
