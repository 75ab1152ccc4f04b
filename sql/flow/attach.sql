-- Following tables that are already there.
--
-- An attached table carries four statement-level triggers (and so does each of its partitions: a statement fires the
-- triggers of the table that it names, not of the partitions that it reaches). The triggers work out which keys a
-- statement touched, read those rows again by key, and make the store agree with what is there. Reading again, rather
-- than believing the transition tables, is what keeps the answer right when several statements of one command, a
-- cascade or a trigger of the user's own touch a row twice.
--
-- The backfill takes what was there before the triggers. It commits the triggers first. Then it reads in the order of
-- the key, batch by batch, and locks the rows of a batch FOR SHARE: a concurrent UPDATE or DELETE of such a row waits for
-- the batch to commit, and its trigger then finds the record; a row that is being changed is waited for, and the record
-- that its trigger has stored is left alone. A weaker lock would not do: the trigger of an update that blanks a row
-- stores nothing that the batch could collide with.
--
-- Nobody who writes to the table is ever the victim of a deadlock with the backfill: a batch takes its row locks without
-- waiting, waits for others less than deadlock_timeout, is kept short, and starts anew when it could not get a lock.

---- what a mapping can say

CREATE FUNCTION cxm.attach_fields(kind text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE kind
    WHEN 'event' THEN ARRAY[
        ['at', 'time'], ['event', 'text'], ['identifiers', 'identifiers'], ['touchpoint', 'text'], ['location', 'text'],
        ['product', 'text'], ['employee', 'text'], ['properties', 'object']]
    WHEN 'feedback' THEN ARRAY[
        ['at', 'time'], ['metric', 'text'], ['score', 'number'], ['scale_min', 'integer'], ['scale_max', 'integer'],
        ['comment', 'comment'], ['identifiers', 'identifiers'], ['touchpoint', 'text'], ['location', 'text'],
        ['product', 'text'], ['employee', 'text'], ['submission_id', 'text'], ['question', 'text'], ['properties', 'object']]
    WHEN 'purchase' THEN ARRAY[
        ['at', 'time'], ['order_id', 'text'], ['product', 'text'], ['quantity', 'number'], ['amount', 'number'],
        ['currency', 'text'], ['identifiers', 'identifiers'], ['touchpoint', 'text'], ['location', 'text'],
        ['employee', 'text'], ['properties', 'object']]
    WHEN 'spend' THEN ARRAY[
        ['at', 'time'], ['amount', 'number'], ['currency', 'text'], ['channel', 'text'], ['campaign', 'text'],
        ['touchpoint', 'text'], ['location', 'text'], ['product', 'text'], ['properties', 'object']]
    WHEN 'traits' THEN ARRAY[
        ['at', 'time'], ['identifiers', 'identifiers'], ['traits', 'object'], ['verified', 'boolean']]
END;

COMMENT ON FUNCTION cxm.attach_fields(text) IS
'What the mapping of an attached table may say for a kind of record, as {{field, form}, ...} in the order of the fields of cxm.<kind>_input. NULL for an unknown kind.';

CREATE FUNCTION cxm.attach_columns(mapping jsonb, OUT field text, OUT column_name text) RETURNS SETOF record
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
-- every column once a statement: in PL/pgSQL, where the plan is kept
BEGIN
    RETURN QUERY
        SELECT f.key, f.value #>> '{}' FROM jsonb_each(mapping) AS f WHERE jsonb_typeof(f.value) = 'string'
        UNION ALL
        SELECT f.key, a.value #>> '{}'
        FROM jsonb_each(mapping) AS f
        CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(f.value) WHEN 'array' THEN f.value ELSE '[]' END) AS a
        UNION ALL
        SELECT f.key || '.' || o.key, o.value #>> '{}'
        FROM jsonb_each(mapping) AS f
        CROSS JOIN LATERAL jsonb_each(CASE jsonb_typeof(f.value) WHEN 'object' THEN f.value ELSE '{}' END) AS o
        WHERE jsonb_typeof(o.value) = 'string' AND (o.key <> 'constant' OR f.key IN ('identifiers', 'properties', 'traits'))
        UNION ALL
        SELECT f.key, a.value #>> '{}'
        FROM jsonb_each(mapping) AS f
        CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(f.value -> 'multiply') = 'array' THEN f.value -> 'multiply' ELSE '[]' END) AS a;
END
$$;

COMMENT ON FUNCTION cxm.attach_columns(jsonb) IS
'The columns that a mapping names, each with the field that is read from it, such as score or identifiers.email.';

CREATE FUNCTION cxm.mapping_error(message text, hint text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '%', message USING ERRCODE = 'invalid_parameter_value', HINT = hint;
END
$$;

COMMENT ON FUNCTION cxm.mapping_error(text, text) IS 'Raises invalid_parameter_value.';

CREATE FUNCTION cxm.check_mapping(kind text, mapping jsonb) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_fields constant text[] := cxm.attach_fields(kind);
    v_names text;
    v_form text;
    v_key text;
    v_value jsonb;
    v_missing text;
BEGIN
    IF v_fields IS NULL THEN
        PERFORM cxm.mapping_error(format('unknown kind of record %s', coalesce(quote_ident(kind), 'NULL')),
                                  'Kinds are event, feedback, purchase, spend and traits.');
    ELSIF mapping IS NULL OR jsonb_typeof(mapping) <> 'object' THEN
        PERFORM cxm.mapping_error('the mapping must be a JSON object', 'Give {"at": "created_at", ...}: fields of the record and the columns that they are read from.');
    END IF;
    v_names := (SELECT string_agg(v_fields[i][1], ', ' ORDER BY i) FROM generate_subscripts(v_fields, 1) AS i);

    FOR v_key, v_value IN SELECT m.key, m.value FROM jsonb_each(mapping) AS m LOOP
        v_form := (SELECT v_fields[i][2] FROM generate_subscripts(v_fields, 1) AS i WHERE v_fields[i][1] = v_key);
        IF v_form IS NULL THEN
            PERFORM cxm.mapping_error(format('a mapping of kind %s has no field "%s"', kind, v_key), format('Fields are %s.', v_names));
        ELSIF v_form IN ('identifiers', 'object') THEN
            IF jsonb_typeof(v_value) = 'array' AND v_form = 'object' THEN
                IF EXISTS (SELECT FROM jsonb_array_elements(v_value) AS a WHERE jsonb_typeof(a.value) <> 'string') THEN
                    PERFORM cxm.mapping_error(format('"%s" must name columns', v_key), 'Give ["column", ...] or {"name": "column", ...}.');
                END IF;
            ELSIF jsonb_typeof(v_value) <> 'object' THEN
                PERFORM cxm.mapping_error(format('"%s" must be an object, not %s', v_key, v_value),
                                          CASE v_form WHEN 'object' THEN 'Give {"name": "column", ...} or ["column", ...].' ELSE 'Give {"email": "column", ...}.' END);
            ELSIF EXISTS (SELECT FROM jsonb_each(v_value) AS o
                          WHERE jsonb_typeof(o.value) <> 'string'
                            AND (jsonb_typeof(o.value) <> 'object' OR (o.value - 'constant') <> '{}' OR NOT o.value ? 'constant')) THEN
                PERFORM cxm.mapping_error(format('every value in "%s" must be a column or a constant', v_key), 'Give "column" or {"constant": value}.');
            END IF;
        ELSIF jsonb_typeof(v_value) = 'object' AND v_value ? 'multiply' AND v_key = 'amount' THEN
            IF (v_value - 'multiply') <> '{}' OR jsonb_typeof(v_value -> 'multiply') <> 'array' OR jsonb_array_length(v_value -> 'multiply') < 2
               OR EXISTS (SELECT FROM jsonb_array_elements(v_value -> 'multiply') AS a WHERE jsonb_typeof(a.value) <> 'string') THEN
                PERFORM cxm.mapping_error('"multiply" must name two columns or more', 'Give {"multiply": ["quantity", "unit_price"]}.');
            END IF;
        ELSIF jsonb_typeof(v_value) = 'object' THEN
            IF (v_value - 'constant') <> '{}' OR NOT v_value ? 'constant' OR jsonb_typeof(v_value -> 'constant') NOT IN ('string', 'number', 'boolean') THEN
                PERFORM cxm.mapping_error(format('"%s" must be a column or a constant, not %s', v_key, v_value), 'Give "column" or {"constant": value}.');
            END IF;
        ELSIF jsonb_typeof(v_value) <> 'string' THEN
            PERFORM cxm.mapping_error(format('"%s" must be a column or a constant, not %s', v_key, v_value), 'Give "column" or {"constant": value}.');
        END IF;
    END LOOP;

    v_missing := (SELECT string_agg(r.field, ', ') FROM unnest(CASE kind
                      WHEN 'event' THEN ARRAY['at', 'event'] WHEN 'feedback' THEN ARRAY['at', 'metric']
                      WHEN 'purchase' THEN ARRAY['at', 'amount'] WHEN 'spend' THEN ARRAY['at', 'amount'] ELSE ARRAY['identifiers'] END) AS r(field)
                  WHERE NOT mapping ? r.field);
    IF v_missing IS NULL AND kind = 'feedback' AND NOT mapping ?| ARRAY['score', 'comment'] THEN
        v_missing := 'score or comment';
    END IF;
    IF v_missing IS NOT NULL THEN
        PERFORM cxm.mapping_error(format('the mapping lacks %s', v_missing),
                                  format('Name the column, or a constant as {"constant": value}. Fields of kind %s are %s.', kind, v_names));
    END IF;

    v_key := (SELECT n.key FROM jsonb_object_keys(coalesce(mapping -> 'identifiers', '{}')) AS n(key)
              WHERE n.key <> ALL ((cxm.ingest_limits()).namespaces) LIMIT 1);
    IF v_key IS NOT NULL THEN
        PERFORM cxm.mapping_error(format('unknown identifier namespace "%s"', v_key),
                                  format('Known are %s; add others with cxm.add_namespace().', array_to_string((cxm.ingest_limits()).namespaces, ', ')));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_mapping(text, jsonb) IS
'Raises invalid_parameter_value when the mapping of an attached table is not well formed for the kind, names an unknown field or namespace, or lacks a field that the kind needs.';

---- from the row of a table to a record: SQL expressions over a row named t

CREATE FUNCTION cxm.base_type(type_id oid) RETURNS oid
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE d AS (
        SELECT t.oid, t.typtype, t.typbasetype FROM pg_type AS t WHERE t.oid = type_id
        UNION ALL
        SELECT t.oid, t.typtype, t.typbasetype FROM d JOIN pg_type AS t ON t.oid = d.typbasetype WHERE d.typtype = 'd'
    )
    SELECT d.oid FROM d WHERE d.typtype <> 'd'
$$;

COMMENT ON FUNCTION cxm.base_type(oid) IS 'The type itself, or what a domain is made of in the end.';

CREATE FUNCTION cxm.equality_operator(type_id oid) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname)
                     FROM pg_opclass AS c
                     JOIN pg_amop AS a ON a.amopfamily = c.opcfamily AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype AND a.amopstrategy = 3
                     JOIN pg_operator AS o ON o.oid = a.amopopr
                     JOIN pg_namespace AS n ON n.oid = o.oprnamespace
                     WHERE c.opcintype = type_id AND c.opcdefault AND c.opcmethod = (SELECT m.oid FROM pg_am AS m WHERE m.amname = 'btree')),
                    'OPERATOR(pg_catalog.=)')
$$;

COMMENT ON FUNCTION cxm.equality_operator(oid) IS
'How to write the equality of a type''s default btree operator class, as OPERATOR(schema.=): types of extensions have theirs in a schema that need not be on the search path.';

