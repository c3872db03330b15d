-- The service's own tables, functions and roles: all that it needs of a database beside the published tables.
--
-- `vo-service init` loads this file whole, in one transaction, as the role that owns the database. It creates what is
-- missing and upgrades what is old; on a database that is up to date it changes nothing. It takes the SCRAM verifiers
-- of the passwords of writer and reader from the settings vo_service.writer_verifier and vo_service.reader_verifier.
--
-- Errors for the person who runs it have the SQLSTATE VOS01.


-- Before anything is touched -----------------------------------------------------------------------------------------

DO $$
DECLARE
    schema_version CONSTANT integer := 1;
    found integer;
BEGIN
    IF NOT pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
        RAISE EXCEPTION USING ERRCODE = 'VOS01', MESSAGE = format(
            'The role %I does not own the database. Run as a superuser: ALTER DATABASE %I OWNER TO %I',
            current_user, current_database(), current_user);
    END IF;
    CREATE SCHEMA IF NOT EXISTS vo_service;
    CREATE TABLE IF NOT EXISTS vo_service.schema_version (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        version integer NOT NULL
    );
    SELECT version INTO found FROM vo_service.schema_version;
    IF found > schema_version THEN
        RAISE EXCEPTION USING ERRCODE = 'VOS01', MESSAGE = format(
            'The database was made by a newer vo-service (version %s of its tables; this one knows %s)',
            found, schema_version);
    END IF;
    INSERT INTO vo_service.schema_version AS known (version) VALUES (schema_version)
        ON CONFLICT (only_row) DO UPDATE SET version = EXCLUDED.version WHERE known.version < EXCLUDED.version;
END $$;


-- Roles --------------------------------------------------------------------------------------------------------------
-- The owner is who runs this. DATABASE_writer loads and publishes tables, DATABASE_reader runs the queries of clients.

DO $$
DECLARE
    me pg_roles := (SELECT r FROM pg_roles r WHERE rolname = current_user);
    kind text;
    role name;
    may_alter boolean;
BEGIN
    FOREACH kind IN ARRAY ARRAY['writer', 'reader'] LOOP
        role := current_database() || '_' || kind;
        IF to_regrole(quote_ident(role)) IS NULL THEN
            IF NOT (me.rolsuper OR me.rolcreaterole) THEN
                RAISE EXCEPTION USING ERRCODE = 'VOS01', MESSAGE = format(
                    'The role %I may not create the roles of the service. Run as a superuser: ALTER ROLE %I CREATEROLE',
                    current_user, current_user);
            END IF;
            EXECUTE format('CREATE ROLE %I', role);
        END IF;
        -- Since version 16 the right to create roles is a right over the roles that one has created.
        may_alter := me.rolsuper OR me.rolcreaterole AND (
            current_setting('server_version_num')::integer < 160000
            OR pg_has_role(role, 'MEMBER WITH ADMIN OPTION'));
        -- Where the roles are kept by somebody else they stay as they are; whether they can log in is tried afterwards.
        CONTINUE WHEN NOT may_alter;
        EXECUTE format('ALTER ROLE %I LOGIN PASSWORD %L', role, current_setting('vo_service.' || kind || '_verifier'));
        EXECUTE format('ALTER ROLE %I SET search_path = pg_catalog', role);
        EXECUTE format('ALTER ROLE %I SET timezone = ''UTC''', role);
        -- Queries are short, or read much and compute little: compiling them costs more than it saves.
        EXECUTE format('ALTER ROLE %I SET jit = off', role);
        IF kind = 'reader' THEN
            EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', role);
            EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''1min''', role);
            -- A net below the limits that the service sets for each statement.
            EXECUTE format('ALTER ROLE %I SET statement_timeout = ''1h''', role);
            IF me.rolsuper THEN
                EXECUTE format('ALTER ROLE %I SET temp_file_limit = ''10GB''', role);
            END IF;
        END IF;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database() || '_reader'
               AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)) THEN
        RAISE EXCEPTION USING ERRCODE = 'VOS01', MESSAGE = format(
            'The role %1$I runs the queries of clients, but may do more than read. Run as a superuser:'
            ' ALTER ROLE %1$I NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS',
            current_database() || '_reader');
    END IF;
END $$;


-- What everybody may do by default, and who may do what instead -------------------------------------------------------

