-- @desc       Gives the money of a paid order back: once, and exactly what was paid.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      order_no string(32)
-- @param      player_id bigint min=1
-- @result     payment_id string, amount decimal(12,2), currency string
-- @return     payment_id = payment.payment_id
-- @return     amount = payment.amount
-- @return     currency = payment.currency
-- @allow      admin
-- @http       POST /v1/{game}/orders/{order_no}/refunds
-- @idempotent key=request_id ttl=72h
-- @lane       player_id
-- @retry      3 on=deadlock,lock_timeout
-- @audit

-- @step bill one rows = 1 else 2131 ORDER_NOT_FOUND [404]
SELECT o.order_id
FROM   game_order o
WHERE  o.order_no = :order_no
  AND  o.player_id = :player_id

-- Paid or delivered; not new, failed, or refunded already.
-- @step refund exec affected = 1 else 2138 ORDER_NOT_REFUNDABLE [409]
UPDATE game_order
SET    status = 3, version = version + 1
WHERE  order_id = :bill.order_id
  AND  status IN (1, 2)

-- @step payment one rows = 1 else 2138 ORDER_NOT_REFUNDABLE [409]
SELECT l.payment_id, l.amount, l.currency
FROM   order_ledger l
WHERE  l.order_no = :order_no
  AND  l.entry_kind = 1

-- @step ledger exec affected = 1 on duplicate_key else 2138 ORDER_NOT_REFUNDABLE [409]
INSERT INTO order_ledger (entry_id, payment_id, order_no, entry_kind, amount, currency, created_at)
VALUES (:_id, :payment.payment_id, :order_no, 2, :payment.amount, :payment.currency, :_now)
