-- A write transaction on SQLite is alone: the row that is read here stays as it is.
-- @step present optional
SELECT c.save_seq
FROM   game_character c
WHERE  c.character_id = :character_id
  AND  c.player_id = :player_id

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
