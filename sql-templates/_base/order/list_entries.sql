-- @desc   What was paid for an order and what was given back.
-- @kind   many
-- @param  order_no string(32) sample=SO1001-0001
-- @result entry_kind int, payment_id string, amount decimal(12,2), currency string,
-- @result created_at timestamp(6)
-- @allow  game_server, admin, gm
-- @http   GET /v1/{game}/orders/{order_no}/entries
-- @limit  2
SELECT l.entry_kind, l.payment_id, l.amount, l.currency, l.created_at
FROM   order_ledger l
WHERE  l.order_no = :order_no
ORDER BY l.entry_kind
