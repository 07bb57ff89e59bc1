-- What the gateway may do on a game's schema, and no more. Run by a DBA as the schema's owner (here `game1`);
-- `gateway migrate` never runs it.
--
-- The schema's owner holds the tables and migrates (`gateway migrate`). The gateway serves as another user, who
-- sees them through synonyms. Both are made first, with passwords of your own:
--   CREATE USER game1 IDENTIFIED BY "..." QUOTA UNLIMITED ON users;
--   GRANT CREATE SESSION, CREATE TABLE, CREATE SYNONYM TO game1;
--   CREATE USER gateway IDENTIFIED BY "...";
--   GRANT CREATE SESSION, CREATE SYNONYM TO gateway;
-- and, as gateway, a synonym for each table below: CREATE SYNONYM player FOR game1.player;

-- Serving: rows of these tables. No DDL, no other table, no right to hand rights on.
GRANT SELECT, INSERT, UPDATE         ON player         TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON game_character TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON player_item    TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON game_order     TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON auth_token     TO gateway;
GRANT SELECT, INSERT, UPDATE         ON player_wallet  TO gateway;
GRANT SELECT, INSERT, UPDATE         ON player_mail    TO gateway;
-- A ledger is only ever added to.
GRANT SELECT, INSERT                 ON wallet_ledger  TO gateway;
GRANT SELECT, INSERT                 ON item_ledger    TO gateway;
GRANT SELECT, INSERT                 ON order_ledger   TO gateway;
-- The gateway's own: which migrations were applied; it only looks.
GRANT SELECT                         ON gateway_migration TO gateway;
-- The gateway's own: which idempotent requests have taken effect.
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_request TO gateway;
-- The gateway's own: who owns each stream that orders come from (`queue: stream`).
GRANT SELECT, INSERT, UPDATE         ON gateway_stream TO gateway;
-- The gateway's own: a game on its way to another database (docs/switching.md). Without a mirror it only looks. With one, on either side, it serves as
-- the schema's owner, because it copies the tables of the connection's own schema, and needs to make triggers: GRANT CREATE TRIGGER TO game1;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_table TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_instance TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_shadow TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_mismatch TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_reconcile TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_copier TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_outbox TO gateway;
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_outbox_refused TO gateway;
-- The gateway's own: the order of events (`@emit`, docs/events.md); a flip carries it along.
GRANT SELECT, INSERT, UPDATE         ON gateway_event_batch TO gateway;
