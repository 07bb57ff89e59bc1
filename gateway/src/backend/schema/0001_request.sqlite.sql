-- The idempotent requests that have taken effect, and what they answered. Written by the gateway in the
-- transaction of the effect, purged by it when they have expired.
CREATE TABLE gateway_request (
    request_hash BLOB    NOT NULL PRIMARY KEY,
    params_hash  BLOB    NOT NULL,
    -- The first answer, MessagePack; NULL: it was journalled.
    reply        BLOB    NULL,
    -- Which journal's which record it was, if it was one.
    journal      INTEGER NULL,
    sequence     INTEGER NULL,
    -- Unix milliseconds.
    expires_at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX gateway_request_expires ON gateway_request (expires_at, request_hash);
