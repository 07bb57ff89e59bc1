-- What moves items and money: wallets, mail, and a ledger for each kind of thing that is moved.
--
-- A ledger's row is never changed: what a player holds is the sum of its rows. `request_id` is the
-- caller's key for the whole request; unique with the player, so that a request which is repeated after
-- its key has expired is refused and not booked again.

CREATE TABLE player_wallet (
  player_id     NUMBER(19)        NOT NULL,
  currency      VARCHAR2(16 CHAR) NOT NULL,
  balance       NUMBER(19)        NOT NULL,
  version       NUMBER(19)        NOT NULL,
  CONSTRAINT player_wallet_key PRIMARY KEY (player_id, currency),
  CONSTRAINT wallet_balance_range CHECK (balance >= 0)
);

CREATE TABLE wallet_ledger (
  player_id     NUMBER(19)        NOT NULL,
  entry_id      NUMBER(19)        NOT NULL,
  request_id    VARCHAR2(64 CHAR) NOT NULL,
  currency      VARCHAR2(16 CHAR) NOT NULL,
  amount        NUMBER(19)        NOT NULL, -- what was given; negative: taken
  balance_after NUMBER(19)        NOT NULL,
  reason        VARCHAR2(32 CHAR) NOT NULL,
  created_at    TIMESTAMP(6)      NOT NULL,
  -- currency.history
  CONSTRAINT wallet_ledger_key PRIMARY KEY (player_id, entry_id),
  CONSTRAINT wallet_request UNIQUE (request_id, player_id, currency),
  CONSTRAINT wallet_ledger_amount CHECK (amount <> 0),
  CONSTRAINT wallet_ledger_balance CHECK (balance_after >= 0)
);

CREATE TABLE item_ledger (
  player_id     NUMBER(19)        NOT NULL,
  entry_id      NUMBER(19)        NOT NULL,
  request_id    VARCHAR2(64 CHAR) NOT NULL,
  item_type     NUMBER(10)        NOT NULL,
  qty           NUMBER(10)        NOT NULL, -- what was given; negative: taken
  reason        VARCHAR2(32 CHAR) NOT NULL,
  created_at    TIMESTAMP(6)      NOT NULL,
  -- item.history
  CONSTRAINT item_ledger_key PRIMARY KEY (player_id, entry_id),
  CONSTRAINT item_request UNIQUE (request_id, player_id, item_type),
  CONSTRAINT item_ledger_qty CHECK (qty <> 0)
);

CREATE TABLE order_ledger (
  entry_id      NUMBER(19)        NOT NULL,
  payment_id    VARCHAR2(64 CHAR) NOT NULL,
  order_no      VARCHAR2(32 CHAR) NOT NULL,
  entry_kind    NUMBER(10)        NOT NULL, -- 1 paid, 2 refunded
  amount        NUMBER(12,2)      NOT NULL,
  currency      VARCHAR2(3 CHAR)  NOT NULL,
  created_at    TIMESTAMP(6)      NOT NULL,
  CONSTRAINT order_ledger_key PRIMARY KEY (entry_id),
  CONSTRAINT payment_once UNIQUE (payment_id, entry_kind),
  -- order.refund, order.list_entries
  CONSTRAINT order_entry UNIQUE (order_no, entry_kind),
  CONSTRAINT order_ledger_kind CHECK (entry_kind IN (1, 2)),
  CONSTRAINT order_ledger_amount CHECK (amount > 0)
);

CREATE TABLE player_mail (
  mail_id       NUMBER(19)        NOT NULL,
  player_id     NUMBER(19)        NOT NULL,
  campaign      VARCHAR2(32 CHAR) NOT NULL, -- what it was sent for; a player has one mail of each
  title         VARCHAR2(64 CHAR) NOT NULL,
  item_type     NUMBER(10)        NOT NULL,
  qty           NUMBER(10)        NOT NULL,
  sent_at       TIMESTAMP(6)      NOT NULL,
  claimed_at    TIMESTAMP(6)      NULL,
  CONSTRAINT player_mail_key PRIMARY KEY (mail_id),
  CONSTRAINT mail_campaign UNIQUE (campaign, player_id),
  CONSTRAINT mail_qty_range CHECK (qty > 0)
);
-- mail.list_by_player
CREATE INDEX mail_owner ON player_mail (player_id, mail_id);

-- The number of a character's newest save: an older one that arrives late changes nothing.
ALTER TABLE game_character ADD (save_seq NUMBER(19) DEFAULT 0 NOT NULL);
ALTER TABLE game_order ADD CONSTRAINT order_amount_range CHECK (amount >= 0);
