-- game2 binds items: 0 free, 1 to the player, 2 to a character. A stack is smaller here.
-- @param qty int min=1 max=999
-- @param bind_type int default=0 min=0 max=2
INSERT INTO player_item (item_id, player_id, item_type, qty, bind_type, acquired_at, expires_at,
                         version)
VALUES (:_id, :player_id, :item_type, :qty, :bind_type, :_now, :expires_at, 1)
