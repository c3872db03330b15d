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
            -- The query of a process that was killed ends soon; without this it may run on until it has rows to send.
            EXECUTE format('ALTER ROLE %I SET client_connection_check_interval = ''5s''', role);
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

-- Statistics of the rows are ours. They are added so that databases made by an earlier version get them too.
ALTER TABLE tap_schema.tables ADD COLUMN IF NOT EXISTS nrows bigint;
ALTER TABLE tap_schema.columns ADD COLUMN IF NOT EXISTS min_value text;
ALTER TABLE tap_schema.columns ADD COLUMN IF NOT EXISTS max_value text;
ALTER TABLE tap_schema.columns ADD COLUMN IF NOT EXISTS null_count bigint;


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


-- Registry records (OAI-PMH 2.0): when the record of what is published last changed -----------------------------------------
-- One row for each record that has ever been: `SCHEMA/TABLE`, or a name without a slash for those of the service itself.
-- Records of what was withdrawn stay as deleted ones.

CREATE TABLE IF NOT EXISTS vo_service.registry_record (
    resource_key text NOT NULL,
    created timestamptz NOT NULL DEFAULT date_trunc('second', clock_timestamp()),
    datestamp timestamptz NOT NULL DEFAULT date_trunc('second', clock_timestamp()),
    deleted boolean NOT NULL DEFAULT false
);
-- Identifiers do not differ by letter case alone.
CREATE UNIQUE INDEX IF NOT EXISTS registry_record_key ON vo_service.registry_record (lower(resource_key));
CREATE INDEX IF NOT EXISTS registry_record_datestamp ON vo_service.registry_record (datestamp, resource_key);

-- What the records are made of beside the catalogue: when it changes, all of them do.
CREATE TABLE IF NOT EXISTS vo_service.registry_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    digest text NOT NULL
);

INSERT INTO vo_service.registry_record (resource_key)
    SELECT schema_name || '/' || table_name FROM vo_service.published_table WHERE definition->>'resource' IS NOT NULL
    ON CONFLICT DO NOTHING;

-- Tables that somebody has described as a resource have a record. The one of TAP lists all tables.
CREATE OR REPLACE FUNCTION vo_service.date_record() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    moment timestamptz := date_trunc('second', clock_timestamp());
    of_table vo_service.published_table := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    key text := of_table.schema_name || '/' || of_table.table_name;
BEGIN
    IF TG_OP <> 'DELETE' AND of_table.definition->>'resource' IS NOT NULL THEN
        INSERT INTO vo_service.registry_record AS r (resource_key, created, datestamp) VALUES (key, moment, moment)
            ON CONFLICT (lower(resource_key))
            DO UPDATE SET resource_key = EXCLUDED.resource_key, datestamp = EXCLUDED.datestamp, deleted = false;
    ELSE
        UPDATE vo_service.registry_record SET datestamp = moment, deleted = true
            WHERE lower(resource_key) = lower(key) AND NOT deleted;
    END IF;
    UPDATE vo_service.registry_record SET datestamp = moment WHERE resource_key = 'tap';
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION vo_service.date_records_of_schema() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    UPDATE vo_service.registry_record SET datestamp = date_trunc('second', clock_timestamp())
        WHERE starts_with(resource_key, NEW.schema_name || '/') AND NOT deleted;
    RETURN NULL;
END $$;

-- At the very end of the transaction: who harvests while a table is loaded must find its record the next time.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'date_record') THEN
        CREATE CONSTRAINT TRIGGER date_record AFTER INSERT OR UPDATE OR DELETE ON vo_service.published_table
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION vo_service.date_record();
        CREATE CONSTRAINT TRIGGER date_records_of_schema AFTER UPDATE ON vo_service.published_schema
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION vo_service.date_records_of_schema();
    END IF;
END $$;


-- Functions that translated queries call ------------------------------------------------------------------------------
-- They are all in the schema adql, which nobody can publish to. The reader looks names up in pg_catalog alone: within
-- bodies every other name is written in full.

CREATE SCHEMA IF NOT EXISTS adql;

-- HEALPix and geometry --
-- Positions are degrees in ICRS. A polygon is an array of longitudes and latitudes in turn; it must fit into an open
-- hemisphere, and its inside is the smaller side of its edge, which are arcs of great circles. A MOC is its text.

-- The HEALPix cell of a position, nested (Gorski et al. 2005, ApJ 622, 759, section 5). Written so that it rounds as
-- vo_service.sky.healpix.hpx does: positions on the very edge of a cell are in the one of the stored index.
CREATE OR REPLACE FUNCTION adql.hpx(depth integer, ra double precision, "dec" double precision) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    nside CONSTANT bigint := 1::bigint << depth;
    z double precision;
    lon double precision := radians(ra);
    turn double precision;
    quarter bigint;
    up bigint;
    down bigint;
    face bigint;
    x bigint;
    y bigint;
    scale double precision;
BEGIN
    IF depth NOT BETWEEN 0 AND 29 THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('A HEALPix order is 0 to 29, not %s', depth);
    ELSIF NOT (abs("dec") <= 90 AND abs(ra) < 'Infinity') THEN
        -- Nor NaN, which PostgreSQL takes for the largest of numbers.
        RETURN NULL;
    END IF;
    z := cos(pi() / 2 - radians("dec"));
    lon := lon - 2 * pi() * floor(lon / (2 * pi()));
    turn := lon * (2 / pi());
    IF abs(z) <= 2.0::double precision / 3 THEN
        down := floor(nside * (0.5 + turn) - nside * (z * 0.75));
        up := floor(nside * (0.5 + turn) + nside * (z * 0.75));
        quarter := down >> depth;
        face := CASE WHEN quarter = up >> depth THEN quarter % 4 + 4
                     WHEN quarter < up >> depth THEN quarter % 4
                     ELSE (up >> depth) % 4 + 8 END;
        x := up & (nside - 1);
        y := nside - 1 - (down & (nside - 1));
    ELSE
        quarter := least(3, floor(turn));
        scale := CASE WHEN abs(z) < 0.99 THEN nside * sqrt(3 * (1 - abs(z)))
                      ELSE nside * sin(pi() / 2 - radians("dec")) / sqrt((1 + abs(z)) / 3) END;
        up := least(nside - 1, floor((turn - quarter) * scale)::bigint);
        down := least(nside - 1, floor((1 - turn + quarter) * scale)::bigint);
        IF z > 0 THEN
            face := quarter;
            x := nside - 1 - down;
            y := nside - 1 - up;
        ELSE
            face := quarter + 8;
            x := up;
            y := down;
        END IF;
    END IF;
    RETURN adql.cell(depth, face, x, y);
END $$;

