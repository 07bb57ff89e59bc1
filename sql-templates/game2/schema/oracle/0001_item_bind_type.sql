-- game2 binds items: 0 free, 1 to the player, 2 to a character.
ALTER TABLE player_item ADD (bind_type NUMBER(10) DEFAULT 0 NOT NULL);