CREATE FUNCTION cxm.attach_scalar(form text, expression text, type_name text, category text, time_zone text, place integer,
                                  OUT value text, OUT bad text, OUT tried text) RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_written constant text := format('btrim(%s::text) <> ''''', expression);
    v_tried constant text := 'v.v' || place;
BEGIN
    CASE form
    WHEN 'text' THEN
        value := format('nullif(btrim(%s::text), '''')', expression);
    WHEN 'comment' THEN
        value := format('CASE WHEN %s THEN %s::text END', v_written, expression);
    WHEN 'time' THEN
        IF type_name = 'timestamp with time zone' THEN
            value := expression;
        ELSIF type_name IN ('timestamp without time zone', 'date') THEN
            -- near the ends of what the types can say, casting and shifting raise errors
            bad := format('isfinite(%1$s) AND (%1$s < ''4000-01-01 BC'' OR %1$s > ''200000-01-01'')', expression);
            value := format('CASE WHEN NOT (%s) THEN %s::timestamp AT TIME ZONE %L END', bad, expression, time_zone);
        ELSIF category = 'S' THEN
            tried := format('CASE WHEN %s THEN cxm.try_timestamptz(%s::text, %L) END', v_written, expression, time_zone);
            value := v_tried;
            bad := format('%s AND %s IS NULL', v_written, v_tried);
        END IF;
    WHEN 'number' THEN
        IF type_name IN ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'money') THEN
            value := format('%s::numeric', expression);
        ELSIF category = 'S' THEN
            tried := format('CASE WHEN %s THEN cxm.try_numeric(%s::text) END', v_written, expression);
            value := v_tried;
            bad := format('%s AND %s IS NULL', v_written, v_tried);
        END IF;
    WHEN 'integer' THEN
        IF type_name IN ('smallint', 'integer') THEN
            value := format('%s::integer', expression);
        ELSIF type_name IN ('bigint', 'numeric', 'real', 'double precision') OR category = 'S' THEN
            tried := CASE WHEN category = 'S' THEN format('CASE WHEN %s THEN cxm.try_numeric(%s::text) END', v_written, expression)
                          ELSE format('%s::numeric', expression) END;
            value := format('CASE WHEN %1$s = trunc(%1$s) AND %1$s BETWEEN -2147483648 AND 2147483647 THEN %1$s::integer END', v_tried);
            bad := format('%s AND (%s) IS NULL', v_written, value);
        END IF;
    WHEN 'boolean' THEN
        IF type_name = 'boolean' THEN
            value := expression;
        ELSIF category = 'S' THEN
            value := format('CASE WHEN lower(btrim(%1$s::text)) IN (''t'', ''true'', ''y'', ''yes'', ''on'', ''1'') THEN true
                                  WHEN lower(btrim(%1$s::text)) IN (''f'', ''false'', ''n'', ''no'', ''off'', ''0'') THEN false END', expression);
            bad := format('%s AND (%s) IS NULL', v_written, value);
        END IF;
    END CASE;
END
$$;

COMMENT ON FUNCTION cxm.attach_scalar(text, text, text, text, text, integer) IS
'How to read a field of a form from an expression of a type. value: the SQL for its value (NULL = the type cannot be read so); bad: the SQL condition under which a value is there and cannot be read; tried: an expression that is to be computed once a row, as column v<place> of a row v.';

CREATE FUNCTION cxm.attach_object(members jsonb, types jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_plain text[] := '{}';
    v_parts text[] := '{}';
    v_key text;
    v_value jsonb;
BEGIN
    FOR v_key, v_value IN SELECT m.key, m.value FROM jsonb_each(members) AS m LOOP
        IF jsonb_typeof(v_value) = 'object' THEN
            v_parts := array_append(v_parts, format('%L::jsonb', jsonb_build_object(v_key, v_value -> 'constant')));
        ELSIF types -> (v_value #>> '{}') ->> 'category' IN ('U', 'C', 'A', 'P', 'X') THEN
            -- these can have nulls inside, which are not ours to strip
            v_parts := v_parts || format('CASE WHEN t.%1$I IS NULL THEN ''{}''::jsonb ELSE jsonb_build_object(%2$L, t.%1$I) END', v_value #>> '{}', v_key);
        ELSE
            v_plain := v_plain || format('%L, t.%I', v_key, v_value #>> '{}');
        END IF;
    END LOOP;

    -- a function takes a hundred arguments
    FOR v_key IN SELECT string_agg(p.pair, ', ' ORDER BY p.n) FROM unnest(v_plain) WITH ORDINALITY AS p(pair, n) GROUP BY (p.n - 1) / 40 LOOP
        v_parts := v_parts || format('jsonb_strip_nulls(jsonb_build_object(%s))', v_key);
    END LOOP;
    RETURN coalesce(nullif(array_to_string(v_parts, ' || '), ''), '''{}''::jsonb');
END
$$;

COMMENT ON FUNCTION cxm.attach_object(jsonb, jsonb) IS
'The SQL for a JSON object of columns, {"name": "column" or {"constant": value}, ...}, of a row t; a column that is NULL is left out. types: what cxm.attach_types() says of the columns.';

CREATE FUNCTION cxm.attach_types(relation oid) RETURNS jsonb
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT jsonb_object_agg(a.attname, jsonb_build_object(
               'cast', format_type(a.atttypid, -1),
               'type', CASE WHEN t.typtype = 'd' THEN format_type(cxm.base_type(t.oid), -1) ELSE format_type(a.atttypid, -1) END,
               'category', t.typcategory,
               'equality', CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace OR t.typtype IN ('e', 'c', 'r', 'm') OR t.typcategory = 'A'
                                THEN 'OPERATOR(pg_catalog.=)' ELSE cxm.equality_operator(cxm.base_type(t.oid)) END))
    FROM pg_attribute AS a
    JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped);
END
$$;

COMMENT ON FUNCTION cxm.attach_types(oid) IS
'What is to be known of the columns of a table to read them: {"column": {"cast": type, "type": base type, "category": of pg_type, "equality": operator}, ...}.';

CREATE FUNCTION cxm.attach_shape(relation oid, rows_of text, source text, kind text, key_columns text[], mapping jsonb, time_zone text,
                                 OUT message_id text, OUT image text, OUT record text, OUT lateral_row text, OUT query text, OUT probe text) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_types constant jsonb := cxm.attach_types(relation);
    v_fields constant text[] := cxm.attach_fields(kind);
    v_field text[];
    v_spec jsonb;
    v_part record;
    v_column text;
    v_value text;
    v_values text[] := '{}';
    v_bad text[] := '{}';
    v_reasons text[] := '{}';
    v_raw text[] := '{}';
    v_tried text[] := '{}';
    v_keys text;
    v_match text;
BEGIN
    SELECT c.field, c.column_name INTO v_part
    FROM (SELECT 'key' AS field, k AS column_name FROM unnest(key_columns) AS k UNION ALL SELECT a.field, a.column_name FROM cxm.attach_columns(mapping) AS a) AS c
    WHERE NOT v_types ? c.column_name
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'column "%" of attached table % does not exist', v_part.column_name, relation::regclass
            USING ERRCODE = 'undefined_column',
                  DETAIL = format('Source "%s" reads it as %s.', source, v_part.field),
                  HINT = format('If the column was renamed, rename it back, or SELECT cxm.detach(%L) and attach the table again under the new name.', source);
    END IF;

    IF cardinality(key_columns) = 1 THEN
        message_id := format('t.%I::text', key_columns[1]);
        v_keys := format('(SELECT u.id::%s AS k1 FROM (SELECT DISTINCT i.id FROM unnest($1) AS i(id)) AS u) AS k', v_types -> key_columns[1] ->> 'cast');
        v_reasons := ARRAY[format('CASE WHEN coalesce(%s, '''') = '''' THEN ''the key of the row is empty'' END', message_id)];
    ELSE
        message_id := format('jsonb_build_array(%s)::text', (SELECT string_agg(format('t.%I::text', k), ', ' ORDER BY n) FROM unnest(key_columns) WITH ORDINALITY AS u(k, n)));
        v_keys := format('(SELECT %s FROM (SELECT DISTINCT i.id FROM unnest($1) AS i(id)) AS u CROSS JOIN LATERAL (SELECT u.id::jsonb AS parts OFFSET 0) AS j) AS k',
                       (SELECT string_agg(format('(j.parts ->> %s)::%s AS k%s', n - 1, v_types -> k ->> 'cast', n), ', ' ORDER BY n) FROM unnest(key_columns) WITH ORDINALITY AS u(k, n)));
    END IF;
    v_match := (SELECT string_agg(format('t.%I %s k.k%s', k, v_types -> k ->> 'equality', n), ' AND ' ORDER BY n) FROM unnest(key_columns) WITH ORDINALITY AS u(k, n));
    image := format('ROW(%s)', (SELECT string_agg(DISTINCT format('t.%I', a.column_name), ', ') FROM cxm.attach_columns(mapping) AS a));

    FOREACH v_field SLICE 1 IN ARRAY v_fields LOOP
        v_spec := mapping -> v_field[1];
        v_value := NULL;
        IF v_spec IS NULL THEN
            v_value := CASE v_field[2] WHEN 'time' THEN 'now()' ELSE 'NULL' END;
        ELSIF v_field[2] = 'identifiers' THEN
            v_value := (SELECT format('nullif(jsonb_strip_nulls(jsonb_build_object(%s)), ''{}'')', string_agg(
                                   CASE jsonb_typeof(i.value) WHEN 'string' THEN format('%L, nullif(btrim(t.%I::text), '''')', i.key, i.value #>> '{}')
                                   ELSE format('%L, %L::text', i.key, i.value ->> 'constant') END, ', ' ORDER BY i.key))
                        FROM jsonb_each(v_spec) AS i);
        ELSIF v_field[2] = 'object' THEN
            v_value := cxm.attach_object(CASE jsonb_typeof(v_spec) WHEN 'array' THEN (SELECT coalesce(jsonb_object_agg(c.name, c.name), '{}') FROM jsonb_array_elements_text(v_spec) AS c(name)) ELSE v_spec END, v_types);
        ELSIF jsonb_typeof(v_spec) = 'object' AND v_spec ? 'constant' THEN
            v_value := CASE v_field[2] WHEN 'time' THEN format('cxm.try_timestamptz(%L, %L)', v_spec ->> 'constant', time_zone)
                                       WHEN 'number' THEN format('%L::numeric', v_spec ->> 'constant')
                                       WHEN 'integer' THEN format('%L::integer', v_spec ->> 'constant')
                                       WHEN 'boolean' THEN format('%L::boolean', v_spec ->> 'constant')
                                       ELSE format('%L', v_spec ->> 'constant') END;
        ELSE
            FOR v_column IN SELECT c FROM jsonb_array_elements_text(CASE jsonb_typeof(v_spec) WHEN 'string' THEN jsonb_build_array(v_spec) ELSE v_spec -> 'multiply' END) AS c LOOP
                v_part := cxm.attach_scalar(v_field[2], format('t.%I', v_column), v_types -> v_column ->> 'type', v_types -> v_column ->> 'category',
                                            time_zone, cardinality(v_tried) + 1);
                IF v_part.value IS NULL THEN
                    RAISE EXCEPTION 'column "%" of table % cannot be read as %', v_column, relation::regclass, v_field[1]
                        USING ERRCODE = 'datatype_mismatch',
                              DETAIL = format('It is of type %s; source "%s" reads it as a %s.', v_types -> v_column ->> 'cast', source, v_field[2]),
                              HINT = CASE v_field[2] WHEN 'time' THEN 'Give a column of type timestamptz, timestamp, date or text.'
                                     WHEN 'boolean' THEN 'Give a column of type boolean or text.' ELSE 'Give a column of a number type or text.' END;
                END IF;
                IF v_part.tried IS NOT NULL THEN
                    v_tried := v_tried || v_part.tried;
                END IF;
                IF v_part.bad IS NOT NULL THEN
                    v_bad := v_bad || format('(%s)', v_part.bad);
                    v_reasons := v_reasons || format('CASE WHEN %s THEN concat(%L, left(t.%I::text, 100), %L) END', v_part.bad,
                                                     format('column %s: "', v_column), v_column, format('" is not a usable %s', v_field[1]));
                END IF;
                v_value := concat_ws(' * ', v_value, v_part.value);
            END LOOP;
            IF jsonb_typeof(v_spec) = 'object' THEN
                -- the product of numbers of any size can be one that no numeric holds
                v_column := (SELECT string_agg(format('abs(t.%I::numeric) < 1e100', c), ' AND ') FROM jsonb_array_elements_text(v_spec -> 'multiply') AS c
                             WHERE v_types -> c ->> 'category' = 'N');
                v_value := CASE WHEN v_column IS NULL THEN v_value ELSE format('CASE WHEN %s THEN %s END', v_column, v_value) END;
            END IF;
        END IF;
        v_values := v_values || v_value;
        IF v_spec IS NOT NULL THEN
            v_raw := v_raw || format('%L, %s', v_field[1], CASE jsonb_typeof(v_spec) WHEN 'string' THEN format('t.%I::text', v_spec #>> '{}') ELSE v_value END);
        END IF;
    END LOOP;

    record := format('ROW(%s, %s, nullif(concat_ws(''; '', %s), ''''), %s)::cxm.%I', message_id, array_to_string(v_values, ', '),
                     coalesce(nullif(array_to_string(v_reasons, ', '), ''), 'NULL'),
                     CASE WHEN v_bad = '{}' THEN 'NULL'
                     ELSE format('CASE WHEN %s THEN jsonb_strip_nulls(jsonb_build_object(''message_id'', %s, %s)) END',
                                 array_to_string(v_bad, ' OR '), message_id, array_to_string(v_raw, ', ')) END,
                     kind || '_input');
    lateral_row := CASE WHEN v_tried = '{}' THEN ''
                   ELSE format(' CROSS JOIN LATERAL (SELECT %s OFFSET 0) AS v', (SELECT string_agg(format('%s AS v%s', e, n), ', ' ORDER BY n) FROM unnest(v_tried) WITH ORDINALITY AS u(e, n))) END;
    query := format('SELECT array_agg(%s) FROM %s JOIN %s AS t ON %s%s', record, v_keys, rows_of, v_match, lateral_row);
    probe := format('SELECT array_agg(%s) FROM %s JOIN %s AS t ON %s', message_id, v_keys, rows_of, v_match);
END
$$;

COMMENT ON FUNCTION cxm.attach_shape(oid, text, text, text, text[], jsonb, text) IS
'The SQL that turns a row t of a table into a record, made from the mapping and the columns as they are now. rows_of: the table as FROM is to have it. message_id: the key as text; image: the mapped columns, to see whether a row changed; record: the cxm.<kind>_input; lateral_row: what has to follow the table in FROM for it; query: an array of the records of given message_ids ($1); probe: those of the message_ids $1 that are in the table. Errors: undefined_column when a column is gone, datatype_mismatch when it cannot be read as its field.';

---- making the store agree with rows

-- What is plain text in one session must be the same text in every other one: these functions fix the settings that
-- casts to and from text depend on. Only the order of day and month in a date written as text is left to the server.

CREATE FUNCTION cxm.attach_read(template anyarray, kind text, query text, probe text, message_ids text[]) RETURNS anyarray
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET jit = off
AS $$
DECLARE
    v_one template%TYPE;
    v_id text;
BEGIN
    BEGIN
        EXECUTE query INTO template USING message_ids;
        RETURN template;
    EXCEPTION
        -- whatever a cast of the user's own types may raise: find the row that did it
        WHEN data_exception OR program_limit_exceeded OR integrity_constraint_violation OR raise_exception OR feature_not_supported THEN
            template := NULL;
    END;

    FOREACH v_id IN ARRAY message_ids LOOP
        BEGIN
            EXECUTE query INTO v_one USING ARRAY[v_id];
        EXCEPTION
            WHEN data_exception OR program_limit_exceeded OR integrity_constraint_violation OR raise_exception OR feature_not_supported THEN
                v_one := NULL;
                IF cxm.attach_present(probe, ARRAY[v_id]) = ARRAY[v_id] THEN
                    EXECUTE format('SELECT array_agg(jsonb_populate_record(NULL::cxm.%I, $1))', kind || '_input') INTO v_one
                    USING jsonb_build_object('message_id', v_id, 'reason', SQLERRM, 'raw', jsonb_build_object('message_id', v_id));
                END IF;
        END;
        template := template || v_one;
    END LOOP;
    RETURN template;
END
$$;

COMMENT ON FUNCTION cxm.attach_read(anyarray, text, text, text, text[]) IS
'The records of those of the given rows of an attached table that exist, by the query and probe of cxm.attach_shape(). A row that cannot be read gives a record that says so in its reason.';

CREATE FUNCTION cxm.attach_present(probe text, message_ids text[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_material = off
SET jit = off
AS $$
DECLARE
    v_present text[];
    v_id text;
BEGIN
    EXECUTE probe INTO v_present USING message_ids;
    RETURN coalesce(v_present, '{}');
EXCEPTION
    -- a message_id from a time when the key had another type is no key of any row
    WHEN data_exception OR integrity_constraint_violation THEN
        IF cardinality(message_ids) > 1 THEN
            FOREACH v_id IN ARRAY message_ids LOOP
                v_present := v_present || cxm.attach_present(probe, ARRAY[v_id]);
            END LOOP;
        END IF;
        RETURN coalesce(v_present, '{}');
END
$$;

COMMENT ON FUNCTION cxm.attach_present(text, text[]) IS
'Those of the given message_ids that are keys of rows in an attached table, by the probe of cxm.attach_shape().';

CREATE FUNCTION cxm.follow_rows(source_id integer, kind text, query text, probe text, given text[], message_ids text[]) RETURNS cxm.ingest_result
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_events cxm.event_input[];
    v_feedback cxm.feedback_input[];
    v_purchases cxm.purchase_input[];
    v_spend cxm.spend_input[];
    v_traits cxm.traits_input[];
    v_found text[];
    v_gone text[];
    v_result cxm.ingest_result;
BEGIN
    CASE kind
    WHEN 'event' THEN
        v_events := CASE WHEN given IS NULL THEN cxm.attach_read(v_events, kind, query, probe, message_ids)
                         ELSE ARRAY(SELECT g.record::cxm.event_input FROM unnest(given) AS g(record)) END;
        v_found := ARRAY(SELECT r.message_id FROM unnest(v_events) AS r);
    WHEN 'feedback' THEN
        v_feedback := CASE WHEN given IS NULL THEN cxm.attach_read(v_feedback, kind, query, probe, message_ids)
                           ELSE ARRAY(SELECT g.record::cxm.feedback_input FROM unnest(given) AS g(record)) END;
        v_found := ARRAY(SELECT r.message_id FROM unnest(v_feedback) AS r);
    WHEN 'purchase' THEN
        v_purchases := CASE WHEN given IS NULL THEN cxm.attach_read(v_purchases, kind, query, probe, message_ids)
                            ELSE ARRAY(SELECT g.record::cxm.purchase_input FROM unnest(given) AS g(record)) END;
        v_found := ARRAY(SELECT r.message_id FROM unnest(v_purchases) AS r);
    WHEN 'spend' THEN
        v_spend := CASE WHEN given IS NULL THEN cxm.attach_read(v_spend, kind, query, probe, message_ids)
                        ELSE ARRAY(SELECT g.record::cxm.spend_input FROM unnest(given) AS g(record)) END;
        v_found := ARRAY(SELECT r.message_id FROM unnest(v_spend) AS r);
    WHEN 'traits' THEN
        v_traits := CASE WHEN given IS NULL THEN cxm.attach_read(v_traits, kind, query, probe, message_ids)
                         ELSE ARRAY(SELECT g.record::cxm.traits_input FROM unnest(given) AS g(record)) END;
        v_found := ARRAY(SELECT r.message_id FROM unnest(v_traits) AS r);
    END CASE;

    v_gone := ARRAY(SELECT m.id FROM unnest(message_ids) AS m(id) WHERE m.id IS NOT NULL EXCEPT SELECT f.id FROM unnest(v_found) AS f(id));
    IF v_gone <> '{}' THEN
        PERFORM cxm.remove_records(source_id, kind, v_gone);
    END IF;

    IF v_found <> '{}' THEN
        CASE kind
        WHEN 'event' THEN v_result := cxm.store_events(source_id, v_events, upsert => true);
        WHEN 'feedback' THEN v_result := cxm.store_feedback(source_id, v_feedback, upsert => true);
        WHEN 'purchase' THEN v_result := cxm.store_purchases(source_id, v_purchases, upsert => true);
        WHEN 'spend' THEN v_result := cxm.store_spend(source_id, v_spend, upsert => true);
        WHEN 'traits' THEN v_result := cxm.store_traits(source_id, v_traits, upsert => true);
        END CASE;
    END IF;
    RETURN v_result;
END
$$;

COMMENT ON FUNCTION cxm.follow_rows(integer, text, text, text, text[], text[]) IS
'Makes the store agree with the rows of the given message_ids: rows that exist are stored or changed, records of rows that do not are removed. The rows are read by query and probe of cxm.attach_shape(), or given as the text of their records. Counts of the rows that exist; NULL counts when none does.';

CREATE FUNCTION cxm.check_messages(source_id integer, kind text, message_ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO cx.message (source_id, kind, message_id, record_id, occurred_at)
    SELECT DISTINCT check_messages.source_id, check_messages.kind, m.id COLLATE "C", 0, now()
    FROM unnest(message_ids) AS m(id)
    WHERE m.id <> '' AND octet_length(m.id) <= 1024
    ON CONFLICT ON CONSTRAINT message_pkey DO NOTHING;

    DELETE FROM cx.message AS m
    WHERE m.source_id = check_messages.source_id AND m.kind = check_messages.kind AND m.message_id = ANY (message_ids) AND m.record_id = 0;
END
$$;

COMMENT ON FUNCTION cxm.check_messages(integer, text, text[]) IS
'In a repeatable read or serializable transaction: raises serialization_failure when one of the messages has been stored since its snapshot was taken. Changes nothing.';

CREATE FUNCTION cxm.unreadable_records(kind text, message_ids text[], reason text) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_records text[];
BEGIN
    EXECUTE format('SELECT array_agg(jsonb_populate_record(NULL::cxm.%I, jsonb_build_object(''message_id'', m.id, ''reason'', $2, ''raw'', jsonb_build_object(''message_id'', m.id)))::text)
                    FROM unnest($1) AS m(id)', kind || '_input') INTO v_records USING message_ids, reason;
    RETURN v_records;
END
$$;

COMMENT ON FUNCTION cxm.unreadable_records(text, text[], text) IS
'Records, as text, that say of each of the given rows that it cannot be read, and why.';

CREATE FUNCTION cxm.follow_table() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
SET intervalstyle = 'postgres'
SET extra_float_digits = '1'
SET bytea_output = 'hex'
SET lc_monetary = 'C'
SET jit = off
AS $$
DECLARE
    v_source record;
    v_shape record;
    v_rows text := TG_RELID::regclass::text;
    v_unread boolean;
    v_list text;
    v_id text;
    v_ids text[] := '{}';
    v_cursor refcursor;
    v_unseen boolean;
    v_query text;
    v_given text[];
BEGIN
    -- a statement that touched no row, and a partition that has left its table
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        IF NOT EXISTS (SELECT FROM cxm_new) THEN
            RETURN NULL;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        IF NOT EXISTS (SELECT FROM cxm_old) THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_ARGV[1] = 'partition' AND NOT (SELECT c.relispartition FROM pg_class AS c WHERE c.oid = TG_RELID) THEN
        RETURN NULL;
    END IF;

    -- before anything of cxm is used, which a role without rights could not even name
    IF NOT EXISTS (SELECT FROM pg_namespace AS n WHERE n.nspname = 'cx') THEN
        RAISE EXCEPTION 'table % is attached to a cxm store that is gone', TG_RELID::regclass
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Its triggers feed source "%s".', TG_ARGV[0]),
                  HINT = format('SELECT cxm.detach(%L) removes the triggers.', TG_ARGV[0]);
    ELSIF NOT has_schema_privilege('cxm', 'USAGE') OR NOT has_schema_privilege('cx', 'USAGE') OR NOT has_table_privilege('cx.message', 'INSERT') THEN
        RAISE EXCEPTION 'role "%" may not write to the cxm store', current_user
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('Table %s is attached to it as source "%s", so whoever writes to the one writes to the other.', TG_RELID::regclass, TG_ARGV[0]),
                  HINT = format('SELECT cxm.grant_store(%L, ''writer'')', current_user);
    END IF;

    SELECT s.source_id, s.kind, s.key_columns, s.mapping, s.detached_at, (SELECT o.time_zone FROM cx.store AS o) AS time_zone
    INTO v_source
    FROM cx.source AS s
    WHERE s.source = TG_ARGV[0];
    IF NOT FOUND AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'could not serialize access: table % was attached after this transaction began', TG_RELID::regclass
            USING ERRCODE = 'serialization_failure', HINT = 'The transaction might succeed if retried.';
    ELSIF NOT FOUND THEN
        RAISE EXCEPTION 'table % is attached as source "%", which this store does not know', TG_RELID::regclass, TG_ARGV[0]
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('SELECT cxm.detach(%L) removes the triggers; attach the table again.', TG_ARGV[0]);
    ELSIF v_source.detached_at IS NOT NULL THEN
        RETURN NULL;
    END IF;

    -- whoever may write but not read, or not every row, is believed what he wrote
    v_unread := NOT has_schema_privilege(TG_TABLE_SCHEMA, 'USAGE') OR NOT has_table_privilege(TG_RELID, 'SELECT') OR row_security_active(TG_RELID);
    v_shape := cxm.attach_shape(TG_RELID, v_rows, TG_ARGV[0], v_source.kind, v_source.key_columns, v_source.mapping, v_source.time_zone);

    -- the snapshot of such a transaction may miss what a batch has stored since it was taken
    v_unseen := TG_OP <> 'INSERT' AND current_setting('transaction_isolation') <> 'read committed';

    IF TG_OP = 'TRUNCATE' THEN
        IF v_unseen THEN
            PERFORM FROM cx.source AS s WHERE s.source = TG_ARGV[0] FOR SHARE;
        END IF;
        v_list := CASE WHEN TG_ARGV[1] = 'table'
                       THEN format('SELECT m.message_id FROM cx.message AS m WHERE m.source_id = %s AND m.kind = %L
                                    UNION SELECT r.message_id FROM cx.rejection AS r WHERE r.source_id = %1$s AND r.kind = %2$L AND r.state = ''open''',
                                   v_source.source_id, v_source.kind)
                       WHEN EXISTS (SELECT FROM cx.message AS m WHERE m.source_id = v_source.source_id AND m.kind = v_source.kind)
                       THEN format('SELECT %s FROM %s AS t', v_shape.message_id, v_rows)
                       ELSE 'SELECT NULL' END;
    ELSIF TG_OP = 'INSERT' THEN
        v_list := format('SELECT %s FROM cxm_new AS t', v_shape.message_id);
    ELSIF TG_OP = 'DELETE' THEN
        v_list := format('SELECT %s FROM cxm_old AS t', v_shape.message_id);
    ELSE
        v_list := format('SELECT coalesce(n.id, o.id)
                          FROM (SELECT %1$s AS id, %2$s AS image FROM cxm_new AS t) AS n
                          FULL JOIN (SELECT %1$s AS id, %2$s AS image FROM cxm_old AS t) AS o ON n.id = o.id COLLATE "C"
                          WHERE n.id IS NULL OR o.id IS NULL OR n.image OPERATOR(pg_catalog.*<>) o.image', v_shape.message_id, v_shape.image);
    END IF;

    -- a statement can touch millions of rows: take them in portions
    OPEN v_cursor FOR EXECUTE v_list;
    LOOP
        FETCH v_cursor INTO v_id;
        IF FOUND THEN
            v_ids := v_ids || v_id;
            CONTINUE WHEN cardinality(v_ids) < 10000;
        END IF;
        EXIT WHEN v_ids = '{}';

        IF TG_OP = 'TRUNCATE' THEN
            PERFORM cxm.remove_records(v_source.source_id, v_source.kind, v_ids);
        ELSE
            IF v_unseen THEN
                PERFORM cxm.check_messages(v_source.source_id, v_source.kind, v_ids);
            END IF;
            IF v_unread THEN
                v_given := '{}';
                IF TG_OP <> 'DELETE' THEN
                    v_query := format('SELECT array_agg(q.record::text)
                                       FROM (SELECT DISTINCT ON (%1$s COLLATE "C") %2$s AS record
                                             FROM (SELECT n.*, row_number() OVER () AS cxm_row FROM cxm_new AS n) AS t%3$s
                                             WHERE %1$s = ANY ($1) ORDER BY %1$s COLLATE "C", t.cxm_row DESC) AS q',
                                      v_shape.message_id, v_shape.record, v_shape.lateral_row);
                    BEGIN
                        EXECUTE v_query INTO v_given USING v_ids;
                    EXCEPTION
                        WHEN data_exception OR program_limit_exceeded OR integrity_constraint_violation OR raise_exception OR feature_not_supported THEN
                            v_given := cxm.unreadable_records(v_source.kind, v_ids, SQLERRM);
                    END;
                END IF;
            END IF;
            PERFORM cxm.follow_rows(v_source.source_id, v_source.kind, v_shape.query, v_shape.probe, v_given, v_ids);
        END IF;
        v_ids := '{}';
    END LOOP;
    CLOSE v_cursor;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.follow_table() IS
'Trigger function of attached tables: makes the store agree with the rows that the statement touched. Arguments: the name of the source; table or partition. It works with the rights of whoever writes. A value that cannot be read is no error: the row goes to cx.rejection. Errors: insufficient_privilege when the writer has no rights on the store, undefined_column and datatype_mismatch when a mapped column is gone or of another type.';

---- the tables that a source follows, found by their triggers: these survive renaming, moving, dump and restore

CREATE FUNCTION cxm.attached_tables(source text, OUT relation oid, OUT role text, OUT triggers integer) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.tgrelid, r.role, count(*) FILTER (WHERE t.tgenabled <> 'D')::integer
    FROM (VALUES ('table'), ('partition')) AS r(role)
    JOIN pg_trigger AS t
      ON t.tgfoid = 'cxm.follow_table()'::regprocedure
         AND t.tgargs = convert_to(source, getdatabaseencoding()) || E'\\x00'::bytea || convert_to(r.role, getdatabaseencoding()) || E'\\x00'::bytea
    GROUP BY t.tgrelid, r.role
$$;

COMMENT ON FUNCTION cxm.attached_tables(text) IS
'The tables that carry triggers for a source: role is table (the attached one) or partition; triggers counts those that are enabled, 4 when all is well.';

CREATE FUNCTION cxm.attached_table(source text) RETURNS oid
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT min(a.relation) FROM cxm.attached_tables(source) AS a WHERE a.role = 'table'
$$;

COMMENT ON FUNCTION cxm.attached_table(text) IS 'The table that is attached as a source, wherever it is called now; NULL when it is gone or carries no triggers.';

CREATE FUNCTION cxm.table_members(relation oid, OUT member oid, OUT is_leaf boolean) RETURNS SETOF record
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT relation, true WHERE (SELECT c.relkind FROM pg_class AS c WHERE c.oid = relation) = 'r'
    UNION ALL
    SELECT p.relid, p.isleaf FROM pg_partition_tree(relation) AS p
    WHERE (SELECT c.relkind FROM pg_class AS c WHERE c.oid = relation) = 'p'
$$;

COMMENT ON FUNCTION cxm.table_members(oid) IS 'A table and all its partitions at every level; is_leaf marks those that hold rows.';

CREATE FUNCTION cxm.table_name(relation oid) RETURNS text
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;

COMMENT ON FUNCTION cxm.table_name(oid) IS 'Schema and name of a table, quoted where they need it.';

CREATE FUNCTION cxm.add_triggers(relation oid, source_id integer, source text, role text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name constant text := 'cxm_' || source_id;
BEGIN
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER INSERT ON %s REFERENCING NEW TABLE AS cxm_new FOR EACH STATEMENT EXECUTE FUNCTION cxm.follow_table(%L, %L)',
                   v_name || '_insert', relation::regclass, source, role);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER UPDATE ON %s REFERENCING OLD TABLE AS cxm_old NEW TABLE AS cxm_new FOR EACH STATEMENT EXECUTE FUNCTION cxm.follow_table(%L, %L)',
                   v_name || '_update', relation::regclass, source, role);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS cxm_old FOR EACH STATEMENT EXECUTE FUNCTION cxm.follow_table(%L, %L)',
                   v_name || '_delete', relation::regclass, source, role);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION cxm.follow_table(%L, %L)',
                   v_name || '_truncate', relation::regclass, source, role);
END
$$;

COMMENT ON FUNCTION cxm.add_triggers(oid, integer, text, text) IS
'Puts the four triggers of a source on a table: role is table or partition. Needs the TRIGGER privilege; waits for whoever is writing to the table.';

CREATE FUNCTION cxm.drop_triggers(source text, relation oid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name name;
BEGIN
    FOR v_name IN
        SELECT t.tgname FROM pg_trigger AS t
        WHERE t.tgrelid = relation AND t.tgfoid = 'cxm.follow_table()'::regprocedure
          AND position(convert_to(source, getdatabaseencoding()) || E'\\x00'::bytea IN t.tgargs) = 1
        ORDER BY t.tgname
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', v_name, relation::regclass);
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.drop_triggers(text, oid) IS 'Takes the triggers of a source off a table. Needs ownership of the table.';

---- attaching

CREATE FUNCTION cxm.attach_order(relation oid, key_columns text[], OUT order_by text, OUT after_last text, OUT up_to text, OUT key_values text) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_count constant integer := cardinality(key_columns);
    v_part record;
    v_columns text;
    v_lasts text;
    v_tops text;
    v_same boolean := true;
    v_greater text;
    v_at_most text;
BEGIN
    -- The columns in the order of the index, with the index's own collations and operators: only these sort as it does.
    -- From the last column to the first, so that the general condition grows from the inside.
    FOR v_part IN
        SELECT k.n, format('t.%I%s', a.attname, CASE WHEN l.oid IS NULL THEN '' ELSE format(' COLLATE %I.%I', ln.nspname, l.collname) END) AS expression,
               format('t.%I::text', a.attname) AS key_value, format('($1)[%s]::%s', k.n, format_type(a.atttypid, -1)) AS last,
               format('($2)[%s]::%s', k.n, format_type(a.atttypid, -1)) AS top,
               (SELECT array_agg(format('OPERATOR(%I.%s)', n.nspname, o.oprname)
                                 ORDER BY CASE WHEN x.indoption[k.n - 1] & 1 = 1 THEN - m.amopstrategy ELSE m.amopstrategy END)
                FROM pg_opclass AS c
                JOIN pg_amop AS m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype AND m.amopstrategy BETWEEN 1 AND 5
                JOIN pg_operator AS o ON o.oid = m.amopopr
                JOIN pg_namespace AS n ON n.oid = o.oprnamespace
                WHERE c.oid = x.indclass[k.n - 1]) AS operators
        FROM (SELECT i.* FROM pg_index AS i
              WHERE i.indrelid = relation AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
                AND i.indnkeyatts = v_count
                AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text COLLATE "C") FROM pg_attribute AS a
                     WHERE a.attrelid = relation AND a.attnum = ANY ((i.indkey::smallint[])[0:i.indnkeyatts - 1]))
                    = (SELECT array_agg(k ORDER BY k COLLATE "C") FROM unnest(key_columns) AS k)
              ORDER BY i.indisprimary DESC, i.indexrelid LIMIT 1) AS x
        CROSS JOIN generate_series(1, v_count) AS k(n)
        JOIN pg_attribute AS a ON a.attrelid = relation AND a.attnum = x.indkey[k.n - 1]
        LEFT JOIN pg_collation AS l ON l.oid = x.indcollation[k.n - 1]
        LEFT JOIN pg_namespace AS ln ON ln.oid = l.collnamespace
        ORDER BY k.n DESC
    LOOP
        -- operators: less, at most, equal, at least, greater, in the direction of the index
        v_same := v_same AND v_part.operators[5] = coalesce(v_greater, v_part.operators[5]) AND v_part.operators[2] = coalesce(v_at_most, v_part.operators[2]);
        v_greater := v_part.operators[5];
        v_at_most := v_part.operators[2];
        v_columns := concat_ws(', ', v_part.expression, v_columns);
        v_lasts := concat_ws(', ', v_part.last, v_lasts);
        v_tops := concat_ws(', ', v_part.top, v_tops);
        order_by := concat_ws(', ', format('%s USING %s', v_part.expression, v_part.operators[1]), order_by);
        key_values := concat_ws(', ', v_part.key_value, key_values);
        after_last := CASE WHEN after_last IS NULL THEN format('%s %s %s', v_part.expression, v_part.operators[5], v_part.last)
                      ELSE format('%1$s %4$s %5$s AND (%1$s %2$s %5$s OR %1$s %3$s %5$s AND (%6$s))', v_part.expression, v_part.operators[5],
                                  v_part.operators[3], v_part.operators[4], v_part.last, after_last) END;
        up_to := CASE WHEN up_to IS NULL THEN format('%s %s %s', v_part.expression, v_part.operators[2], v_part.top)
                 ELSE format('%1$s %4$s %5$s AND (%1$s %2$s %5$s OR %1$s %3$s %5$s AND (%6$s))', v_part.expression, v_part.operators[1],
                             v_part.operators[3], v_part.operators[2], v_part.top, up_to) END;
    END LOOP;

    -- a row comparison is one range of the index
    IF v_same AND v_count > 1 THEN
        after_last := format('(%s) %s (%s)', v_columns, v_greater, v_lasts);
        up_to := format('(%s) %s (%s)', v_columns, v_at_most, v_tops);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.attach_order(oid, text[]) IS
'How the rows t of a table are read in the order of the unique index on its key. order_by: for ORDER BY; key_values: the key as a list of texts; after_last, up_to: conditions for the rows behind the key $1 and not behind the key $2 (text[], as key_values gives them). All NULL when no such index exists: unique, checked at once, whole, on exactly these columns.';

CREATE FUNCTION cxm.attach_key(relation oid, key text[]) RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text[] := key;
    v_nullable text;
BEGIN
    IF v_key IS NULL THEN
        v_key := (SELECT array_agg(a.attname::text ORDER BY k.n)
                  FROM pg_constraint AS c
                  CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, n)
                  JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
                  WHERE c.conrelid = relation AND c.contype = 'p');
        IF v_key IS NULL THEN
            RAISE EXCEPTION 'table % has no primary key', relation::regclass
                USING ERRCODE = 'invalid_parameter_value',
                      DETAIL = 'The key of a row tells which record of the store is its own.',
                      HINT = 'Give key => ARRAY[...]: columns that are NOT NULL and have a unique constraint.';
        END IF;
    END IF;

    IF v_key = '{}' OR (SELECT count(DISTINCT k) FROM unnest(v_key) AS k) < cardinality(v_key) THEN
        RAISE EXCEPTION 'key must name different columns' USING ERRCODE = 'invalid_parameter_value', HINT = 'Give key => ARRAY[''column'', ...].';
    END IF;
    v_nullable := (SELECT k.name FROM unnest(v_key) AS k(name)
                   WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped) LIMIT 1);
    IF v_nullable IS NOT NULL THEN
        RAISE EXCEPTION 'key column "%" of table % does not exist', v_nullable, relation::regclass
            USING ERRCODE = 'undefined_column', HINT = 'Give key => ARRAY[...] with columns of the table.';
    END IF;
    v_nullable := (SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attname = ANY (v_key) AND NOT a.attnotnull LIMIT 1);
    IF v_nullable IS NOT NULL THEN
        RAISE EXCEPTION 'key column "%" of table % can be NULL', v_nullable, relation::regclass
            USING ERRCODE = 'invalid_parameter_value', HINT = format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL, or choose another key.', relation::regclass, v_nullable);
    END IF;
    IF (cxm.attach_order(relation, v_key)).order_by IS NULL THEN
        RAISE EXCEPTION 'table % has no unique constraint on %', relation::regclass, (SELECT string_agg(format('%I', k), ', ' ORDER BY n) FROM unnest(v_key) WITH ORDINALITY AS u(k, n))
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = 'It must be on exactly these columns, whole (not partial) and not deferrable.',
                  HINT = 'Add one, or choose another key.';
    END IF;
    RETURN v_key;