-- The bits of a number below 2^32, each moved to twice its place.
CREATE OR REPLACE FUNCTION adql.spread(bits bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    a bigint := (bits | (bits << 16)) & 281470681808895;
BEGIN
    a := (a | (a << 8)) & 71777214294589695;
    a := (a | (a << 4)) & 1085102592571150095;
    a := (a | (a << 2)) & 3689348814741910323;
    RETURN (a | (a << 1)) & 6148914691236517205;
END $$;

-- The number of a cell by its face and its place in it: the bits of x and y in turn.
CREATE OR REPLACE FUNCTION adql.cell(depth integer, face bigint, x bigint, y bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (face << (2 * depth)) | adql.spread(x) | (adql.spread(y) << 1)
$$;

-- Every second bit of a number, the lowest one included: x of a cell's place in its face.
CREATE OR REPLACE FUNCTION adql.even_bits(place bigint) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    a bigint := place & 6148914691236517205;
BEGIN
    a := (a | (a >> 1)) & 3689348814741910323;
    a := (a | (a >> 2)) & 1085102592571150095;
    a := (a | (a >> 4)) & 71777214294589695;
    a := (a | (a >> 8)) & 281470681808895;
    RETURN (a | (a >> 16)) & 4294967295;
END $$;

-- The centre of a cell, [ra, dec] in degrees; null where there is no such cell.
CREATE OR REPLACE FUNCTION adql.hpx_center(depth integer, cell bigint) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    nside CONSTANT double precision := 1::bigint << depth;
    face CONSTANT bigint := cell >> (2 * depth);
    x CONSTANT bigint := adql.even_bits(cell & ((1::bigint << (2 * depth)) - 1));
    y CONSTANT bigint := adql.even_bits((cell & ((1::bigint << (2 * depth)) - 1)) >> 1);
    -- In the plane of the projection: units of half a quarter turn east, and of the height of a face north.
    east double precision := CASE WHEN face / 4 = 1 THEN 2 * (face % 4) ELSE 2 * (face % 4) + 1 END
                             + (x - y) / nside;
    north CONSTANT double precision := 1 - face / 4 + (x + y + 1) / nside - 1;
    rest double precision;
BEGIN
    IF depth NOT BETWEEN 0 AND 29 OR cell < 0 OR face > 11 THEN
        RETURN NULL;
    ELSIF abs(north) <= 1 THEN
        east := east - 8 * floor(east / 8);
        RETURN ARRAY[45 * east, degrees(asin(north * 2 / 3))];
    END IF;
    rest := 2 - abs(north);
    -- The longitude is stretched towards the pole; dec = 90 - 2 asin(rest / sqrt(6)) is exact near it.
    east := 2 * (face % 4) + 1 + (x - y) / nside / rest;
    RETURN ARRAY[45 * (east - 8 * floor(east / 8)), sign(north) * (90 - 2 * degrees(asin(rest / sqrt(6))))];
END $$;

-- Pixels of order 29 by which x or y of a cell's place can change at most within a radius, and one for rounding.
-- On a face the map stretches by up to 1.4521, where it is that of the equator by up to 1.0207.
CREATE OR REPLACE FUNCTION adql.reach(radius double precision, stretch double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ceil(stretch * radians(greatest(0, least(radius, 36))) * 536870912)::bigint + 1
$$;

-- The ranges of a box that reaches beyond its face: cells that are at least as large as the box, and so the one that the
-- centre is in, and three towards which it is nearest at most.
CREATE OR REPLACE FUNCTION adql.box_ranges_across(center bigint, step bigint) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    shift CONSTANT integer := 2 * floor(ln(step::float8) / ln(4.0::float8) + 1e-9)::integer + 4;
    last CONSTANT bigint := (1::bigint << least(shift, 58)) - 1;
    x CONSTANT bigint := adql.even_bits(center & last);
    y CONSTANT bigint := adql.even_bits((center & last) >> 1);
    half CONSTANT bigint := 1::bigint << (least(shift, 58) / 2 - 1);
    place bigint;
    beside integer := CASE WHEN x < half THEN -3 ELSE 3 END;
    above integer := CASE WHEN y < half THEN -1 ELSE 1 END;
    n bigint[];
BEGIN
    IF shift > 58 THEN
        RETURN ARRAY[0, 12 * (1::bigint << 58) - 1];
    END IF;
    place := (center & ((1::bigint << 58) - 1)) >> shift;
    n := adql.cell_and_neighbours(29 - shift / 2, center >> 58, adql.even_bits(place), adql.even_bits(place >> 1));
    RETURN ARRAY[n[5] << shift, (n[5] << shift) + last, n[5 + beside] << shift, (n[5 + beside] << shift) + last,
                 n[5 + above] << shift, (n[5 + above] << shift) + last,
                 n[5 + beside + above] << shift, (n[5 + beside + above] << shift) + last];
END $$;

-- The ranges of a box around a cell: so many pixels each way, spread over even bits; fewer where the map is that of the
-- equator. Cells that are at least as large as the box cut it into four at most; the part of it in a cell lies between
-- the numbers of two of its corners.
CREATE OR REPLACE FUNCTION adql.box_ranges(center bigint, equator bigint, anywhere bigint) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    xs CONSTANT bigint := 96076792050570581;
    ys CONSTANT bigint := 192153584101141162;
    face bigint := center >> 58;
    x bigint := center & xs;
    y bigint := center & ys;
    step bigint := equator;
    shift integer;
    cell bigint;
    south bigint;
    north bigint;
    west bigint;
    east bigint;
    east_cell bigint;
    north_cell bigint;
    west_end bigint;
    south_end bigint;
BEGIN
    IF x < anywhere OR x > xs - anywhere OR y < anywhere << 1 OR y > ys - (anywhere << 1) THEN
        RETURN adql.box_ranges_across(center, anywhere);
    END IF;
    -- Faces 4 to 7 are of the equator; of the others the half that is turned to it.
    IF face < 4 AND ((x | ys) + step & xs) > xs - (((y | xs) + (step << 1) & ys) >> 1)
            OR face > 7 AND (x - step & xs) <= xs - ((y - (step << 1) & ys) >> 1) THEN
        step := anywhere;
    END IF;
    shift := 2 * floor(ln(step::float8) / ln(4.0::float8) + 1e-9)::integer + 4;
    cell := -1::bigint << shift;
    face := face << 58;
    west := x - step & xs;
    east := (x | ys) + step & xs;
    south := y - (step << 1) & ys;
    north := (y | xs) + (step << 1) & ys;
    east_cell := east & cell;
    north_cell := north & cell;
    west_end := least(east, west | (xs & ~cell));
    south_end := least(north, south | (ys & ~cell));
    IF east_cell <= west THEN
        east_cell := NULL;
    END IF;
    IF north_cell <= south THEN
        north_cell := NULL;
    END IF;
    RETURN ARRAY[face | west | south, face | west_end | south_end,
                 face | east_cell | south, face | east | south_end,
                 face | west | north_cell, face | west_end | north,
                 face | east_cell | north_cell, face | east | north];
END $$;

-- Cells of order 29 that hold a disc: up to four ranges [first, last], null for those that are not needed.
-- What depends on the radius alone is computed once where it is constant.
CREATE OR REPLACE FUNCTION adql.disc_ranges(center bigint, radius double precision) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN radius IS NOT NULL THEN
        adql.box_ranges(center, adql.spread(adql.reach(radius, 1.0208)), adql.spread(adql.reach(radius, 1.4522))) END
$$;

CREATE OR REPLACE FUNCTION adql.disc_ranges(ra double precision, "dec" double precision, radius double precision)
RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT adql.disc_ranges(adql.hpx(29, ra, "dec"), radius) $$;

-- A cell and those around it, across the edges of faces; null where three faces meet and a neighbour is missing.
CREATE OR REPLACE FUNCTION adql.cell_and_neighbours(depth integer, face bigint, x bigint, y bigint) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    nside CONSTANT bigint := 1::bigint << depth;
    i CONSTANT bigint := face % 4;
    result bigint[] := '{}';
    gx bigint;
    gy bigint;
    u bigint;
    v bigint;
    target bigint;
BEGIN
    FOR dx IN -1..1 LOOP
        FOR dy IN -1..1 LOOP
            gx := sign(floor((x + dx)::double precision / nside))::bigint;
            gy := sign(floor((y + dy)::double precision / nside))::bigint;
            u := (x + dx + nside) % nside;
            v := (y + dy + nside) % nside;
            -- Which face lies beyond, by the ring of this one: north, equator, south.
            target := CASE face / 4 * 100 + gx * 10 + gy
                WHEN 0 THEN face WHEN 100 THEN face WHEN 200 THEN face
                WHEN -10 THEN 4 + i WHEN -1 THEN 4 + (i + 1) % 4 WHEN 10 THEN (i + 1) % 4 WHEN 1 THEN (i + 3) % 4
                WHEN -11 THEN 8 + i WHEN 11 THEN (i + 2) % 4
                WHEN 90 THEN 8 + (i + 3) % 4 WHEN 99 THEN 8 + i WHEN 110 THEN i WHEN 101 THEN (i + 3) % 4
                WHEN 91 THEN 4 + (i + 3) % 4 WHEN 109 THEN 4 + (i + 1) % 4
                WHEN 190 THEN 8 + (i + 3) % 4 WHEN 199 THEN 8 + (i + 1) % 4 WHEN 210 THEN 4 + (i + 1) % 4
                WHEN 201 THEN 4 + i WHEN 211 THEN i WHEN 189 THEN 8 + (i + 2) % 4 END;
            -- Around the poles the axes of the next face are turned.
            IF face / 4 = target / 4 AND face / 4 <> 1 AND target <> face THEN
                IF gx <> 0 AND gy <> 0 THEN
                    u := nside - 1 - u;
                    v := nside - 1 - v;
                ELSIF gx <> 0 THEN
                    SELECT v, nside - 1 - u INTO u, v;
                ELSE
                    SELECT nside - 1 - v, u INTO u, v;
                END IF;
            END IF;
            result := result || adql.cell(depth, target, u, v);
        END LOOP;
    END LOOP;
    RETURN result;
END $$;

-- The angle between two positions; as vo_service.sky.angles.separation.
CREATE OR REPLACE FUNCTION adql.separation(
    ra1 double precision, dec1 double precision, ra2 double precision, dec2 double precision
) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT degrees(atan2(
        sqrt(power(cos(radians(dec2)) * sin(radians(ra2 - ra1)), 2)
             + power(cos(radians(dec1)) * sin(radians(dec2))
                     - sin(radians(dec1)) * cos(radians(dec2)) * cos(radians(ra2 - ra1)), 2)),
        sin(radians(dec1)) * sin(radians(dec2)) + cos(radians(dec1)) * cos(radians(dec2)) * cos(radians(ra2 - ra1))))
$$;

CREATE OR REPLACE FUNCTION adql.unit_vector(ra double precision, "dec" double precision) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY[cos(radians("dec")) * cos(radians(ra)), cos(radians("dec")) * sin(radians(ra)), sin(radians("dec"))]
$$;

CREATE OR REPLACE FUNCTION adql.cross(a double precision[], b double precision[]) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY[a[2] * b[3] - a[3] * b[2], a[3] * b[1] - a[1] * b[3], a[1] * b[2] - a[2] * b[1]]
$$;

CREATE OR REPLACE FUNCTION adql.dot(a double precision[], b double precision[]) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
$$;

-- The corners of a box: its sides are great circles at right angles to the arms of a cross in its centre (STC 1.33).
CREATE OR REPLACE FUNCTION adql.box(
    ra double precision, "dec" double precision, width double precision, height double precision
) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    result double precision[] := '{}';
    e double precision;
    n double precision;
    ahead double precision;
    up double precision;
    across double precision;
    lon double precision;
BEGIN
    IF NOT (width >= 0 AND width < 180 AND height >= 0 AND height < 180) THEN
        RETURN NULL;
    END IF;
    FOR corner IN 0..3 LOOP
        e := tan(radians(width / 2)) * CASE WHEN corner IN (0, 3) THEN -1 ELSE 1 END;
        n := tan(radians(height / 2)) * CASE WHEN corner IN (0, 1) THEN -1 ELSE 1 END;
        ahead := cos(radians("dec")) - n * sin(radians("dec"));
        up := sin(radians("dec")) + n * cos(radians("dec"));
        across := sqrt(ahead * ahead + e * e);
        lon := ra + degrees(atan2(e, ahead));
        result := result || (lon - 360 * floor(lon / 360)) || degrees(atan2(up, across));
    END LOOP;
    RETURN result;
END $$;

-- A polygon as a plane figure, seen from the centre of the sphere: centre, east and north of the plane as unit vectors,
-- then each vertex. Great circles are straight lines there. Null if no plane shows the whole polygon.
CREATE OR REPLACE FUNCTION adql.polygon_plane(polygon double precision[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    n CONSTANT integer := coalesce(array_length(polygon, 1), 0) / 2;
    px double precision[] := '{}';
    py double precision[] := '{}';
    pz double precision[] := '{}';
    cx double precision := 0;
    cy double precision := 0;
    cz double precision := 0;
    ex double precision;
    ey double precision;
    nx double precision;
    ny double precision;
    nz double precision;
    worst integer;
    least_height double precision;
    height double precision;
    length double precision;
    result double precision[];
BEGIN
    IF n < 3 OR array_length(polygon, 1) <> 2 * n OR array_position(polygon, NULL) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    FOR i IN 1..n LOOP
        -- PostgreSQL takes NaN for the largest of numbers.
        IF NOT (abs(polygon[2 * i - 1]) < 'Infinity' AND abs(polygon[2 * i]) <= 90) THEN
            RETURN NULL;
        END IF;
        px[i] := cos(radians(polygon[2 * i])) * cos(radians(polygon[2 * i - 1]));
        py[i] := cos(radians(polygon[2 * i])) * sin(radians(polygon[2 * i - 1]));
        pz[i] := sin(radians(polygon[2 * i]));
        cx := cx + px[i];
        cy := cy + py[i];
        cz := cz + pz[i];
    END LOOP;
    -- The mean of the vertices sees nearly every polygon well; else it is moved towards the one that it sees least,
    -- ever less (Badoiu and Clarkson 2003): 400 times are enough for polygons that reach 88 degrees from their centre.
    cx := cx / n;
    cy := cy / n;
    cz := cz / n;
    FOR attempt IN 1..400 LOOP
        worst := 1;
        least_height := 2;
        FOR i IN 1..n LOOP
            height := cx * px[i] + cy * py[i] + cz * pz[i];
            IF height < least_height THEN
                least_height := height;
                worst := i;
            END IF;
        END LOOP;
        EXIT WHEN least_height > 0.1 / attempt * sqrt(cx * cx + cy * cy + cz * cz);
        cx := cx + (px[worst] - cx) / (attempt + 1);
        cy := cy + (py[worst] - cy) / (attempt + 1);
        cz := cz + (pz[worst] - cz) / (attempt + 1);
    END LOOP;
    length := sqrt(cx * cx + cy * cy + cz * cz);
    IF least_height <= 1e-9 * length THEN
        RETURN NULL;
    END IF;
    cx := cx / length;
    cy := cy / length;
    cz := cz / length;
    length := sqrt(cx * cx + cy * cy);
    IF length < 1e-12 THEN
        ex := 0;
        ey := 1;
    ELSE
        ex := -cy / length;
        ey := cx / length;
    END IF;
    nx := -cz * ey;
    ny := cz * ex;
    nz := cx * ey - cy * ex;
    result := ARRAY[cx, cy, cz, ex, ey, nx, ny, nz];
    FOR i IN 1..n LOOP
        height := cx * px[i] + cy * py[i] + cz * pz[i];
        result := result || (ex * px[i] + ey * py[i]) / height || (nx * px[i] + ny * py[i] + nz * pz[i]) / height;
    END LOOP;
    RETURN result;
END $$;

-- Whether a position lies within a polygon, given as its plane: how often a line to the side of it crosses the edge.
CREATE OR REPLACE FUNCTION adql.in_plane(ra double precision, "dec" double precision, plane double precision[])
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    px CONSTANT double precision := cos(radians("dec")) * cos(radians(ra));
    py CONSTANT double precision := cos(radians("dec")) * sin(radians(ra));
    pz CONSTANT double precision := sin(radians("dec"));
    height CONSTANT double precision := plane[1] * px + plane[2] * py + plane[3] * pz;
    n CONSTANT integer := array_length(plane, 1);
    u double precision;
    v double precision;
    u1 double precision := plane[n - 1];
    v1 double precision := plane[n];
    u2 double precision;
    v2 double precision;
    inside boolean := false;
BEGIN
    IF height <= 0 THEN
        RETURN false;
    END IF;
    u := (plane[4] * px + plane[5] * py) / height;
    v := (plane[6] * px + plane[7] * py + plane[8] * pz) / height;
    FOR i IN 9..n - 1 BY 2 LOOP
        u2 := plane[i];
        v2 := plane[i + 1];
        IF (v1 > v) <> (v2 > v) AND u < u1 + (v - v1) * (u2 - u1) / (v2 - v1) THEN
            inside := NOT inside;
        END IF;
        u1 := u2;
        v1 := v2;
    END LOOP;
    RETURN inside;
END $$;

-- How deep a position lies in a polygon: the angle to the nearest point of its edge, less than 0 outside. Vectors are
-- taken from the first vertex of each side, because the digits that tell tiny polygons from points are lost in others.
CREATE OR REPLACE FUNCTION adql.depth(ra double precision, "dec" double precision, polygon double precision[])
RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    plane CONSTANT double precision[] := adql.polygon_plane(polygon);
    p CONSTANT double precision[] := adql.unit_vector(ra, "dec");
    n CONSTANT integer := array_length(polygon, 1);
    a double precision[];
    b double precision[];
    side double precision[];
    normal double precision[];
    length double precision;
    away double precision[];
    along double precision;
    nearest double precision := 180;
BEGIN
    IF plane IS NULL THEN
        RETURN NULL;
    END IF;
    b := adql.unit_vector(polygon[n - 1], polygon[n]);
    FOR i IN 1..n - 1 BY 2 LOOP
        a := b;
        b := adql.unit_vector(polygon[i], polygon[i + 1]);
        side := ARRAY[b[1] - a[1], b[2] - a[2], b[3] - a[3]];
        away := ARRAY[p[1] - a[1], p[2] - a[2], p[3] - a[3]];
        normal := adql.cross(a, side);
        length := sqrt(normal[1] * normal[1] + normal[2] * normal[2] + normal[3] * normal[3]);
        nearest := least(nearest, adql.separation(ra, "dec", polygon[i], polygon[i + 1]));
        -- The foot of the perpendicular counts if it lies between the two vertices.
        IF length > 1e-15 AND adql.dot(adql.cross(normal, a), away) > 0
                AND adql.dot(adql.cross(b, normal), ARRAY[p[1] - b[1], p[2] - b[2], p[3] - b[3]]) > 0 THEN
            nearest := least(nearest, degrees(asin(least(1, abs(adql.dot(normal, away)) / length))));
        END IF;
    END LOOP;
    RETURN CASE WHEN adql.in_plane(ra, "dec", plane) THEN nearest ELSE - nearest END;
END $$;

CREATE OR REPLACE FUNCTION adql.circle_in_polygon(
    ra double precision, "dec" double precision, radius double precision, polygon double precision[]
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT adql.depth(ra, "dec", polygon) >= radius $$;

CREATE OR REPLACE FUNCTION adql.circle_meets_polygon(
    ra double precision, "dec" double precision, radius double precision, polygon double precision[]
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT adql.depth(ra, "dec", polygon) >= - radius $$;

-- A polygon lies in a circle if it keeps clear of what is outside: of the circle around the opposite position. Nothing
-- is outside of the whole sky.
CREATE OR REPLACE FUNCTION adql.polygon_in_circle(
    polygon double precision[], ra double precision, "dec" double precision, radius double precision
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT adql.depth(ra + 180, - "dec", polygon) <= CASE WHEN radius >= 180 THEN 180 ELSE radius - 180 END
$$;

CREATE OR REPLACE FUNCTION adql.edges_cross(first double precision[], second double precision[]) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    n CONSTANT integer := array_length(first, 1);
    m CONSTANT integer := array_length(second, 1);
    a double precision[];
    b double precision[] := adql.unit_vector(first[n - 1], first[n]);
    c double precision[];
    d double precision[];
    normal double precision[];
    c_is_left boolean;
    d_is_left boolean;
    a_is_left boolean;
BEGIN
    FOR i IN 1..n - 1 BY 2 LOOP
        a := b;
        b := adql.unit_vector(first[i], first[i + 1]);
        normal := adql.cross(a, ARRAY[b[1] - a[1], b[2] - a[2], b[3] - a[3]]);
        d_is_left := NULL;
        FOR j IN -1..m - 1 BY 2 LOOP
            c := d;
            c_is_left := d_is_left;
            d := CASE WHEN j > 0 THEN adql.unit_vector(second[j], second[j + 1])
                      ELSE adql.unit_vector(second[m - 1], second[m]) END;
            d_is_left := normal[1] * (d[1] - a[1]) + normal[2] * (d[2] - a[2]) + normal[3] * (d[3] - a[3]) > 0;
            -- Each has its ends on both sides of the other, and on the nearer of the points where great circles meet.
            IF c_is_left <> d_is_left THEN
                a_is_left := adql.is_left(c, d, a);
                IF a_is_left <> c_is_left AND a_is_left <> adql.is_left(c, d, b) THEN
                    RETURN true;
                END IF;
            END IF;
        END LOOP;
    END LOOP;
    RETURN false;
END $$;

-- Whether c is to the left of the great circle from a to b. Vectors from a keep the digits of what is near to it.
CREATE OR REPLACE FUNCTION adql.is_left(a double precision[], b double precision[], c double precision[])
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT adql.dot(adql.cross(a, ARRAY[b[1] - a[1], b[2] - a[2], b[3] - a[3]]),
                    ARRAY[c[1] - a[1], c[2] - a[2], c[3] - a[3]]) > 0
$$;

-- Whether any, or all, of a polygon's vertices lie within another.
CREATE OR REPLACE FUNCTION adql.vertices_within(polygon double precision[], other double precision[], all_of boolean)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    plane CONSTANT double precision[] := adql.polygon_plane(other);
BEGIN
    FOR i IN 1..array_length(polygon, 1) - 1 BY 2 LOOP
        IF adql.in_plane(polygon[i], polygon[i + 1], plane) <> all_of THEN
            RETURN NOT all_of;
        END IF;
    END LOOP;
    RETURN all_of;
END $$;

CREATE OR REPLACE FUNCTION adql.polygon_in_polygon(polygon double precision[], other double precision[])
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN adql.polygon_plane(polygon) IS NOT NULL AND adql.polygon_plane(other) IS NOT NULL
        THEN polygon = other OR adql.vertices_within(polygon, other, true) AND NOT adql.edges_cross(polygon, other) END
$$;

CREATE OR REPLACE FUNCTION adql.polygons_meet(polygon double precision[], other double precision[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN adql.polygon_plane(polygon) IS NOT NULL AND adql.polygon_plane(other) IS NOT NULL
        THEN adql.vertices_within(polygon, other, false) OR adql.vertices_within(other, polygon, false)
            OR adql.edges_cross(polygon, other) END
$$;

-- Area in square degrees (Eriksson 1990, Mathematics Magazine 63, 184, for each triangle from the first vertex).
CREATE OR REPLACE FUNCTION adql.polygon_area(polygon double precision[]) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    n CONSTANT integer := array_length(polygon, 1);
    a double precision[];
    b double precision[];
    c double precision[];
    x double precision[];
    total double precision := 0;
BEGIN
    IF adql.polygon_plane(polygon) IS NULL THEN
        RETURN NULL;
    END IF;
    a := adql.unit_vector(polygon[1], polygon[2]);
    c := adql.unit_vector(polygon[3], polygon[4]);
    FOR i IN 5..n - 1 BY 2 LOOP
        b := c;
        c := adql.unit_vector(polygon[i], polygon[i + 1]);
        -- Of differences, because tiny triangles are lost in the product of the vectors.
        x := adql.cross(ARRAY[b[1] - a[1], b[2] - a[2], b[3] - a[3]], ARRAY[c[1] - a[1], c[2] - a[2], c[3] - a[3]]);
        total := total + 2 * atan2(adql.dot(a, x), 1 + adql.dot(a, b) + adql.dot(b, c) + adql.dot(c, a));
    END LOOP;
    RETURN abs(total) * power(180 / pi(), 2);
END $$;

-- The centre of gravity of a polygon's area, drawn out to the sphere: the sum of its sides' normals, each as long as
-- its side. It is split so that tiny polygons are not lost in rounding: first as if sides were as long as their sines.
CREATE OR REPLACE FUNCTION adql.polygon_centroid(polygon double precision[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    n CONSTANT integer := array_length(polygon, 1);
    plane CONSTANT double precision[] := adql.polygon_plane(polygon);
    a double precision[];
    b double precision[];
    x double precision[];
    y double precision[];
    sine double precision;
    excess double precision;
    total double precision[] := '{0,0,0}';
    lon double precision;
BEGIN
    IF plane IS NULL THEN
        RETURN NULL;
    END IF;
    b := adql.unit_vector(polygon[n - 1], polygon[n]);
    FOR i IN 1..n - 1 BY 2 LOOP
        a := b;
        b := adql.unit_vector(polygon[i], polygon[i + 1]);
        x := adql.cross(ARRAY[a[1] - plane[1], a[2] - plane[2], a[3] - plane[3]],
                        ARRAY[b[1] - plane[1], b[2] - plane[2], b[3] - plane[3]]);
        y := adql.cross(a, ARRAY[b[1] - a[1], b[2] - a[2], b[3] - a[3]]);
        sine := sqrt(adql.dot(y, y));
        excess := CASE WHEN sine < 0.01 AND adql.dot(a, b) > 0 THEN sine * sine / 6 + 0.075 * power(sine * sine, 2)
                       ELSE atan2(sine, adql.dot(a, b)) / sine - 1 END;
        total := ARRAY[total[1] + x[1] + excess * y[1], total[2] + x[2] + excess * y[2],
                       total[3] + x[3] + excess * y[3]];
    END LOOP;
    IF adql.dot(total, plane[1:3]) < 0 THEN
        total := ARRAY[- total[1], - total[2], - total[3]];
    END IF;
    lon := degrees(atan2(total[2], total[1]));
    RETURN ARRAY[lon - 360 * floor(lon / 360),
                 degrees(atan2(total[3], sqrt(total[1] * total[1] + total[2] * total[2])))];
END $$;

-- A circle that holds a polygon: [ra, dec, radius].
CREATE OR REPLACE FUNCTION adql.polygon_circle(polygon double precision[]) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    plane CONSTANT double precision[] := adql.polygon_plane(polygon);
    ra double precision;
    "dec" double precision;
    radius double precision := 0;
BEGIN
    IF plane IS NULL THEN
        RETURN NULL;
    END IF;
    ra := degrees(atan2(plane[2], plane[1]));
    "dec" := degrees(atan2(plane[3], sqrt(plane[1] * plane[1] + plane[2] * plane[2])));
    FOR i IN 1..array_length(polygon, 1) - 1 BY 2 LOOP
        radius := greatest(radius, adql.separation(ra, "dec", polygon[i], polygon[i + 1]));
    END LOOP;
    RETURN ARRAY[ra - 360 * floor(ra / 360), "dec", radius];
END $$;

-- The cells of order 29 of a MOC in ASCII form (MOC 2.0, section 4.3.2): `4/1 3-5 5/96`, each order before its cells.
CREATE OR REPLACE FUNCTION adql.moc(moc text) RETURNS int8multirange
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    written CONSTANT text := regexp_replace(trim(moc), '^s', '');
    token text[];
    shift integer;
    cells int8range[] := '{}';
BEGIN
    IF written !~ '^(\s*\d{1,2}\s*/(\s*\d{1,19}(\s*-\s*\d{1,19})?([\s,]+|$))*\s*)*$' THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format('This is not a MOC in ASCII form: %s', left(moc, 60));
    END IF;
    FOR token IN SELECT regexp_matches(written, '(\d+)\s*/|(\d+)(?:\s*-\s*(\d+))?', 'g') LOOP
        IF token[1] IS NOT NULL THEN
            shift := 58 - 2 * token[1]::integer;
        ELSIF shift < 0 OR token[2]::numeric > coalesce(token[3], token[2])::numeric
                OR coalesce(token[3], token[2])::numeric >= 12::numeric * (1::bigint << (58 - shift)) THEN
            RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE =
                format('There are no HEALPix cells %s at order %s', concat_ws('-', token[2], token[3]), 29 - shift / 2);
        ELSE
            cells := cells || int8range(token[2]::bigint << shift, (coalesce(token[3], token[2])::bigint + 1) << shift);
        END IF;
    END LOOP;
    RETURN (SELECT coalesce(range_agg(cell), '{}') FROM unnest(cells) AS cell);
END $$;

-- Whether cells of order 29 and a circle [ra, dec, radius] or polygon have a position in common, or what lies outside of
-- it. The cells of `sure` are known to lie wholly in there, and none but those of `maybe` to reach into it. What they
-- leave open is looked at cell by cell, each split in four until it is apart or tells; those smaller than a thousandth or
-- two of the region's radius are not split, but meet it if they reach to its edge.
CREATE OR REPLACE FUNCTION adql.meets_moc(
    region double precision[], is_circle boolean, outside boolean,
    cells int8multirange, sure int8multirange, maybe int8multirange
) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    bounds CONSTANT double precision[] := CASE WHEN is_circle THEN region ELSE adql.polygon_circle(region) END;
    side CONSTANT double precision := CASE WHEN outside THEN -1 ELSE 1 END;
    open bigint[] := ARRAY[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    split bigint[];
    finest integer;
    cell bigint;
    pixels int8range;
    center double precision[];
    depth double precision;
    reach double precision;
BEGIN
    IF (abs(bounds[1]) < 'Infinity' AND abs(bounds[2]) <= 90 AND bounds[3] BETWEEN 0 AND 180) IS NOT TRUE THEN
        RETURN NULL;
    ELSIF NOT cells && maybe OR outside AND bounds[3] >= 180 THEN
        RETURN false;
    ELSIF cells && sure THEN
        RETURN true;
    END IF;
    finest := least(29, 10 + floor(ln(58.6 / greatest(1e-7, least(bounds[3], 180 - bounds[3]))) / ln(2.0::float8)));
    FOR level IN 0..finest LOOP
        split := '{}';
        -- No corner of a cell is farther from its centre.
        reach := 61.25::float8 / (1 << level);
        FOREACH cell IN ARRAY open LOOP
            pixels := int8range(cell << (58 - 2 * level), (cell + 1) << (58 - 2 * level));
            CONTINUE WHEN NOT cells && pixels;
            center := adql.hpx_center(level, cell);
            depth := adql.separation(center[1], center[2], bounds[1], bounds[2]) - bounds[3];
            IF is_circle OR depth > reach THEN
                depth := - depth * side;
            ELSE
                depth := adql.depth(center[1], center[2], region) * side;
            END IF;
            IF depth >= reach OR depth >= 0 AND cells @> pixels OR depth >= - reach AND level = finest THEN
                RETURN true;
            ELSIF depth >= - reach THEN
                split := split || ARRAY[4 * cell, 4 * cell + 1, 4 * cell + 2, 4 * cell + 3];
            END IF;
        END LOOP;
        open := split;
    END LOOP;
    RETURN false;
END $$;

-- A set of cells of order 29 as a MOC in ASCII form.
CREATE OR REPLACE FUNCTION adql.moc_text(cells int8multirange) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    parts text[] := array_fill(''::text, ARRAY[30]);
    deepest integer := 0;
    piece int8range;
    first bigint;
    shift integer;
BEGIN
    FOR piece IN SELECT unnest(cells) LOOP
        first := lower(piece);
        WHILE first < upper(piece) LOOP
            shift := 58;
            WHILE first & ((1::bigint << shift) - 1) <> 0 OR first + (1::bigint << shift) > upper(piece) LOOP
                shift := shift - 2;
            END LOOP;
            parts[30 - shift / 2] := parts[30 - shift / 2] || ' ' || (first >> shift);
            first := first + (1::bigint << shift);
        END LOOP;
    END LOOP;
    RETURN coalesce((SELECT string_agg((place - 1) || '/' || substr(part, 2), ' ' ORDER BY place)
                     FROM unnest(parts) WITH ORDINALITY AS p (part, place) WHERE part <> ''), '0/');
END $$;

-- Area in square degrees.
CREATE OR REPLACE FUNCTION adql.moc_area(cells int8multirange) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN cells IS NOT NULL THEN coalesce(sum(upper(piece) - lower(piece)), 0)::double precision
        * 4 * pi() * power(180 / pi(), 2) / (12 * (1::bigint << 58)) END
    FROM unnest(cells) AS piece
$$;


-- Strings, times, and others of the catalogue of user-defined functions --

-- The words of a text as an array of their stems, in the way of search engines. Punctuation parts words, so that the
-- parser does not take `supernova/GRB` for the name of a file.
CREATE OR REPLACE FUNCTION adql.words(body text, language regconfig) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT tsvector_to_array(to_tsvector(language, regexp_replace(body, '[!-/:-@[-`{-~]+', ' ', 'g')))
$$;

-- Whether all words of one text are in another. English leaves out words like `the`: where there are no others, they
-- are looked for as they are. Nothing holds a text without words.
CREATE OR REPLACE FUNCTION adql.has_words(haystack text, needle text) RETURNS integer
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    language regconfig := 'pg_catalog.english';
    wanted text[] := adql.words(needle, language);
BEGIN
    IF wanted = '{}' THEN
        language := 'pg_catalog.simple';
        wanted := adql.words(needle, language);
    END IF;
    RETURN (wanted <> '{}' AND wanted <@ adql.words(haystack, language))::integer;
END $$;

-- `h:m:s`, `hhmmss` or `hHmMsS`, with the letter for the first unit, in that unit; null if the text is none of these.
CREATE OR REPLACE FUNCTION adql.sexagesimal(written text, letter text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    body CONSTANT text := lower(trim(written));
    part text[] := coalesce(
        regexp_match(body, '^([+-]?)(\d{1,3}):(\d{1,2}):(\d{1,2}(?:\.\d*)?)$'),
        regexp_match(body, '^([+-]?)(\d{1,3})' || letter || '(\d{1,2})m(\d{1,2}(?:\.\d*)?)s$'),
        regexp_match(body, '^([+-]?)(\d{2,3})(\d{2})(\d{2}(?:\.\d*)?)$'));
BEGIN
    IF part IS NULL OR part[3]::integer > 59 OR part[4]::numeric >= 60 THEN
        RETURN NULL;
    END IF;
    RETURN (part[1] || '1')::integer * (part[2]::integer * 3600 + part[3]::integer * 60 + part[4]::numeric)
           / 3600::double precision;
END $$;

-- Rows in bins of equal width from `low` to `high`: first those below, last those at `high` and above. What is not a
-- number counts as below.
CREATE OR REPLACE FUNCTION adql.histogram_step(
    counts integer[], x double precision, low double precision, high double precision, bins integer
) RETURNS integer[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    bin integer;
BEGIN
    IF counts IS NULL THEN
        IF low < high IS NOT TRUE THEN
            RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format(
                'The lower limit of a histogram must be less than the upper; here are %s and %s', low, high);
        END IF;
        counts := array_fill(0, ARRAY[bins + 2]);
    END IF;
    bin := CASE WHEN x IS NULL OR x = 'NaN' THEN 0 ELSE width_bucket(x, low, high, bins) END;
    counts[bin + 1] := counts[bin + 1] + 1;
    RETURN counts;
END $$;

CREATE OR REPLACE FUNCTION adql.histogram_sum(a integer[], b integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN a IS NULL THEN b WHEN b IS NULL THEN a
        ELSE (SELECT array_agg(x + y ORDER BY place) FROM unnest(a, b) WITH ORDINALITY AS bins (x, y, place)) END
$$;

CREATE OR REPLACE AGGREGATE adql.histogram(double precision, double precision, double precision, integer) (
    SFUNC = adql.histogram_step, STYPE = integer[], COMBINEFUNC = adql.histogram_sum, PARALLEL = SAFE
);

-- The HEALPix cell of a point.
CREATE OR REPLACE FUNCTION adql.hpx(depth integer, point double precision[]) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT adql.hpx(depth, point[1], point[2]) $$;

-- The rotation that brings a reference frame's axes to those of ICRS: a matrix, row by row. Galactic coordinates are
-- those of FK5 (J2000) turned; FK4 (B1950) is turned so that they are what defines them: pole at 192.25, +27.4.
CREATE OR REPLACE FUNCTION adql.frame(name text) RETURNS double precision[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE name
        WHEN 'ICRS' THEN '{1, 0, 0, 0, 1, 0, 0, 0, 1}'::double precision[]
        WHEN 'FK5' THEN '{
            0.9999999999999929, 1.1102233738475024e-07, 4.411803429929631e-08,
            -1.1102233290551096e-07, 0.9999999999999892, -9.647792745026092e-08,
            -4.4118044980967755e-08, 9.647792246010134e-08, 0.9999999999999944}'
        WHEN 'FK4' THEN '{
            0.9999256809514497, -0.011181372203849085, -0.004858959705285402,
            0.01118137175388453, 0.9999374861373457, -2.7258532095708073e-05,
            0.004858960740738317, -2.707332853481292e-05, 0.9999881948140967}'
        WHEN 'GALACTIC' THEN '{
            -0.05487565771259219, 0.49410943719272665, -0.8676661375596586,
            -0.8734370519556163, -0.4448297212232957, -0.19807633727300059,
            -0.4838350736167157, 0.7469821839866677, 0.4559838136873021}'
        WHEN 'SUPER_GALACTIC' THEN '{
            0.3750155557030318, -0.8983204377276134, 0.22887490937543636,
            0.3413588718562474, -0.0957271002488506, -0.9350456902649072,
            0.8618801851683193, 0.4287851600030201, 0.27075049949244606}'
        WHEN 'ECLIPTIC' THEN '{
            0.9999999999999941, 3.2897004077419646e-08, -1.0207044725484355e-07,
            -7.078368960971556e-08, 0.9174821299149584, -0.39777699944404304,
            8.056213977613186e-08, 0.39777699944404793, 0.9174821299149556}'
    END
$$;

-- The positions of a point, circle or polygon in another frame; a number left over (a radius) stays as it is.
CREATE OR REPLACE FUNCTION adql.turned(
    geometry double precision[], source double precision[], target double precision[]
) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    m double precision[] := '{}';
    x double precision;
    y double precision;
    z double precision;
    lon double precision;
    u double precision[];
BEGIN
    FOR i IN 0..2 LOOP
        FOR j IN 1..3 LOOP
            m := m || target[i + 1] * source[j] + target[i + 4] * source[j + 3] + target[i + 7] * source[j + 6];
        END LOOP;
    END LOOP;
    FOR i IN 1..array_length(geometry, 1) - 1 BY 2 LOOP
        u := adql.unit_vector(geometry[i], geometry[i + 1]);
        x := m[1] * u[1] + m[2] * u[2] + m[3] * u[3];
        y := m[4] * u[1] + m[5] * u[2] + m[6] * u[3];
        z := m[7] * u[1] + m[8] * u[2] + m[9] * u[3];
        lon := degrees(atan2(y, x));
        geometry[i] := lon - 360 * floor(lon / 360);
        geometry[i + 1] := degrees(atan2(z, sqrt(x * x + y * y)));
    END LOOP;
    RETURN geometry;
END $$;

-- Where a star is, and how it moves, some years later, if it moves on a straight line: longitude and latitude [deg],
-- parallax [mas], proper motions [mas/yr, that in longitude on the sky], radial velocity [km/s]. What was not known
-- stays so, and counts as zero (Lindegren in The Hipparcos and Tycho Catalogues, ESA SP-1200, 1997, vol. 1, 1.5.5).
CREATE OR REPLACE FUNCTION adql.epoch_prop(
    lon double precision, lat double precision, parallax double precision, pm_lon double precision,
    pm_lat double precision, radial_velocity double precision, years double precision
) RETURNS double precision[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    km_s CONSTANT double precision := 149597870.7 / 31557600;  -- an astronomical unit per Julian year
    mas CONSTANT double precision := radians(1 / 3600000::double precision);
    a CONSTANT double precision := radians(lon);
    d CONSTANT double precision := radians(lat);
    pa CONSTANT double precision := coalesce(pm_lon, 0) * mas * years;
    pd CONSTANT double precision := coalesce(pm_lat, 0) * mas * years;
    pr CONSTANT double precision := coalesce(radial_velocity * parallax, 0) / km_s * mas * years;
    -- The position itself, and its change in the years: both along the axes of the frame.
    r CONSTANT double precision[] := ARRAY[cos(d) * cos(a), cos(d) * sin(a), sin(d)];
    m CONSTANT double precision[] := ARRAY[- pa * sin(a) - pd * sin(d) * cos(a), pa * cos(a) - pd * sin(d) * sin(a),
                                           pd * cos(d)];
    across CONSTANT double precision := pa * pa + pd * pd;
    f CONSTANT double precision := 1 / sqrt((1 + pr) ^ 2 + across);
    u double precision[];
    v double precision[];
    motion_known CONSTANT boolean := pm_lon IS NOT NULL AND pm_lat IS NOT NULL;
BEGIN
    IF lon IS NULL OR lat IS NULL OR years IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22004', MESSAGE = 'Positions and epochs of ivo_epoch_prop and'
            ' ivo_epoch_prop_pos must not be NULL; leave such rows out by WHERE ... IS NOT NULL';
    END IF;
    FOR i IN 1..3 LOOP
        u[i] := (r[i] * (1 + pr) + m[i]) * f;
        v[i] := (m[i] * (1 + pr) - r[i] * across) * f ^ 3 / mas / nullif(years, 0);
    END LOOP;
    lon := atan2(u[2], u[1]);
    lat := atan2(u[3], sqrt(u[1] * u[1] + u[2] * u[2]));
    RETURN ARRAY[
        degrees(lon) - 360 * floor(degrees(lon) / 360),
        degrees(lat),
        parallax * f,
        CASE WHEN motion_known THEN coalesce(v[2] * cos(lon) - v[1] * sin(lon), pm_lon) END,
        CASE WHEN motion_known
            THEN coalesce(v[3] * cos(lat) - sin(lat) * (v[1] * cos(lon) + v[2] * sin(lon)), pm_lat) END,
        CASE WHEN coalesce(parallax, 0) = 0 OR years = 0 THEN radial_velocity
             WHEN radial_velocity IS NOT NULL
             THEN (pr + pr * pr + across) * f ^ 2 / mas / years * km_s / (parallax * f) END];
END $$;

-- The position alone.
CREATE OR REPLACE FUNCTION adql.epoch_prop_pos(
    lon double precision, lat double precision, parallax double precision, pm_lon double precision,
    pm_lat double precision, radial_velocity double precision, years double precision
) RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (adql.epoch_prop(lon, lat, parallax, pm_lon, pm_lat, radial_velocity, years))[1:2]
$$;


-- Jobs (UWS 1.1) -------------------------------------------------------------------------------------------------------
-- The table of jobs is also their queue: workers claim jobs from it in the order of queue_number. A worker holds an
-- advisory lock as long as it lives: (1448039242, its number). The jobs of a worker whose lock is gone go back into the
-- queue, at their old place; their attempt tells the worker that they were taken from, if it lives, that they are not its
-- own any more.

CREATE SEQUENCE IF NOT EXISTS vo_service.job_queue_number;
CREATE SEQUENCE IF NOT EXISTS vo_service.worker_number AS integer CYCLE;

CREATE TABLE IF NOT EXISTS vo_service.job (
    job_id text PRIMARY KEY,
    kind text NOT NULL,  -- the protocol whose job it is
    client text NOT NULL,  -- who created it, not to be recognised from outside
    phase text NOT NULL,  -- vo_service.uws.phases.Phase
    run_id text,
    parameters jsonb NOT NULL,  -- pairs of name and value, in order
    attachments text,  -- what the protocol keeps for the job, such as uploaded tables
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    ended_at timestamptz,
    execution_seconds integer NOT NULL,
    destruction_at timestamptz NOT NULL,
    archived_at timestamptz,
    queue_number bigint,
    attempt integer NOT NULL DEFAULT 0,
    worker integer,
    rows_written bigint,
    results jsonb NOT NULL DEFAULT '[]',  -- vo_service.uws.model.Result
    error text
);
CREATE INDEX IF NOT EXISTS job_queue ON vo_service.job (queue_number) WHERE phase = 'QUEUED';
CREATE INDEX IF NOT EXISTS job_executing ON vo_service.job (worker) WHERE phase = 'EXECUTING';
CREATE INDEX IF NOT EXISTS job_of_client ON vo_service.job (client, created_at);
CREATE INDEX IF NOT EXISTS job_destruction ON vo_service.job (destruction_at) WHERE phase <> 'ARCHIVED';
CREATE INDEX IF NOT EXISTS job_archived ON vo_service.job (archived_at) WHERE phase = 'ARCHIVED';

-- Every phase that a job enters, and its end, is announced on the channel vo_job: to workers and to requests that wait.
CREATE OR REPLACE FUNCTION vo_service.announce_job() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pg_notify('vo_job', OLD.job_id || ' DELETED');
    ELSE
        PERFORM pg_notify('vo_job', NEW.job_id || ' ' || NEW.phase);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER announce_new AFTER INSERT OR DELETE ON vo_service.job
    FOR EACH ROW EXECUTE FUNCTION vo_service.announce_job();
CREATE OR REPLACE TRIGGER announce_phase AFTER UPDATE ON vo_service.job
    FOR EACH ROW WHEN (OLD.phase <> NEW.phase) EXECUTE FUNCTION vo_service.announce_job();

DO $$
BEGIN
    EXECUTE format('GRANT USAGE ON SEQUENCE vo_service.job_queue_number, vo_service.worker_number TO %I',
        current_database() || '_writer');
END $$;


-- Uploaded tables (TAP 1.1, section 2.7.6) -----------------------------------------------------------------------------
-- The tables of clients stand in vo_upload under random names, each as long as a query or job needs it. Those that are
-- still there after their time were left by a process that died.

CREATE SCHEMA IF NOT EXISTS vo_upload;

CREATE TABLE IF NOT EXISTS vo_service.upload (
    table_name text PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);



-- Alerts: the archive of VOEvents, published as the schema alerts --------------------------------------------------------
-- Every packet that was accepted is one row, in the order of its storage; its bytes are kept as they came. Sinks read the
-- rows in that order, each from where it was: the table is the outbox.

CREATE SCHEMA IF NOT EXISTS alerts;

CREATE TABLE IF NOT EXISTS alerts.voevent (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ivoid text NOT NULL UNIQUE,
    "role" text NOT NULL,
    version text NOT NULL,
    stream text NOT NULL,
    event_ivoid text NOT NULL,
    author_ivoid text,
    author text,
    author_time timestamp,
    concept text,
    description text,
    event_time timestamp,
    ra double precision,
    "dec" double precision,
    error_radius double precision,
    far double precision,
    xml text NOT NULL,
    received_from text NOT NULL,
    sender text,
    received_at timestamp NOT NULL,
    stored_at timestamp NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    acknowledged_at timestamp,
    sent_at timestamp,
    matched_at timestamp,
    warning text,
    hpx bigint,
    raw bytea NOT NULL,
    original bytea,
    original_type text,
    digest bytea NOT NULL
-- Times of stages are noted later: on the same page, no index hears of it.
) WITH (fillfactor = 60);
CREATE INDEX IF NOT EXISTS voevent_hpx ON alerts.voevent (hpx);
CREATE INDEX IF NOT EXISTS voevent_event_time ON alerts.voevent (event_time);
CREATE INDEX IF NOT EXISTS voevent_event_ivoid ON alerts.voevent (event_ivoid);
CREATE INDEX IF NOT EXISTS voevent_stored_at ON alerts.voevent (stored_at);

CREATE TABLE IF NOT EXISTS alerts.param (
    event_id bigint NOT NULL REFERENCES alerts.voevent,
    place integer NOT NULL,
    group_name text,
    name text NOT NULL,
    value text,
    number double precision,
    unit text,
    ucd text,
    PRIMARY KEY (event_id, place)
);
CREATE INDEX IF NOT EXISTS param_name ON alerts.param (name, number);

CREATE TABLE IF NOT EXISTS alerts.citation (
    event_id bigint NOT NULL REFERENCES alerts.voevent,
    ivoid text NOT NULL,
    cited_ivoid text NOT NULL,
    cite text NOT NULL
);
CREATE INDEX IF NOT EXISTS citation_cited ON alerts.citation (cited_ivoid);
CREATE INDEX IF NOT EXISTS citation_event ON alerts.citation (event_id);

-- Which packets of the archive cite which. A citation of an event, not of one notice of it, means all notices that came
-- before. Only kin, of one stream and role, replace or retract each other: a test retracts no observation.
CREATE OR REPLACE VIEW alerts.cited AS
SELECT found.*, found.citing_stream = found.stream AND found.citing_role = found."role" AS kin
FROM (
    SELECT c.event_id, citing.ivoid, citing.stream AS citing_stream, citing."role" AS citing_role,
        lower(btrim(c.cite, E' \t\r\n')) AS cite,
        packet.event_id AS cited_event_id, packet.ivoid AS cited_ivoid, packet.stream, packet."role"
    FROM alerts.citation c
    JOIN alerts.voevent citing ON citing.event_id = c.event_id
    JOIN alerts.voevent packet ON packet.ivoid = c.cited_ivoid AND packet.event_id <> c.event_id
    UNION ALL
    SELECT c.event_id, citing.ivoid, citing.stream, citing."role", lower(btrim(c.cite, E' \t\r\n')),
        packet.event_id, packet.ivoid, packet.stream, packet."role"
    FROM alerts.citation c
    JOIN alerts.voevent citing ON citing.event_id = c.event_id
    JOIN alerts.voevent packet
      ON packet.event_ivoid = c.cited_ivoid AND packet.ivoid <> c.cited_ivoid AND packet.event_id < c.event_id
) found;

-- Sky maps as ranges of cells of order 29, both ends included; credible_level is the probability that all cells at least
-- as dense hold together.
-- Written for events that are stored, and only then: to look each of a million cells' event up would take a minute.
CREATE TABLE IF NOT EXISTS alerts.skymap (
    event_id bigint NOT NULL,
    ivoid text NOT NULL,
    hpx_first bigint NOT NULL,
    hpx_last bigint NOT NULL,
    density double precision NOT NULL,
    credible_level double precision NOT NULL,
    PRIMARY KEY (event_id, hpx_first)
);
CREATE INDEX IF NOT EXISTS skymap_ivoid ON alerts.skymap (ivoid, credible_level);

CREATE TABLE IF NOT EXISTS alerts.coincidence (
    coincidence_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text NOT NULL,
    alert_ivoid text NOT NULL,
    counterpart text NOT NULL,
    counterpart_kind text NOT NULL,
    delta_t double precision NOT NULL,
    separation double precision NOT NULL,
    overlap double precision,
    containment double precision,
    p_value double precision NOT NULL,
    far double precision,
    ra double precision,
    "dec" double precision,
    r50 double precision,
    r90 double precision,
    hpx bigint,
    revision integer NOT NULL,
    status text NOT NULL CHECK (status IN ('current', 'superseded', 'retracted')),
    found_at timestamp NOT NULL,
    published_ivoid text,
    UNIQUE (rule, alert_ivoid, counterpart_kind, counterpart)
);
CREATE INDEX IF NOT EXISTS coincidence_alert ON alerts.coincidence (alert_ivoid);
CREATE INDEX IF NOT EXISTS coincidence_counterpart ON alerts.coincidence (counterpart);
CREATE INDEX IF NOT EXISTS coincidence_hpx ON alerts.coincidence (hpx);
CREATE INDEX IF NOT EXISTS coincidence_published ON alerts.coincidence (published_ivoid);

-- Rules that could not be used on an event: the last time, and why.
CREATE TABLE IF NOT EXISTS vo_service.alert_rule (
    name text PRIMARY KEY,
    failures bigint NOT NULL,
    last_event bigint,
    last_error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);

-- What was refused because its identifier is that of another packet: kept to find out who sends such.
CREATE TABLE IF NOT EXISTS vo_service.alert_conflict (
    ivoid text NOT NULL,
    raw bytea NOT NULL,
    received_from text NOT NULL,
    sender text,
    received_at timestamp NOT NULL
);

-- How far each stream of others has been read: a message is noted in it after what came of it was stored.
CREATE TABLE IF NOT EXISTS vo_service.alert_source (
    name text NOT NULL,
    part text NOT NULL,
    next_position text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, part)
);

-- Messages of streams that could not be converted or stored, as they came: nothing is lost, and nothing but the operator
-- empties it. The digest tells apart what a stream that began anew has at the same position.
CREATE TABLE IF NOT EXISTS vo_service.alert_refused (
    source text NOT NULL,
    part text NOT NULL,
    position text NOT NULL,
    digest bytea NOT NULL,
    data bytea NOT NULL,
    reason text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, part, position, digest)
);

-- What processes tell of themselves, for /metrics and the live page.
CREATE TABLE IF NOT EXISTS vo_service.alert_process (
    name text PRIMARY KEY,
    state jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- How far each sink is. A sink that confirms has all events up to last_event.
CREATE TABLE IF NOT EXISTS vo_service.alert_sink (
    name text PRIMARY KEY,
    last_event bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    failures integer NOT NULL DEFAULT 0,
    last_error text
);

-- Events that a sink's receiver has refused: the sink has gone on without them.
CREATE TABLE IF NOT EXISTS vo_service.alert_undelivered (
    sink text NOT NULL,
    event_id bigint NOT NULL REFERENCES alerts.voevent,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, event_id)
);


-- Files attached to what is published: links of tables and of their rows (DataLink) ---------------------------------------

CREATE TABLE IF NOT EXISTS vo_service.attachment (
    attachment_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    row_key text,  -- the row's primary key as text; null for the whole table
    name text NOT NULL,
    semantics text NOT NULL,
    description text NOT NULL,
    content_type text NOT NULL,
    content_qualifier text,
    content_length bigint NOT NULL CHECK (content_length >= 0),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    location text,  -- where the file is; null if it was copied into the state directory
    modified_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (schema_name, table_name) REFERENCES vo_service.published_table ON DELETE CASCADE
);

-- What the file system at the location tells of this version of the file; databases of an earlier version get it too.
ALTER TABLE vo_service.attachment ADD COLUMN IF NOT EXISTS fingerprint text;

CREATE UNIQUE INDEX IF NOT EXISTS attachment_name
    ON vo_service.attachment (schema_name, table_name, (row_key IS NULL), coalesce(row_key, ''), name);

-- Records of what is published tell of its files too.
CREATE OR REPLACE TRIGGER announce AFTER INSERT OR UPDATE OR DELETE ON vo_service.attachment
    FOR EACH ROW EXECUTE FUNCTION vo_service.announce_catalog();


-- What published tables cover, measured when they are loaded, and what ObsCore says of them ------------------------------

CREATE TABLE IF NOT EXISTS vo_service.coverage (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    measured jsonb NOT NULL,  -- vo_service.coverage.model.Coverage
    measured_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema_name, table_name),
    FOREIGN KEY (schema_name, table_name) REFERENCES vo_service.published_table ON DELETE CASCADE
);

-- Records tell of coverage: new rows are a change of them, also where nothing else of the table is.
CREATE OR REPLACE FUNCTION vo_service.date_record_of_coverage() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    UPDATE vo_service.registry_record SET datestamp = date_trunc('second', clock_timestamp())
        WHERE lower(resource_key) = lower(NEW.schema_name || '/' || NEW.table_name) AND NOT deleted;
    RETURN NULL;
END $$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgname = 'date_record_of_coverage') THEN
        CREATE CONSTRAINT TRIGGER date_record_of_coverage AFTER INSERT OR UPDATE ON vo_service.coverage
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION vo_service.date_record_of_coverage();
    END IF;
END $$;

-- One row for each event list. Identifiers and addresses are kept without their beginnings, which are settings.
CREATE TABLE IF NOT EXISTS vo_service.observation (
    schema_name text NOT NULL,
    table_name text NOT NULL,
    identifier text NOT NULL,
    links text NOT NULL,
    record jsonb NOT NULL,  -- columns of ivoa.obscore and ivoa.obscore_hea by name
    PRIMARY KEY (schema_name, table_name),
    FOREIGN KEY (schema_name, table_name) REFERENCES vo_service.published_table ON DELETE CASCADE
);

-- The beginnings: ivo://AUTHORITY and http://HOST:PORT; written by the service whenever it starts.
CREATE TABLE IF NOT EXISTS vo_service.obscore_address (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    authority text NOT NULL,
    url text NOT NULL
);

CREATE SCHEMA IF NOT EXISTS ivoa;

-- Event lists, and after them the files attached to them that are data products of high-energy astrophysics: response
-- functions, and event lists with their responses in one (bundles). They have what the event list has, but for what is said
-- of the file itself.
CREATE OR REPLACE VIEW vo_service.data_product AS
SELECT here.authority || o.identifier AS obs_publisher_did,
    here.url || '/datalink?ID=' || replace(here.authority, '+', '%2B') || o.links AS access_url,
    o.record
FROM vo_service.observation o, vo_service.obscore_address here
UNION ALL
SELECT here.authority || o.identifier || '?files/' || f.attachment_id,
    here.url || '/files/' || f.attachment_id || '/' || CASE
        WHEN f.name ~ '^[A-Za-z0-9._~-]+$' THEN f.name
        ELSE regexp_replace(encode(convert_to(f.name, 'UTF8'), 'hex'), '(..)', '%\1', 'g') END,
    o.record - CASE WHEN f.content_qualifier LIKE '%event-%' THEN ARRAY['ev_xel']
        ELSE ARRAY['dataproduct_type', 'o_ucd', 'ev_xel', 't_intervals'] END || jsonb_build_object(
        'dataproduct_subtype', ltrim(f.content_qualifier, '#'),
        'obs_title', coalesce(nullif(f.description, ''), f.name),
        'access_format', f.content_type,
        'access_estsize', (f.content_length + 999) / 1000)
FROM vo_service.attachment f
JOIN vo_service.observation o USING (schema_name, table_name), vo_service.obscore_address here
WHERE f.row_key IS NULL AND f.content_qualifier IN (
    '#response-function', '#aeff', '#edisp', '#psf', '#bkg', '#hea-event-list', '#event-list', '#hea-event-bundle',
    '#event-bundle');

CREATE OR REPLACE VIEW ivoa.obscore AS
SELECT r.dataproduct_type, r.dataproduct_subtype, r.calib_level, r.obs_collection, r.obs_id, r.obs_title,
    p.obs_publisher_did, p.access_url, r.access_format, r.access_estsize, r.target_name,
    r.s_ra, r.s_dec, r.s_fov, r.s_region, r.s_resolution, r.s_xel1, r.s_xel2,
    r.t_min, r.t_max, r.t_exptime, r.t_resolution, r.t_xel,
    r.em_min, r.em_max, r.em_res_power, r.em_xel, r.em_ucd, r.o_ucd, r.pol_states, r.pol_xel,
    r.facility_name, r.instrument_name, r.obs_creator_name, r.bib_reference, r.data_rights
FROM vo_service.data_product p, jsonb_to_record(p.record) AS r (
    dataproduct_type text, dataproduct_subtype text, calib_level integer, obs_collection text, obs_id text,
    obs_title text, access_format text, access_estsize bigint, target_name text,
    s_ra double precision, s_dec double precision, s_fov double precision, s_region text,
    s_resolution double precision, s_xel1 bigint, s_xel2 bigint,
    t_min double precision, t_max double precision, t_exptime double precision, t_resolution double precision,
    t_xel bigint,
    em_min double precision, em_max double precision, em_res_power double precision, em_xel bigint, em_ucd text,
    o_ucd text, pol_states text, pol_xel bigint,
    facility_name text, instrument_name text, obs_creator_name text, bib_reference text, data_rights text);

CREATE OR REPLACE VIEW ivoa.obscore_hea AS
SELECT p.obs_publisher_did, r.*
FROM vo_service.data_product p, jsonb_to_record(p.record) AS r (
    ev_xel bigint, s_ref_energy double precision, em_ref_energy double precision,
    s_ref_oaa double precision, em_ref_oaa double precision, t_intervals text,
    energy_min double precision, energy_max double precision,
    obs_mode text, tracking_mode text, scan_mode text, pointing_mode text, analysis_mode text, event_type text,
    messenger_name text, messenger_pdgid text);


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
    EXECUTE format('GRANT USAGE ON SCHEMA ivoa TO %I, %I', reader, writer);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA ivoa TO %I, %I', reader, writer);
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA vo_upload TO %I', writer);
    EXECUTE format('GRANT USAGE ON SCHEMA alerts TO %I, %I', reader, writer);
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA alerts TO %I', reader);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA alerts TO %I', writer);
    EXECUTE format('GRANT USAGE ON SCHEMA vo_upload TO %I', reader);
    EXECUTE format('GRANT USAGE ON SCHEMA vo_service TO %I', reader);
    EXECUTE format('GRANT SELECT ON vo_service.attachment TO %I', reader);
    EXECUTE format('GRANT USAGE ON SCHEMA adql TO %I, %I', reader, writer);
    EXECUTE format('GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA adql TO %I, %I', reader, writer);
END $$;
