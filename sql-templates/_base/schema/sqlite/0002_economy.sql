-- What moves items and money: wallets, mail, and a ledger for each kind of thing that is moved.
--
-- A ledger's row is never changed: what a player holds is the sum of its rows. `request_id` is the
-- caller's key for the whole request; unique with the player, so that a request which is repeated after
-- its key has expired is refused and not booked again.

CREATE TABLE player_wallet (
  player_id     INTEGER NOT NULL,
  currency      TEXT    NOT NULL,
  balance       INTEGER NOT NULL CHECK (balance >= 0),
  version       INTEGER NOT NULL,
  PRIMARY KEY (player_id, currency)
) STRICT;

CREATE TABLE wallet_ledger (
  player_id     INTEGER NOT NULL,
  entry_id      INTEGER NOT NULL,
  request_id    TEXT    NOT NULL,
  currency      TEXT    NOT NULL,
  amount        INTEGER NOT NULL CHECK (amount <> 0), -- what was given; negative: taken
  balance_after INTEGER NOT NULL CHECK (balance_after >= 0),
  reason        TEXT    NOT NULL,
  created_at    TEXT    NOT NULL,
  PRIMARY KEY (player_id, entry_id)
) STRICT;
CREATE UNIQUE INDEX wallet_request ON wallet_ledger (request_id, player_id, currency);

CREATE TABLE item_ledger (
  player_id     INTEGER NOT NULL,
  entry_id      INTEGER NOT NULL,
  request_id    TEXT    NOT NULL,
  item_type     INTEGER NOT NULL,
  qty           INTEGER NOT NULL CHECK (qty <> 0), -- what was given; negative: taken
  reason        TEXT    NOT NULL,
  created_at    TEXT    NOT NULL,
  PRIMARY KEY (player_id, entry_id)
) STRICT;
CREATE UNIQUE INDEX item_request ON item_ledger (request_id, player_id, item_type);

CREATE TABLE order_ledger (
  entry_id      INTEGER NOT NULL PRIMARY KEY,
  payment_id    TEXT    NOT NULL,
  order_no      TEXT    NOT NULL,
  entry_kind    INTEGER NOT NULL CHECK (entry_kind IN (1, 2)), -- 1 paid, 2 refunded
  amount        TEXT    NOT NULL CHECK (amount NOT LIKE '-%'), -- decimal(12,2)
  currency      TEXT    NOT NULL,
  created_at    TEXT    NOT NULL
) STRICT;
CREATE UNIQUE INDEX payment ON order_ledger (payment_id, entry_kind);
CREATE UNIQUE INDEX order_entry ON order_ledger (order_no, entry_kind);

CREATE TABLE player_mail (
  mail_id       INTEGER NOT NULL PRIMARY KEY,
  player_id     INTEGER NOT NULL,
  campaign      TEXT    NOT NULL, -- what it was sent for; a player has one mail of each
  title         TEXT    NOT NULL,
  item_type     INTEGER NOT NULL,
  qty           INTEGER NOT NULL CHECK (qty > 0),
  sent_at       TEXT    NOT NULL,
  claimed_at    TEXT
) STRICT;
CREATE UNIQUE INDEX mail_campaign ON player_mail (campaign, player_id);
CREATE INDEX mail_owner ON player_mail (player_id, mail_id);

-- The number of a character's newest save: an older one that arrives late changes nothing.
ALTER TABLE game_character ADD COLUMN save_seq INTEGER NOT NULL DEFAULT 0;
