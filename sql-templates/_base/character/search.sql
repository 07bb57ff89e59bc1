-- @desc   Characters of one server. Lines ending in "-- ?" apply only when their parameter is given.
-- @kind   page
-- @param  server_id int min=1 sample=1
-- @param  name_prefix string(32) optional like=prefix
-- @param  level_min int optional min=1
-- @param  class_ids list(int) optional max_items=50
-- @param  sort enum(newest,level) default=newest
-- @order  newest = c.created_at DESC, c.character_id DESC
-- @order  level  = c.char_level DESC, c.character_id DESC
-- @result character_id bigint as string, player_id bigint as string, char_name string,
-- @result char_level int, class_id int, created_at timestamp(6)
-- @page   keyset = @sort default=20 max=100
-- @allow  admin, gm
-- @http   GET /v1/{game}/characters
SELECT c.character_id, c.player_id, c.char_name, c.char_level, c.class_id, c.created_at
FROM   game_character c
WHERE  c.server_id = :server_id
  AND  c.char_name LIKE :name_prefix   -- ?
  AND  c.char_level >= :level_min      -- ?
  AND  c.class_id IN (:class_ids)      -- ?
  AND  1 = 1                           -- #keyset
ORDER BY /* #sort */ c.created_at DESC, c.character_id DESC
