-- Dead letters of orders in gateways' journals, which are held against a flip (docs/switching.md).
-- Its journal's id.
ALTER TABLE gateway_switch_instance ADD COLUMN journal INTEGER NULL;
-- Those of the game in there; 0 without a journal, NULL: of a gateway that does not count.
ALTER TABLE gateway_switch_instance ADD COLUMN dead_letters INTEGER NULL;
