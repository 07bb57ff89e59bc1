-- What the gateway may do on a game's database, and no more. Run by a DBA, inside that database
-- (`mysql game1 < grants.sql`); `gateway migrate` never runs it.
--
-- The users are made first, with passwords and hosts of your own:
--   CREATE USER 'gateway'@'10.0.%' IDENTIFIED BY '...';
--   CREATE USER 'gateway_migrate'@'10.0.%' IDENTIFIED BY '...';
-- then put the host into the lines below in place of `%`. Run it twice: before `gateway migrate` for the first statement (it stops at the next,
-- whose table is not there yet), and after it for all. A game with a `grants.sql` of its own (`sql-templates/game1/schema/mysql`) has some more,
-- one of them for migrating, too: run that file twice as well.

-- Migrating (`gateway migrate`, from an operator's machine, with a configuration that names this user): the tables of this database.
GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX, REFERENCES, DROP ON * TO 'gateway_migrate'@'%';

-- Serving: rows of these tables. No DDL, no other table, no right to hand rights on. Cancelling a slow
-- query needs no right: a user may end its own.
GRANT SELECT, INSERT, UPDATE         ON player         TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON game_character TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON player_item    TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON game_order     TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON auth_token     TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE         ON player_wallet  TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE         ON player_mail    TO 'gateway'@'%';
-- A ledger is only ever added to.
GRANT SELECT, INSERT                 ON wallet_ledger  TO 'gateway'@'%';
GRANT SELECT, INSERT                 ON item_ledger    TO 'gateway'@'%';
GRANT SELECT, INSERT                 ON order_ledger   TO 'gateway'@'%';
-- The gateway's own: which migrations were applied; it only looks.
GRANT SELECT                         ON gateway_migration TO 'gateway'@'%';
-- The gateway's own: which idempotent requests have taken effect.
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_request TO 'gateway'@'%';
-- The gateway's own: who owns each stream that orders come from (`queue: stream`).
GRANT SELECT, INSERT, UPDATE         ON gateway_stream TO 'gateway'@'%';
-- The gateway's own: a game on its way to another database (docs/switching.md). Without a mirror it only looks.
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_table TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_instance TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_shadow TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_mismatch TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_switch_reconcile TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_copier TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_outbox TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_outbox_refused TO 'gateway'@'%';
-- The gateway's own: the order of events (`@emit`, docs/events.md); a flip carries it along.
GRANT SELECT, INSERT, UPDATE         ON gateway_event_batch TO 'gateway'@'%';
-- On both databases of a game that is on its way to another one, rows of every table are replaced: on the new one from the first step on, on the old one after the flip, so
-- that there is a way back (`player` and the ledgers lack DELETE above). Grant it before `gateway switch`, and take it back after `retire`:
--   GRANT SELECT, INSERT, DELETE ON * TO 'gateway'@'%';
-- On both, too, triggers are made (or printed, for a DBA): on the old one from the first step on, on the new one at the flip. Grant it before the
-- gateways connect: MySQL gives a connection new rights on a whole database only when it connects anew.
--   GRANT TRIGGER ON * TO 'gateway'@'%';