END
$$;

COMMENT ON FUNCTION cxm.attach_key(oid, text[]) IS
'The columns that identify a row of a table: the given ones, when they exist, are NOT NULL and have a unique constraint (an error otherwise), or those of the primary key.';

CREATE FUNCTION cxm.check_attachable(relation oid, mapping jsonb) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class record;
    v_hint constant text := 'Attach an ordinary or partitioned table.';
    v_privilege text;
BEGIN
    SELECT c.relkind, c.relpersistence, c.relispartition, n.nspname INTO v_class
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no table to attach' USING ERRCODE = 'undefined_table', HINT = v_hint;
    ELSIF v_class.relkind NOT IN ('r', 'p') THEN
        RAISE EXCEPTION '% is not a table', relation::regclass
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = format('It is a %s.', CASE v_class.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'relation of another kind' END),
                  HINT = v_hint;
    ELSIF v_class.relpersistence = 't' THEN
        RAISE EXCEPTION 'table % is temporary', relation::regclass USING ERRCODE = 'wrong_object_type', HINT = v_hint;
    ELSIF v_class.nspname IN ('cx', 'cxm', 'pg_catalog', 'information_schema', 'pg_toast') THEN
        RAISE EXCEPTION 'table % belongs to % itself', relation::regclass, CASE WHEN v_class.nspname IN ('cx', 'cxm') THEN 'cxm' ELSE 'PostgreSQL' END
            USING ERRCODE = 'wrong_object_type', HINT = 'Attach a table of your own.';
    ELSIF v_class.relispartition THEN
        RAISE EXCEPTION 'table % is a partition', relation::regclass
            USING ERRCODE = 'wrong_object_type',
                  DETAIL = 'Statements on the partitioned table reach it without firing its triggers.',
                  HINT = format('Attach %s.', pg_partition_root(relation));
    ELSIF v_class.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits AS i WHERE relation IN (i.inhrelid, i.inhparent)) THEN
        RAISE EXCEPTION 'table % takes part in inheritance', relation::regclass
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'A key is not unique across a table and its children, and statements reach children without firing their triggers.',
                  HINT = 'Use partitioning, or attach tables without children.';
    END IF;

    IF EXISTS (SELECT FROM cxm.table_members(relation) AS m JOIN pg_class AS c ON c.oid = m.member WHERE c.relkind = 'f') THEN
        RAISE EXCEPTION 'table % has foreign tables as partitions', relation::regclass
            USING ERRCODE = 'feature_not_supported', HINT = 'Attach the tables on the server where they are.';
    END IF;

    v_privilege := CASE
        WHEN NOT has_table_privilege(relation, 'TRIGGER') THEN 'TRIGGER'
        WHEN NOT has_table_privilege(relation, 'SELECT')
             AND EXISTS (SELECT FROM cxm.attach_columns(mapping) AS m JOIN pg_attribute AS a ON a.attrelid = relation AND a.attname = m.column_name
                         WHERE NOT has_column_privilege(relation, a.attnum, 'SELECT')) THEN 'SELECT'
        WHEN NOT has_any_column_privilege(relation, 'UPDATE') THEN 'UPDATE' END;
    IF v_privilege IS NOT NULL THEN
        RAISE EXCEPTION 'permission denied for table %', relation::regclass
            USING ERRCODE = 'insufficient_privilege',
                  DETAIL = format('Role "%s" lacks the %s privilege%s.', current_user, v_privilege,
                                  CASE v_privilege WHEN 'UPDATE' THEN ', which PostgreSQL asks for to lock rows while they are read' ELSE '' END),
                  HINT = format('GRANT SELECT, UPDATE, TRIGGER ON %s TO %I', relation::regclass, current_user);
    END IF;
    IF row_security_active(relation) THEN
        RAISE EXCEPTION 'row-level security hides rows of table % from role "%"', relation::regclass, current_user
            USING ERRCODE = 'insufficient_privilege', HINT = 'Attach it as its owner or as a role with BYPASSRLS.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_attachable(oid, jsonb) IS
