-- Events (`@emit`, docs/events.md) stand in the outbox, too, written in the transaction of what they tell of.
-- Kind 1: an event. Its topic is `table_name`, its name `row_key`.
-- 0: not in order yet. An event comes after those of smaller batches, and within one by its id.
ALTER TABLE gateway_outbox ADD COLUMN batch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gateway_outbox ADD COLUMN game TEXT NULL;
ALTER TABLE gateway_outbox ADD COLUMN operation TEXT NULL;
-- A JSON object.
ALTER TABLE gateway_outbox ADD COLUMN data TEXT NULL;
-- Unix milliseconds.
ALTER TABLE gateway_outbox ADD COLUMN emitted_at INTEGER NULL;
CREATE INDEX gateway_outbox_order ON gateway_outbox (kind, batch, id);

-- The last batch of events of each game.
CREATE TABLE gateway_event_batch (
    game  TEXT    NOT NULL PRIMARY KEY,
    batch INTEGER NOT NULL
) STRICT;
