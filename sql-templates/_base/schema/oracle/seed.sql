-- Sample rows for an empty database: `:players` players, from id 1001, at most a million of them.
--
-- The same rows on every database, from arithmetic alone. Each player has one to three characters,
-- three to seven items, up to two orders with what was paid for them, 1000 gems, and one login token, whose
-- hash is the player's id in hexadecimal, padded to 64 digits.
-- Numbers are put together from their digits, the highest first, so that few of them are made in vain.

INSERT INTO player (player_id, account_name, nickname, server_id, player_level, vip_level, experience,
                    gold, status, version, created_at, last_login_at)
WITH digit AS (
       SELECT 0 AS n FROM dual UNION ALL SELECT 1 FROM dual UNION ALL SELECT 2 FROM dual UNION ALL
       SELECT 3 FROM dual UNION ALL SELECT 4 FROM dual UNION ALL SELECT 5 FROM dual UNION ALL
       SELECT 6 FROM dual UNION ALL SELECT 7 FROM dual UNION ALL SELECT 8 FROM dual UNION ALL
       SELECT 9 FROM dual
     ),
     high AS (
       SELECT f.n * 100000 + e.n * 10000 + d.n * 1000 AS n
       FROM   digit f
       JOIN   digit e ON f.n * 100000 + e.n * 10000 < :players
       JOIN   digit d ON f.n * 100000 + e.n * 10000 + d.n * 1000 < :players
     ),
     numbers AS (
       SELECT h.n + c.n * 100 + b.n * 10 + a.n AS n
       FROM   high h
       JOIN   digit c ON h.n + c.n * 100 < :players
       JOIN   digit b ON h.n + c.n * 100 + b.n * 10 < :players
       JOIN   digit a ON h.n + c.n * 100 + b.n * 10 + a.n < :players
     )
SELECT 1001 + n, 'account' || (1001 + n), 'Player' || (1001 + n), 1 + MOD(n, 10), 1 + MOD(n * 7, 100),
       MOD(n, 16), n * 37, n * 101, CASE WHEN MOD(n, 50) = 49 THEN 2 ELSE 1 END, 1,
       TIMESTAMP '2026-01-01 00:00:00' + n * INTERVAL '1' SECOND,
       CASE WHEN MOD(n, 5) = 4 THEN NULL
            ELSE TIMESTAMP '2026-03-01 00:00:00' + n * INTERVAL '1' SECOND END
FROM   numbers;

INSERT INTO game_character (character_id, player_id, server_id, char_name, class_id, char_level,
                            experience, version, created_at)
SELECT p.player_id * 100 + s.slot, p.player_id, p.server_id, 'Hero' || p.player_id || '_' || s.slot,
       1 + MOD(p.player_id + s.slot, 6), 1 + MOD(p.player_id * 3 + s.slot, 100),
       MOD(p.player_id, 1000) * s.slot, 1, p.created_at + s.slot * INTERVAL '1' MINUTE
FROM   player p
JOIN   (SELECT 1 AS slot FROM dual UNION ALL SELECT 2 FROM dual UNION ALL SELECT 3 FROM dual) s
       ON s.slot <= 1 + MOD(p.player_id, 3)
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, expires_at, version)
SELECT p.player_id * 10000 + s.slot, p.player_id, s.slot, 1 + MOD(p.player_id + s.slot, 99),
       p.created_at + s.slot * INTERVAL '1' HOUR,
       CASE WHEN s.slot = 7 THEN TIMESTAMP '2030-01-01 00:00:00' ELSE NULL END, 1
FROM   player p
JOIN   (SELECT 1 AS slot FROM dual UNION ALL SELECT 2 FROM dual UNION ALL SELECT 3 FROM dual UNION ALL
        SELECT 4 FROM dual UNION ALL SELECT 5 FROM dual UNION ALL SELECT 6 FROM dual UNION ALL
        SELECT 7 FROM dual) s
       ON s.slot <= 3 + MOD(p.player_id, 5)
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO game_order (order_id, order_no, player_id, product_id, qty, amount, currency, channel, status,
                        version, created_at, paid_at)
SELECT p.player_id * 100000 + s.slot, 'SO' || p.player_id || '-000' || s.slot, p.player_id,
       'gems_' || (s.slot * 60), 1, s.slot * 6 - 0.01, 'CNY', 'web', MOD(p.player_id + s.slot, 5), 1,
       p.created_at + s.slot * INTERVAL '1' DAY,
       CASE WHEN MOD(p.player_id + s.slot, 5) IN (1, 2, 3)
            THEN p.created_at + s.slot * INTERVAL '1' DAY + INTERVAL '1' MINUTE ELSE NULL END
FROM   player p
JOIN   (SELECT 1 AS slot FROM dual UNION ALL SELECT 2 FROM dual) s ON s.slot <= MOD(p.player_id, 3)
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO auth_token (token_id, player_id, token_hash, device, issued_at, expires_at, version)
SELECT p.player_id * 10, p.player_id,
       LPAD(SUBSTR('0123456789abcdef', MOD(TRUNC(p.player_id / 65536), 16) + 1, 1) ||
            SUBSTR('0123456789abcdef', MOD(TRUNC(p.player_id / 4096), 16) + 1, 1) ||
            SUBSTR('0123456789abcdef', MOD(TRUNC(p.player_id / 256), 16) + 1, 1) ||
            SUBSTR('0123456789abcdef', MOD(TRUNC(p.player_id / 16), 16) + 1, 1) ||
            SUBSTR('0123456789abcdef', MOD(p.player_id, 16) + 1, 1), 64, '0'),
       'phone', p.created_at, TIMESTAMP '2030-01-01 00:00:00', 1
FROM   player p
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO player_wallet (player_id, currency, balance, version)
SELECT p.player_id, 'gems', 1000, 1
FROM   player p
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO wallet_ledger (player_id, entry_id, request_id, currency, amount, balance_after, reason, created_at)
SELECT w.player_id, w.player_id, 'seed-' || w.player_id, w.currency, w.balance, w.balance, 'seed',
       TIMESTAMP '2026-01-01 00:00:00'
FROM   player_wallet w
WHERE  w.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO order_ledger (entry_id, payment_id, order_no, entry_kind, amount, currency, created_at)
SELECT o.order_id * 10 + k.entry_kind, 'PAY-' || o.order_no, o.order_no, k.entry_kind, o.amount,
       o.currency, o.paid_at + (k.entry_kind - 1) * INTERVAL '1' DAY
FROM   game_order o
JOIN   (SELECT 1 AS entry_kind FROM dual UNION ALL SELECT 2 FROM dual) k
       ON k.entry_kind = 1 OR o.status = 3
WHERE  o.player_id BETWEEN 1001 AND 1000 + :players
  AND  o.status IN (1, 2, 3);
