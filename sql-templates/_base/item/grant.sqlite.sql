-- @replace step stack

-- @step stack exec affected = 1
INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, version)
VALUES (:_id, :player_id, :item_type, :qty, :_now, 1)
ON CONFLICT (player_id, item_type) DO UPDATE SET qty = qty + :qty, version = version + 1