'Raises a clear error when a table cannot be attached: it is not an ordinary or partitioned table, is a partition, takes part in inheritance, or the caller lacks TRIGGER, SELECT or UPDATE on it or does not see all its rows.';

CREATE FUNCTION cxm.register_table(relation oid, kind text, mapping jsonb, source text, key text[], backfill boolean, backfill_alerts boolean, patient boolean) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    v_name constant text := coalesce(register_table.source, cxm.table_name(relation));
    v_zone text;
    v_key text[];
    v_shape record;
    v_source record;
    v_field text;
    v_member oid;
BEGIN
    PERFORM cxm.store_version();
    IF v_name = '' OR octet_length(v_name) > 512 THEN
        RAISE EXCEPTION 'source must be a name of 1 to 512 bytes' USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave it out to use the name of the table.';
    END IF;
    PERFORM cxm.check_attachable(relation, mapping);
    PERFORM cxm.check_mapping(register_table.kind, register_table.mapping);
    v_key := cxm.attach_key(relation, key);
    v_zone := (SELECT o.time_zone FROM cx.store AS o);
    v_shape := cxm.attach_shape(relation, relation::regclass::text, v_name, register_table.kind, v_key, register_table.mapping, v_zone);

    -- constants that are none fail here and not at the first row
    FOR v_field IN SELECT m.key FROM jsonb_each(register_table.mapping) AS m WHERE jsonb_typeof(m.value) = 'object' AND m.value ? 'constant' AND m.key = 'at' LOOP
        IF cxm.try_timestamptz(register_table.mapping -> v_field ->> 'constant', v_zone) IS NULL THEN
            PERFORM cxm.mapping_error(format('constant "%s" is not a time', register_table.mapping -> v_field ->> 'constant'), 'Give an ISO 8601 time, or name a column.');
        END IF;
    END LOOP;
    EXECUTE format('SELECT %s FROM %s AS t%s LIMIT 0', v_shape.record, relation::regclass, v_shape.lateral_row);

    SELECT s.source_id, s.kind, s.detached_at INTO v_source FROM cx.source AS s WHERE s.source = v_name FOR UPDATE;
    IF FOUND AND v_source.kind = 'app' THEN
        RAISE EXCEPTION 'source "%" is an application', v_name
            USING ERRCODE = 'duplicate_object', HINT = 'Give another name: source => ''...''.';
    ELSIF FOUND AND v_source.detached_at IS NULL THEN
        RAISE EXCEPTION 'source "%" is attached already', v_name
            USING ERRCODE = 'duplicate_object',
                  DETAIL = format('It follows table %s.', coalesce(cxm.attached_table(v_name)::regclass::text, 'that is gone')),
                  HINT = format('SELECT cxm.detach(%L) first, give another name as source to attach the table once more, or CALL cxm.backfill(%1$L) to resume its backfill.', v_name);
    ELSIF FOUND AND v_source.kind <> register_table.kind AND EXISTS (SELECT FROM cx.message AS m WHERE m.source_id = v_source.source_id) THEN
        RAISE EXCEPTION 'source "%" has records of kind %', v_name, v_source.kind
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = format('SELECT cxm.detach(%L, purge => true) removes them; or give another name as source.', v_name);
    ELSIF NOT FOUND THEN
        INSERT INTO cx.source (source, kind, table_schema, table_name) VALUES (v_name, register_table.kind, '', '');
    END IF;

    -- What is stored from an earlier attachment may be out of date: then the backfill also mends.
    UPDATE cx.source AS s
    SET kind = register_table.kind,
        table_schema = (SELECT n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = relation),
        table_name = (SELECT c.relname FROM pg_class AS c WHERE c.oid = relation),
        key_columns = v_key, mapping = register_table.mapping, backfill_alerts = register_table.backfill_alerts,
        backfill_state = CASE WHEN register_table.backfill THEN 'pending' ELSE 'none' END,
        backfill_table = NULL, backfill_key = NULL, backfill_done = '{}', backfill_rows = 0, backfill_total = NULL, backfill_at = NULL, backfilled_at = NULL, blank_rows = 0,
        backfill_repair = EXISTS (SELECT FROM cx.message AS m WHERE m.source_id = s.source_id)
                          OR EXISTS (SELECT FROM cx.rejection AS r WHERE r.source_id = s.source_id AND r.state = 'open'),
        attached_at = now(), attached_by = current_user, detached_at = NULL
    WHERE s.source = v_name
    RETURNING s.source_id INTO v_source;

    -- Writers wait while CREATE TRIGGER waits for the writers before them: better to give up soon and try again.
    BEGIN
        IF NOT patient THEN
            PERFORM cxm.set_short_timeout();
        END IF;
        FOR v_member IN SELECT m.member FROM cxm.table_members(relation) AS m LOOP
            PERFORM cxm.add_triggers(v_member, v_source.source_id, v_name, CASE v_member WHEN relation THEN 'table' ELSE 'partition' END);
        END LOOP;
    EXCEPTION
        WHEN lock_not_available OR deadlock_detected THEN
            IF patient THEN
                RAISE;
            END IF;
            RETURN NULL;
    END;
    RETURN v_name;
