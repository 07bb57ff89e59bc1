-- @desc       Creates a player. The gateway gives the id.
-- @kind       exec
-- @param      account_name string(64) pattern=(?s).+
-- @param      nickname string(32) pattern=(?s).+
-- @param      server_id int min=1
-- @on         duplicate_key else 2104 NAME_TAKEN [409]
-- @allow      game_server, admin
-- @http       POST /v1/{game}/players
-- @stale_ok   the id is new: nothing is cached under it
INSERT INTO player (player_id, account_name, nickname, server_id, player_level, vip_level,
                    experience, gold, status, version, created_at)
VALUES (:_id, :account_name, :nickname, :server_id, 1, 0, 0, 0, 1, 1, :_now)
