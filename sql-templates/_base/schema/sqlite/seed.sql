-- Sample rows for an empty database: `:players` players, from id 1001, at most a million of them.
--
-- The same rows on every database, from arithmetic alone. Each player has one to three characters,
-- three to seven items, up to two orders with what was paid for them, 1000 gems, and one login token, whose
-- hash is the player's id in hexadecimal, padded to 64 digits.

INSERT INTO player (player_id, account_name, nickname, server_id, player_level, vip_level, experience,
                    gold, status, version, created_at, last_login_at)
WITH RECURSIVE thousand (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM thousand WHERE n < 999),
     wanted (players) AS (SELECT CAST(:players AS INTEGER)),
     numbers (n) AS (
       SELECT high.n * 1000 + low.n
       FROM   wanted
       JOIN   thousand high ON high.n * 1000 < wanted.players
       JOIN   thousand low  ON high.n * 1000 + low.n < wanted.players
     )
SELECT 1001 + n, 'account' || (1001 + n), 'Player' || (1001 + n), 1 + n % 10, 1 + n * 7 % 100,
       n % 16, n * 37, n * 101, CASE WHEN n % 50 = 49 THEN 2 ELSE 1 END, 1,
       strftime('%Y-%m-%dT%H:%M:%S', '2026-01-01', n || ' seconds') || '.000000Z',
       CASE WHEN n % 5 = 4 THEN NULL
            ELSE strftime('%Y-%m-%dT%H:%M:%S', '2026-03-01', n || ' seconds') || '.000000Z' END
FROM   numbers;

INSERT INTO game_character (character_id, player_id, server_id, char_name, class_id, char_level,
                            experience, version, created_at)
SELECT p.player_id * 100 + s.slot, p.player_id, p.server_id, 'Hero' || p.player_id || '_' || s.slot,
       1 + (p.player_id + s.slot) % 6, 1 + (p.player_id * 3 + s.slot) % 100, p.player_id % 1000 * s.slot,
       1, strftime('%Y-%m-%dT%H:%M:%S', p.created_at, s.slot || ' minutes') || '.000000Z'
FROM   player p
JOIN   (SELECT 1 AS slot UNION ALL SELECT 2 UNION ALL SELECT 3) s ON s.slot <= 1 + p.player_id % 3
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO player_item (item_id, player_id, item_type, qty, acquired_at, expires_at, version)
SELECT p.player_id * 10000 + s.slot, p.player_id, s.slot, 1 + (p.player_id + s.slot) % 99,
       strftime('%Y-%m-%dT%H:%M:%S', p.created_at, s.slot || ' hours') || '.000000Z',
       CASE WHEN s.slot = 7 THEN '2030-01-01T00:00:00.000000Z' ELSE NULL END, 1
FROM   player p
JOIN   (SELECT 1 AS slot UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5
        UNION ALL SELECT 6 UNION ALL SELECT 7) s ON s.slot <= 3 + p.player_id % 5
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO game_order (order_id, order_no, player_id, product_id, qty, amount, currency, channel, status,
                        version, created_at, paid_at)
SELECT p.player_id * 100000 + s.slot, printf('SO%d-%04d', p.player_id, s.slot), p.player_id,
       'gems_' || (s.slot * 60), 1, printf('%d.99', s.slot * 6 - 1), 'CNY', 'web',
       (p.player_id + s.slot) % 5, 1,
       strftime('%Y-%m-%dT%H:%M:%S', p.created_at, s.slot || ' days') || '.000000Z',
       CASE WHEN (p.player_id + s.slot) % 5 IN (1, 2, 3)
            THEN strftime('%Y-%m-%dT%H:%M:%S', p.created_at, s.slot || ' days', '1 minutes') || '.000000Z'
            ELSE NULL END
FROM   player p
JOIN   (SELECT 1 AS slot UNION ALL SELECT 2) s ON s.slot <= p.player_id % 3
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO auth_token (token_id, player_id, token_hash, device, issued_at, expires_at, version)
SELECT p.player_id * 10, p.player_id, printf('%064x', p.player_id), 'phone', p.created_at,
       '2030-01-01T00:00:00.000000Z', 1
FROM   player p
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO player_wallet (player_id, currency, balance, version)
SELECT p.player_id, 'gems', 1000, 1
FROM   player p
WHERE  p.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO wallet_ledger (player_id, entry_id, request_id, currency, amount, balance_after, reason, created_at)
SELECT w.player_id, w.player_id, 'seed-' || w.player_id, w.currency, w.balance, w.balance, 'seed',
       '2026-01-01T00:00:00.000000Z'
FROM   player_wallet w
WHERE  w.player_id BETWEEN 1001 AND 1000 + :players;

INSERT INTO order_ledger (entry_id, payment_id, order_no, entry_kind, amount, currency, created_at)
SELECT o.order_id * 10 + k.entry_kind, 'PAY-' || o.order_no, o.order_no, k.entry_kind, o.amount, o.currency,
       strftime('%Y-%m-%dT%H:%M:%S', o.paid_at, (k.entry_kind - 1) || ' days') || '.000000Z'
FROM   game_order o
JOIN   (SELECT 1 AS entry_kind UNION ALL SELECT 2) k ON k.entry_kind = 1 OR o.status = 3
WHERE  o.player_id BETWEEN 1001 AND 1000 + :players
  AND  o.status IN (1, 2, 3);
