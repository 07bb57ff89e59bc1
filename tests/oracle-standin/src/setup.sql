-- Types, functions and views that Oracle has and PostgreSQL has not. Run once in a database, in a transaction.
DROP SCHEMA IF EXISTS oracle_standin CASCADE;
CREATE SCHEMA oracle_standin;
GRANT USAGE ON SCHEMA oracle_standin TO PUBLIC;
SET LOCAL search_path = oracle_standin, pg_catalog;
SET LOCAL client_min_messages = error;
SET LOCAL check_function_bodies = off;

-- Characters of any length: a type of its own, so that a description can tell it from VARCHAR2.
CREATE TYPE clob;
CREATE FUNCTION clob_in(cstring) RETURNS clob LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textin';
CREATE FUNCTION clob_out(clob) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
CREATE FUNCTION clob_recv(internal) RETURNS clob LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textrecv';
CREATE FUNCTION clob_send(clob) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textsend';
CREATE TYPE clob (INPUT = clob_in, OUTPUT = clob_out, RECEIVE = clob_recv, SEND = clob_send, LIKE = text,
    CATEGORY = 'S', COLLATABLE = true);
CREATE CAST (clob AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (text AS clob) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (varchar AS clob) WITHOUT FUNCTION AS ASSIGNMENT;

-- VARCHAR2(n): n bytes, as Oracle counts where nothing else is said.
CREATE TYPE varchar2;
CREATE FUNCTION varchar2_in(cstring) RETURNS varchar2 LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textin';
CREATE FUNCTION varchar2_out(varchar2) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
CREATE FUNCTION varchar2_recv(internal) RETURNS varchar2 LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textrecv';
CREATE FUNCTION varchar2_send(varchar2) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textsend';
CREATE TYPE varchar2 (INPUT = varchar2_in, OUTPUT = varchar2_out, RECEIVE = varchar2_recv, SEND = varchar2_send,
    LIKE = text, CATEGORY = 'S', COLLATABLE = true,
    TYPMOD_IN = pg_catalog.varchartypmodin, TYPMOD_OUT = pg_catalog.varchartypmodout);
CREATE CAST (varchar2 AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (varchar2 AS varchar) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (varchar2 AS clob) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (text AS varchar2) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (varchar AS varchar2) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (clob AS varchar2) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE FUNCTION varchar2_size(varchar2, integer, boolean) RETURNS varchar2 LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF $2 > 4 AND octet_length($1::text) > $2 - 4 THEN
        RAISE EXCEPTION 'actual: %, maximum: %', octet_length($1::text), $2 - 4 USING ERRCODE = '22001';
    END IF;
    RETURN $1;
END $$;
CREATE CAST (varchar2 AS varchar2) WITH FUNCTION varchar2_size(varchar2, integer, boolean) AS IMPLICIT;

-- BLOB and RAW(n).
CREATE TYPE blob;
CREATE FUNCTION blob_in(cstring) RETURNS blob LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteain';
CREATE FUNCTION blob_out(blob) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteaout';
CREATE FUNCTION blob_recv(internal) RETURNS blob LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'bytearecv';
CREATE FUNCTION blob_send(blob) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteasend';
CREATE TYPE blob (INPUT = blob_in, OUTPUT = blob_out, RECEIVE = blob_recv, SEND = blob_send, LIKE = bytea);
CREATE CAST (blob AS bytea) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (bytea AS blob) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE TYPE raw;
CREATE FUNCTION raw_in(cstring) RETURNS raw LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteain';
CREATE FUNCTION raw_out(raw) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteaout';
CREATE FUNCTION raw_recv(internal) RETURNS raw LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'bytearecv';
CREATE FUNCTION raw_send(raw) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteasend';
CREATE TYPE raw (INPUT = raw_in, OUTPUT = raw_out, RECEIVE = raw_recv, SEND = raw_send, LIKE = bytea,
    TYPMOD_IN = pg_catalog.varchartypmodin, TYPMOD_OUT = pg_catalog.varchartypmodout);
CREATE CAST (raw AS bytea) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (raw AS blob) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (bytea AS raw) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE FUNCTION raw_size(raw, integer, boolean) RETURNS raw LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF $2 > 4 AND octet_length($1::bytea) > $2 - 4 THEN
        RAISE EXCEPTION 'actual: %, maximum: %', octet_length($1::bytea), $2 - 4 USING ERRCODE = '22001';
    END IF;
    RETURN $1;
END $$;
CREATE CAST (raw AS raw) WITH FUNCTION raw_size(raw, integer, boolean) AS IMPLICIT;

CREATE TABLE dual (dummy varchar(1) NOT NULL);
INSERT INTO dual VALUES ('X');
GRANT SELECT ON dual TO PUBLIC;

-- Text of stored procedures.
CREATE TABLE source (owner text, name text, source text NOT NULL, PRIMARY KEY (owner, name));

-- Concatenation that takes NULL for the empty text.
CREATE FUNCTION concatenate(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT nullif(concat($1, $2), '') $$;
CREATE FUNCTION concatenate(text, numeric) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT nullif(concat($1, trim_scale($2)), '') $$;
CREATE FUNCTION concatenate(numeric, text) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT nullif(concat(trim_scale($1), $2), '') $$;
CREATE FUNCTION concatenate(numeric, numeric) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT nullif(concat(trim_scale($1), trim_scale($2)), '') $$;
CREATE FUNCTION concatenate(text, timestamp) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT nullif(concat($1, $2), '') $$;
CREATE OPERATOR ||| (LEFTARG = text, RIGHTARG = text, FUNCTION = concatenate);
CREATE OPERATOR ||| (LEFTARG = text, RIGHTARG = numeric, FUNCTION = concatenate);
CREATE OPERATOR ||| (LEFTARG = numeric, RIGHTARG = text, FUNCTION = concatenate);
CREATE OPERATOR ||| (LEFTARG = numeric, RIGHTARG = numeric, FUNCTION = concatenate);
CREATE OPERATOR ||| (LEFTARG = text, RIGHTARG = timestamp, FUNCTION = concatenate);

-- Days added to a date.
CREATE FUNCTION add_days(timestamp, numeric) RETURNS timestamp(0) LANGUAGE sql IMMUTABLE AS
    $$ SELECT $1 + $2::double precision * interval '1 day' $$;
CREATE FUNCTION subtract_days(timestamp, numeric) RETURNS timestamp(0) LANGUAGE sql IMMUTABLE AS
    $$ SELECT $1 - $2::double precision * interval '1 day' $$;
CREATE OPERATOR + (LEFTARG = timestamp, RIGHTARG = numeric, FUNCTION = add_days);
CREATE OPERATOR - (LEFTARG = timestamp, RIGHTARG = numeric, FUNCTION = subtract_days);

CREATE FUNCTION sysdate() RETURNS timestamp(0) LANGUAGE sql VOLATILE AS
    $$ SELECT date_trunc('second', clock_timestamp() AT TIME ZONE 'UTC') $$;
CREATE FUNCTION sys_extract_utc(timestamptz) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
    $$ SELECT $1 AT TIME ZONE 'UTC' $$;
CREATE FUNCTION add_months(timestamp, numeric) RETURNS timestamp LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN $1::date = (date_trunc('month', $1) + interval '1 month - 1 day')::date
        THEN date_trunc('month', $1) + make_interval(months => $2::int + 1) - interval '1 day' + ($1 - date_trunc('day', $1))
        ELSE $1 + make_interval(months => $2::int) END $$;
CREATE FUNCTION last_day(timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE AS
    $$ SELECT date_trunc('month', $1) + interval '1 month - 1 day' + ($1 - date_trunc('day', $1)) $$;
CREATE FUNCTION ora_trunc(timestamp) RETURNS timestamp(0) LANGUAGE sql IMMUTABLE AS $$ SELECT date_trunc('day', $1) $$;
CREATE FUNCTION ora_trunc(timestamp, text) RETURNS timestamp(0) LANGUAGE sql IMMUTABLE AS $$
    SELECT date_trunc(CASE upper($2) WHEN 'MM' THEN 'month' WHEN 'MONTH' THEN 'month' WHEN 'MON' THEN 'month'
        WHEN 'YYYY' THEN 'year' WHEN 'YEAR' THEN 'year' WHEN 'YY' THEN 'year' WHEN 'Q' THEN 'quarter' WHEN 'IW' THEN 'week'
        WHEN 'DD' THEN 'day' WHEN 'DDD' THEN 'day' WHEN 'HH' THEN 'hour' WHEN 'HH24' THEN 'hour' WHEN 'MI' THEN 'minute'
        ELSE $2 END, $1) $$;
CREATE FUNCTION ora_trunc(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.trunc($1) $$;
CREATE FUNCTION ora_trunc(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS
    $$ SELECT pg_catalog.trunc($1, $2::int) $$;
CREATE FUNCTION round(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.round($1, $2::int) $$;
CREATE FUNCTION numtodsinterval(numeric, text) RETURNS interval LANGUAGE sql IMMUTABLE AS
    $$ SELECT $1::double precision * ('1 ' || $2)::interval $$;
CREATE FUNCTION numtoyminterval(numeric, text) RETURNS interval LANGUAGE sql IMMUTABLE AS
    $$ SELECT $1::double precision * ('1 ' || $2)::interval $$;

-- Formats: fractions of a second have at most six digits here.
CREATE FUNCTION ora_format(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT regexp_replace(regexp_replace($1, 'FF([7-9]|(?![0-9]))', 'FF6', 'gi'), 'FF([1-6])', 'FF\1', 'gi') $$;
CREATE FUNCTION ora_to_date(text, text) RETURNS timestamp(0) LANGUAGE sql STABLE AS
    $$ SELECT to_timestamp($1, ora_format($2))::timestamp(0) $$;
CREATE FUNCTION ora_to_date(text) RETURNS timestamp(0) LANGUAGE sql STABLE AS $$ SELECT $1::timestamp(0) $$;
CREATE FUNCTION ora_to_timestamp(text, text) RETURNS timestamp LANGUAGE sql STABLE AS
    $$ SELECT to_timestamp($1, ora_format($2))::timestamp $$;
CREATE FUNCTION ora_to_timestamp(text) RETURNS timestamp LANGUAGE sql STABLE AS $$ SELECT $1::timestamp $$;
CREATE FUNCTION ora_to_timestamp_tz(text, text) RETURNS timestamptz LANGUAGE sql STABLE AS
    $$ SELECT to_timestamp($1, ora_format($2)) $$;
CREATE FUNCTION ora_to_char(timestamp, text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT to_char($1, ora_format($2)) $$;
CREATE FUNCTION ora_to_char(timestamptz, text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT to_char($1, ora_format($2)) $$;
CREATE FUNCTION ora_to_char(numeric, text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN upper($2) IN ('TM', 'TM9') THEN oracle_standin.ora_to_char($1) ELSE to_char($1, $2) END $$;
CREATE FUNCTION ora_to_char(numeric, text, text) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF replace(upper($3), ' ', '') <> 'NLS_NUMERIC_CHARACTERS=''.,''' THEN
        RAISE EXCEPTION 'not imitated: TO_CHAR with %', $3 USING ERRCODE = '0A000';
    END IF;
    RETURN oracle_standin.ora_to_char($1, $2);
END $$;
CREATE FUNCTION ora_to_char(numeric) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT regexp_replace(trim_scale($1)::text, '^(-?)0\.', '\1.') $$;
CREATE FUNCTION ora_to_char(timestamp) RETURNS text LANGUAGE sql STABLE AS $$ SELECT $1::text $$;
CREATE FUNCTION ora_to_char(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION ora_to_number(text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT $1::numeric $$;
CREATE FUNCTION ora_to_number(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT $1 $$;
CREATE FUNCTION ora_to_number(text, text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT to_number($1, $2) $$;
CREATE FUNCTION ora_to_clob(text) RETURNS clob LANGUAGE sql IMMUTABLE AS $$ SELECT $1::clob $$;
CREATE FUNCTION empty_clob() RETURNS clob LANGUAGE sql IMMUTABLE AS $$ SELECT ''::clob $$;
CREATE FUNCTION empty_blob() RETURNS blob LANGUAGE sql IMMUTABLE AS $$ SELECT ''::blob $$;
CREATE FUNCTION ora_substr(text, numeric) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT nullif(CASE WHEN $2 < 0 THEN right($1, -$2::int) ELSE pg_catalog.substr($1, greatest($2::int, 1)) END, '') $$;
CREATE FUNCTION ora_substr(text, numeric, numeric) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN $3 < 1 THEN NULL ELSE nullif(left(ora_substr($1, $2), $3::int), '') END $$;
CREATE FUNCTION instr(text, text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $$ SELECT strpos($1, $2)::numeric $$;
CREATE FUNCTION nvl2(anyelement, anycompatible, anycompatible) RETURNS anycompatible LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN $1 IS NULL THEN $3 ELSE $2 END $$;
CREATE FUNCTION rawtohex(bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper(encode($1, 'hex')) $$;
CREATE FUNCTION hextoraw(text) RETURNS raw LANGUAGE sql IMMUTABLE AS $$ SELECT decode($1, 'hex')::raw $$;
-- Its bytes, which is all that is imitated of sorting.
CREATE FUNCTION nlssort(text, text) RETURNS raw LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF replace(upper($2), ' ', '') <> 'NLS_SORT=BINARY' THEN
        RAISE EXCEPTION 'not imitated: NLSSORT with %', $2 USING ERRCODE = '0A000';
    END IF;
    RETURN convert_to($1, 'UTF8')::oracle_standin.raw;
END $$;
-- ABSENT ON NULL, RETURNING VARCHAR2(4000), as where nothing else is said; of texts only.
CREATE FUNCTION json_array(VARIADIC text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE whole text;
BEGIN
    SELECT '[' || coalesce(string_agg(to_json(item)::text, ',' ORDER BY place), '') || ']' INTO whole
        FROM unnest($1) WITH ORDINALITY AS items (item, place) WHERE item IS NOT NULL AND item <> '';
    IF octet_length(whole) > 4000 THEN
        RAISE EXCEPTION 'actual: %, maximum: 4000', octet_length(whole) USING ERRCODE = '22001';
    END IF;
    RETURN whole;
END $$;
CREATE FUNCTION sys_guid() RETURNS raw LANGUAGE sql VOLATILE AS
    $$ SELECT decode(replace(gen_random_uuid()::text, '-', ''), 'hex')::raw $$;
CREATE FUNCTION sys_context(text, text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE upper($2)
        WHEN 'CURRENT_SCHEMA' THEN upper(current_schema())
        WHEN 'SESSION_USER' THEN upper(session_user)
        WHEN 'CURRENT_USER' THEN upper(session_user)
        WHEN 'DB_NAME' THEN upper(current_database())
        WHEN 'SERVICE_NAME' THEN current_database()
        WHEN 'SID' THEN pg_backend_pid()::text
        WHEN 'SESSIONID' THEN pg_backend_pid()::text
        ELSE nullif(current_setting('standin.' || lower($2), true), '') END $$;

-- The dictionary, as far as tools ask for it. Names are told as Oracle tells them.
CREATE FUNCTION told(name) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN $1 LIKE '=%' THEN pg_catalog.substr($1::text, 2) ELSE upper($1::text) END $$;
CREATE VIEW all_tables AS
    SELECT upper(n.nspname) AS owner, told(c.relname) AS table_name, 'VALID'::text AS status,
        greatest(c.reltuples, 0)::numeric AS num_rows, CASE c.relpersistence WHEN 't' THEN 'Y' ELSE 'N' END AS temporary,
        'NO'::text AS nested, 'N'::text AS secondary, 'NO'::text AS dropped
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema', 'oracle_standin');
CREATE VIEW user_tables AS SELECT table_name, status, num_rows, temporary, nested, secondary, dropped
    FROM all_tables WHERE owner = upper(current_schema());
CREATE VIEW all_tab_cols AS
    SELECT upper(n.nspname) AS owner, told(c.relname) AS table_name, told(a.attname) AS column_name,
        CASE t.typname WHEN 'numeric' THEN 'NUMBER' WHEN 'int8' THEN 'NUMBER' WHEN 'varchar2' THEN 'VARCHAR2'
            WHEN 'varchar' THEN 'VARCHAR2' WHEN 'bpchar' THEN 'CHAR' WHEN 'float8' THEN 'BINARY_DOUBLE'
            WHEN 'float4' THEN 'BINARY_FLOAT' WHEN 'jsonb' THEN 'JSON'
            WHEN 'timestamp' THEN CASE a.atttypmod WHEN 0 THEN 'DATE' ELSE 'TIMESTAMP(' || a.atttypmod || ')' END
            WHEN 'timestamptz' THEN 'TIMESTAMP(' || a.atttypmod || ') WITH TIME ZONE'
            ELSE upper(t.typname) END AS data_type,
        (CASE t.typname WHEN 'varchar' THEN (a.atttypmod - 4) * 4 WHEN 'bpchar' THEN a.atttypmod - 4
            WHEN 'varchar2' THEN a.atttypmod - 4 WHEN 'raw' THEN a.atttypmod - 4 WHEN 'timestamp' THEN 7 ELSE 22 END)::numeric
            AS data_length,
        CASE WHEN t.typname = 'numeric' AND a.atttypmod > 0 THEN ((a.atttypmod - 4) >> 16 & 65535)::numeric END AS data_precision,
        CASE WHEN t.typname = 'numeric' AND a.atttypmod > 0 THEN ((a.atttypmod - 4) & 2047)::numeric
            WHEN t.typname = 'timestamptz' OR t.typname = 'timestamp' AND a.atttypmod > 0 THEN a.atttypmod::numeric END AS data_scale,
        CASE WHEN a.attnotnull THEN 'N' ELSE 'Y' END AS nullable, a.attnum::numeric AS column_id,
        CASE WHEN t.typname IN ('varchar', 'varchar2', 'bpchar') THEN (a.atttypmod - 4)::numeric END AS char_length,
        CASE t.typname WHEN 'varchar' THEN 'C' WHEN 'varchar2' THEN 'B' WHEN 'bpchar' THEN 'C' END AS char_used,
        pg_get_expr(d.adbin, d.adrelid) AS data_default,
        CASE a.attgenerated WHEN 's' THEN 'YES' ELSE 'NO' END AS virtual_column, 'NO'::text AS hidden_column
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'oracle_standin');
CREATE VIEW all_tab_columns AS
    SELECT owner, table_name, column_name, data_type, data_length, data_precision, data_scale, nullable, column_id, char_length,
        char_used, data_default FROM all_tab_cols;
CREATE VIEW user_tab_columns AS SELECT * FROM all_tab_columns WHERE owner = upper(current_schema());
CREATE VIEW user_tab_cols AS SELECT * FROM all_tab_cols WHERE owner = upper(current_schema());
CREATE VIEW user_sequences AS
    SELECT told(sequencename) AS sequence_name, min_value::numeric, max_value::numeric, increment_by::numeric,
        cache_size::numeric, coalesce(last_value, start_value)::numeric AS last_number
    FROM pg_sequences WHERE schemaname = current_schema();
CREATE VIEW user_indexes AS
    SELECT told(i.relname) AS index_name, told(t.relname) AS table_name,
        CASE WHEN x.indisunique THEN 'UNIQUE' ELSE 'NONUNIQUE' END AS uniqueness, 'VALID'::text AS status
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace WHERE n.nspname = current_schema();
CREATE VIEW user_ind_columns AS
    SELECT told(i.relname) AS index_name, told(t.relname) AS table_name, told(a.attname) AS column_name,
        k.position::numeric AS column_position
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
        JOIN pg_namespace n ON n.oid = t.relnamespace
        CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k (attnum, position)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum WHERE n.nspname = current_schema();
CREATE VIEW all_constraints AS
    SELECT upper(n.nspname) AS owner, told(c.conname) AS constraint_name, told(t.relname) AS table_name,
        told(x.relname) AS index_name, CASE c.contype WHEN 'p' THEN 'P' WHEN 'u' THEN 'U' WHEN 'f' THEN 'R' ELSE 'C' END AS constraint_type, 'ENABLED'::text AS status,
        CASE WHEN c.condeferrable THEN 'DEFERRABLE' ELSE 'NOT DEFERRABLE' END AS deferrable
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
        LEFT JOIN pg_class x ON x.oid = c.conindid
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'oracle_standin');
CREATE VIEW user_constraints AS SELECT * FROM all_constraints WHERE owner = upper(current_schema());
CREATE VIEW all_cons_columns AS
    SELECT upper(n.nspname) AS owner, told(c.conname) AS constraint_name, told(t.relname) AS table_name,
        told(a.attname) AS column_name, k.position::numeric AS position
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
        CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'oracle_standin');
CREATE VIEW user_cons_columns AS SELECT * FROM all_cons_columns WHERE owner = upper(current_schema());
CREATE VIEW all_triggers AS
    SELECT upper(n.nspname) AS owner, told(g.tgname) AS trigger_name, upper(n.nspname) AS table_owner,
        told(t.relname) AS table_name, CASE g.tgenabled WHEN 'D' THEN 'DISABLED' ELSE 'ENABLED' END AS status
    FROM pg_trigger g JOIN pg_class t ON t.oid = g.tgrelid JOIN pg_namespace n ON n.oid = t.relnamespace
    WHERE NOT g.tgisinternal;
CREATE VIEW user_triggers AS
    SELECT trigger_name, table_owner, table_name, status FROM all_triggers WHERE owner = upper(current_schema());
-- Of the system privileges only the one that a switch asks for: a trigger is a function of the schema here.
CREATE VIEW session_privs AS
    SELECT 'CREATE TRIGGER'::text AS privilege WHERE has_schema_privilege(current_schema(), 'CREATE');
CREATE VIEW user_objects AS
    SELECT told(c.relname) AS object_name,
        CASE c.relkind WHEN 'r' THEN 'TABLE' WHEN 'p' THEN 'TABLE' WHEN 'i' THEN 'INDEX' WHEN 'S' THEN 'SEQUENCE' ELSE 'VIEW' END AS object_type,
        'VALID'::text AS status
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'i', 'S', 'v');
-- What EXPLAIN PLAN leaves: each session sees its own.
CREATE TABLE plan_rows (session integer NOT NULL, statement_id text, id numeric, operation text, options text, object_name text,
    cardinality numeric);
CREATE VIEW plan_table AS
    SELECT statement_id, id, operation, options, object_name, cardinality FROM plan_rows WHERE session = pg_backend_pid();
CREATE VIEW "v$version" AS
    SELECT 'Stand-in for Oracle Database 19c, for tests: PostgreSQL underneath'::text AS banner;
CREATE VIEW "v$session" AS
    SELECT pid::numeric AS sid, 1::numeric AS "serial#", upper(usename) AS username, upper(state) AS status,
        nullif(split_part(application_name, '|', 1), '') AS module, nullif(split_part(application_name, '|', 2), '') AS action,
        nullif(split_part(application_name, '|', 3), '') AS client_identifier, 'USER'::text AS type,
        (pg_blocking_pids(pid))[1]::numeric AS blocking_session
    FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend';
CREATE VIEW nls_session_parameters AS
    SELECT * FROM (VALUES ('NLS_CHARACTERSET', 'AL32UTF8'), ('NLS_LENGTH_SEMANTICS', 'BYTE')) AS p (parameter, value);
CREATE VIEW nls_database_parameters AS
    SELECT * FROM (VALUES ('NLS_CHARACTERSET', 'AL32UTF8'), ('NLS_NCHAR_CHARACTERSET', 'AL16UTF16'),
        ('NLS_LENGTH_SEMANTICS', 'BYTE')) AS p (parameter, value);
GRANT SELECT ON ALL TABLES IN SCHEMA oracle_standin TO PUBLIC;
