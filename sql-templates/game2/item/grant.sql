-- game2 has smaller stacks.
-- @extends
-- @param   qty int min=1 max=999
-- @replace step after

-- @step after one rows = 1 else 2124 STACK_FULL [409]
SELECT i.qty
FROM   player_item i
WHERE  i.player_id = :player_id
  AND  i.item_type = :item_type
  AND  i.qty <= 999
