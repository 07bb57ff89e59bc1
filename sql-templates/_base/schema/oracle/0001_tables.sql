-- The tables of a game on Oracle, 12.1 or later.
--
-- Ids come from the gateway (`:_id`): time-ordered, so rows are appended to the primary key's index.
-- Times are TIMESTAMP(6) in UTC, without a zone. Lengths are in characters, whatever the database's own default.
-- Names are unique and found without their case by LOWER(), everything else by its bytes. A text is never empty:
-- Oracle keeps '' as NULL, and every text here is NOT NULL.
-- There are no foreign keys: players are only ever marked as deleted, and orders outlive them.
-- Each index says which operation it is for; an operation without one does not pass `gateway check`.

CREATE TABLE player (
  player_id     NUMBER(19)        NOT NULL,
  account_name  VARCHAR2(64 CHAR) NOT NULL,
  nickname      VARCHAR2(32 CHAR) NOT NULL,
  server_id     NUMBER(10)        NOT NULL,
  player_level  NUMBER(10)        NOT NULL,
  vip_level     NUMBER(10)        NOT NULL,
  experience    NUMBER(19)        NOT NULL,
  gold          NUMBER(19)        NOT NULL,
  status        NUMBER(10)        NOT NULL, -- 1 active, 2 banned, 9 deleted
  version       NUMBER(19)        NOT NULL,
  created_at    TIMESTAMP(6)      NOT NULL,
  last_login_at TIMESTAMP(6)      NULL,
  CONSTRAINT player_key PRIMARY KEY (player_id),
  CONSTRAINT player_gold_range CHECK (gold >= 0)
);
CREATE UNIQUE INDEX player_nickname ON player (server_id, LOWER(nickname));
-- player.search sort=newest
CREATE INDEX player_newest ON player (server_id, created_at, player_id);
-- player.search sort=level, player.count, player.top
CREATE INDEX player_strongest ON player (server_id, player_level, player_id);

CREATE TABLE game_character (
  character_id  NUMBER(19)        NOT NULL,
  player_id     NUMBER(19)        NOT NULL,
  server_id     NUMBER(10)        NOT NULL,
  char_name     VARCHAR2(32 CHAR) NOT NULL,
  class_id      NUMBER(10)        NOT NULL,
  char_level    NUMBER(10)        NOT NULL,
  experience    NUMBER(19)        NOT NULL,
  version       NUMBER(19)        NOT NULL,
  created_at    TIMESTAMP(6)      NOT NULL,
  CONSTRAINT game_character_key PRIMARY KEY (character_id)
);
CREATE UNIQUE INDEX character_name ON game_character (server_id, LOWER(char_name));
-- character.list_by_player
CREATE INDEX character_owner ON game_character (player_id, character_id);
-- character.search sort=newest
CREATE INDEX character_newest ON game_character (server_id, created_at, character_id);
-- character.search sort=level
CREATE INDEX character_strongest ON game_character (server_id, char_level, character_id);

CREATE TABLE player_item (
  item_id       NUMBER(19)        NOT NULL,
  player_id     NUMBER(19)        NOT NULL,
  item_type     NUMBER(10)        NOT NULL,
  qty           NUMBER(10)        NOT NULL,
  acquired_at   TIMESTAMP(6)      NOT NULL,
  expires_at    TIMESTAMP(6)      NULL,
  version       NUMBER(19)        NOT NULL,
  CONSTRAINT player_item_key PRIMARY KEY (item_id),
  -- item.list_by_player, item.grant, item.consume
  CONSTRAINT item_stack UNIQUE (player_id, item_type),
  CONSTRAINT item_qty_range CHECK (qty >= 0)
);
-- item.search
CREATE INDEX item_holders ON player_item (item_type, item_id);

CREATE TABLE game_order (
  order_id      NUMBER(19)        NOT NULL,
  order_no      VARCHAR2(32 CHAR) NOT NULL,
  player_id     NUMBER(19)        NOT NULL,
  product_id    VARCHAR2(64 CHAR) NOT NULL,
  qty           NUMBER(10)        NOT NULL,
  amount        NUMBER(12,2)      NOT NULL,
  currency      VARCHAR2(3 CHAR)  NOT NULL,
  channel       VARCHAR2(32 CHAR) NOT NULL,
  status        NUMBER(10)        NOT NULL, -- 0 new, 1 paid, 2 delivered, 3 refunded, 4 failed
  version       NUMBER(19)        NOT NULL,
  created_at    TIMESTAMP(6)      NOT NULL,
  paid_at       TIMESTAMP(6)      NULL,
  CONSTRAINT game_order_key PRIMARY KEY (order_id),
  CONSTRAINT order_number UNIQUE (order_no)
);
-- order.list_by_player
CREATE INDEX order_owner ON game_order (player_id, created_at, order_id);
-- order.search, order.count
CREATE INDEX order_state ON game_order (status, created_at, order_id);

CREATE TABLE auth_token (
  token_id      NUMBER(19)        NOT NULL,
  player_id     NUMBER(19)        NOT NULL,
  token_hash    VARCHAR2(64 CHAR) NOT NULL, -- SHA-256, hexadecimal
  device        VARCHAR2(64 CHAR) NOT NULL,
  issued_at     TIMESTAMP(6)      NOT NULL,
  expires_at    TIMESTAMP(6)      NOT NULL,
  revoked_at    TIMESTAMP(6)      NULL,
  version       NUMBER(19)        NOT NULL,
  CONSTRAINT auth_token_key PRIMARY KEY (token_id),
  CONSTRAINT token_hash_once UNIQUE (token_hash)
);
-- auth_token.list_by_player, auth_token.revoke_all
CREATE INDEX token_owner ON auth_token (player_id, token_id);
-- auth_token.search
CREATE INDEX token_end ON auth_token (expires_at, token_id);
