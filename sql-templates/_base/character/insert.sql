-- @desc       Creates a character of a player. The gateway gives the id.
-- @kind       exec
-- @param      player_id bigint min=1
-- @param      server_id int min=1
-- @param      char_name string(32) pattern=(?s).+
-- @param      class_id int min=1 max=99
-- @on         duplicate_key else 2112 CHARACTER_NAME_TAKEN [409]
-- @allow      game_server
-- @http       POST /v1/{game}/players/{player_id}/characters
-- @invalidate player_characters:{player_id}
-- @stale_ok   the id is new: nothing is cached under it
INSERT INTO game_character (character_id, player_id, server_id, char_name, class_id, char_level,
                            experience, version, created_at)
VALUES (:_id, :player_id, :server_id, :char_name, :class_id, 1, 0, 1, :_now)
