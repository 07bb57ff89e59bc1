-- Dead letters of orders in gateways' journals, which are held against a flip (docs/switching.md).
-- Its journal's id.
ALTER TABLE gateway_switch_instance ADD journal NUMBER(19) NULL;
-- Those of the game in there; 0 without a journal, NULL: of a gateway that does not count.
ALTER TABLE gateway_switch_instance ADD dead_letters NUMBER(19) NULL;
