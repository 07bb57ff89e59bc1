-- What the gateway may do on game1's own tables, besides what _base/schema/mysql/grants.sql says. Run by a DBA,
-- twice as that one: before `gateway migrate` for the first statement, and after it for all.

-- Migrating: its procedures.
GRANT CREATE ROUTINE, ALTER ROUTINE ON * TO 'gateway_migrate'@'%';

-- Serving.
GRANT SELECT                 ON reward_calendar TO 'gateway'@'%';
GRANT SELECT, INSERT, UPDATE ON daily_reward    TO 'gateway'@'%';
GRANT EXECUTE ON PROCEDURE claim_daily_reward   TO 'gateway'@'%';
GRANT EXECUTE ON PROCEDURE daily_reward_status  TO 'gateway'@'%';