END
$$;

COMMENT ON FUNCTION cxm.register_table(oid, text, jsonb, text, text[], boolean, boolean, boolean) IS
'The first part of cxm.attach(): checks, the row of cx.source, the triggers. Returns the name of the source; NULL when writers were in the way of the triggers (the caller rolls back and tries again), unless patient.';

CREATE FUNCTION cxm.guard_mapping() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source text;
    v_table oid;
BEGIN
    -- The triggers of the table read what the mapping names with the rights of whoever writes to the table. Writers of the
    -- store may change cx.source, and must not learn by it what they may not read themselves.
    FOREACH v_source IN ARRAY ARRAY[OLD.source, NEW.source] LOOP
        v_table := cxm.attached_table(v_source);
        IF v_table IS NOT NULL AND (NOT has_table_privilege(v_table, 'SELECT') OR row_security_active(v_table)) THEN
            RAISE EXCEPTION 'permission denied to change what is read from table %', v_table::regclass
                USING ERRCODE = 'insufficient_privilege',
                      DETAIL = format('Source "%s" follows it, and role "%s" may not read all of it.', v_source, current_user);
        END IF;
    END LOOP;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION cxm.guard_mapping() IS
'Trigger of cx.source: who changes what is read from an attached table must be able to read the table. Error insufficient_privilege otherwise.';

CREATE FUNCTION cxm.set_short_timeout() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- whoever waits less than deadlock_timeout is never why another is chosen as the victim
    PERFORM set_config('lock_timeout', (SELECT greatest(1, least(100, s.setting::integer / 10)) FROM pg_settings AS s WHERE s.name = 'deadlock_timeout') || 'ms', true);
END
$$;

COMMENT ON FUNCTION cxm.set_short_timeout() IS
'Sets lock_timeout till the end of the transaction to a tenth of a second, less where deadlock_timeout is short.';

---- the backfill

CREATE FUNCTION cxm.backfill_page(relation oid, shape_id text, ordering text, after_last text, up_to text, key_values text, last_key text[], size integer, patient boolean,
                                  OUT message_ids text[], OUT next_key text[]) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
DECLARE
    v_after constant text := CASE WHEN last_key IS NULL THEN 'true' ELSE after_last END;
BEGIN
    -- The end of the page comes from a look without locks: rows that were locked may come back moved, and the greatest
    -- key among them would skip what lies between.
    EXECUTE format('SELECT ARRAY[%s] FROM ONLY %s AS t WHERE %s ORDER BY %s OFFSET %s LIMIT 1', key_values, relation::regclass, v_after, ordering, size - 1)
    INTO next_key USING last_key;

    -- A page of one row holds nothing that anybody can wait for, so it may wait itself.
    EXECUTE format('SELECT array_agg(q.id) FROM (SELECT %s AS id FROM ONLY %s AS t WHERE %s AND %s FOR SHARE%s) AS q', shape_id, relation::regclass, v_after,
                   CASE WHEN next_key IS NULL THEN 'true' ELSE up_to END, CASE WHEN size > 1 AND NOT patient THEN ' NOWAIT' ELSE '' END)
    INTO message_ids USING last_key, next_key;
    message_ids := coalesce(message_ids, '{}');
