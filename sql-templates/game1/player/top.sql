-- @desc       The strongest players of a server; open to everyone, and a CDN may keep it.
-- @kind       page
-- @param      server_id int min=1 sample=1
-- @result     player_id bigint as string, nickname string, player_level int, vip_level int
-- @page       keyset = p.player_level DESC, p.player_id DESC  default=10 max=50
-- @allow      public
-- @http       GET /v1/{game}/players:top
-- @http_cache public 30s
-- @cache      l1=10s l2=30s tag=player_top
SELECT p.player_id, p.nickname, p.player_level, p.vip_level
FROM   player p
WHERE  p.server_id = :server_id
  AND  p.status <> 9
  AND  1 = 1                           -- #keyset
ORDER BY p.player_level DESC, p.player_id DESC
