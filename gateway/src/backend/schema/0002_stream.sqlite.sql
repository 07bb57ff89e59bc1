-- The last owner of each Redis stream that orders come from. A transaction of an owner before it is refused.
CREATE TABLE gateway_stream (
    -- Hash of the stream's name.
    stream INTEGER NOT NULL PRIMARY KEY,
    token  INTEGER NOT NULL
);