END
$$;

COMMENT ON FUNCTION cxm.backfill_page(oid, text, text, text, text, text, text[], integer, boolean) IS
'The next page of about size rows of a table in the order of its key, locked FOR SHARE: their message_ids, and the key at which the page ends (NULL = there are no more). Raises lock_not_available at once when somebody is changing one of the rows, except that a page of one row waits, and that patient always waits.';

CREATE FUNCTION cxm.backfill_batch(source text, size integer, patient boolean,
                                   OUT outcome text, OUT kind text, OUT rows_read bigint, OUT rows_total bigint) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
SET intervalstyle = 'postgres'
SET extra_float_digits = '1'
SET bytea_output = 'hex'
SET lc_monetary = 'C'
SET jit = off
AS $$
DECLARE
    v_source record;
    v_table oid;
    v_leaf oid;
    v_name text;
    v_shape record;
    v_order record;
    v_last text[];
    v_page record;
    v_ids text[];
    v_result cxm.ingest_result;
    v_alerts text;
BEGIN
    IF NOT patient THEN
        PERFORM cxm.set_short_timeout();
    END IF;

    SELECT s.*, (SELECT o.time_zone FROM cx.store AS o) AS time_zone INTO v_source FROM cx.source AS s WHERE s.source = backfill_batch.source FOR UPDATE;
    v_table := cxm.backfill_table(backfill_batch.source);

    IF v_source.backfill_state <> 'running' THEN
        UPDATE cx.source AS s
        SET backfill_state = 'running', backfill_total = cxm.estimated_rows(v_table),
            table_schema = n.nspname, table_name = c.relname
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE s.source_id = v_source.source_id AND c.oid = v_table
        RETURNING s.backfill_total INTO v_source.backfill_total;
    END IF;

    -- the partition that it was in, or the next one
    SELECT m.member, cxm.table_name(m.member) INTO v_leaf, v_name
    FROM cxm.table_members(v_table) AS m
    WHERE m.is_leaf AND cxm.table_name(m.member) <> ALL (v_source.backfill_done)
    ORDER BY cxm.table_name(m.member) <> coalesce(v_source.backfill_table, ''), cxm.table_name(m.member)
    LIMIT 1;
    kind := v_source.kind;
    rows_total := v_source.backfill_total;
    rows_read := v_source.backfill_rows;

    IF v_leaf IS NULL THEN
        IF v_source.backfill_repair AND cxm.remove_orphans(v_source.source_id, v_table, patient, size) THEN
            outcome := 'more';
            RETURN;
        END IF;
        UPDATE cx.source AS s
        SET backfill_state = 'done', backfill_at = now(), backfill_table = NULL, backfill_key = NULL, backfill_repair = false, backfilled_at = now()
        WHERE s.source_id = v_source.source_id;
        outcome := 'done';
        RETURN;
    END IF;

    v_shape := cxm.attach_shape(v_leaf, 'ONLY ' || v_leaf::regclass, backfill_batch.source, v_source.kind, v_source.key_columns, v_source.mapping, v_source.time_zone);
    v_order := cxm.attach_order(v_leaf, v_source.key_columns);
    IF v_order.order_by IS NULL THEN
        RAISE EXCEPTION 'table % has lost the unique constraint on its key', v_leaf::regclass
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = format('Source "%s" tells its rows apart by %s.', backfill_batch.source, array_to_string(v_source.key_columns, ', ')),
                  HINT = format('Add the constraint again, or SELECT cxm.detach(%L) and attach the table with another key.', backfill_batch.source);
    END IF;
    -- a place in another order is no place in this one: then the table is read again, and what is stored stays
    IF v_source.backfill_table = v_name AND v_source.backfill_key ->> 'order' = v_order.order_by THEN
        v_last := ARRAY(SELECT k FROM jsonb_array_elements_text(v_source.backfill_key -> 'key') WITH ORDINALITY AS a(k, n) ORDER BY n);
    END IF;

    v_page := cxm.backfill_page(v_leaf, v_shape.message_id, v_order.order_by, v_order.after_last, v_order.up_to, v_order.key_values, v_last, size, patient);

    -- what triggers have stored meanwhile is as new as the row, which nobody can be changing now
    v_ids := CASE WHEN v_source.backfill_repair THEN v_page.message_ids
             ELSE ARRAY(SELECT p.id FROM unnest(v_page.message_ids) AS p(id)
                        WHERE NOT EXISTS (SELECT FROM cx.message AS m
                                          WHERE m.source_id = v_source.source_id AND m.kind = v_source.kind AND m.message_id = p.id COLLATE "C"
                                          OFFSET 0)) END;     -- OFFSET keeps it a look-up, whatever the planner thinks of a source that is growing
    IF v_ids <> '{}' THEN
        v_alerts := current_setting('cxm.alerts', true);
        PERFORM set_config('cxm.alerts', CASE WHEN v_source.backfill_alerts THEN coalesce(nullif(v_alerts, ''), 'on') ELSE 'off' END, true);
        v_result := cxm.follow_rows(v_source.source_id, v_source.kind, v_shape.query, v_shape.probe, NULL, v_ids);
        PERFORM set_config('cxm.alerts', coalesce(nullif(v_alerts, ''), 'on'), true);
        IF coalesce(v_result.accepted + v_result.updated + v_result.duplicates + v_result.rejected + v_result.blank, 0) <> cardinality(v_ids) THEN
            RAISE EXCEPTION 'rows of table % were not found again by their key', v_leaf::regclass
                USING ERRCODE = 'data_corrupted',
                      DETAIL = format('Of %s rows %s were found.', cardinality(v_ids), coalesce(v_result.accepted + v_result.updated + v_result.duplicates + v_result.rejected + v_result.blank, 0)),
                      HINT = 'Casting the key to text and back must give the same key; or an index is corrupt: REINDEX the table.';
        END IF;
    END IF;

    rows_read := v_source.backfill_rows + cardinality(v_page.message_ids);
    UPDATE cx.source AS s
    SET backfill_at = now(), backfill_rows = backfill_batch.rows_read, blank_rows = s.blank_rows + coalesce(v_result.blank, 0),
        backfill_table = CASE WHEN v_page.next_key IS NOT NULL THEN v_name END,
        backfill_key = CASE WHEN v_page.next_key IS NOT NULL THEN jsonb_build_object('order', v_order.order_by, 'key', v_page.next_key) END,
        backfill_done = CASE WHEN v_page.next_key IS NULL THEN s.backfill_done || v_name ELSE s.backfill_done END
    WHERE s.source_id = v_source.source_id;
    outcome := 'more';
EXCEPTION
    WHEN lock_not_available OR deadlock_detected OR serialization_failure THEN
        IF patient THEN
            RAISE;
        END IF;
        outcome := 'retry';
END
$$;

COMMENT ON FUNCTION cxm.backfill_batch(text, integer, boolean) IS
'One batch of a backfill. outcome: more (call it again), done, or retry (somebody held a lock; nothing was done, unless patient: then it waits). rows_read: rows read so far; rows_total: the estimate.';

CREATE FUNCTION cxm.backfill_table(source text) RETURNS oid
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source record;
    v_table oid;
BEGIN
    PERFORM cxm.store_version();
    SELECT s.kind, s.detached_at, s.table_schema, s.table_name INTO v_source FROM cx.source AS s WHERE s.source = backfill_table.source;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no source "%"', source
            USING ERRCODE = 'undefined_object', HINT = 'SELECT source FROM cxm.source_status() lists the attached tables.';
    ELSIF v_source.kind = 'app' OR v_source.detached_at IS NOT NULL THEN
        RAISE EXCEPTION 'source "%" is not attached', source
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE v_source.kind WHEN 'app' THEN 'It is an application.' ELSE 'It was detached.' END,
                  HINT = 'CALL cxm.attach(...) attaches a table.';
    END IF;
    v_table := cxm.attached_table(source);
    IF v_table IS NULL THEN
        RAISE EXCEPTION 'the table of source "%" is gone', source
            USING ERRCODE = 'undefined_table',
                  DETAIL = format('It was %I.%I; it does not exist any more, or its triggers were dropped.', v_source.table_schema, v_source.table_name),
                  HINT = format('SELECT cxm.detach(%L), then attach it again if it is still there.', source);
    END IF;
    RETURN v_table;
END
$$;

COMMENT ON FUNCTION cxm.backfill_table(text) IS 'The table that is attached as a source. Error when there is none.';

CREATE FUNCTION cxm.estimated_rows(relation oid) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    v_rows := (SELECT CASE WHEN bool_and(c.reltuples >= 0) THEN sum(c.reltuples)::bigint END
               FROM cxm.table_members(relation) AS m JOIN pg_class AS c ON c.oid = m.member WHERE m.is_leaf);
    -- without statistics the planner only guesses; next to reading the rows in, counting them is nothing
    IF v_rows IS NULL THEN
        EXECUTE format('SELECT count(*) FROM %s', relation::regclass) INTO v_rows;
    END IF;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.estimated_rows(oid) IS 'The rows of a table with its partitions as statistics have them, or counted where there are none.';

CREATE FUNCTION cxm.remove_orphans(source_id integer, relation oid, patient boolean, size integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source record;
    v_shape record;
    v_ids text[];
BEGIN
    SELECT s.*, (SELECT o.time_zone FROM cx.store AS o) AS time_zone INTO v_source FROM cx.source AS s WHERE s.source_id = remove_orphans.source_id;
    v_shape := cxm.attach_shape(relation, relation::regclass::text, v_source.source, v_source.kind, v_source.key_columns, v_source.mapping, v_source.time_zone);

    EXECUTE format('SELECT array_agg(q.id) FROM (
                        SELECT s.id FROM (SELECT m.message_id AS id FROM cx.message AS m WHERE m.source_id = $1 AND m.kind = $2
                                          UNION SELECT r.message_id FROM cx.rejection AS r WHERE r.source_id = $1 AND r.kind = $2 AND r.state = ''open'' AND r.message_id IS NOT NULL) AS s
                        WHERE NOT EXISTS (SELECT FROM %s AS t WHERE (%s) COLLATE "C" = s.id COLLATE "C")
                        LIMIT $3) AS q', relation::regclass, v_shape.message_id)
    INTO v_ids USING v_source.source_id, v_source.kind, greatest(size, 1000);
    IF v_ids IS NULL THEN
        RETURN false;
    END IF;

    -- Between looking and removing, a writer may bring such a row back and find its message still there. Nobody writes
    -- while the few that are in question are looked up once more.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation::regclass);
    v_ids := ARRAY(SELECT i.id FROM unnest(v_ids) AS i(id) EXCEPT SELECT p.id FROM unnest(cxm.attach_present(v_shape.probe, v_ids)) AS p(id));
    PERFORM cxm.remove_records(v_source.source_id, v_source.kind, v_ids);
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.remove_orphans(integer, oid, boolean, integer) IS
'Removes records of an attached table whose row is gone, and closes their rejections, a portion of at least 1000 at a time. False when there was none.';

