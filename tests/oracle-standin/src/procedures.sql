
-- What the dictionary says of procedures. Their parameters are written down when they are made.
CREATE TABLE argument (
    owner text, name text, position numeric, argument text NOT NULL, in_out text NOT NULL, data_type text NOT NULL,
    defaulted text NOT NULL, PRIMARY KEY (owner, name, position)
);
CREATE VIEW all_procedures AS
    SELECT upper(owner) AS owner, name AS object_name, NULL::text AS procedure_name, 'PROCEDURE'::text AS object_type
    FROM source;
CREATE VIEW user_procedures AS
    SELECT object_name, procedure_name, object_type FROM all_procedures WHERE owner = upper(current_schema());
CREATE VIEW all_arguments AS
    SELECT upper(owner) AS owner, name AS object_name, NULL::text AS package_name, NULL::text AS overload,
        argument AS argument_name, position, position AS sequence, 0::numeric AS data_level, data_type, defaulted, in_out
    FROM argument;
CREATE VIEW user_arguments AS
    SELECT object_name, package_name, overload, argument_name, position, sequence, data_level, data_type, defaulted, in_out
    FROM all_arguments WHERE owner = upper(current_schema());
CREATE VIEW all_source AS
    SELECT upper(owner) AS owner, name, 'PROCEDURE'::text AS type, 1::numeric AS line, source AS text FROM source;
CREATE VIEW user_source AS
    SELECT name, type, line, text FROM all_source WHERE owner = upper(current_schema());
-- There are none.
CREATE VIEW all_synonyms AS
    SELECT NULL::text AS owner, NULL::text AS synonym_name, NULL::text AS table_owner, NULL::text AS table_name WHERE FALSE;
GRANT SELECT ON ALL TABLES IN SCHEMA oracle_standin TO PUBLIC;
