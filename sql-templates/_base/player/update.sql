-- @desc       Changes what is given of a player, of the version that the caller saw.
-- @kind       exec  affected = 1
-- @param      player_id bigint min=1
-- @param      version bigint min=1
-- @param      nickname string(32) optional pattern=(?s).+
-- @param      player_level int optional min=1 max=999
-- @param      vip_level int optional min=0 max=20
-- @param      experience bigint optional min=0
-- @param      gold bigint optional min=0
-- @param      status int optional min=1 max=8
-- @version    version
-- @current    player.get(player_id)
-- @on         duplicate_key else 2104 NAME_TAKEN [409]
-- @allow      game_server, admin
-- @http       PATCH /v1/{game}/players/{player_id}
-- @invalidate player:{player_id}
UPDATE player
SET    version = version + 1
     , nickname = :nickname            -- ?
     , player_level = :player_level    -- ?
     , vip_level = :vip_level          -- ?
     , experience = :experience        -- ?
     , gold = :gold                    -- ?
     , status = :status                -- ?
WHERE  player_id = :player_id
  AND  version = :version
  AND  status <> 9
