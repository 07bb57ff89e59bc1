-- The tables of a game on SQLite: the embedded default, and tests that need no server.
--
-- Forms of storage: ids INTEGER; times TEXT in UTC, `2026-01-31T23:59:59.000000Z`, always with six
-- digits, so that texts sort as times do; days TEXT, `2026-01-31`; decimals TEXT, padded to their scale
-- (to be compared for equality only); truth values 0 and 1. STRICT refuses any other type.
-- Names compare without the case of ASCII letters, everything else by its bytes.

CREATE TABLE player (
  player_id     INTEGER NOT NULL PRIMARY KEY,
  account_name  TEXT    NOT NULL,
  nickname      TEXT    NOT NULL COLLATE NOCASE,
  server_id     INTEGER NOT NULL,
  player_level  INTEGER NOT NULL,
  vip_level     INTEGER NOT NULL,
  experience    INTEGER NOT NULL,
  gold          INTEGER NOT NULL CHECK (gold >= 0),
  status        INTEGER NOT NULL, -- 1 active, 2 banned, 9 deleted
  version       INTEGER NOT NULL,
  created_at    TEXT    NOT NULL,
  last_login_at TEXT
) STRICT;
CREATE UNIQUE INDEX player_nickname ON player (server_id, nickname);
CREATE INDEX player_newest ON player (server_id, created_at, player_id);
CREATE INDEX player_strongest ON player (server_id, player_level, player_id);

CREATE TABLE game_character (
  character_id  INTEGER NOT NULL PRIMARY KEY,
  player_id     INTEGER NOT NULL,
  server_id     INTEGER NOT NULL,
  char_name     TEXT    NOT NULL COLLATE NOCASE,
  class_id      INTEGER NOT NULL,
  char_level    INTEGER NOT NULL,
  experience    INTEGER NOT NULL,
  version       INTEGER NOT NULL,
  created_at    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX character_name ON game_character (server_id, char_name);
CREATE INDEX character_owner ON game_character (player_id, character_id);
CREATE INDEX character_newest ON game_character (server_id, created_at, character_id);
CREATE INDEX character_strongest ON game_character (server_id, char_level, character_id);

CREATE TABLE player_item (
  item_id       INTEGER NOT NULL PRIMARY KEY,
  player_id     INTEGER NOT NULL,
  item_type     INTEGER NOT NULL,
  qty           INTEGER NOT NULL CHECK (qty >= 0),
  acquired_at   TEXT    NOT NULL,
  expires_at    TEXT,
  version       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX item_stack ON player_item (player_id, item_type);
CREATE INDEX item_holders ON player_item (item_type, item_id);

CREATE TABLE game_order (
  order_id      INTEGER NOT NULL PRIMARY KEY,
  order_no      TEXT    NOT NULL,
  player_id     INTEGER NOT NULL,
  product_id    TEXT    NOT NULL,
  qty           INTEGER NOT NULL,
  amount        TEXT    NOT NULL, -- decimal(12,2)
  currency      TEXT    NOT NULL,
  channel       TEXT    NOT NULL,
  status        INTEGER NOT NULL, -- 0 new, 1 paid, 2 delivered, 3 refunded, 4 failed
  version       INTEGER NOT NULL,
  created_at    TEXT    NOT NULL,
  paid_at       TEXT
) STRICT;
CREATE UNIQUE INDEX order_number ON game_order (order_no);
CREATE INDEX order_owner ON game_order (player_id, created_at, order_id);
CREATE INDEX order_state ON game_order (status, created_at, order_id);

CREATE TABLE auth_token (
  token_id      INTEGER NOT NULL PRIMARY KEY,
  player_id     INTEGER NOT NULL,
  token_hash    TEXT    NOT NULL, -- SHA-256, hexadecimal
  device        TEXT    NOT NULL,
  issued_at     TEXT    NOT NULL,
  expires_at    TEXT    NOT NULL,
  revoked_at    TEXT,
  version       INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX token_hash ON auth_token (token_hash);
CREATE INDEX token_owner ON auth_token (player_id, token_id);
CREATE INDEX token_end ON auth_token (expires_at, token_id);
