-- The last owner of each Redis stream that orders come from. A transaction of an owner before it is refused.
CREATE TABLE gateway_stream (
    -- Hash of the stream's name.
    stream NUMBER(19) NOT NULL,
    token  NUMBER(19) NOT NULL,
    CONSTRAINT gateway_stream_pk PRIMARY KEY (stream)
);
