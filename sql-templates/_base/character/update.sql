-- @desc       Changes what is given of a character, of the version that the caller saw.
-- @kind       exec  affected = 1
-- @param      player_id bigint min=1
-- @param      character_id bigint min=1
-- @param      version bigint min=1
-- @param      char_name string(32) optional pattern=(?s).+
-- @param      char_level int optional min=1 max=999
-- @param      experience bigint optional min=0
-- @version    version
-- @current    character.get(player_id, character_id)
-- @on         duplicate_key else 2112 CHARACTER_NAME_TAKEN [409]
-- @allow      game_server, admin
-- @http       PATCH /v1/{game}/players/{player_id}/characters/{character_id}
-- @invalidate character:{character_id}, player_characters:{player_id}
UPDATE game_character
SET    version = version + 1
     , char_name = :char_name          -- ?
     , char_level = :char_level        -- ?
     , experience = :experience        -- ?
WHERE  character_id = :character_id
  AND  player_id = :player_id
  AND  version = :version
