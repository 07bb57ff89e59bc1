-- The flip of a game to its mirror (docs/switching.md). The attempt that is under way, in the row of the old owner.
ALTER TABLE gateway_switch
    -- Raised at each attempt.
    ADD COLUMN flip_id      BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN pause_max_ms BIGINT NOT NULL DEFAULT 0,
    -- When its present phase began, in Unix milliseconds.
    ADD COLUMN flip_at_ms   BIGINT NOT NULL DEFAULT 0,
    -- Shadow reads, of a million.
    ADD COLUMN sample_ppm   INT    NOT NULL DEFAULT 0;

-- The running gateways that have the game, and what each of them has seen of the flip.
CREATE TABLE gateway_switch_instance (
    group_name VARCHAR(64)  NOT NULL,
    instance   VARCHAR(200) NOT NULL,
    -- Unix milliseconds.
    seen_at    BIGINT       NOT NULL,
    epoch      BIGINT       NOT NULL,
    flip_id    BIGINT       NOT NULL,
    -- open, ready, blocked, unfit
    state      VARCHAR(16)  NOT NULL,
    -- Why it is unfit.
    fault      TEXT         NULL,
    -- How long its last pause was.
    pause_ms   BIGINT       NOT NULL,
    PRIMARY KEY (group_name, instance)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The last comparison of all rows with the mirror's (`gateway reconcile`), in the owner's database.
CREATE TABLE gateway_switch_reconcile (
    group_name  VARCHAR(64) NOT NULL,
    mirror      VARCHAR(64) NOT NULL,
    -- Unix milliseconds.
    began_at    BIGINT      NOT NULL,
    ended_at    BIGINT      NOT NULL,
    row_count   BIGINT      NOT NULL,
    divergences BIGINT      NOT NULL,
    PRIMARY KEY (group_name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
