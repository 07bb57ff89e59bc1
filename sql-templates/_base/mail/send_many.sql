-- @desc       Sends a mail with a gift to many players; who has one of the campaign already gets no second.
-- @kind       batch  affected = 1
-- @param      request_id string(64)
-- @param      campaign string(32) pattern=[0-9a-z_-]{1,32}
-- @param      title string(64) pattern=(?s).+
-- @param      mails rows(player_id bigint, item_type int, qty int) max_items=1000
-- @on         duplicate_key else 2162 MAIL_SENT [409]
-- @allow      game_server, admin
-- @http       POST /v1/{game}/mails:send
-- @idempotent key=request_id ttl=24h
-- @audit
-- @emit       mail.sent campaign, mails, _id
INSERT INTO player_mail (mail_id, player_id, campaign, title, item_type, qty, sent_at)
VALUES (:_id, :mails.player_id, :campaign, :title, :mails.item_type, :mails.qty, :_now)
