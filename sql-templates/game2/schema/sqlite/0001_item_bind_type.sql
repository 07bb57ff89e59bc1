-- game2 binds items: 0 free, 1 to the player, 2 to a character.
ALTER TABLE player_item ADD COLUMN bind_type INTEGER NOT NULL DEFAULT 0;
