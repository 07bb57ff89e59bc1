-- Events (`@emit`, docs/events.md) stand in the outbox, too, written in the transaction of what they tell of.
-- Kind 1: an event. Its topic is `table_name`, its name `row_key`.
-- A batch of 0: not in order yet. An event comes after those of smaller batches, and within one by its id.
ALTER TABLE gateway_outbox ADD batch NUMBER(19) DEFAULT 0 NOT NULL;
ALTER TABLE gateway_outbox ADD game VARCHAR2(64) NULL;
ALTER TABLE gateway_outbox ADD operation VARCHAR2(128) NULL;
-- A JSON object.
ALTER TABLE gateway_outbox ADD data CLOB NULL;
-- Unix milliseconds.
ALTER TABLE gateway_outbox ADD emitted_at NUMBER(19) NULL;
CREATE INDEX gateway_outbox_order ON gateway_outbox (kind, batch, id);

-- The last batch of events of each game.
CREATE TABLE gateway_event_batch (
    game  VARCHAR2(64) NOT NULL,
    batch NUMBER(19)   NOT NULL,
    CONSTRAINT gateway_event_batch_pk PRIMARY KEY (game)
);
