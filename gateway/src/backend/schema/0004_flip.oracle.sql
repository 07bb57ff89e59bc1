-- The flip of a game to its mirror (docs/switching.md). The attempt that is under way, in the row of the old owner.
-- Raised at each attempt.
ALTER TABLE gateway_switch ADD flip_id NUMBER(19) DEFAULT 0 NOT NULL;
ALTER TABLE gateway_switch ADD pause_max_ms NUMBER(19) DEFAULT 0 NOT NULL;
-- When its present phase began, in Unix milliseconds.
ALTER TABLE gateway_switch ADD flip_at_ms NUMBER(19) DEFAULT 0 NOT NULL;
-- Shadow reads, of a million.
ALTER TABLE gateway_switch ADD sample_ppm NUMBER(10) DEFAULT 0 NOT NULL;

-- The running gateways that have the game, and what each of them has seen of the flip.
CREATE TABLE gateway_switch_instance (
    group_name VARCHAR2(64)   NOT NULL,
    instance   VARCHAR2(800)  NOT NULL,
    -- Unix milliseconds.
    seen_at    NUMBER(19)     NOT NULL,
    epoch      NUMBER(19)     NOT NULL,
    flip_id    NUMBER(19)     NOT NULL,
    -- open, ready, blocked, unfit
    state      VARCHAR2(16)   NOT NULL,
    -- Why it is unfit.
    fault      VARCHAR2(4000) NULL,
    -- How long its last pause was.
    pause_ms   NUMBER(19)     NOT NULL,
    CONSTRAINT gateway_switch_instance_pk PRIMARY KEY (group_name, instance)
);

-- The last comparison of all rows with the mirror's (`gateway reconcile`), in the owner's database.
CREATE TABLE gateway_switch_reconcile (
    group_name  VARCHAR2(64) NOT NULL,
    mirror      VARCHAR2(64) NOT NULL,
    -- Unix milliseconds.
    began_at    NUMBER(19)   NOT NULL,
    ended_at    NUMBER(19)   NOT NULL,
    row_count   NUMBER(19)   NOT NULL,
    divergences NUMBER(19)   NOT NULL,
    CONSTRAINT gateway_switch_reconcile_pk PRIMARY KEY (group_name)
);
