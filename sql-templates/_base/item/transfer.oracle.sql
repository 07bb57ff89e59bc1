-- @replace step ledger

-- @step ledger exec affected = 2 on duplicate_key else 2126 REQUEST_BOOKED [409]
INSERT ALL
  INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
  VALUES (:from_player, :_id, :request_id, :item_type, 0 - :qty, 'transfer', :_now)
  INTO item_ledger (player_id, entry_id, request_id, item_type, qty, reason, created_at)
  VALUES (:to_player, :_id, :request_id, :item_type, :qty, 'transfer', :_now)
SELECT 1 FROM dual
