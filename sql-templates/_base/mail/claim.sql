-- @desc       Takes the gift out of a mail, once.
-- @kind       tx  isolation=read_committed
-- @param      request_id string(64)
-- @param      player_id bigint min=1
-- @param      mail_id bigint min=1
-- @result     item_type int, qty int
-- @return     item_type = gift.item_type
-- @return     qty = gift.qty
-- @allow      game_server, player(player_id = claim.sub)
-- @http       POST /v1/{game}/players/{player_id}/mails/{mail_id}/claims
-- @idempotent key=request_id ttl=24h
-- @retry      3 on=deadlock,lock_timeout
-- @invalidate player_items:{player_id}

-- @step gift one rows = 1 else 2161 MAIL_NOT_FOUND [404]
SELECT m.item_type, m.qty
FROM   player_mail m
WHERE  m.mail_id = :mail_id
  AND  m.player_id = :player_id

-- @step open exec affected = 1 else 2163 MAIL_CLAIMED [409]
UPDATE player_mail
SET    claimed_at = :_now
WHERE  mail_id = :mail_id
  AND  player_id = :player_id
  AND  claimed_at IS NULL

-- @step more exec
UPDATE player_item
SET    qty = qty + :gift.qty, version = version + 1
WHERE  player_id = :player_id
  AND  item_type = :gift.item_type

-- @step first exec affected = 1 on duplicate_key else 2127 BAG_CHANGED [409] when more.affected = 0
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :player_id, :gift.item_type, :gift.qty, :_now, 1)

-- @step ledger exec affected = 1 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
VALUES (:player_id, :_id, :request_id, :gift.item_type, :gift.qty, 'mail', :_now)
