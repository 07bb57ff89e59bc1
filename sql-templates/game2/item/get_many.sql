-- game2 binds items: 0 free, 1 to the player, 2 to a character.
-- @result item_id bigint as string, player_id bigint as string, item_type int, qty int,
-- @result bind_type int, acquired_at timestamp(6), expires_at timestamp(6), version bigint
SELECT i.item_id, i.player_id, i.item_type, i.qty, i.bind_type, i.acquired_at, i.expires_at,
       i.version
FROM   player_item i
WHERE  i.item_id IN (:item_ids)
  AND  i.player_id = :player_id
ORDER BY i.item_id
