-- @desc       The payment provider's callback: marks an order as paid and books the payment.
-- The lane is the order's: a payment that overtakes its own order waits until that is in the database.
-- @kind       tx  isolation=read_committed
-- @param      payment_id string(64) pattern=[0-9A-Za-z._-]{8,64}
-- @param      order_no string(32)
-- @param      player_id bigint min=1
-- @param      amount decimal(12,2) min=0.01
-- @param      currency string(3) pattern=[A-Z]{3}
-- @result     order_id bigint as string
-- @return     order_id = bill.order_id
-- @allow      game_server
-- @http       POST /v1/{game}/orders/{order_no}/payments
-- @idempotent key=payment_id ttl=72h
-- @lane       player_id
-- @retry      3 on=deadlock,lock_timeout
-- @audit
-- @emit       order.paid order_no, player_id, amount, currency, payment_id

-- @step bill one rows = 1 else 2131 ORDER_NOT_FOUND [404]
SELECT o.order_id
FROM   game_order o
WHERE  o.order_no = :order_no
  AND  o.player_id = :player_id

-- @step price one rows = 1 else 2136 AMOUNT_DIFFERS [422]
SELECT o.status
FROM   game_order o
WHERE  o.order_id = :bill.order_id
  AND  o.amount = :amount
  AND  o.currency = :currency

-- @step paid exec affected = 1 else 2135 ORDER_NOT_PAYABLE [409]
UPDATE game_order
SET    status = 1, paid_at = :_now, version = version + 1
WHERE  order_id = :bill.order_id
  AND  status = 0

-- @step ledger exec affected = 1 on duplicate_key else 2137 PAYMENT_BOOKED [409]
INSERT INTO order_ledger (entry_id, payment_id, order_no, entry_kind, amount, currency, created_at)
VALUES (:_id, :payment_id, :order_no, 1, :amount, :currency, :_now)
