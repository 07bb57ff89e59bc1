-- The switch of a game to another database (docs/switching.md). Who owns a group of tables, in both databases.
CREATE TABLE gateway_switch (
    group_name VARCHAR(64)  NOT NULL,
    -- Raised when the owner changes.
    epoch      BIGINT       NOT NULL,
    -- Names of connections.
    owner      VARCHAR(64)  NOT NULL,
    mirror     VARCHAR(64)  NULL,
    phase      VARCHAR(16)  NOT NULL,
    changed_at DATETIME(6)  NOT NULL,
    changed_by VARCHAR(200) NOT NULL,
    PRIMARY KEY (group_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The tables of a group, and up to which key each has been put into the outbox.
CREATE TABLE gateway_switch_table (
    group_name VARCHAR(64)  NOT NULL,
    table_name VARCHAR(128) NOT NULL,
    last_key   TEXT         NULL,
    touched    BIGINT       NOT NULL,
    is_done    INT          NOT NULL,
    PRIMARY KEY (group_name, table_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Who copies: a token for each taker, larger than those before.
CREATE TABLE gateway_copier (
    group_name VARCHAR(64)  NOT NULL,
    token      BIGINT       NOT NULL,
    copier     VARCHAR(200) NULL,
    -- Unix milliseconds.
    seen_at    BIGINT       NOT NULL,
    copied     BIGINT       NOT NULL,
    PRIMARY KEY (group_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Which rows changed, written by triggers in the transaction of the change: the table, and the primary key as a JSON
-- array of texts. Kind 0: a row.
CREATE TABLE gateway_outbox (
    id         BIGINT       NOT NULL AUTO_INCREMENT,
    kind       INT          NOT NULL,
    table_name VARCHAR(128) NOT NULL,
    row_key    TEXT         NOT NULL,
    attempt    INT          NOT NULL DEFAULT 0,
    created_at DATETIME(6)  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Rows that the mirror did not take.
CREATE TABLE gateway_outbox_refused (
    id         BIGINT       NOT NULL,
    table_name VARCHAR(128) NOT NULL,
    row_key    TEXT         NOT NULL,
    fault      TEXT         NOT NULL,
    refused_at DATETIME(6)  NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
