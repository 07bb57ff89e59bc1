-- The idempotent requests that have taken effect, and what they answered. Written by the gateway in the
-- transaction of the effect, purged by it when they have expired.
CREATE TABLE gateway_request (
    request_hash RAW(16)    NOT NULL,
    params_hash  RAW(16)    NOT NULL,
    -- The first answer, MessagePack; NULL: it was journalled.
    reply        BLOB       NULL,
    -- Which journal's which record it was, if it was one.
    journal      NUMBER(19) NULL,
    sequence     NUMBER(19) NULL,
    -- Unix milliseconds.
    expires_at   NUMBER(19) NOT NULL,
    CONSTRAINT gateway_request_pk PRIMARY KEY (request_hash)
);
CREATE INDEX gateway_request_expires ON gateway_request (expires_at, request_hash);
