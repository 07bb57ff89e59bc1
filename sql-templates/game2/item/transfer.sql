-- game2 binds items: only free ones (0) change hands, and a stack is smaller here.
-- @extends
-- @param   qty int min=1 max=999
-- @replace step debit

-- @step debit exec affected = 1 else 2125 ITEM_NOT_FREE [409]
UPDATE player_item
SET    qty = qty - :qty, version = version + 1
WHERE  player_id = :from_player
  AND  item_type = :item_type
  AND  bind_type = 0
  AND  qty >= :qty
