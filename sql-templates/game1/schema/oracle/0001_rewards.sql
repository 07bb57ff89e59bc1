-- Daily rewards: what each day in a row gives, how far a player has come, and the procedures that know the rules.
--
-- A procedure does not commit: the gateway does, together with the request's key, and forbids it in its sessions. It
-- runs with the rights of the schema's owner (`AUTHID DEFINER`, which is what Oracle takes it for).

CREATE TABLE reward_calendar (
  day_no    NUMBER(10) NOT NULL,
  gems      NUMBER(10) NOT NULL,
  CONSTRAINT reward_calendar_key PRIMARY KEY (day_no),
  CONSTRAINT reward_gems_range CHECK (gems > 0)
);

CREATE TABLE daily_reward (
  player_id NUMBER(19) NOT NULL,
  streak    NUMBER(10) NOT NULL,
  last_day  DATE       NOT NULL,
  version   NUMBER(19) NOT NULL,
  CONSTRAINT daily_reward_key PRIMARY KEY (player_id)
);

INSERT INTO reward_calendar (day_no, gems) VALUES (1, 10);
INSERT INTO reward_calendar (day_no, gems) VALUES (2, 15);
INSERT INTO reward_calendar (day_no, gems) VALUES (3, 20);
INSERT INTO reward_calendar (day_no, gems) VALUES (4, 25);
INSERT INTO reward_calendar (day_no, gems) VALUES (5, 30);
INSERT INTO reward_calendar (day_no, gems) VALUES (6, 40);
INSERT INTO reward_calendar (day_no, gems) VALUES (7, 100);

-- reward.claim; p_outcome 0: claimed, 1: claimed before; raises 20101: no such player
CREATE OR REPLACE PROCEDURE claim_daily_reward(
  p_request_id IN VARCHAR2, p_player_id IN NUMBER, p_day IN DATE, p_entry_id IN NUMBER, p_now IN TIMESTAMP,
  p_outcome OUT NUMBER, p_streak OUT NUMBER, p_gems OUT NUMBER, p_balance OUT NUMBER, p_calendar OUT SYS_REFCURSOR) IS
  v_player NUMBER(19);
  v_last   DATE;
BEGIN
  BEGIN
    SELECT p.player_id INTO v_player FROM player p WHERE p.player_id = p_player_id AND p.status <> 9 FOR UPDATE;
  EXCEPTION
    WHEN NO_DATA_FOUND THEN RAISE_APPLICATION_ERROR(-20101, 'no such player');
  END;

  BEGIN
    SELECT r.streak, r.last_day INTO p_streak, v_last FROM daily_reward r WHERE r.player_id = p_player_id;
  EXCEPTION
    WHEN NO_DATA_FOUND THEN NULL;
  END;
  p_outcome := CASE WHEN v_last >= p_day THEN 1 ELSE 0 END;
  IF p_outcome = 0 THEN
    p_streak := CASE WHEN v_last = p_day - INTERVAL '1' DAY THEN MOD(p_streak, 7) + 1 ELSE 1 END;
    -- The player's row is locked, so that no other claim stands between the two.
    UPDATE daily_reward SET streak = p_streak, last_day = p_day, version = version + 1 WHERE player_id = p_player_id;
    IF SQL%ROWCOUNT = 0 THEN
      INSERT INTO daily_reward (player_id, streak, last_day, version) VALUES (p_player_id, p_streak, p_day, 1);
    END IF;

    SELECT c.gems INTO p_gems FROM reward_calendar c WHERE c.day_no = p_streak;
    UPDATE player_wallet SET balance = balance + p_gems, version = version + 1
    WHERE  player_id = p_player_id AND currency = 'gems'
    RETURNING balance INTO p_balance;
    IF SQL%ROWCOUNT = 0 THEN
      p_balance := p_gems;
      INSERT INTO player_wallet (player_id, currency, balance, version) VALUES (p_player_id, 'gems', p_gems, 1);
    END IF;
    INSERT INTO wallet_ledger (player_id, entry_id, request_id, currency, amount, balance_after, reason, created_at)
    VALUES (p_player_id, p_entry_id, p_request_id, 'gems', p_gems, p_balance, 'daily reward', p_now);
  END IF;

  OPEN p_calendar FOR
    SELECT c.day_no, c.gems, CASE WHEN c.day_no <= p_streak THEN 1 ELSE 0 END AS taken
    FROM   reward_calendar c
    ORDER BY c.day_no;
END claim_daily_reward;
/

-- reward.status
CREATE OR REPLACE PROCEDURE daily_reward_status(
  p_player_id IN NUMBER, p_day IN DATE, p_streak OUT NUMBER, p_last_day OUT DATE, p_may_claim OUT NUMBER,
  p_calendar OUT SYS_REFCURSOR) IS
BEGIN
  BEGIN
    SELECT r.streak, r.last_day INTO p_streak, p_last_day FROM daily_reward r WHERE r.player_id = p_player_id;
  EXCEPTION
    WHEN NO_DATA_FOUND THEN NULL;
  END;
  -- A day left out ends the row.
  p_streak := CASE WHEN p_last_day >= p_day - INTERVAL '1' DAY THEN p_streak ELSE 0 END;
  p_may_claim := CASE WHEN p_last_day >= p_day THEN 0 ELSE 1 END;

  OPEN p_calendar FOR
    SELECT c.day_no, c.gems, CASE WHEN c.day_no <= p_streak THEN 1 ELSE 0 END AS taken
    FROM   reward_calendar c
    ORDER BY c.day_no;
END daily_reward_status;
/
