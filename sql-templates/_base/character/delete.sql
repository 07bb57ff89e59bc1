-- @desc       Deletes a character. Players may delete their own.
-- @kind       exec  affected = 1
-- @param      player_id bigint min=1
-- @param      character_id bigint min=1
-- @param      version bigint min=1
-- @version    version
-- @current    character.get(player_id, character_id)
-- @allow      game_server, admin, player(player_id = claim.sub)
-- @http       DELETE /v1/{game}/players/{player_id}/characters/{character_id}
-- @invalidate character:{character_id}, player_characters:{player_id}
DELETE FROM game_character
WHERE  character_id = :character_id
  AND  player_id = :player_id
  AND  version = :version
