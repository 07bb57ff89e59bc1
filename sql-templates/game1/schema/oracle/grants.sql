-- What the gateway may do on game1's own procedures, besides what _base/schema/oracle/grants.sql says. Run by a DBA as
-- the schema's owner, who needs CREATE PROCEDURE to migrate. They run with the owner's rights: the gateway gets none on
-- the tables behind them.

GRANT EXECUTE ON claim_daily_reward  TO gateway;
GRANT EXECUTE ON daily_reward_status TO gateway;
-- and, as gateway: CREATE SYNONYM claim_daily_reward FOR game1.claim_daily_reward; and so on.
