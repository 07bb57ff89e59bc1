-- Dead letters of orders in gateways' journals, which are held against a flip (docs/switching.md).
ALTER TABLE gateway_switch_instance
    -- Its journal's id.
    ADD COLUMN journal      BIGINT NULL,
    -- Those of the game in there; 0 without a journal, NULL: of a gateway that does not count.
    ADD COLUMN dead_letters BIGINT NULL;
