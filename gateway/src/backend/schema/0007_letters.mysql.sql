-- Dead letters of orders in gateways' journals, which are held against a flip (docs/switching.md).
ALTER TABLE gateway_switch_instance
    -- Its journal's id.
    ADD COLUMN journal      BIGINT NULL,
    -- Those of the game in there.
    ADD COLUMN dead_letters BIGINT NOT NULL DEFAULT 0;
