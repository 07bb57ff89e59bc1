-- Shadow reads (docs/switching.md): a share of the owner's reads is answered by the mirror, too, and compared.
-- When they end, in Unix milliseconds; 0: when somebody says so.
ALTER TABLE gateway_switch ADD sample_until_ms NUMBER(19) DEFAULT 0 NOT NULL;
-- Raised each time they begin.
ALTER TABLE gateway_switch ADD sample_run NUMBER(19) DEFAULT 0 NOT NULL;

-- What each gateway compared, by operation.
CREATE TABLE gateway_switch_shadow (
    group_name VARCHAR2(64)   NOT NULL,
    instance   VARCHAR2(800)  NOT NULL,
    operation  VARCHAR2(64)   NOT NULL,
    compared   NUMBER(19)     NOT NULL,
    mismatched NUMBER(19)     NOT NULL,
    -- Sampled, and not compared: no answer in time, or rows that changed at every look.
    undecided  NUMBER(19)     NOT NULL,
    -- Why no two answers of the operation can be compared.
    fault      VARCHAR2(4000) NULL,
    -- Unix milliseconds.
    since_ms   NUMBER(19)     NOT NULL,
    last_ms    NUMBER(19)     NOT NULL,
    CONSTRAINT gateway_switch_shadow_pk PRIMARY KEY (group_name, instance, operation)
);

-- Answers that differed, the newest ones.
CREATE TABLE gateway_switch_mismatch (
    group_name  VARCHAR2(64)   NOT NULL,
    operation   VARCHAR2(64)   NOT NULL,
    -- Of params and fault.
    digest      VARCHAR2(32)   NOT NULL,
    -- As a log shows them: masked ones are not there. A call without parameters has one blank.
    params      VARCHAR2(4000) NOT NULL,
    -- Columns and counts, no values.
    fault       VARCHAR2(4000) NOT NULL,
    found_count NUMBER(19)     NOT NULL,
    -- Unix milliseconds.
    first_ms    NUMBER(19)     NOT NULL,
    last_ms     NUMBER(19)     NOT NULL,
    CONSTRAINT gateway_switch_mismatch_pk PRIMARY KEY (group_name, operation, digest)
);
