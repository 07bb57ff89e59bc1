-- @desc   One statement that writes: a point of experience for one player.
-- @kind   exec  affected = 1 else 2101 PLAYER_NOT_FOUND [404]
-- @param  player_id bigint min=1
-- @allow  game_server
-- @invalidate player:{player_id}
-- @stale_ok lists of players may be as old as they are kept
UPDATE players SET exp = exp + 1 WHERE id = :player_id
