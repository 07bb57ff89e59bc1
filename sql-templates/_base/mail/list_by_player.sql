-- @desc   The mails of a player, the newest first.
-- @kind   page
-- @param  player_id bigint min=1 sample=1001
-- @result mail_id bigint as string, campaign string, title string, item_type int, qty int,
-- @result sent_at timestamp(6), claimed_at timestamp(6)
-- @page   keyset = m.mail_id DESC  default=20 max=100
-- @allow  game_server, admin, gm, player(player_id = claim.sub)
-- @http   GET /v1/{game}/players/{player_id}/mails
SELECT m.mail_id, m.campaign, m.title, m.item_type, m.qty, m.sent_at, m.claimed_at
FROM   player_mail m
WHERE  m.player_id = :player_id
  AND  1 = 1                           -- #keyset
ORDER BY m.mail_id DESC
