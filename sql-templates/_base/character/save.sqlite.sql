-- @replace step owner
-- @replace step present

-- A write transaction on SQLite is alone: nothing needs a lock of its own.
-- @step owner optional
SELECT p.status
FROM   player p
WHERE  p.player_id = :player_id

-- @step present optional
SELECT c.save_seq
FROM   game_character c
WHERE  c.character_id = :character_id
  AND  c.player_id = :player_id
