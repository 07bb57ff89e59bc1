-- Events (`@emit`, docs/events.md) stand in the outbox, too, written in the transaction of what they tell of.
-- Kind 1: an event. Its topic is `table_name`, its name `row_key`.
ALTER TABLE gateway_outbox
    -- 0: not in order yet. An event comes after those of smaller batches, and within one by its id.
    ADD COLUMN batch      BIGINT       NOT NULL DEFAULT 0,
    ADD COLUMN game       VARCHAR(64)  NULL,
    ADD COLUMN operation  VARCHAR(128) NULL,
    -- A JSON object.
    ADD COLUMN data       LONGTEXT     NULL,
    -- Unix milliseconds.
    ADD COLUMN emitted_at BIGINT       NULL,
    ADD KEY gateway_outbox_order (kind, batch, id);

-- The last batch of events of each game.
CREATE TABLE gateway_event_batch (
    game  VARCHAR(64) NOT NULL,
    batch BIGINT      NOT NULL,
    PRIMARY KEY (game)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
