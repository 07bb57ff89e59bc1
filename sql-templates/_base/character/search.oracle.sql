-- Oracle compares names with their case: the index is over LOWER().
SELECT c.character_id, c.player_id, c.char_name, c.char_level, c.class_id, c.created_at
FROM   game_character c
WHERE  c.server_id = :server_id
  AND  LOWER(c.char_name) LIKE LOWER(:name_prefix)  -- ?
  AND  c.char_level >= :level_min      -- ?
  AND  c.class_id IN (:class_ids)      -- ?
  AND  1 = 1                           -- #keyset
ORDER BY /* #sort */ c.created_at DESC, c.character_id DESC
