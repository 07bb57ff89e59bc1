-- Daily rewards: what each day in a row gives, how far a player has come, and the procedures that know the rules.
--
-- A procedure does not commit: the gateway does, together with the request's key. It runs with the rights of whoever
-- calls it (`SQL SECURITY INVOKER`), so that the gateway's rights are those of grants.sql and no more.

CREATE TABLE reward_calendar (
  day_no    INT      NOT NULL,
  gems      INT      NOT NULL,
  PRIMARY KEY (day_no),
  CONSTRAINT reward_gems_range CHECK (gems > 0)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE daily_reward (
  player_id BIGINT   NOT NULL,
  streak    INT      NOT NULL,
  last_day  DATE     NOT NULL,
  version   BIGINT   NOT NULL,
  PRIMARY KEY (player_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

INSERT INTO reward_calendar (day_no, gems)
VALUES (1, 10), (2, 15), (3, 20), (4, 25), (5, 30), (6, 40), (7, 100);

CREATE PROCEDURE claim_daily_reward(
  IN  p_request_id VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, IN p_player_id BIGINT, IN p_day DATE,
  IN  p_entry_id BIGINT, IN p_now DATETIME(6),
  OUT p_outcome INT, OUT p_streak INT, OUT p_gems INT, OUT p_balance BIGINT)
  SQL SECURITY INVOKER
  COMMENT 'reward.claim; p_outcome 0: claimed, 1: claimed before; raises 20101: no such player'
claim: BEGIN
  DECLARE v_player BIGINT;
  DECLARE v_last DATE;
  SELECT p.player_id INTO v_player FROM player p WHERE p.player_id = p_player_id AND p.status <> 9 FOR UPDATE;
  IF v_player IS NULL THEN
    SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 20101, MESSAGE_TEXT = 'no such player';
  END IF;

  SELECT r.streak, r.last_day INTO p_streak, v_last FROM daily_reward r WHERE r.player_id = p_player_id;
  SET p_outcome = CASE WHEN v_last >= p_day THEN 1 ELSE 0 END;
  IF p_outcome = 0 THEN
    SET p_streak = CASE WHEN DATEDIFF(p_day, v_last) = 1 THEN MOD(p_streak, 7) + 1 ELSE 1 END;
    INSERT INTO daily_reward (player_id, streak, last_day, version) VALUES (p_player_id, p_streak, p_day, 1)
    ON DUPLICATE KEY UPDATE streak = p_streak, last_day = p_day, version = version + 1;

    SELECT c.gems INTO p_gems FROM reward_calendar c WHERE c.day_no = p_streak;
    INSERT INTO player_wallet (player_id, currency, balance, version) VALUES (p_player_id, 'gems', p_gems, 1)
    ON DUPLICATE KEY UPDATE balance = balance + p_gems, version = version + 1;
    SELECT w.balance INTO p_balance FROM player_wallet w WHERE w.player_id = p_player_id AND w.currency = 'gems';
    INSERT INTO wallet_ledger (player_id, entry_id, request_id, currency, amount, balance_after, reason, created_at)
    VALUES (p_player_id, p_entry_id, p_request_id, 'gems', p_gems, p_balance, 'daily reward', p_now);
  END IF;

  SELECT c.day_no, c.gems, CASE WHEN c.day_no <= p_streak THEN 1 ELSE 0 END AS taken
  FROM   reward_calendar c
  ORDER BY c.day_no;
END claim;

CREATE PROCEDURE daily_reward_status(
  IN p_player_id BIGINT, IN p_day DATE, OUT p_streak INT, OUT p_last_day DATE, OUT p_may_claim INT)
  READS SQL DATA
  SQL SECURITY INVOKER
  COMMENT 'reward.status'
BEGIN
  DECLARE v_streak INT DEFAULT 0;
  SELECT r.streak, r.last_day INTO v_streak, p_last_day FROM daily_reward r WHERE r.player_id = p_player_id;
  -- A day left out ends the row.
  SET p_streak = CASE WHEN DATEDIFF(p_day, p_last_day) <= 1 THEN v_streak ELSE 0 END;
  SET p_may_claim = CASE WHEN p_last_day >= p_day THEN 0 ELSE 1 END;

  SELECT c.day_no, c.gems, CASE WHEN c.day_no <= p_streak THEN 1 ELSE 0 END AS taken
  FROM   reward_calendar c
  ORDER BY c.day_no;
END;
