-- The flip of a game to its mirror (docs/switching.md). The attempt that is under way, in the row of the old owner.
-- Raised at each attempt.
ALTER TABLE gateway_switch ADD COLUMN flip_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE gateway_switch ADD COLUMN pause_max_ms INTEGER NOT NULL DEFAULT 0;
-- When its present phase began, in Unix milliseconds.
ALTER TABLE gateway_switch ADD COLUMN flip_at_ms INTEGER NOT NULL DEFAULT 0;
-- Shadow reads, of a million.
ALTER TABLE gateway_switch ADD COLUMN sample_ppm INTEGER NOT NULL DEFAULT 0;

-- The running gateways that have the game, and what each of them has seen of the flip.
CREATE TABLE gateway_switch_instance (
    group_name TEXT    NOT NULL,
    instance   TEXT    NOT NULL,
    -- Unix milliseconds.
    seen_at    INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    flip_id    INTEGER NOT NULL,
    -- open, ready, blocked, unfit
    state      TEXT    NOT NULL,
    -- Why it is unfit.
    fault      TEXT    NULL,
    -- How long its last pause was.
    pause_ms   INTEGER NOT NULL,
    PRIMARY KEY (group_name, instance)
) STRICT;

-- The last comparison of all rows with the mirror's (`gateway reconcile`), in the owner's database.
CREATE TABLE gateway_switch_reconcile (
    group_name  TEXT    NOT NULL PRIMARY KEY,
    mirror      TEXT    NOT NULL,
    -- Unix milliseconds.
    began_at    INTEGER NOT NULL,
    ended_at    INTEGER NOT NULL,
    row_count   INTEGER NOT NULL,
    divergences INTEGER NOT NULL
) STRICT;
