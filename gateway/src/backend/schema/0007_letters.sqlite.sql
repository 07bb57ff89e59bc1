-- Dead letters of orders in gateways' journals, which are held against a flip (docs/switching.md).
-- Its journal's id.
ALTER TABLE gateway_switch_instance ADD COLUMN journal INTEGER NULL;
-- Those of the game in there.
ALTER TABLE gateway_switch_instance ADD COLUMN dead_letters INTEGER NOT NULL DEFAULT 0;
