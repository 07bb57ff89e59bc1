-- The last owner of each Redis stream that orders come from. A transaction of an owner before it is refused.
CREATE TABLE gateway_stream (
    -- Hash of the stream's name.
    stream BIGINT NOT NULL,
    token  BIGINT NOT NULL,
    PRIMARY KEY (stream)
) ENGINE = InnoDB;
