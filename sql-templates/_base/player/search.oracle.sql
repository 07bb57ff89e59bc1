-- Oracle compares names with their case: the index is over LOWER().
SELECT p.player_id, p.nickname, p.player_level, p.vip_level, p.status, p.created_at,
       p.last_login_at
FROM   player p
WHERE  p.server_id = :server_id
  AND  p.status <> 9
  AND  LOWER(p.nickname) LIKE LOWER(:name_prefix)  -- ?
  AND  p.player_level >= :level_min    -- ?
  AND  p.vip_level IN (:vip_levels)    -- ?
  AND  1 = 1                           -- #keyset
ORDER BY /* #sort */ p.created_at DESC, p.player_id DESC
