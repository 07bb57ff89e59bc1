-- Shadow reads (docs/switching.md): a share of the owner's reads is answered by the mirror, too, and compared.
ALTER TABLE gateway_switch
    -- When they end, in Unix milliseconds; 0: when somebody says so.
    ADD COLUMN sample_until_ms BIGINT NOT NULL DEFAULT 0,
    -- Raised each time they begin.
    ADD COLUMN sample_run      BIGINT NOT NULL DEFAULT 0;

-- What each gateway compared, by operation.
CREATE TABLE gateway_switch_shadow (
    group_name VARCHAR(64)  NOT NULL,
    instance   VARCHAR(200) NOT NULL,
    operation  VARCHAR(64)  NOT NULL,
    compared   BIGINT       NOT NULL,
    mismatched BIGINT       NOT NULL,
    -- Sampled, and not compared: no answer in time, or rows that changed at every look.
    undecided  BIGINT       NOT NULL,
    -- Why no two answers of the operation can be compared.
    fault      TEXT         NULL,
    -- Unix milliseconds.
    since_ms   BIGINT       NOT NULL,
    last_ms    BIGINT       NOT NULL,
    PRIMARY KEY (group_name, instance, operation)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Answers that differed, the newest ones.
CREATE TABLE gateway_switch_mismatch (
    group_name  VARCHAR(64) NOT NULL,
    operation   VARCHAR(64) NOT NULL,
    -- Of params and fault.
    digest      CHAR(32)    NOT NULL,
    -- As a log shows them: masked ones are not there.
    params      TEXT        NOT NULL,
    -- Columns and counts, no values.
    fault       TEXT        NOT NULL,
    found_count BIGINT      NOT NULL,
    -- Unix milliseconds.
    first_ms    BIGINT      NOT NULL,
    last_ms     BIGINT      NOT NULL,
    PRIMARY KEY (group_name, operation, digest)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
