-- @desc    Several characters by id, at most 100. Ids without a character are left out.
-- @kind    many
-- @param   character_ids list(bigint) max_items=100
-- @result  character_id bigint as string, player_id bigint as string, server_id int,
-- @result  char_name string, class_id int, char_level int, experience bigint as string,
-- @result  version bigint, created_at timestamp(6), save_seq bigint
-- @allow   game_server, admin, gm
-- @http    GET /v1/{game}/characters:batch_get
-- @cache   l1=5m l2=30m tag=character:{character_ids}
-- @limit   100
SELECT c.character_id, c.player_id, c.server_id, c.char_name, c.class_id, c.char_level,
       c.experience, c.version, c.created_at, c.save_seq
FROM   game_character c
WHERE  c.character_id IN (:character_ids)
ORDER BY c.character_id
