-- The tables of a game on MySQL and MariaDB.
--
-- Ids come from the gateway (`:_id`): time-ordered, so rows are appended to the clustered index.
-- Times are UTC with microseconds. Names compare without case, everything else by its bytes.
-- There are no foreign keys: players are only ever marked as deleted, and orders outlive them.
-- Each key says which operation it is for; an operation without one does not pass `gateway check`.

CREATE TABLE player (
  player_id     BIGINT       NOT NULL,
  account_name  VARCHAR(64)  NOT NULL,
  nickname      VARCHAR(32)  NOT NULL,
  server_id     INT          NOT NULL,
  player_level  INT          NOT NULL,
  vip_level     INT          NOT NULL,
  experience    BIGINT       NOT NULL,
  gold          BIGINT       NOT NULL,
  status        INT          NOT NULL COMMENT '1 active, 2 banned, 9 deleted',
  version       BIGINT       NOT NULL,
  created_at    DATETIME(6)  NOT NULL,
  last_login_at DATETIME(6)  NULL,
  PRIMARY KEY (player_id),
  UNIQUE KEY player_nickname (server_id, nickname),
  KEY player_newest (server_id, created_at, player_id) COMMENT 'player.search sort=newest',
  KEY player_strongest (server_id, player_level, player_id) COMMENT 'player.search sort=level, player.count, player.top',
  CONSTRAINT player_gold_range CHECK (gold >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;

CREATE TABLE game_character (
  character_id  BIGINT       NOT NULL,
  player_id     BIGINT       NOT NULL,
  server_id     INT          NOT NULL,
  char_name     VARCHAR(32)  NOT NULL,
  class_id      INT          NOT NULL,
  char_level    INT          NOT NULL,
  experience    BIGINT       NOT NULL,
  version       BIGINT       NOT NULL,
  created_at    DATETIME(6)  NOT NULL,
  PRIMARY KEY (character_id),
  UNIQUE KEY character_name (server_id, char_name),
  KEY character_owner (player_id, character_id) COMMENT 'character.list_by_player',
  KEY character_newest (server_id, created_at, character_id) COMMENT 'character.search sort=newest',
  KEY character_strongest (server_id, char_level, character_id) COMMENT 'character.search sort=level'
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_520_ci;

CREATE TABLE player_item (
  item_id       BIGINT       NOT NULL,
  player_id     BIGINT       NOT NULL,
  item_type     INT          NOT NULL,
  qty           INT          NOT NULL,
  acquired_at   DATETIME(6)  NOT NULL,
  expires_at    DATETIME(6)  NULL,
  version       BIGINT       NOT NULL,
  PRIMARY KEY (item_id),
  UNIQUE KEY item_stack (player_id, item_type) COMMENT 'item.list_by_player, item.grant, item.consume',
  KEY item_holders (item_type, item_id) COMMENT 'item.search',
  CONSTRAINT item_qty_range CHECK (qty >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE game_order (
  order_id      BIGINT        NOT NULL,
  order_no      VARCHAR(32)   NOT NULL,
  player_id     BIGINT        NOT NULL,
  product_id    VARCHAR(64)   NOT NULL,
  qty           INT           NOT NULL,
  amount        DECIMAL(12,2) NOT NULL,
  currency      CHAR(3)       NOT NULL,
  channel       VARCHAR(32)   NOT NULL,
  status        INT           NOT NULL COMMENT '0 new, 1 paid, 2 delivered, 3 refunded, 4 failed',
  version       BIGINT        NOT NULL,
  created_at    DATETIME(6)   NOT NULL,
  paid_at       DATETIME(6)   NULL,
  PRIMARY KEY (order_id),
  UNIQUE KEY order_number (order_no),
  KEY order_owner (player_id, created_at, order_id) COMMENT 'order.list_by_player',
  KEY order_state (status, created_at, order_id) COMMENT 'order.search, order.count'
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE auth_token (
  token_id      BIGINT       NOT NULL,
  player_id     BIGINT       NOT NULL,
  token_hash    CHAR(64)     CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'SHA-256, hexadecimal',
  device        VARCHAR(64)  NOT NULL,
  issued_at     DATETIME(6)  NOT NULL,
  expires_at    DATETIME(6)  NOT NULL,
  revoked_at    DATETIME(6)  NULL,
  version       BIGINT       NOT NULL,
  PRIMARY KEY (token_id),
  UNIQUE KEY token_hash (token_hash),
  KEY token_owner (player_id, token_id) COMMENT 'auth_token.list_by_player, auth_token.revoke_all',
  KEY token_end (expires_at, token_id) COMMENT 'auth_token.search'
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
