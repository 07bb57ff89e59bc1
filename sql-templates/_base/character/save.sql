-- @desc       Saves a character, new or not. The newest save wins: one with a smaller number that comes late changes nothing.
-- @kind       tx  isolation=read_committed
-- @param      player_id bigint min=1
-- @param      character_id bigint min=1
-- @param      save_seq bigint min=1
-- @param      server_id int min=1
-- @param      char_name string(32) pattern=(?s).+
-- @param      class_id int min=1 max=99
-- @param      char_level int min=1 max=999
-- @param      experience bigint min=0
-- @return     updated = change.affected
-- @return     created = add.affected
-- @on         duplicate_key else 2112 CHARACTER_NAME_TAKEN [409]
-- @allow      game_server
-- @http       PUT /v1/{game}/players/{player_id}/characters/{character_id}
-- @retry      3 on=deadlock,lock_timeout
-- @emit       character.saved player_id, character_id, char_level, experience
-- @invalidate character:{character_id}, player_characters:{player_id}

-- Two first saves of one character wait for each other here, so that the second finds the first one's row.
-- @step owner optional
SELECT p.status
FROM   player p
WHERE  p.player_id = :player_id
FOR UPDATE

-- @step present optional
SELECT c.save_seq
FROM   game_character c
WHERE  c.character_id = :character_id
  AND  c.player_id = :player_id
FOR UPDATE

-- @step change exec when present.affected = 1
UPDATE game_character
SET    server_id = :server_id, char_name = :char_name, class_id = :class_id, char_level = :char_level,
       experience = :experience, save_seq = :save_seq, version = version + 1
WHERE  character_id = :character_id
  AND  player_id = :player_id
  AND  save_seq < :save_seq

-- @step add exec affected = 1 when present.affected = 0
INSERT INTO game_character (character_id, player_id, server_id, char_name, class_id, char_level,
                            experience, version, created_at, save_seq)
VALUES (:character_id, :player_id, :server_id, :char_name, :class_id, :char_level,
        :experience, 1, :_now, :save_seq)
