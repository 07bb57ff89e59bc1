-- The idempotent requests that have taken effect, and what they answered. Written by the gateway in the
-- transaction of the effect, purged by it when they have expired.
CREATE TABLE gateway_request (
    request_hash BINARY(16) NOT NULL,
    params_hash  BINARY(16) NOT NULL,
    -- The first answer, MessagePack; NULL: it was journalled.
    reply        MEDIUMBLOB NULL,
    -- Which journal's which record it was, if it was one.
    journal      BIGINT     NULL,
    sequence     BIGINT     NULL,
    -- Unix milliseconds.
    expires_at   BIGINT     NOT NULL,
    PRIMARY KEY (request_hash),
    KEY gateway_request_expires (expires_at, request_hash)
) ENGINE = InnoDB;
