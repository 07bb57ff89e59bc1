-- @desc   Who holds a type of item, the newest first.
-- @kind   page
-- @param  item_type int min=1 sample=1
-- @param  qty_min int optional min=1
-- @result item_id bigint as string, player_id bigint as string, item_type int, qty int,
-- @result acquired_at timestamp(6)
-- @page   keyset = i.item_id DESC  default=50 max=200
-- @allow  admin, gm
-- @http   GET /v1/{game}/items
SELECT i.item_id, i.player_id, i.item_type, i.qty, i.acquired_at
FROM   player_item i
WHERE  i.item_type = :item_type
  AND  i.qty >= :qty_min               -- ?
  AND  1 = 1                           -- #keyset
ORDER BY i.item_id DESC