CREATE FUNCTION cxm.restart_backfill(source text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source record;
    v_table text;
BEGIN
    PERFORM cxm.backfill_table(source);
    UPDATE cx.source AS s
    SET backfill_state = 'pending', backfill_table = NULL, backfill_key = NULL, backfill_done = '{}', backfill_rows = 0, backfill_total = NULL,
        backfill_repair = true, backfill_at = NULL, backfilled_at = NULL, blank_rows = 0
    WHERE s.source = restart_backfill.source
    RETURNING s.source_id, s.kind INTO v_source;

    -- a record that was deleted from the store by hand: its message would say that it is there
    v_table := CASE v_source.kind WHEN 'traits' THEN 'trait' ELSE v_source.kind END;
    EXECUTE format('DELETE FROM cx.message AS m WHERE m.source_id = $1 AND m.kind = $2
                    AND NOT EXISTS (SELECT FROM cx.%I AS r WHERE r.%I = m.record_id%s)',
                   v_table, v_table || '_id', CASE v_source.kind WHEN 'traits' THEN '' ELSE ' AND r.occurred_at = m.occurred_at' END)
    USING v_source.source_id, v_source.kind;
END
$$;

COMMENT ON FUNCTION cxm.restart_backfill(text) IS 'Makes the backfill of a source begin anew and mend what is stored, also records that were deleted from the store.';

CREATE FUNCTION cxm.unfinished_backfills(source text, idle interval DEFAULT '0') RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.store_version();
    IF source IS NOT NULL THEN
        PERFORM cxm.backfill_table(source);
        RETURN ARRAY(SELECT s.source FROM cx.source AS s WHERE s.source = unfinished_backfills.source AND s.backfill_state <> 'done');
    END IF;
    RETURN ARRAY(SELECT s.source FROM cx.source AS s
                 WHERE s.kind <> 'app' AND s.detached_at IS NULL AND s.backfill_state IN ('pending', 'running')
                   AND (coalesce(s.backfill_at, s.attached_at) <= clock_timestamp() - idle)
                   AND cxm.source_problem(s.source, cxm.attached_table(s.source)) IS NULL
                   -- reading a table can run code of its owner (a cast), which nobody runs in passing with rights of his own
                   AND current_user = (SELECT pg_get_userbyid(c.relowner) FROM pg_class AS c WHERE c.oid = cxm.attached_table(s.source))
                 ORDER BY s.source);
END
$$;

COMMENT ON FUNCTION cxm.unfinished_backfills(text, interval) IS
'Sources whose backfill is to be begun or resumed: the given one, unless it is done; for NULL all of tables that the caller owns that were asked for, are not done, have nothing wrong with them, and have not moved for a while (idle).';

CREATE FUNCTION cxm.analyze_records(kind text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table text;
BEGIN
    -- a store that fills for the first time has no statistics yet, and autovacuum makes none for a partitioned table
    FOREACH v_table IN ARRAY ARRAY['message', 'identifier', 'profile', 'link', CASE kind WHEN 'traits' THEN 'trait' ELSE kind END] LOOP
        IF pg_has_role(current_user, (SELECT c.relowner FROM pg_class AS c WHERE c.oid = format('cx.%I', v_table)::regclass), 'USAGE') THEN
            EXECUTE format('ANALYZE (SKIP_LOCKED) cx.%I', v_table);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.analyze_records(text) IS
'Analyses the tables that records of a kind go to, as far as the caller owns them; skips one that is locked.';

CREATE FUNCTION cxm.backfill_notice(source text, rows_read bigint, rows_total bigint, began timestamptz, rows_before bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE NOTICE 'source "%": % of about % rows, % rows/s', source, rows_read, greatest(rows_total, rows_read),
        round((rows_read - rows_before) / greatest(extract(epoch FROM clock_timestamp() - began), 0.001));
END
$$;

COMMENT ON FUNCTION cxm.backfill_notice(text, bigint, bigint, timestamptz, bigint) IS 'Tells how far a backfill is.';

CREATE FUNCTION cxm.check_batch_size(batch_size integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF batch_size IS NULL OR batch_size NOT BETWEEN 1 AND 1000000 THEN
        PERFORM cxm.mapping_error('batch_size must be between 1 and 1000000', 'Rows of a batch are locked against changes till it commits; 10000 is a good size.');
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_batch_size(integer) IS 'Raises invalid_parameter_value unless the argument is between 1 and 1000000.';

CREATE FUNCTION cxm.batch_seconds() RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT least(0.4, 0.0004 * s.setting::double precision) FROM pg_settings AS s WHERE s.name = 'deadlock_timeout'
$$;

COMMENT ON FUNCTION cxm.batch_seconds() IS 'How long a batch of a backfill should last at most, in seconds: 0.4, less where deadlock_timeout is under a second.';

-- A procedure that commits cannot have a SET clause: this one only loops, and names pg_catalog where it matters.
CREATE PROCEDURE cxm.backfill(source text DEFAULT NULL, batch_size integer DEFAULT 10000, commit boolean DEFAULT true, restart boolean DEFAULT false,
                              idle interval DEFAULT '0')
LANGUAGE plpgsql
AS $$
DECLARE
    v_source text;
    v_sources text[];
    v_batch record;
    v_size integer;
    v_began timestamptz;
    v_told timestamptz;
    v_start timestamptz;
    v_before bigint;
    v_analyze bigint;
    v_seconds double precision;
    v_waited boolean;
    -- rows are locked while a batch runs: it is kept well under the time after which PostgreSQL looks for deadlocks
    v_target constant double precision := cxm.batch_seconds();
BEGIN
    PERFORM cxm.check_batch_size(backfill.batch_size);
    IF backfill.commit THEN
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
    ELSIF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' THEN
        RAISE EXCEPTION 'a backfill needs the isolation level read committed'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED, or let it commit by itself.';
    END IF;
    IF backfill.restart THEN
        PERFORM cxm.restart_backfill(backfill.source);
        IF backfill.commit THEN
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        END IF;
    END IF;
    v_sources := cxm.unfinished_backfills(backfill.source, backfill.idle);

    FOREACH v_source IN ARRAY v_sources LOOP
        v_size := CASE WHEN backfill.commit THEN least(backfill.batch_size, 1000) ELSE backfill.batch_size END;
        v_began := pg_catalog.clock_timestamp();
        v_told := v_began;
        v_before := NULL;
        v_waited := false;
        v_analyze := 1000;
        LOOP
            v_start := pg_catalog.clock_timestamp();
            v_batch := cxm.backfill_batch(v_source, v_size, NOT backfill.commit);
            v_seconds := pg_catalog.date_part('epoch', pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) v_start);
            IF backfill.commit THEN
                COMMIT;
                SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
            END IF;
            IF backfill.commit AND (v_batch.rows_read OPERATOR(pg_catalog.>=) v_analyze
                                    OR v_batch.outcome OPERATOR(pg_catalog.=) 'done' AND v_batch.rows_read OPERATOR(pg_catalog.>) 0) THEN
                PERFORM cxm.analyze_records(v_batch.kind);
                COMMIT;
                SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
                v_analyze := v_batch.rows_read OPERATOR(pg_catalog.*) 8;
            END IF;
            EXIT WHEN v_batch.outcome OPERATOR(pg_catalog.=) 'done';

            IF v_batch.outcome OPERATOR(pg_catalog.=) 'retry' THEN
                v_size := greatest(1, v_size OPERATOR(pg_catalog./) 4);
                v_waited := true;
                PERFORM pg_catalog.pg_sleep(0.01);
            ELSIF backfill.commit THEN
                v_size := CASE WHEN v_seconds OPERATOR(pg_catalog.>) v_target THEN greatest(1, v_size OPERATOR(pg_catalog./) 2)
                               WHEN v_seconds OPERATOR(pg_catalog.<) (v_target OPERATOR(pg_catalog./) 2) THEN least(backfill.batch_size, v_size OPERATOR(pg_catalog.*) 2)
                               ELSE v_size END;
                v_before := coalesce(v_before, v_batch.rows_read);
                v_waited := false;
            END IF;
            IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) v_told OPERATOR(pg_catalog.>) '2 seconds'::pg_catalog.interval THEN
                v_told := pg_catalog.clock_timestamp();
                IF v_waited THEN
                    RAISE NOTICE 'source "%": waiting for a transaction that holds rows of the table', v_source;
                ELSE
                    PERFORM cxm.backfill_notice(v_source, v_batch.rows_read, v_batch.rows_total, v_began, v_before);
                END IF;
            END IF;
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON PROCEDURE cxm.backfill(text, integer, boolean, boolean, interval) IS
'Reads what was in an attached table before its triggers, or resumes that after a crash, a cancel or an error; of a source, or of all of the caller''s own tables that are unfinished (NULL). batch_size: rows a batch at most (1 to 1000000); batches shrink so that rows are locked for less than half a second. commit: commit every batch (not inside a transaction block); false works in the caller''s transaction and waits for locks. restart: read the table again from the start, change stored records that differ, store those that were deleted from the store, and remove those whose row is gone, as after writes without triggers. idle: with source NULL, only those that have not moved for so long. Raises a notice every two seconds; cx.source has the state.';

CREATE PROCEDURE cxm.attach(table_name regclass, kind text, mapping jsonb, source text DEFAULT NULL, key text[] DEFAULT NULL,
                            backfill boolean DEFAULT true, backfill_alerts boolean DEFAULT false, batch_size integer DEFAULT 10000, commit boolean DEFAULT true)
LANGUAGE plpgsql
AS $$
DECLARE
    v_source text;
    v_told timestamptz := pg_catalog.clock_timestamp();
BEGIN
    PERFORM cxm.check_batch_size(attach.batch_size);
    LOOP
        IF attach.commit THEN
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        ELSIF attach.backfill AND pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed' THEN
            RAISE EXCEPTION 'a backfill needs the isolation level read committed'
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED, or let it commit by itself.';
        END IF;
        v_source := cxm.register_table(attach.table_name, attach.kind, attach.mapping, attach.source, attach.key,
                                       attach.backfill, attach.backfill_alerts, NOT attach.commit);
        EXIT WHEN v_source IS NOT NULL;
        ROLLBACK;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) v_told OPERATOR(pg_catalog.>) '2 seconds'::pg_catalog.interval THEN
            v_told := pg_catalog.clock_timestamp();
            RAISE NOTICE 'waiting for transactions that have written to table %', attach.table_name;
        END IF;
        PERFORM pg_catalog.pg_sleep(0.05);
    END LOOP;

    -- from here on the triggers see every change; what was there before them is read now
    IF attach.commit THEN
        COMMIT;
    END IF;
    IF attach.backfill THEN
        CALL cxm.backfill(v_source, attach.batch_size, attach.commit);
    END IF;
END
$$;

COMMENT ON PROCEDURE cxm.attach(regclass, text, jsonb, text, text[], boolean, boolean, integer, boolean) IS
'Makes an existing table a source of the store: reads its rows (backfill) and from then on follows every INSERT, UPDATE, DELETE and TRUNCATE in the writer''s own transaction. kind: event, feedback, purchase, spend or traits. mapping: {"field": "column" or {"constant": value}, ...}; identifiers: {"namespace": "column", ...}; properties and traits: {"name": "column", ...} or ["column", ...]; amount also {"multiply": ["column", "column"]}. source: its name in the store, by default that of the table with its schema. key: columns that are NOT NULL and unique together, by default the primary key. backfill_alerts: whether feedback that is read as history raises alerts. batch_size, commit: as in cxm.backfill(). The caller needs SELECT, UPDATE and TRIGGER on the table, and so on its partitions. Errors: wrong_object_type, invalid_parameter_value, undefined_column, datatype_mismatch, insufficient_privilege, duplicate_object when the source is attached already.';

CREATE FUNCTION cxm.detach(source text, purge boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source record;
    v_table oid;
    v_found boolean := false;
    v_ids text[];
    v_removed bigint := 0;
BEGIN
    IF to_regclass('cx.source') IS NOT NULL THEN
        SELECT s.source_id, s.kind, s.detached_at INTO v_source FROM cx.source AS s WHERE s.source = detach.source FOR UPDATE;
        v_found := FOUND;
    END IF;
    IF NOT v_found AND NOT EXISTS (SELECT FROM cxm.attached_tables(source)) THEN
        RAISE EXCEPTION 'there is no source "%"', source
            USING ERRCODE = 'undefined_object', HINT = 'SELECT source FROM cxm.source_status() lists the attached tables.';
    ELSIF v_found THEN
        IF v_source.kind = 'app' THEN
            RAISE EXCEPTION 'source "%" is an application, not an attached table', source USING ERRCODE = 'wrong_object_type';
        END IF;
    END IF;

    FOR v_table IN SELECT a.relation FROM cxm.attached_tables(source) AS a ORDER BY a.role DESC, a.relation LOOP
        PERFORM cxm.drop_triggers(source, v_table);
    END LOOP;
    IF NOT v_found THEN
        RETURN 0;
    END IF;

    UPDATE cx.source AS s
    SET detached_at = coalesce(s.detached_at, now()), backfill_state = CASE s.backfill_state WHEN 'done' THEN 'done' ELSE 'none' END
    WHERE s.source_id = v_source.source_id;

    IF purge THEN
        LOOP
            v_ids := ARRAY(SELECT m.message_id FROM cx.message AS m WHERE m.source_id = v_source.source_id AND m.kind = v_source.kind LIMIT 10000);
            EXIT WHEN v_ids = '{}';
            v_removed := v_removed + cxm.remove_records(v_source.source_id, v_source.kind, v_ids);
        END LOOP;
        UPDATE cx.rejection AS r SET state = 'superseded', closed_at = now() WHERE r.source_id = v_source.source_id AND r.state = 'open';
    END IF;
    RETURN v_removed;
END
$$;

COMMENT ON FUNCTION cxm.detach(text, boolean) IS
'Stops following an attached table: drops its triggers, on partitions too. The records stay as they are; purge removes them and the links that they stated, and closes their open rejections. Returns the number of records removed. Works when the table, or the store, is gone already. Needs ownership of the table. Error when there is no such source or it is an application.';

CREATE FUNCTION cxm.refresh_attachment(source text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table constant oid := cxm.backfill_table(source);
    v_source_id integer;
    v_member record;
    v_added integer := 0;
BEGIN
    UPDATE cx.source AS s
    SET table_schema = n.nspname, table_name = c.relname
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE s.source = refresh_attachment.source AND c.oid = v_table
    RETURNING s.source_id INTO v_source_id;

    -- partitions that have left the table
    FOR v_member IN
        SELECT a.relation FROM cxm.attached_tables(source) AS a
        WHERE a.role = 'partition' AND a.relation NOT IN (SELECT m.member FROM cxm.table_members(v_table) AS m)
    LOOP
        PERFORM cxm.drop_triggers(source, v_member.relation);
    END LOOP;

    FOR v_member IN
        SELECT m.member, m.is_leaf FROM cxm.table_members(v_table) AS m
        WHERE NOT EXISTS (SELECT FROM cxm.attached_tables(source) AS a
                          WHERE a.relation = m.member AND a.role = CASE m.member WHEN v_table THEN 'table' ELSE 'partition' END AND a.triggers = 4)
    LOOP
        PERFORM cxm.drop_triggers(source, v_member.member);
        PERFORM cxm.add_triggers(v_member.member, v_source_id, source, CASE v_member.member WHEN v_table THEN 'table' ELSE 'partition' END);
        v_added := v_added + 1;
        -- its rows may have been written, changed and deleted unseen, except where there never were any
        UPDATE cx.source AS s
        SET backfill_done = CASE WHEN pg_relation_size(v_member.member) = 0 AND s.backfill_state = 'done' THEN s.backfill_done || cxm.table_name(v_member.member)
                                 ELSE array_remove(s.backfill_done, cxm.table_name(v_member.member)) END,
            backfill_state = CASE WHEN pg_relation_size(v_member.member) > 0 AND s.backfill_state = 'done' THEN 'pending' ELSE s.backfill_state END,
            backfill_repair = s.backfill_repair OR (pg_relation_size(v_member.member) > 0 AND s.backfill_state <> 'none')
        WHERE s.source_id = v_source_id AND v_member.is_leaf;
    END LOOP;
    RETURN v_added;
END
$$;

COMMENT ON FUNCTION cxm.refresh_attachment(text) IS
'Puts the triggers of a source on partitions that have none yet (or not all of them), takes them off partitions that have left the table, and notes the name that the table has now. A partition found with rows in it is left for CALL cxm.backfill(), which makes the store agree with them. Returns the number of partitions newly covered; running it again changes nothing. Error when the source is not attached.';

CREATE PROCEDURE cxm.refresh_attachments()
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job('refresh_attachments');
    v_source text;
    v_added bigint := 0;
    v_resumed integer;
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;

    FOR v_source IN SELECT p.source FROM cxm.partitioned_sources() AS p LOOP
        EXIT WHEN NOT cxm.lock_job('refresh_attachments');
        PERFORM cxm.set_short_timeout();
        v_added := v_added OPERATOR(pg_catalog.+) cxm.try_refresh(v_source);
        COMMIT;
    END LOOP;

    -- what an attachment has not read yet and nobody is reading
    v_resumed := pg_catalog.cardinality(cxm.unfinished_backfills(NULL, '1 minute'));
    IF v_resumed OPERATOR(pg_catalog.>) 0 THEN
        CALL cxm.backfill(NULL, idle => '1 minute');
    END IF;
    PERFORM cxm.finish_job(v_run, v_added, pg_catalog.format('%s partitions newly covered, %s backfills resumed', v_added, v_resumed));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.refresh_attachments() IS
'cxm.refresh_attachment() for every attached partitioned table, then the backfills of the caller''s own tables that were interrupted or left to do and have not moved for a minute; commits as it goes. A partition that is in use is left to the next run. Part of upkeep; to be run by the owner of the tables, outside a transaction.';

CREATE FUNCTION cxm.partitioned_sources(OUT source text) RETURNS SETOF text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.source FROM cx.source AS s
    WHERE s.kind <> 'app' AND s.detached_at IS NULL
      AND (SELECT c.relkind FROM pg_class AS c WHERE c.oid = cxm.attached_table(s.source)) = 'p'
    ORDER BY s.source;
END
$$;

COMMENT ON FUNCTION cxm.partitioned_sources() IS 'Sources that are attached partitioned tables.';

CREATE FUNCTION cxm.try_refresh(source text) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.refresh_attachment(source);
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN 0;
    WHEN insufficient_privilege THEN
        RAISE WARNING 'source "%": %', source, SQLERRM;
        RETURN 0;
END
$$;

COMMENT ON FUNCTION cxm.try_refresh(text) IS
'cxm.refresh_attachment(), unless somebody is using the table or the caller does not own it: then nothing is done, and 0 is returned.';

---- how it stands

CREATE FUNCTION cxm.source_problem(source text, relation oid) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_source record;
BEGIN
    SELECT s.* INTO v_source FROM cx.source AS s WHERE s.source = source_problem.source;
    IF relation IS NULL AND to_regclass(format('%I.%I', v_source.table_schema, v_source.table_name)) IS NULL THEN
        RETURN 'the table is gone';
    ELSIF relation IS NULL THEN
        RETURN 'the triggers were dropped';
    ELSIF (SELECT a.triggers FROM cxm.attached_tables(source) AS a WHERE a.relation = source_problem.relation) < 4 THEN
        RETURN 'triggers are missing or disabled';
    ELSIF EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = relation) THEN
        RETURN format('the table became a part of %s', (SELECT i.inhparent::regclass FROM pg_inherits AS i WHERE i.inhrelid = relation LIMIT 1));
    END IF;
    PERFORM cxm.attach_shape(relation, relation::regclass::text, source, v_source.kind, v_source.key_columns, v_source.mapping, 'UTC');
    IF (cxm.attach_order(relation, v_source.key_columns)).order_by IS NULL THEN
        RETURN format('there is no unique constraint on %s any more', array_to_string(v_source.key_columns, ', '));
    END IF;
    RETURN NULL;
EXCEPTION
    WHEN undefined_column OR datatype_mismatch OR insufficient_privilege THEN
        RETURN SQLERRM;
END
$$;

COMMENT ON FUNCTION cxm.source_problem(text, oid) IS 'What keeps an attached table from being followed, or NULL when nothing does.';

CREATE FUNCTION cxm.source_counts(source text, relation oid, exact boolean,
                                  OUT table_rows bigint, OUT stored_rows bigint, OUT blank_rows bigint, OUT lag_rows bigint, OUT last_received_at timestamptz) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
SET timezone = 'UTC'
SET intervalstyle = 'postgres'
SET extra_float_digits = '1'
SET bytea_output = 'hex'
SET lc_monetary = 'C'
AS $$
DECLARE
    v_source record;
    v_shape record;
    v_plan json;
BEGIN
    SELECT s.*, (SELECT o.time_zone FROM cx.store AS o) AS time_zone INTO v_source FROM cx.source AS s WHERE s.source = source_counts.source;
    blank_rows := v_source.blank_rows;

    IF exact THEN
        stored_rows := (SELECT count(*) FROM cx.message AS m WHERE m.source_id = v_source.source_id AND m.kind = v_source.kind);
        EXECUTE format('SELECT max(r.received_at) FROM cx.%I AS r WHERE r.source_id = $1', CASE v_source.kind WHEN 'traits' THEN 'trait' ELSE v_source.kind END)
        INTO last_received_at USING v_source.source_id;
    ELSIF (SELECT c.reltuples FROM pg_class AS c WHERE c.oid = 'cx.message'::regclass) BETWEEN 0 AND 100000 THEN
        stored_rows := (SELECT count(*) FROM cx.message AS m WHERE m.source_id = v_source.source_id AND m.kind = v_source.kind);
    ELSE
        EXECUTE format('EXPLAIN (FORMAT json) SELECT FROM cx.message WHERE source_id = %s', v_source.source_id) INTO v_plan;
        stored_rows := round((v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::numeric);
    END IF;

    IF relation IS NULL THEN
        RETURN;
    ELSIF exact AND has_table_privilege(relation, 'SELECT') THEN
        v_shape := cxm.attach_shape(relation, relation::regclass::text, source, v_source.kind, v_source.key_columns, v_source.mapping, v_source.time_zone);
        EXECUTE format('SELECT count(*), count(*) FILTER (WHERE q.is_blank), count(*) FILTER (WHERE NOT q.is_blank AND NOT q.is_known)
                        FROM (SELECT %s AS is_blank,
                                     EXISTS (SELECT FROM cx.message AS m WHERE m.source_id = $1 AND m.kind = $2 AND m.message_id = q.id COLLATE "C")
                                     OR EXISTS (SELECT FROM cx.rejection AS j WHERE j.source_id = $1 AND j.kind = $2 AND j.message_id = q.id AND j.state = ''open'') AS is_known
                              FROM (SELECT %s AS id, %s AS r FROM %s AS t%s OFFSET 0) AS q) AS q',
                       CASE v_source.kind WHEN 'feedback' THEN '(q.r).score IS NULL AND (q.r).comment IS NULL AND (q.r).reason IS NULL' ELSE 'false' END,
                       v_shape.message_id, v_shape.record, relation::regclass, v_shape.lateral_row)
        INTO table_rows, blank_rows, lag_rows USING v_source.source_id, v_source.kind;
    ELSE
        table_rows := (SELECT CASE WHEN bool_and(c.reltuples >= 0) THEN sum(c.reltuples)::bigint END
                       FROM cxm.table_members(relation) AS m JOIN pg_class AS c ON c.oid = m.member WHERE m.is_leaf);
        -- the triggers leave no lag; what is missing is what the backfill has not read
        lag_rows := CASE v_source.backfill_state WHEN 'done' THEN 0
                    WHEN 'none' THEN greatest(table_rows - stored_rows - blank_rows, 0)
                    ELSE greatest(coalesce(v_source.backfill_total, table_rows) - v_source.backfill_rows, 0) END;
    END IF;
EXCEPTION
    WHEN undefined_column OR datatype_mismatch OR insufficient_privilege OR undefined_table OR data_exception THEN
        RETURN;
END
$$;

COMMENT ON FUNCTION cxm.source_counts(text, oid, boolean) IS 'The row counts of cxm.source_status() for one source.';

CREATE FUNCTION cxm.source_status(exact boolean DEFAULT false)
RETURNS TABLE (source text, kind text, table_name text, state text, attached_at timestamptz, detached_at timestamptz,
               table_rows bigint, stored_rows bigint, blank_rows bigint, rejections bigint, lag_rows bigint, last_received_at timestamptz,
               backfill_state text, backfill_rows bigint, backfill_percent numeric, uncovered_partitions integer)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_source record;
    v_counts record;
    v_table oid;
    v_problem text;
BEGIN
    PERFORM cxm.store_version();
    FOR v_source IN SELECT s.* FROM cx.source AS s WHERE s.kind <> 'app' ORDER BY s.source LOOP
        v_table := cxm.attached_table(v_source.source);
        v_problem := CASE WHEN v_source.detached_at IS NULL THEN cxm.source_problem(v_source.source, v_table) END;
        v_counts := cxm.source_counts(v_source.source, v_table, source_status.exact);

        source := v_source.source;
        kind := v_source.kind;
        table_name := coalesce(cxm.table_name(v_table), format('%I.%I', v_source.table_schema, v_source.table_name));
        state := CASE WHEN v_source.detached_at IS NOT NULL THEN 'detached'
                      WHEN v_problem IS NOT NULL THEN 'broken: ' || v_problem
                      WHEN v_source.backfill_state IN ('pending', 'running') THEN 'backfilling'
                      ELSE 'ok' END;
        attached_at := v_source.attached_at;
        detached_at := v_source.detached_at;
        table_rows := v_counts.table_rows;
        stored_rows := v_counts.stored_rows;
        blank_rows := v_counts.blank_rows;
        rejections := (SELECT count(*) FROM cx.rejection AS r WHERE r.source_id = v_source.source_id AND r.state = 'open');
        lag_rows := CASE WHEN v_source.detached_at IS NULL THEN v_counts.lag_rows END;
        last_received_at := v_counts.last_received_at;
        backfill_state := v_source.backfill_state;
        backfill_rows := v_source.backfill_rows;
        backfill_percent := CASE WHEN v_source.backfill_state = 'done' THEN 100
                                 WHEN v_source.backfill_total > 0 THEN round(least(100.0 * v_source.backfill_rows / v_source.backfill_total, 99.9), 1) END;
        uncovered_partitions := (SELECT count(*) FROM cxm.table_members(v_table) AS m
                                 WHERE m.member <> v_table
                                   AND NOT EXISTS (SELECT FROM cxm.attached_tables(v_source.source) AS a WHERE a.relation = m.member AND a.triggers = 4));
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.source_status(boolean) IS
'How each attached table stands, one row a source. state: ok, backfilling, detached or broken: and why. table_rows, stored_rows: rows in the table and records of it in the store; blank_rows: rows with nothing to store; rejections: rows refused, to be found in cx.rejection; lag_rows: rows that the store has yet to take; last_received_at: when it last took one (only when exact); backfill_rows, backfill_percent: how far the backfill is; uncovered_partitions: partitions without triggers, see cxm.refresh_attachment(). exact counts the rows (reads the whole table, with the caller''s rights) instead of estimating them; NULL where the caller may not read the table.';
