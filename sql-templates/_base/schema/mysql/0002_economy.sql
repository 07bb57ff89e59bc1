-- What moves items and money: wallets, mail, and a ledger for each kind of thing that is moved.
--
-- A ledger's row is never changed: what a player holds is the sum of its rows. `request_id` is the
-- caller's key for the whole request; unique with the player, so that a request which is repeated after
-- its key has expired is refused and not booked again.

CREATE TABLE player_wallet (
  player_id     BIGINT       NOT NULL,
  currency      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  balance       BIGINT       NOT NULL,
  version       BIGINT       NOT NULL,
  PRIMARY KEY (player_id, currency),
  CONSTRAINT wallet_balance_range CHECK (balance >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE wallet_ledger (
  player_id     BIGINT       NOT NULL,
  entry_id      BIGINT       NOT NULL,
  request_id    VARCHAR(64)  NOT NULL,
  currency      VARCHAR(16)  CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  amount        BIGINT       NOT NULL COMMENT 'what was given; negative: taken',
  balance_after BIGINT       NOT NULL,
  reason        VARCHAR(32)  NOT NULL,
  created_at    DATETIME(6)  NOT NULL,
  PRIMARY KEY (player_id, entry_id) COMMENT 'currency.history',
  UNIQUE KEY wallet_request (request_id, player_id, currency),
  CONSTRAINT wallet_ledger_amount CHECK (amount <> 0),
  CONSTRAINT wallet_ledger_balance CHECK (balance_after >= 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE item_ledger (
  player_id     BIGINT       NOT NULL,
  entry_id      BIGINT       NOT NULL,
  request_id    VARCHAR(64)  NOT NULL,
  item_type     INT          NOT NULL,
  qty           INT          NOT NULL COMMENT 'what was given; negative: taken',
  reason        VARCHAR(32)  NOT NULL,
  created_at    DATETIME(6)  NOT NULL,
  PRIMARY KEY (player_id, entry_id) COMMENT 'item.history',
  UNIQUE KEY item_request (request_id, player_id, item_type),
  CONSTRAINT item_ledger_qty CHECK (qty <> 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE order_ledger (
  entry_id      BIGINT        NOT NULL,
  payment_id    VARCHAR(64)   NOT NULL,
  order_no      VARCHAR(32)   NOT NULL,
  entry_kind    INT           NOT NULL COMMENT '1 paid, 2 refunded',
  amount        DECIMAL(12,2) NOT NULL,
  currency      CHAR(3)       NOT NULL,
  created_at    DATETIME(6)   NOT NULL,
  PRIMARY KEY (entry_id),
  UNIQUE KEY payment (payment_id, entry_kind),
  UNIQUE KEY order_entry (order_no, entry_kind) COMMENT 'order.refund, order.list_entries',
  CONSTRAINT order_ledger_kind CHECK (entry_kind IN (1, 2)),
  CONSTRAINT order_ledger_amount CHECK (amount > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE player_mail (
  mail_id       BIGINT       NOT NULL,
  player_id     BIGINT       NOT NULL,
  campaign      VARCHAR(32)  NOT NULL COMMENT 'what it was sent for; a player has one mail of each',
  title         VARCHAR(64)  NOT NULL,
  item_type     INT          NOT NULL,
  qty           INT          NOT NULL,
  sent_at       DATETIME(6)  NOT NULL,
  claimed_at    DATETIME(6)  NULL,
  PRIMARY KEY (mail_id),
  UNIQUE KEY mail_campaign (campaign, player_id),
  KEY mail_owner (player_id, mail_id) COMMENT 'mail.list_by_player',
  CONSTRAINT mail_qty_range CHECK (qty > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The number of a character's newest save: an older one that arrives late changes nothing.
ALTER TABLE game_character ADD COLUMN save_seq BIGINT NOT NULL DEFAULT 0;
ALTER TABLE game_order ADD CONSTRAINT order_amount_range CHECK (amount >= 0);
