-- What the peers' schema does not have: the ledger of the transfer that is measured.
CREATE TABLE gold_ledger (
  request_id  VARCHAR(64) NOT NULL,
  from_player BIGINT      NOT NULL,
  to_player   BIGINT      NOT NULL,
  amount      BIGINT      NOT NULL,
  created_at  DATETIME(6) NOT NULL,
  PRIMARY KEY (request_id)
) ENGINE = InnoDB;
