-- Sample rows of game2, run after the shared ones: one item in three is bound to its player.
UPDATE player_item
SET    bind_type = 1
WHERE  player_id BETWEEN 1001 AND 1000 + :players
  AND  MOD(item_type, 3) = 0;
