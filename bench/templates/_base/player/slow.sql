-- @desc   One player from a database that takes 10 ms for it.
-- @kind   one   else 2101 PLAYER_NOT_FOUND
-- @param  player_id bigint min=1 sample=1
-- @result id bigint, slept int
-- @allow  game_server
SELECT id, SLEEP(0.01) AS slept
FROM   players
WHERE  id = :player_id
