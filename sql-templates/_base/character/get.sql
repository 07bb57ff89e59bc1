-- @desc    One character of a player.
-- @kind    one   else 2111 CHARACTER_NOT_FOUND
-- @param   player_id bigint min=1 sample=1001
-- @param   character_id bigint min=1 sample=100101
-- @result  character_id bigint as string, player_id bigint as string, server_id int,
-- @result  char_name string, class_id int, char_level int, experience bigint as string,
-- @result  version bigint, created_at timestamp(6), save_seq bigint
-- @version version
-- @allow   game_server, admin, gm, player(player_id = claim.sub)
-- @http    GET /v1/{game}/players/{player_id}/characters/{character_id}
-- @cache   l1=5m l2=30m negative=15s tag=character:{character_id}
SELECT c.character_id, c.player_id, c.server_id, c.char_name, c.class_id, c.char_level,
       c.experience, c.version, c.created_at, c.save_seq
FROM   game_character c
WHERE  c.character_id = :character_id
  AND  c.player_id = :player_id