DO $$
DECLARE
    database name := current_database();
    writer name := current_database() || '_writer';
    reader name := current_database() || '_reader';
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', database);
    EXECUTE format('GRANT CONNECT, CREATE, TEMPORARY ON DATABASE %I TO %I', database, writer);
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', database, reader);
    IF has_schema_privilege(reader, to_regnamespace('public'), 'USAGE, CREATE') THEN
        REVOKE ALL ON SCHEMA public FROM PUBLIC;
        -- Before version 15 the schema belonged to the superuser, and only a superuser can do this.
        IF has_schema_privilege(reader, to_regnamespace('public'), 'USAGE, CREATE') THEN
            RAISE EXCEPTION USING ERRCODE = 'VOS01', MESSAGE = format(
                'The role %I can use the schema public of database %I.'
                ' Run as a superuser in this database: REVOKE ALL ON SCHEMA public FROM PUBLIC', reader, database);
        END IF;
    END IF;
END $$;


-- TAP_SCHEMA (TAP 1.1, section 4): what clients may know of the published tables --------------------------------------
-- Names stand in it as they are written in a query. Logical values are 0 or 1, as the standard says.

CREATE SCHEMA IF NOT EXISTS tap_schema;

CREATE TABLE IF NOT EXISTS tap_schema.schemas (
    schema_name text PRIMARY KEY,
    utype text,
    description text,
    schema_index integer
);

CREATE TABLE IF NOT EXISTS tap_schema.tables (
    schema_name text NOT NULL REFERENCES tap_schema.schemas,
    table_name text PRIMARY KEY,
    table_type text NOT NULL,
    utype text,
    description text,
    table_index integer
);

CREATE TABLE IF NOT EXISTS tap_schema.columns (
    table_name text NOT NULL REFERENCES tap_schema.tables,
    column_name text NOT NULL,
    datatype text NOT NULL,
    arraysize text,
    xtype text,
    "size" integer,
    description text,
    utype text,
    unit text,
    ucd text,
    indexed integer NOT NULL CHECK (indexed IN (0, 1)),
    principal integer NOT NULL CHECK (principal IN (0, 1)),
    std integer NOT NULL CHECK (std IN (0, 1)),
    column_index integer,
    PRIMARY KEY (table_name, column_name)
);

CREATE TABLE IF NOT EXISTS tap_schema.keys (
    key_id text PRIMARY KEY,
    from_table text NOT NULL REFERENCES tap_schema.tables,
    target_table text NOT NULL REFERENCES tap_schema.tables,
    description text,
    utype text
);

CREATE TABLE IF NOT EXISTS tap_schema.key_columns (
    key_id text NOT NULL REFERENCES tap_schema.keys,
    from_column text NOT NULL,
    target_column text NOT NULL,
    PRIMARY KEY (key_id, from_column, target_column)
);


-- The catalogue: what is published, in full; the rows of TAP_SCHEMA are written from it --------------------------------

CREATE TABLE IF NOT EXISTS vo_service.published_schema (
    schema_name text PRIMARY KEY,
    description text,
    utype text,
    schema_index integer
);

CREATE TABLE IF NOT EXISTS vo_service.published_table (
    schema_name text NOT NULL REFERENCES vo_service.published_schema,
    table_name text NOT NULL,
    definition jsonb NOT NULL,  -- vo_service.catalog.model.Table
    published_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema_name, table_name)
);

-- ADQL does not tell names apart by letter case alone.
CREATE UNIQUE INDEX IF NOT EXISTS published_table_ignoring_case
    ON vo_service.published_table (lower(schema_name), lower(table_name));

CREATE TABLE IF NOT EXISTS vo_service.catalog_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version bigint NOT NULL
);
INSERT INTO vo_service.catalog_version (version) VALUES (0) ON CONFLICT DO NOTHING;

-- Every change of the catalogue raises its version and is announced, when it is committed, on the channel vo_catalog.
-- Triggers for each row: those for a statement fire for statements that change nothing too.
CREATE OR REPLACE FUNCTION vo_service.announce_catalog() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    current bigint;
BEGIN
    UPDATE vo_service.catalog_version SET version = version + 1 RETURNING version INTO current;
    PERFORM pg_notify('vo_catalog', current::text);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON vo_service.published_schema
    FOR EACH ROW EXECUTE FUNCTION vo_service.announce_catalog();
CREATE OR REPLACE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON vo_service.published_table
    FOR EACH ROW EXECUTE FUNCTION vo_service.announce_catalog();


-- Functions that translated queries call ------------------------------------------------------------------------------
-- (None so far: queries use what PostgreSQL has.)


-- Rights on all of the above ------------------------------------------------------------------------------------------

DO $$
DECLARE
    writer name := current_database() || '_writer';
    reader name := current_database() || '_reader';
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA tap_schema, vo_service TO %I', writer);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA tap_schema, vo_service TO %I', writer);
    EXECUTE format('GRANT USAGE ON SCHEMA tap_schema TO %I', reader);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA tap_schema TO %I', reader);
END $$;
