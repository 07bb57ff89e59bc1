-- The switch of a game to another database (docs/switching.md). Who owns a group of tables, in both databases.
CREATE TABLE gateway_switch (
    group_name TEXT    NOT NULL PRIMARY KEY,
    -- Raised when the owner changes.
    epoch      INTEGER NOT NULL,
    -- Names of connections.
    owner      TEXT    NOT NULL,
    mirror     TEXT    NULL,
    phase      TEXT    NOT NULL,
    changed_at TEXT    NOT NULL,
    changed_by TEXT    NOT NULL
) STRICT;

-- The tables of a group, and up to which key each has been put into the outbox.
CREATE TABLE gateway_switch_table (
    group_name TEXT    NOT NULL,
    table_name TEXT    NOT NULL,
    last_key   TEXT    NULL,
    touched    INTEGER NOT NULL,
    is_done    INTEGER NOT NULL,
    PRIMARY KEY (group_name, table_name)
) STRICT;

-- Who copies: a token for each taker, larger than those before.
CREATE TABLE gateway_copier (
    group_name TEXT    NOT NULL PRIMARY KEY,
    token      INTEGER NOT NULL,
    copier     TEXT    NULL,
    -- Unix milliseconds.
    seen_at    INTEGER NOT NULL,
    copied     INTEGER NOT NULL
) STRICT;

-- Which rows changed, written by triggers in the transaction of the change: the table, and the primary key as a JSON
-- array of texts. Kind 0: a row.
CREATE TABLE gateway_outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       INTEGER NOT NULL,
    table_name TEXT    NOT NULL,
    row_key    TEXT    NOT NULL,
    attempt    INTEGER NOT NULL DEFAULT 0,
    created_at TEXT    NOT NULL
) STRICT;

-- Rows that the mirror did not take.
CREATE TABLE gateway_outbox_refused (
    id         INTEGER NOT NULL PRIMARY KEY,
    table_name TEXT    NOT NULL,
    row_key    TEXT    NOT NULL,
    fault      TEXT    NOT NULL,
    refused_at TEXT    NOT NULL
) STRICT;
