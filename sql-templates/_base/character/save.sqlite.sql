-- @replace step present

-- A write transaction on SQLite is alone: the row that is read here stays as it is.
-- @step present optional
SELECT c.save_seq
FROM   game_character c
WHERE  c.character_id = :character_id
  AND  c.player_id = :player_id
