-- Shadow reads (docs/switching.md): a share of the owner's reads is answered by the mirror, too, and compared.
-- When they end, in Unix milliseconds; 0: when somebody says so.
ALTER TABLE gateway_switch ADD COLUMN sample_until_ms INTEGER NOT NULL DEFAULT 0;
-- Raised each time they begin.
ALTER TABLE gateway_switch ADD COLUMN sample_run INTEGER NOT NULL DEFAULT 0;

-- What each gateway compared, by operation.
CREATE TABLE gateway_switch_shadow (
    group_name TEXT    NOT NULL,
    instance   TEXT    NOT NULL,
    operation  TEXT    NOT NULL,
    compared   INTEGER NOT NULL,
    mismatched INTEGER NOT NULL,
    -- Sampled, and not compared: no answer in time, or rows that changed at every look.
    undecided  INTEGER NOT NULL,
    -- Why no two answers of the operation can be compared.
    fault      TEXT    NULL,
    -- Unix milliseconds.
    since_ms   INTEGER NOT NULL,
    last_ms    INTEGER NOT NULL,
    PRIMARY KEY (group_name, instance, operation)
) STRICT;

-- Answers that differed, the newest ones.
CREATE TABLE gateway_switch_mismatch (
    group_name  TEXT    NOT NULL,
    operation   TEXT    NOT NULL,
    -- Of params and fault.
    digest      TEXT    NOT NULL,
    -- As a log shows them: masked ones are not there.
    params      TEXT    NOT NULL,
    -- Columns and counts, no values.
    fault       TEXT    NOT NULL,
    found_count INTEGER NOT NULL,
    -- Unix milliseconds.
    first_ms    INTEGER NOT NULL,
    last_ms     INTEGER NOT NULL,
    PRIMARY KEY (group_name, operation, digest)
) STRICT;
