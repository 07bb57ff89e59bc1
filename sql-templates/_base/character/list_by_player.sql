-- @desc    The characters of a player.
-- @kind    many
-- @param   player_id bigint min=1 sample=1001
-- @result  character_id bigint as string, player_id bigint as string, server_id int,
-- @result  char_name string, class_id int, char_level int, experience bigint as string,
-- @result  version bigint, created_at timestamp(6), save_seq bigint
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/characters
-- @cache   l1=5m l2=30m tag=player_characters:{player_id}
-- @limit   100
SELECT c.character_id, c.player_id, c.server_id, c.char_name, c.class_id, c.char_level,
       c.experience, c.version, c.created_at, c.save_seq
FROM   game_character c
WHERE  c.player_id = :player_id
ORDER BY c.character_id
