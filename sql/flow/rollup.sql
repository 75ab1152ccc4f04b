-- Rollups: counts, sums and scores by period and dimension that are exact in every snapshot.
--
-- A rollup is base + delta. Statement triggers of the source (src/rollup.c) append to the delta table what each
-- statement changed, summed up; cxm.fold_rollup() moves it into the base table; a reader adds both up.
--
-- What is there when a rollup is made is counted period by period (cxm.backfill_rollup_range). The triggers are
-- committed first. A batch is one statement, hence one snapshot: it forgets the base and the delta of its periods and
-- counts the rows of its periods. What of a writer the snapshot does not see is neither in what it counts nor in what it
-- forgets. A row that moves to another period meanwhile is in the delta of both.
--
-- Folds and batches of one rollup exclude each other by its row in cx.rollup, which each updates first: so one that
-- runs on an older snapshot fails with 40001 instead of going by it.

---- what can be said

CREATE FUNCTION cxm.rollup_error(message text, hint text, detail text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF detail IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = message, HINT = hint;
    END IF;
    RAISE invalid_parameter_value USING MESSAGE = message, DETAIL = detail, HINT = hint;
END
$$;

COMMENT ON FUNCTION cxm.rollup_error(text, text, text) IS 'Raises invalid_parameter_value.';

CREATE FUNCTION cxm.check_rollup_column(name text, what text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- a name has 63 bytes in PostgreSQL, and some get _detractors after them
    IF name IS NULL OR octet_length(name) NOT BETWEEN 1 AND 51 THEN
        PERFORM cxm.rollup_error(format('the name of a %s must have 1 to 51 bytes, not %s', what, coalesce(octet_length(name), 0)), format('Give "%s..." another name.', left(name, 20)));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_rollup_column(text, text) IS 'Raises invalid_parameter_value when a text cannot be a column of the views of a rollup.';

CREATE FUNCTION cxm.check_expression(expression text, what text) RETURNS void
AS 'MODULE_PATHNAME', 'cxm_check_expression'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.check_expression(text, text) IS
'Raises syntax_error (42601), naming what, when a text is not one SQL expression; names in it are not looked up.';

CREATE FUNCTION cxm.check_rollup_rows(rows_view regclass, source regclass, nkeys integer, labels text[]) RETURNS void
AS 'MODULE_PATHNAME', 'cxm_check_rollup_rows'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.check_rollup_rows(regclass, regclass, integer, text[]) IS
'Raises a clear error when a view is not such that its rows follow from the rows of the source one by one, and are the same at all times; or when one of its first nkeys columns cannot be grouped by. labels: what its columns are, for the error.';

CREATE FUNCTION cxm.rollup_dimensions(dimensions jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_item jsonb;
    v_key text;
    v_value jsonb;
    v_found jsonb := '[]';
BEGIN
    IF dimensions IS NULL THEN
        RETURN '[]';
    END IF;
    FOR v_item IN SELECT a.value FROM jsonb_array_elements(CASE jsonb_typeof(dimensions) WHEN 'array' THEN dimensions ELSE jsonb_build_array(dimensions) END) AS a LOOP
        IF jsonb_typeof(v_item) = 'string' THEN
            PERFORM cxm.check_rollup_column(v_item #>> '{}', 'dimension');
            v_found := v_found || jsonb_build_array(jsonb_build_array(v_item, quote_ident(v_item #>> '{}')));
        ELSIF jsonb_typeof(v_item) = 'object' THEN
            FOR v_key, v_value IN SELECT o.key, o.value FROM jsonb_each(v_item) AS o LOOP
                IF jsonb_typeof(v_value) <> 'string' THEN
                    PERFORM cxm.rollup_error(format('dimension "%s" must be an expression, not %s', v_key, v_value), 'Give {"name": "expression"}.');
                END IF;
                PERFORM cxm.check_rollup_column(v_key, 'dimension'), cxm.check_expression(v_value #>> '{}', format('dimension "%s"', v_key));
                v_found := v_found || jsonb_build_array(jsonb_build_array(v_key, v_value));
            END LOOP;
        ELSE
            PERFORM cxm.rollup_error(format('a dimension cannot be %s', v_item), 'Give ["column", {"name": "expression"}, ...].');
        END IF;
    END LOOP;
    IF jsonb_array_length(v_found) > 30 THEN
        PERFORM cxm.rollup_error(format('%s dimensions are too many', jsonb_array_length(v_found)), 'A rollup has 30 at most.');
    END IF;
    RETURN v_found;
END
$$;

COMMENT ON FUNCTION cxm.rollup_dimensions(jsonb) IS
'The dimensions of a rollup in order, as [["name", "expression"], ...], out of ["column", {"name": "expression"}, ...]. Error 22023 or 42601 when they are not well formed.';

CREATE FUNCTION cxm.rollup_measures(measures jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name text;
    v_spec jsonb;
    v_kind text;
    v_value text;
    v_scale jsonb;
    v_filter jsonb;
    v_found jsonb := '[]';
BEGIN
    IF measures IS NULL OR jsonb_typeof(measures) <> 'object' OR measures = '{}' THEN
        PERFORM cxm.rollup_error('a rollup needs measures', 'Give {"name": {"nps": "score"}, "other": {"sum": "amount"}, ...}.');
    END IF;
    FOR v_name, v_spec IN SELECT m.key, m.value FROM jsonb_each(measures) AS m LOOP
        PERFORM cxm.check_rollup_column(v_name, 'measure');
        IF jsonb_typeof(v_spec) <> 'object' THEN
            PERFORM cxm.rollup_error(format('measure "%s" must be an object, not %s', v_name, v_spec), 'Give {"nps": "score"}, {"count": "*"} or {"sum": "amount"}.');
        END IF;
        v_kind := (SELECT k FROM jsonb_object_keys(v_spec - ARRAY['scale', 'filter']) AS k LIMIT 1);
        v_value := v_spec ->> v_kind;
        v_scale := v_spec -> 'scale';
        v_filter := v_spec -> 'filter';
        IF v_kind IN ('min', 'max') THEN
            PERFORM cxm.rollup_error(format('measure "%s": a rollup does not keep %s', v_name, v_kind), 'Keep a count by the value as a dimension, or ratings of a score: their percentiles are exact.',
                                     'When the row with the extreme value is deleted, the next one is known only by reading all rows again.');
        ELSIF v_kind IN ('avg', 'mean') THEN
            PERFORM cxm.rollup_error(format('measure "%s": a rollup does not keep %s', v_name, v_kind), 'Keep the sum: it comes with the number of its values. Or ratings of a score.',
                                     'An average cannot be added to another.');
        ELSIF v_kind IN ('count_distinct', 'median', 'percentile', 'stddev', 'variance') THEN
            PERFORM cxm.rollup_error(format('measure "%s": a rollup does not keep %s', v_name, v_kind), 'Keep ratings of a score, of which the like is read exactly, or ask the source.',
                                     'It does not follow from what it was before when a row is deleted.');
        ELSIF v_kind IS NULL OR v_kind NOT IN ('count', 'sum', 'nps', 'csat', 'ces', 'ratings') THEN
            PERFORM cxm.rollup_error(format('measure "%s" has no known kind', v_name), 'Kinds are count, sum, nps, csat, ces and ratings.');
        ELSIF (v_spec - ARRAY[v_kind, 'scale', 'filter']) <> '{}' OR jsonb_typeof(v_spec -> v_kind) <> 'string' THEN
            PERFORM cxm.rollup_error(format('measure "%s" is not well formed: %s', v_name, v_spec), 'Give {"kind": "expression"}, with "scale": [lowest, highest] and "filter": "condition" where you need them.');
        END IF;

        IF v_filter IS NOT NULL THEN
            IF jsonb_typeof(v_filter) <> 'string' THEN
                PERFORM cxm.rollup_error(format('the filter of measure "%s" must be a condition, not %s', v_name, v_filter), 'Give "filter": "condition".');
            END IF;
            PERFORM cxm.check_expression(v_filter #>> '{}', format('the filter of measure "%s"', v_name));
        END IF;
        IF v_kind = 'count' AND v_value = '*' THEN
            v_value := 'true';
        END IF;
        PERFORM cxm.check_expression(v_value, format('measure "%s"', v_name));

        IF v_kind IN ('count', 'sum') THEN
            IF v_scale IS NOT NULL THEN
                PERFORM cxm.rollup_error(format('measure "%s" of kind %s has a scale', v_name, v_kind), 'Scores have one: nps, csat, ces and ratings.');
            END IF;
            v_found := v_found || jsonb_build_object('name', v_name, 'kind', v_kind, 'value', v_value, 'filter', v_filter);
        ELSE
            v_scale := coalesce(v_scale, CASE v_kind WHEN 'nps' THEN '[0, 10]' WHEN 'csat' THEN '[1, 5]' WHEN 'ces' THEN '[1, 7]' END::jsonb);
            IF v_scale IS NULL OR jsonb_typeof(v_scale) <> 'array' OR jsonb_array_length(v_scale) <> 2
               OR jsonb_typeof(v_scale -> 0) <> jsonb_typeof(v_scale -> 1) OR jsonb_typeof(v_scale -> 0) NOT IN ('number', 'string') THEN
                PERFORM cxm.rollup_error(format('measure "%s" needs a scale', v_name), 'Give "scale": [lowest, highest] as whole numbers, or as two dimensions that have them.');
            ELSIF jsonb_typeof(v_scale -> 0) = 'number' THEN
                IF trunc((v_scale ->> 0)::numeric) <> (v_scale ->> 0)::numeric OR trunc((v_scale ->> 1)::numeric) <> (v_scale ->> 1)::numeric
                   OR (v_scale ->> 0)::numeric < -128 OR (v_scale ->> 1)::numeric > 127
                   OR (v_scale ->> 1)::numeric - (v_scale ->> 0)::numeric NOT BETWEEN 1 AND 10 THEN
                    PERFORM cxm.rollup_error(format('%s is no scale of measure "%s"', v_scale, v_name), 'A scale has 2 to 11 whole points between -128 and 127.');
                END IF;
            END IF;
            v_found := v_found || jsonb_build_object('name', v_name, 'kind', v_kind, 'value', v_value, 'filter', v_filter, 'lo', v_scale -> 0, 'hi', v_scale -> 1);
        END IF;
    END LOOP;
    IF jsonb_array_length(v_found) > 30 THEN
        PERFORM cxm.rollup_error(format('%s measures are too many', jsonb_array_length(v_found)), 'A rollup has 30 at most.');
    END IF;
    RETURN v_found;
END
$$;

COMMENT ON FUNCTION cxm.rollup_measures(jsonb) IS
'The measures of a rollup, as [{"name", "kind", "value", "lo", "hi", "filter"}, ...], out of {"name": {"kind": "expression", "scale": [lowest, highest], "filter": "condition"}, ...}. Error 22023, with the reason, for what cannot be kept exact when rows are deleted (min, max, avg, distinct counts).';

CREATE FUNCTION cxm.rollup_interval(bucket text) RETURNS interval
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET intervalstyle = 'postgres'
AS $$
DECLARE
    v_interval interval;
BEGIN
    IF bucket IN ('hour', 'day', 'week', 'month', 'quarter', 'year') THEN
        RETURN NULL;
    END IF;
    BEGIN
        v_interval := bucket::interval;
    EXCEPTION
        WHEN invalid_datetime_format OR datetime_field_overflow OR interval_field_overflow THEN
            NULL;
    END;
    IF v_interval IS NULL OR v_interval <= interval '0' OR extract(year FROM v_interval) <> 0 OR extract(month FROM v_interval) <> 0 THEN
        PERFORM cxm.rollup_error(format('unknown bucket %s', coalesce('"' || bucket || '"', 'NULL')),
                                 'Give hour, day, week, month, quarter or year, or an interval of fixed length such as 15 minutes or 14 days.');
    END IF;
    RETURN v_interval;
END
$$;

COMMENT ON FUNCTION cxm.rollup_interval(text) IS
'The length of a bucket that is an interval of fixed length; NULL for hour, day, week, month, quarter and year. Error 22023 for anything else.';

CREATE FUNCTION cxm.rollup_period(at text, bucket text, time_zone text, week_start integer) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_interval constant interval := cxm.rollup_interval(bucket);
    v_shift constant text := format('interval ''%s days''', week_start - 1);
    v_start text;
BEGIN
    IF v_interval IS NOT NULL THEN
        -- 2001 began on a Monday
        v_start := format('date_bin(interval %L, %s, timestamp %L AT TIME ZONE %L)', v_interval, at, '2001-01-01'::timestamp + (week_start - 1) * interval '1 day', time_zone);
    ELSIF bucket = 'week' AND week_start > 1 THEN
        v_start := format('(date_trunc(''week'', (%s AT TIME ZONE %L) - %s) + %3$s) AT TIME ZONE %2$L', at, time_zone, v_shift);
    ELSE
        v_start := format('date_trunc(%L, %s, %L)', bucket, at, time_zone);
    END IF;
    RETURN format('CASE WHEN isfinite(%s) THEN %s ELSE %1$s END', at, v_start);
END
$$;

COMMENT ON FUNCTION cxm.rollup_period(text, text, text, integer) IS
'The SQL for the start of the period that a time (SQL of type timestamptz) lies in. Days and longer periods begin at midnight in the time zone, so one with a change of clocks is an hour shorter or longer; hours are those of the zone''s clock, and the one that comes twice is two. Intervals of fixed length are counted from 2001-01-01 00:00 in the zone, a Monday, or from the first day of that week that week_start names. Infinite times are periods of their own.';

---- the parts of a rollup

CREATE FUNCTION cxm.rollup_number(name text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    PERFORM cxm.store_version();
    SELECT r.rollup_id INTO v_id FROM cx.rollup AS r WHERE r.name = rollup_number.name;
    IF v_id IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('there is no rollup %s', coalesce('"' || name || '"', 'NULL')),
            HINT = 'cx.rollup has those that there are.';
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.rollup_number(text) IS 'The rollup_id of a rollup. Error 42704 when there is none of that name.';

CREATE FUNCTION cxm.can_read_rollup(rollup_id integer) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_can_read_rollup'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.can_read_rollup(integer) IS
'True when whoever asks may read the source of a rollup, all rows of it, and the rollup is complete and counts the partitions that the source has; an error that says what is missing otherwise. The views of rollups, and the policies of their tables, ask it.';

CREATE FUNCTION cxm.rollup_layout(rollup_id integer, OUT source regclass, OUT name text, OUT nkeys integer, OUT kinds text, OUT keys text, OUT columns text, OUT net text, OUT counted text) RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
    v_measure record;
BEGIN
    SELECT r.* INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = rollup_layout.rollup_id;
    source := v_rollup.source;
    name := v_rollup.name;
    nkeys := 1 + jsonb_array_length(v_rollup.dimensions);
    keys := 'period' || coalesce((SELECT string_agg(', k' || i, '' ORDER BY i) FROM generate_series(1, nkeys - 1) AS i), '');
    kinds := '';
    columns := 'n';
    net := 'sum(u.n * u.weight)::bigint AS n';
    counted := 'count(*) AS n';
    FOR v_measure IN SELECT m.value ->> 'kind' AS kind, m.i FROM jsonb_array_elements(v_rollup.measures) WITH ORDINALITY AS m(value, i) ORDER BY m.i LOOP
        CASE v_measure.kind
            WHEN 'count' THEN
                kinds := kinds || 'c';
                columns := columns || format(', m%s', v_measure.i);
                net := net || format(', sum(u.m%1$s * u.weight)::bigint AS m%1$s', v_measure.i);
                counted := counted || format(', count(v.m%1$s) AS m%1$s', v_measure.i);
            WHEN 'sum' THEN
                kinds := kinds || 's';
                columns := columns || format(', m%1$s, m%1$s_n', v_measure.i);
                net := net || format(', sum(u.m%1$s * u.weight) AS m%1$s, sum(u.m%1$s_n * u.weight)::bigint AS m%1$s_n', v_measure.i);
                counted := counted || format(', coalesce(sum(v.m%1$s), 0) AS m%1$s, count(v.m%1$s) AS m%1$s_n', v_measure.i);
            ELSE
                kinds := kinds || 'r';
                columns := columns || format(', m%s', v_measure.i);
                net := net || format(', coalesce(cxm.rollup(u.m%1$s) FILTER (WHERE u.weight > 0), ''empty'') OPERATOR(cxm.-) coalesce(cxm.rollup(u.m%1$s) FILTER (WHERE u.weight < 0), ''empty'') AS m%1$s', v_measure.i);
                counted := counted || format(', coalesce(cxm.ratings_agg(v.m%1$s, v.lo%1$s, v.hi%1$s), ''empty'') AS m%1$s', v_measure.i);
        END CASE;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.rollup_layout(integer) IS
'How the tables of a rollup are laid out, as SQL: keys (the columns of a group), columns (those of what is kept for it), net (how they come out of rows u of base and delta), counted (how they come out of rows v of the view of rows); nkeys is how many columns a group has, kinds a letter for each measure: c, s or r.';

CREATE FUNCTION cxm.rollup_time(rollup_id integer) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT CASE format_type(cxm.base_type(a.atttypid), -1)
                   WHEN 'timestamp with time zone' THEN format('t.%I', a.attname)
                   WHEN 'timestamp without time zone' THEN format('(t.%I AT TIME ZONE %L)', a.attname, r.time_zone)
                   WHEN 'date' THEN format('(t.%I::timestamp AT TIME ZONE %L)', a.attname, r.time_zone) END
            FROM cx.rollup AS r
            JOIN pg_attribute AS a ON a.attrelid = r.source AND a.attname = r.time_column AND a.attnum > 0 AND NOT a.attisdropped
            WHERE r.rollup_id = rollup_time.rollup_id);
END
$$;

COMMENT ON FUNCTION cxm.rollup_time(integer) IS 'The SQL for the time of a row t of the source of a rollup, as a timestamptz; times without a zone are of the rollup''s. NULL when the column is gone or is no time.';

CREATE FUNCTION cxm.probe_rollup_expression(rollup_id integer, expression text, what text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_view constant text := format('cx.rollup_%s_rows', rollup_id);
    v_source constant regclass := (SELECT r.source FROM cx.rollup AS r WHERE r.rollup_id = probe_rollup_expression.rollup_id);
    v_type text;
BEGIN
    EXECUTE format(E'CREATE VIEW %s AS SELECT (%s\n) AS v FROM %s AS t', v_view, expression, v_source);
    PERFORM cxm.check_rollup_rows(v_view::regclass, v_source, 1, ARRAY[what]);
    SELECT format_type(cxm.base_type(a.atttypid), -1) INTO STRICT v_type FROM pg_attribute AS a WHERE a.attrelid = v_view::regclass AND a.attnum = 1;
    EXECUTE format('DROP VIEW %s', v_view);
    RETURN v_type;
EXCEPTION
    WHEN undefined_column OR undefined_function OR undefined_object OR undefined_table OR invalid_schema_name OR datatype_mismatch OR ambiguous_function OR ambiguous_column
         OR cannot_coerce OR invalid_text_representation OR grouping_error OR windowing_error OR invalid_table_definition THEN
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = format('%s: %s', what, SQLERRM),
            HINT = 'Names of columns are those of the source; functions and types that are not PostgreSQL''s own need their schema.';
END
$$;

COMMENT ON FUNCTION cxm.probe_rollup_expression(integer, text, text) IS 'The type of an expression of columns of the source of a rollup that is being made, what = how errors call it.';

CREATE FUNCTION cxm.make_rollup_rows(rollup_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_view constant text := format('cx.rollup_%s_rows', rollup_id);
    v_rollup record;
    v_item record;
    v_at text;
    v_type text;
    v_value text;
    v_columns text;
    v_labels text[] := ARRAY['period'];
BEGIN
    SELECT r.* INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = make_rollup_rows.rollup_id;

    SELECT format_type(cxm.base_type(a.atttypid), -1) INTO v_type
    FROM pg_attribute AS a
    WHERE a.attrelid = v_rollup.source AND a.attname = v_rollup.time_column AND a.attnum > 0 AND NOT a.attisdropped;
    IF v_type IS NULL THEN
        RAISE undefined_column USING
            MESSAGE = format('column "%s" of table %s does not exist', v_rollup.time_column, v_rollup.source),
            DETAIL = format('Rollup "%s" cuts its periods from it.', v_rollup.name),
            HINT = 'Name the column with the time of a row.';
    END IF;
    v_at := cxm.rollup_time(rollup_id);
    IF v_at IS NULL THEN
        RAISE datatype_mismatch USING
            MESSAGE = format('column "%s" of table %s is not a time', v_rollup.time_column, v_rollup.source),
            DETAIL = format('It is of type %s.', v_type),
            HINT = 'Name a column of type timestamptz, timestamp or date.';
    END IF;

    -- first as given, to learn of which types it is
    v_columns := cxm.rollup_period(v_at, v_rollup.bucket, v_rollup.time_zone, v_rollup.week_start) || ' AS period';
    FOR v_item IN SELECT d.value, d.i FROM jsonb_array_elements(v_rollup.dimensions) WITH ORDINALITY AS d(value, i) ORDER BY d.i LOOP
        PERFORM cxm.probe_rollup_expression(rollup_id, v_item.value ->> 1, format('dimension "%s"', v_item.value ->> 0));
        v_columns := v_columns || format(E',\n    (%s\n) AS k%s', v_item.value ->> 1, v_item.i);
        v_labels := v_labels || format('dimension "%s"', v_item.value ->> 0);
    END LOOP;
    FOR v_item IN SELECT m.value, m.i FROM jsonb_array_elements(v_rollup.measures) WITH ORDINALITY AS m(value, i) ORDER BY m.i LOOP
        v_type := cxm.probe_rollup_expression(rollup_id, v_item.value ->> 'value', format('measure "%s"', v_item.value ->> 'name'));
        v_value := format(E'(%s\n)', v_item.value ->> 'value');
        CASE v_item.value ->> 'kind'
            WHEN 'count' THEN
                NULL;
            WHEN 'sum' THEN
                IF v_type IN ('real', 'double precision') THEN
                    PERFORM cxm.rollup_error(format('measure "%s": sums of type %s are not exact', v_item.value ->> 'name', v_type), 'Sum up (value)::numeric.',
                                             'What was added could not be taken away again.');
                ELSIF v_type NOT IN ('smallint', 'integer', 'bigint', 'numeric') THEN
                    PERFORM cxm.rollup_error(format('measure "%s": type %s cannot be summed up', v_item.value ->> 'name', v_type), 'Sum up a number.');
                END IF;
                v_value := v_value || '::numeric';
            ELSE
                IF v_type IN ('smallint', 'integer', 'bigint') THEN
                    v_value := v_value || '::bigint';
                ELSIF v_type IN ('numeric', 'real', 'double precision') THEN
                    v_value := v_value || '::numeric';
                ELSE
                    PERFORM cxm.rollup_error(format('measure "%s": type %s is not a score', v_item.value ->> 'name', v_type), 'Scores are whole numbers.');
                END IF;
        END CASE;
        IF v_item.value ->> 'filter' IS NOT NULL THEN
            IF cxm.probe_rollup_expression(rollup_id, v_item.value ->> 'filter', format('the filter of measure "%s"', v_item.value ->> 'name')) <> 'boolean' THEN
                PERFORM cxm.rollup_error(format('the filter of measure "%s" is not a condition: %s', v_item.value ->> 'name', v_item.value ->> 'filter'), 'Give an expression of type boolean.');
            END IF;
            v_value := format(E'CASE WHEN (%s\n) THEN %s END', v_item.value ->> 'filter', v_value);
        END IF;
        v_columns := v_columns || format(E',\n    %s AS m%s', v_value, v_item.i);
        v_labels := v_labels || format('measure "%s"', v_item.value ->> 'name');
        IF v_item.value ? 'lo' THEN
            v_labels := v_labels || v_labels[cardinality(v_labels)] || v_labels[cardinality(v_labels)];
            FOREACH v_type IN ARRAY ARRAY['lo', 'hi'] LOOP
                v_value := v_item.value ->> v_type;
                IF jsonb_typeof(v_item.value -> v_type) = 'string' THEN
                    v_value := (SELECT format(E'(%s\n)::integer', d ->> 1) FROM jsonb_array_elements(v_rollup.dimensions) AS d WHERE d ->> 0 = v_item.value ->> v_type);
                    IF v_value IS NULL THEN
                        PERFORM cxm.rollup_error(format('measure "%s": "%s" is not a dimension', v_item.value ->> 'name', v_item.value ->> v_type),
                                                 'Make both ends of the scale dimensions, or give the scale in numbers and a filter.',
                                                 'Scores on different scales cannot be added up.');
                    END IF;
                END IF;
                v_columns := v_columns || format(', %s::integer AS %s%s', v_value, v_type, v_item.i);
            END LOOP;
        END IF;
    END LOOP;

    IF v_rollup.filter IS NOT NULL AND cxm.probe_rollup_expression(rollup_id, v_rollup.filter, 'the filter') <> 'boolean' THEN
        PERFORM cxm.rollup_error(format('the filter is not a condition: %s', v_rollup.filter), 'Give an expression of type boolean.');
    END IF;
    EXECUTE format(E'CREATE VIEW %s AS\nSELECT\n    %s,\n    %s AS at\nFROM %s AS t%s', v_view, v_columns, v_at, v_rollup.source,
                   CASE WHEN v_rollup.filter IS NOT NULL THEN format(E'\nWHERE (%s\n)', v_rollup.filter) ELSE '' END);
    PERFORM cxm.check_rollup_rows(v_view::regclass, v_rollup.source, 1 + jsonb_array_length(v_rollup.dimensions), v_labels || ARRAY['time']);
    EXECUTE format('COMMENT ON VIEW %s IS %L', v_view, format('What rollup "%s" counts: a row for each row of its source.', v_rollup.name));
END
$$;

COMMENT ON FUNCTION cxm.make_rollup_rows(integer) IS
'Makes the view cx.rollup_N_rows of a rollup, which says what each row of the source counts for. Errors say what in the rollup''s definition cannot be kept.';

CREATE FUNCTION cxm.make_rollup_tables(rollup_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_layout record;
    v_measures text;
    v_table text;
BEGIN
    v_layout := cxm.rollup_layout(rollup_id);
    SELECT coalesce(string_agg(CASE k.kind WHEN 'c' THEN format(', 0::bigint AS m%s', k.i)
                                           WHEN 's' THEN format(', 0::numeric AS m%1$s, 0::bigint AS m%1$s_n', k.i)
                                           ELSE format(', ''empty''::cxm.ratings AS m%s', k.i) END, '' ORDER BY k.i), '')
    INTO v_measures
    FROM string_to_table(v_layout.kinds, NULL) WITH ORDINALITY AS k(kind, i);

    EXECUTE format('CREATE TABLE cx.rollup_%1$s_base AS SELECT 0::bigint AS n, %2$s%3$s FROM cx.rollup_%1$s_rows WITH NO DATA', rollup_id, v_layout.keys, v_measures);
    EXECUTE format('CREATE TABLE cx.rollup_%1$s_delta AS SELECT 0::smallint AS weight, 0::bigint AS n, %2$s%3$s FROM cx.rollup_%1$s_rows WITH NO DATA', rollup_id, v_layout.keys, v_measures);
    EXECUTE format('CREATE INDEX rollup_%1$s_base_group_idx ON cx.rollup_%1$s_base (hash_record_extended(ROW(%2$s), 0))', rollup_id, v_layout.keys);
    EXECUTE format('CREATE INDEX rollup_%1$s_base_period_idx ON cx.rollup_%1$s_base (period)', rollup_id);

    -- each fold leaves it full of rows that are gone
    EXECUTE format('ALTER TABLE cx.rollup_%s_delta SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)', rollup_id);
    FOREACH v_table IN ARRAY ARRAY['base', 'delta'] LOOP
        v_table := format('rollup_%s_%s', rollup_id, v_table);
        -- equal rows are as good as each other
        EXECUTE format('ALTER TABLE cx.%I REPLICA IDENTITY FULL', v_table);
        EXECUTE format('ALTER TABLE cx.%I ENABLE ROW LEVEL SECURITY', v_table);
        EXECUTE format('COMMENT ON COLUMN cx.%I.n IS %L', v_table, 'Rows of the source in the group.');
        EXECUTE format('COMMENT ON COLUMN cx.%I.period IS %L', v_table, 'Start of the period; NULL = rows without a time.');
    END LOOP;
    EXECUTE format('COMMENT ON TABLE cx.rollup_%s_base IS %L', rollup_id, format('What rollup "%s" has folded: a row a group. Read its views, which add what came and went since.', v_layout.name));
    EXECUTE format('COMMENT ON TABLE cx.rollup_%s_delta IS %L', rollup_id, format('What came and went in rollup "%s" since it was folded: appended by the triggers of its source.', v_layout.name));
    EXECUTE format('COMMENT ON COLUMN cx.rollup_%s_delta.weight IS %L', rollup_id, '1 = came, -1 = went.');
    PERFORM cxm.make_rollup_guards(rollup_id);
END
$$;

COMMENT ON FUNCTION cxm.make_rollup_tables(integer) IS 'Makes the base and the delta table of a rollup.';

CREATE FUNCTION cxm.rollup_guard() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_rollup_guard'
LANGUAGE C;

COMMENT ON FUNCTION cxm.rollup_guard() IS
'Trigger of the tables of a rollup: leaves out rows that are inserted while the table is not locked in SHARE ROW EXCLUSIVE mode. Such rows are loaded from a dump of data alone; the triggers of the source, which fire meanwhile, count its rows as they come in.';

CREATE FUNCTION cxm.make_rollup_guards(rollup_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['base', 'delta'] LOOP
        v_table := format('rollup_%s_%s', rollup_id, v_table);
        EXECUTE format('CREATE OR REPLACE TRIGGER rollup_guard BEFORE INSERT ON cx.%I FOR EACH ROW EXECUTE FUNCTION cxm.rollup_guard()', v_table);
        IF NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = format('cx.%I', v_table)::regclass AND p.polname = 'rollup_reader') THEN
            EXECUTE format('CREATE POLICY rollup_reader ON cx.%I FOR SELECT USING (cxm.can_read_rollup(%s))', v_table, rollup_id);
        END IF;
    END LOOP;
    -- a grant on everything in the store is none on the source
    IF current_setting('server_version_num')::integer >= 150000 THEN
        EXECUTE format('ALTER VIEW cx.rollup_%s_rows SET (security_invoker = true)', rollup_id);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.make_rollup_guards(integer) IS 'Gives the tables of a rollup their trigger and their policy, and has its view of the source''s rows read with the reader''s rights, from PostgreSQL 15 on.';

CREATE FUNCTION cxm.rollup_changes(delta anyelement) RETURNS SETOF anyelement
AS 'MODULE_PATHNAME', 'cxm_rollup_changes'
LANGUAGE C STABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.rollup_changes(anyelement) IS
'What came and went in a rollup since it was folded, added up: rows as of its delta table, cx.rollup_N_delta, of whose row type the argument is (its value does not matter), a few for each group and weight, whoever calls it if cxm.can_read_rollup() says that they may. The views of rollups read it. Error 42809 for another type.';

CREATE FUNCTION cxm.make_rollup_views(rollup_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
    v_layout record;
    v_item record;
    v_states text := 'u.period AS period';
    v_columns text := 's.period AS period';
    v_comments jsonb := '[["period", "Start of the period; NULL = rows without a time."]]';
    v_state_comments jsonb;
    v_more jsonb;
    v_twice text;
BEGIN
    SELECT r.* INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = make_rollup_views.rollup_id;
    v_layout := cxm.rollup_layout(rollup_id);
    FOR v_item IN SELECT d.value ->> 0 AS name, d.value ->> 1 AS expression, d.i FROM jsonb_array_elements(v_rollup.dimensions) WITH ORDINALITY AS d(value, i) ORDER BY d.i LOOP
        v_states := v_states || format(', u.k%s AS %I', v_item.i, v_item.name);
        v_columns := v_columns || format(', s.%1$I AS %1$I', v_item.name);
        v_comments := v_comments || jsonb_build_array(jsonb_build_array(v_item.name, 'Dimension: ' || v_item.expression));
    END LOOP;
    v_state_comments := v_comments;
    FOR v_item IN SELECT m.value ->> 'name' AS name, m.value ->> 'kind' AS kind, m.value ->> 'value' AS expression, m.i FROM jsonb_array_elements(v_rollup.measures) WITH ORDINALITY AS m(value, i) ORDER BY m.i LOOP
        v_states := v_states || format(', u.m%s AS %I', v_item.i, v_item.name);
        v_more := jsonb_build_array(jsonb_build_array(v_item.name || '_count', format('How many values there are in %s.', v_item.name)));
        CASE v_item.kind
            WHEN 'count' THEN
                v_columns := v_columns || format(', s.%1$I AS %1$I', v_item.name);
                v_comments := v_comments || jsonb_build_array(jsonb_build_array(v_item.name, CASE v_item.expression WHEN 'true' THEN 'Number of rows.' ELSE 'Number of rows with a value of ' || v_item.expression END));
                v_state_comments := v_state_comments || jsonb_build_array(jsonb_build_array(v_item.name, 'Number of rows; add up with sum().'));
                v_more := '[]';
            WHEN 'sum' THEN
                v_states := v_states || format(', u.m%s_n AS %I', v_item.i, v_item.name || '_count');
                v_columns := v_columns || format(', CASE WHEN s.%2$I > 0 THEN s.%1$I END AS %1$I, s.%2$I AS %2$I', v_item.name, v_item.name || '_count');
                v_comments := v_comments || jsonb_build_array(jsonb_build_array(v_item.name, format('Sum of %s; NULL = no values.', v_item.expression)));
                v_state_comments := v_state_comments || jsonb_build_array(jsonb_build_array(v_item.name, format('Sum of %s, 0 without values; add up with sum().', v_item.expression))) || v_more;
            ELSE
                v_columns := v_columns || format(', cxm.%2$I(s.%1$I) AS %1$I, cxm.count(s.%1$I) AS %3$I', v_item.name, CASE v_item.kind WHEN 'ratings' THEN 'mean' ELSE v_item.kind END, v_item.name || '_count');
                v_comments := v_comments || jsonb_build_array(jsonb_build_array(v_item.name, CASE v_item.kind WHEN 'nps' THEN 'Net Promoter Score, -100 to 100' WHEN 'csat' THEN 'Share of the two highest scores, 0 to 100' ELSE 'Mean score' END || format(', of %s; NULL = no scores.', v_item.expression)));
                v_state_comments := v_state_comments || jsonb_build_array(jsonb_build_array(v_item.name, format('Scores of %s; add up with cxm.rollup().', v_item.expression)));
                IF v_item.kind = 'nps' THEN
                    v_columns := v_columns || format(', cxm.promoters(s.%1$I) AS %2$I, cxm.passives(s.%1$I) AS %3$I, cxm.detractors(s.%1$I) AS %4$I',
                                                     v_item.name, v_item.name || '_promoters', v_item.name || '_passives', v_item.name || '_detractors');
                    v_more := v_more || jsonb_build_array(jsonb_build_array(v_item.name || '_promoters', 'Scores of 9 and 10.'),
                                                          jsonb_build_array(v_item.name || '_passives', 'Scores of 7 and 8.'),
                                                          jsonb_build_array(v_item.name || '_detractors', 'Scores of 0 to 6.'));
                END IF;
        END CASE;
        v_comments := v_comments || v_more;
    END LOOP;

    SELECT c.value ->> 0 INTO v_twice
    FROM jsonb_array_elements(v_comments) WITH ORDINALITY AS c(value, i)
    GROUP BY c.value ->> 0
    HAVING count(*) > 1
    ORDER BY min(c.i)
    LIMIT 1;
    IF FOUND THEN
        RAISE duplicate_column USING
            MESSAGE = format('rollup "%s" would have two columns "%s"', v_rollup.name, v_twice),
            DETAIL = 'Beside its dimensions and measures a rollup has the column period, with sums and scores their NAME_count, and with NPS NAME_promoters, NAME_passives and NAME_detractors.',
            HINT = format('Give one of them another name; a dimension as in [{"other_name": "%s"}].', replace(quote_ident(v_twice), '"', E'\\"'));
    END IF;

    -- only groups of periods in which something came or went are made again, and what did is read once. What is asked once for
    -- all rows stands alone, so that it is not asked of each: whether one may read, and whether all is folded, as it mostly is. Most periods are
    -- before the first that was met
    EXECUTE format($sql$CREATE OR REPLACE VIEW cx.%1$I AS
        SELECT %2$s
        FROM (
            SELECT true AS is_folded, %4$s, %6$s
            FROM cx.rollup_%3$s_base
            UNION ALL
            SELECT false, c.*
            FROM (
                WITH change AS MATERIALIZED (
                    SELECT d.* FROM cxm.rollup_changes(NULL::cx.rollup_%3$s_delta) AS d
                ), met AS MATERIALIZED (
                    SELECT DISTINCT d.period FROM change AS d WHERE d.period IS NOT NULL
                )
                SELECT %4$s, %6$s
                FROM cx.rollup_%3$s_base AS b
                WHERE b.period IS NOT NULL AND (b.period < (SELECT min(m.period) FROM met AS m) OR b.period NOT IN (SELECT m.period FROM met AS m))
                UNION ALL
                SELECT g.*
                FROM (
                    SELECT %4$s, %5$s
                    FROM (
                        SELECT 1::smallint AS weight, %4$s, %6$s
                        FROM cx.rollup_%3$s_base AS b
                        WHERE b.period IS NULL OR b.period >= (SELECT min(m.period) FROM met AS m) AND b.period IN (SELECT m.period FROM met AS m)
                        UNION ALL
                        SELECT weight, %4$s, %6$s
                        FROM change
                    ) AS u
                    GROUP BY %4$s
                    HAVING sum(u.n * u.weight) <> 0
                ) AS g
            ) AS c
        ) AS u
        WHERE (SELECT cxm.can_read_rollup(%3$s))
          AND u.is_folded = (SELECT NOT EXISTS (SELECT FROM cx.rollup_%3$s_delta))$sql$,
        v_rollup.name || '_state', v_states, rollup_id, v_layout.keys, v_layout.net, v_layout.columns);
    EXECUTE format(E'CREATE OR REPLACE VIEW cx.%I AS\nSELECT %s\nFROM cx.%I AS s', v_rollup.name, v_columns, v_rollup.name || '_state');
    EXECUTE format('COMMENT ON VIEW cx.%I IS %L', v_rollup.name || '_state', format('Rollup "%s" in states that can be added up along dimensions and periods: counts and sums by sum(), scores by cxm.rollup().', v_rollup.name));
    EXECUTE format('COMMENT ON VIEW cx.%I IS %L', v_rollup.name, format('Rollup of %s by %s (%s) and dimensions: exact in every snapshot. Who may read the table may read it.', v_rollup.source, v_rollup.bucket, v_rollup.time_zone));
    FOR v_item IN
        SELECT v_rollup.name || '_state' AS name, c.value FROM jsonb_array_elements(v_state_comments) AS c
        UNION ALL
        SELECT v_rollup.name, c.value FROM jsonb_array_elements(v_comments) AS c
    LOOP
        EXECUTE format('COMMENT ON COLUMN cx.%I.%I IS %L', v_item.name, v_item.value ->> 0, v_item.value ->> 1);
    END LOOP;
    -- it is the right to read the source that is asked for
    EXECUTE format('GRANT SELECT ON cx.%I, cx.%I TO PUBLIC', v_rollup.name, v_rollup.name || '_state');
END
$$;

COMMENT ON FUNCTION cxm.make_rollup_views(integer) IS
'Makes the views of a rollup: cx.NAME, in standard types, and cx.NAME_state, in states that can be added up. Both read with their owner''s rights once cxm.can_read_rollup() has said that the reader may.';

---- triggers

CREATE FUNCTION cxm.rollup_delta() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_rollup_delta'
LANGUAGE C;

COMMENT ON FUNCTION cxm.rollup_delta() IS
'Trigger on the source of rollups and on its partitions, with the numbers of the rollups, ascending, as one argument: writes what comes and goes, summed up by group, to cx.rollup_N_delta of each, without asking for privileges there. What an UPDATE leaves as it was is not written. Errors: what the rollup''s expressions raise; 22003 for a score off its scale and for NaN or infinity in a sum; 55000 when part of the rollup is gone.';

CREATE FUNCTION cxm.rollup_partition() RETURNS trigger
AS 'MODULE_PATHNAME', 'cxm_rollup_partition'
LANGUAGE C;

COMMENT ON FUNCTION cxm.rollup_partition() IS
'Trigger on the source of rollups, when that is partitioned, before a statement writes to it, with the numbers of the rollups, ascending, as one argument: partitions that a rollup does not know and that have no rows get its triggers and are known from then on, when whoever writes may act for the owners of store and partition, nobody else is writing to the partition, and the statement is a transaction of its own or the partition was made in its transaction. Others wait for refresh_rollup(): as soon as they have rows, the rollup is refused until then.';

CREATE FUNCTION cxm.rollups_of(relation regclass) RETURNS integer[]
AS 'MODULE_PATHNAME', 'cxm_rollups_of'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.rollups_of(regclass) IS 'The numbers of the rollups that the triggers of a table serve, ascending, as of now, also where an older snapshot is read; {} = none.';

CREATE FUNCTION cxm.set_rollup_triggers(relation regclass, rollups integer[]) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_numbers constant text := array_to_string(ARRAY(SELECT DISTINCT r FROM unnest(rollups) AS r ORDER BY r), ' ');
    -- TRUNCATE fires those of every partition, and each looks after its own rows
    v_is_leaf constant boolean := (SELECT c.relkind = 'r' FROM pg_class AS c WHERE c.oid = relation);
    v_trigger record;
BEGIN
    FOR v_trigger IN
        SELECT w.name, w.event, w.call, t.tgfoid, t.tgenabled
        FROM (VALUES ('cxm_rollup_insert', 'AFTER INSERT', 'REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_delta'),
                     ('cxm_rollup_update', 'AFTER UPDATE', 'REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_delta'),
                     ('cxm_rollup_delete', 'AFTER DELETE', 'REFERENCING OLD TABLE AS old_row FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_delta'),
                     ('cxm_rollup_truncate', 'BEFORE TRUNCATE', 'FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_delta'),
                     ('cxm_rollup_partition', 'BEFORE INSERT OR UPDATE', 'FOR EACH STATEMENT EXECUTE FUNCTION cxm.rollup_partition')) AS w(name, event, call)
        LEFT JOIN pg_trigger AS t ON t.tgrelid = relation AND t.tgname = w.name
        WHERE w.name NOT IN ('cxm_rollup_truncate', 'cxm_rollup_partition') OR (w.name = 'cxm_rollup_truncate') = v_is_leaf
        ORDER BY w.name
    LOOP
        IF v_trigger.tgfoid NOT IN ('cxm.rollup_delta()'::regprocedure, 'cxm.rollup_partition()'::regprocedure) THEN
            RAISE duplicate_object USING
                MESSAGE = format('table %s has a trigger "%s" of yours', relation, v_trigger.name),
                DETAIL = 'Rollups have triggers of that name.',
                HINT = format('ALTER TRIGGER %I ON %s RENAME TO ....', v_trigger.name, relation);
        ELSIF v_numbers <> '' THEN
            EXECUTE format('CREATE OR REPLACE TRIGGER %I %s ON %s %s(%L)', v_trigger.name, v_trigger.event, relation, v_trigger.call, v_numbers);
            -- who has turned it off, or on in replication, too, finds it so
            IF v_trigger.tgenabled <> 'O' THEN
                EXECUTE format('ALTER TABLE %s %s TRIGGER %I', relation, CASE v_trigger.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, v_trigger.name);
            END IF;
        ELSIF v_trigger.tgfoid IS NOT NULL THEN
            EXECUTE format('DROP TRIGGER %I ON %s', v_trigger.name, relation);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.set_rollup_triggers(regclass, integer[]) IS
'Has the triggers of a table that is the source of rollups, or a partition of it, serve the rollups of these numbers and no others: one trigger an event for all of them, since one of its own would cost each rollup half as much again; {} = removes them. To be called with the table locked against writers. Error 42710 where a trigger of somebody''s has such a name.';

CREATE FUNCTION cxm.add_rollup_triggers(rollup_id integer, relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.set_rollup_triggers(relation, cxm.rollups_of(relation) || rollup_id);
END
$$;

COMMENT ON FUNCTION cxm.add_rollup_triggers(integer, regclass) IS 'Has the triggers of the source of a rollup, or of a partition of it, serve the rollup. To be called with the table locked against writers.';

CREATE FUNCTION cxm.remove_rollup_triggers(rollup_id integer, relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', relation);
    PERFORM cxm.set_rollup_triggers(relation, array_remove(cxm.rollups_of(relation), rollup_id));
END
$$;

COMMENT ON FUNCTION cxm.remove_rollup_triggers(integer, regclass) IS 'Has the triggers of a table no longer serve a rollup, and removes them when it was the last. Waits for whoever uses the table.';

CREATE FUNCTION cxm.rollup_tables(rollup_id integer, OUT relation regclass, OUT triggers integer) RETURNS SETOF record
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- the argument is the numbers of rollups, and a zero byte
    SELECT t.tgrelid::regclass, count(*) FILTER (WHERE t.tgenabled <> 'D')::integer
    FROM pg_trigger AS t
    WHERE t.tgfoid = 'cxm.rollup_delta()'::regprocedure
      AND t.tgname IN ('cxm_rollup_insert', 'cxm_rollup_update', 'cxm_rollup_delete', 'cxm_rollup_truncate')
      AND rollup_id::text = ANY (string_to_array(left(encode(t.tgargs, 'escape'), -4), ' '))
    GROUP BY t.tgrelid
$$;

COMMENT ON FUNCTION cxm.rollup_tables(integer) IS 'The tables whose triggers serve a rollup, and how many of these are enabled: 4, or 3 on a table that is partitioned itself, when all is well.';

CREATE FUNCTION cxm.know_rollup_partitions(rollup_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.know_partitions(r.rollup_id, r.source, ARRAY(SELECT t.relation FROM cxm.rollup_tables(r.rollup_id) AS t ORDER BY t.relation::oid))
    FROM cx.rollup AS r
    WHERE r.rollup_id = know_rollup_partitions.rollup_id;
END
$$;

COMMENT ON FUNCTION cxm.know_rollup_partitions(integer) IS 'Notes that a rollup counts the partitions that carry its triggers.';

CREATE FUNCTION cxm.pause_rollups(relation regclass, pause boolean) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_name name;
BEGIN
    FOR v_name IN
        SELECT t.tgname FROM pg_trigger AS t
        WHERE t.tgrelid = relation AND t.tgfoid = 'cxm.rollup_delta()'::regprocedure AND t.tgname = 'cxm_rollup_delete' AND t.tgenabled = CASE WHEN pause THEN 'O' ELSE 'D' END::"char"
    LOOP
        EXECUTE format('ALTER TABLE %s %s TRIGGER %I', relation, CASE WHEN pause THEN 'DISABLE' ELSE 'ENABLE' END, v_name);
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.pause_rollups(regclass, boolean) IS
'Keeps rollups from seeing what is deleted from a table (pause), or lets them see it again: rows that move to another partition of the same table count as before. To be called with the table locked.';

CREATE FUNCTION cxm.add_partition_rollups(parent regclass, partition regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('cx.rollup') IS NOT NULL THEN
        PERFORM cxm.add_rollup_triggers(r.rollup_id, partition) FROM cx.rollup AS r WHERE r.source = parent ORDER BY r.rollup_id;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.add_partition_rollups(regclass, regclass) IS 'Gives a new partition of a table the triggers of the rollups of that table.';

CREATE FUNCTION cxm.write_rollup(rollup_id integer, kind text, statement text) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    v_rows bigint;
BEGIN
    -- the row of cx.rollup is the lock; with those of the tables the guard lets rows in
    IF kind = 'fold' THEN
        UPDATE cx.rollup AS r SET folded_at = clock_timestamp() WHERE r.rollup_id = write_rollup.rollup_id;
    ELSE
        UPDATE cx.rollup AS r SET backfilled_at = NULL WHERE r.rollup_id = write_rollup.rollup_id;
    END IF;
    EXECUTE format('LOCK TABLE cx.rollup_%s_base IN SHARE ROW EXCLUSIVE MODE', rollup_id);
    EXECUTE statement INTO v_rows;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.write_rollup(integer, text, text) IS
'Runs a statement that writes the base table of a rollup, and gives the number that it returns: alone, and in a snapshot taken when it is. kind: fold or backfill.';

---- backfill

CREATE FUNCTION cxm.backfill_rollup_range(rollup_id integer, from_period timestamptz, to_period timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_layout constant record := cxm.rollup_layout(rollup_id);
    v_range text := 'true';
    v_rows bigint;
    v_number text;
    v_bad boolean;
BEGIN
    IF from_period IS NULL AND to_period IS NOT NULL THEN
        v_range := format('(%%1$s.period IS NULL OR %%1$s.period < %L::timestamptz)', to_period);
    ELSIF from_period IS NOT NULL THEN
        -- at is the time itself, by which partitions and indexes are chosen; midnight is not always at midnight
        v_range := format('%%1$s.period >= %L::timestamptz', from_period);
        IF to_period IS NOT NULL THEN
            v_range := v_range || format(' AND %%1$s.period < %L::timestamptz', to_period);
        END IF;
    END IF;
    v_rows := cxm.write_rollup(rollup_id, 'backfill', format(
        'WITH forgotten AS (DELETE FROM cx.rollup_%1$s_delta AS d WHERE %2$s), removed AS (DELETE FROM cx.rollup_%1$s_base AS b WHERE %3$s), '
        'counted AS MATERIALIZED (SELECT %4$s, %5$s FROM cx.rollup_%1$s_rows AS v WHERE %6$s%7$s GROUP BY %4$s), '
        'added AS (INSERT INTO cx.rollup_%1$s_base (%4$s, %8$s) SELECT %4$s, %8$s FROM counted) '
        'SELECT coalesce(sum(n), 0)::bigint FROM counted',
        rollup_id, format(v_range, 'd'), format(v_range, 'b'), v_layout.keys, v_layout.counted, format(v_range, 'v'),
        CASE WHEN from_period IS NOT NULL THEN format(' AND v.at >= %L::timestamptz', from_period - interval '2 days') ELSE '' END
        || CASE WHEN from_period IS NOT NULL AND to_period IS NOT NULL THEN format(' AND v.at < %L::timestamptz', to_period + interval '2 days') ELSE '' END,
        v_layout.columns));

    -- a sum with NaN or infinity in it could not be undone
    FOR v_number IN SELECT format('m%s', k.i) FROM string_to_table(v_layout.kinds, NULL) WITH ORDINALITY AS k(kind, i) WHERE k.kind = 's' LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM cx.rollup_%s_base AS b WHERE b.%I IN (''NaN'', ''Infinity'', ''-Infinity''))', rollup_id, v_number) INTO v_bad;
        IF v_bad THEN
            RAISE numeric_value_out_of_range USING
                MESSAGE = format('NaN or infinity cannot be summed up by rollup "%s"', v_layout.name),
                DETAIL = 'What is added to a sum must be such that it can be taken away again.',
                HINT = 'Make the rollup with a filter that leaves such values out.';
        END IF;
    END LOOP;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.backfill_rollup_range(integer, timestamptz, timestamptz) IS
'Counts the rows of the source anew whose period is from from_period (NULL = the first, and rows without a time) up to but not including to_period (NULL = the last), in the caller''s transaction, under writers; returns how many there are. Waits while others fold or backfill the rollup.';

CREATE FUNCTION cxm.rollup_edges(rollup_id integer, batch_rows bigint) RETURNS timestamptz[]
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
    v_batches bigint;
    v_first timestamptz;
    v_last timestamptz;
    v_edges timestamptz[];
    v_column smallint;
BEGIN
    SELECT r.* INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = rollup_edges.rollup_id;
    SELECT a.attnum INTO v_column
    FROM pg_attribute AS a
    WHERE a.attrelid = v_rollup.source AND a.attname = v_rollup.time_column AND a.atttypid = 'timestamptz'::regtype;
    -- without a way to the rows of a period each batch would read the whole table
    IF v_column IS NULL
       OR NOT EXISTS (SELECT FROM pg_partitioned_table AS p WHERE p.partrelid = v_rollup.source AND p.partattrs[0] = v_column)
          AND NOT EXISTS (SELECT FROM pg_index AS x WHERE x.indrelid = v_rollup.source AND x.indisvalid AND x.indpred IS NULL AND x.indkey[0] = v_column) THEN
        RETURN '{}';
    END IF;
    v_batches := least(1000, (cxm.estimated_rows(v_rollup.source) + batch_rows - 1) / batch_rows);
    IF v_batches < 2 THEN
        RETURN '{}';
    END IF;
    EXECUTE format('SELECT min(v.at), max(v.at) FROM cx.rollup_%s_rows AS v WHERE isfinite(v.at)', rollup_id) INTO v_first, v_last;
    IF v_first IS NULL OR v_first = v_last THEN
        RETURN '{}';
    END IF;
    EXECUTE format('SELECT array_agg(DISTINCT e.period ORDER BY e.period) FROM (SELECT %s AS period FROM (SELECT $1 + ($2 - $1) * (i::double precision / $3) AS at FROM generate_series(1, $3 - 1) AS i) AS g) AS e WHERE e.period > $1',
                   cxm.rollup_period('g.at', v_rollup.bucket, v_rollup.time_zone, v_rollup.week_start))
    INTO v_edges USING v_first, v_last, v_batches;
    RETURN coalesce(v_edges, '{}');
END
$$;

COMMENT ON FUNCTION cxm.rollup_edges(integer, bigint) IS
'Starts of periods that cut the source of a rollup into parts of about batch_rows rows, ascending; none when the source has neither partitions nor an index by its time, so that a part is no faster to read than the whole.';

CREATE FUNCTION cxm.backfill_rollup_step(rollup_id integer, edges timestamptz[], step integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
    v_from constant timestamptz := edges[step - 1];
    v_to constant timestamptz := edges[step];
BEGIN
    v_rows := cxm.backfill_rollup_range(rollup_id, v_from, v_to);
    UPDATE cx.rollup AS r
    SET backfill_rows = CASE WHEN v_from IS NULL THEN 0 ELSE r.backfill_rows END + v_rows,
        backfill_from = v_to,
        state = CASE WHEN v_to IS NULL THEN 'live' ELSE r.state END,
        backfilled_at = CASE WHEN v_to IS NULL THEN clock_timestamp() END
    WHERE r.rollup_id = backfill_rollup_step.rollup_id;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.backfill_rollup_step(integer, timestamptz[], integer) IS
'Counts the part of the source before the edge number step and from the one before it on; returns the number of rows. After the last part, which is that above all edges, the rollup is live.';

CREATE FUNCTION cxm.begin_backfill(rollup_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT cxm.has_known_partitions(rollup_id, (SELECT r.source FROM cx.rollup AS r WHERE r.rollup_id = begin_backfill.rollup_id)) THEN
        PERFORM cxm.take_partitions(rollup_id);
        UPDATE cx.rollup AS r SET state = 'pending', backfill_from = NULL WHERE r.rollup_id = begin_backfill.rollup_id;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.begin_backfill(integer) IS
'When partitions of the source of a rollup came or went, takes them in and out, and has all periods counted anew before the rollup can be read.';

CREATE PROCEDURE cxm.backfill_rollup(name text, batch_rows bigint DEFAULT 1000000)
LANGUAGE plpgsql
AS $$
DECLARE
    v_id integer := cxm.rollup_number(name);
    v_edges timestamptz[];
    v_from timestamptz;
    v_step bigint := 0;
BEGIN
    IF (batch_rows OPERATOR(pg_catalog.>) 0) IS NOT TRUE THEN
        PERFORM cxm.rollup_error(pg_catalog.format('a batch cannot have %s rows', coalesce(batch_rows::pg_catalog.text, 'NULL')), 'Give batch_rows of 1 or more.');
    END IF;
    PERFORM cxm.begin_backfill(v_id);
    v_edges := cxm.rollup_edges(v_id, batch_rows);
    -- one that was cut off goes on where it was
    v_from := (SELECT r.backfill_from FROM cx.rollup AS r WHERE r.rollup_id OPERATOR(pg_catalog.=) v_id);
    IF v_from IS NOT NULL THEN
        v_edges := v_from OPERATOR(pg_catalog.||) ARRAY(SELECT e FROM pg_catalog.unnest(v_edges) AS e WHERE e OPERATOR(pg_catalog.>) v_from ORDER BY e);
        v_step := 1;
    END IF;
    COMMIT;
    CALL cxm.run_range_job('backfill_rollup ' OPERATOR(pg_catalog.||) name,
                           pg_catalog.format('CASE WHEN $1 OPERATOR(pg_catalog.<=) %s THEN $1 OPERATOR(pg_catalog.+) 1 END', pg_catalog.cardinality(v_edges)),
                           pg_catalog.format('cxm.backfill_rollup_step(%s, %L, $2::pg_catalog.int4)', v_id, v_edges),
                           pg_catalog.format('%%s rows counted, %%s of %s parts', pg_catalog.cardinality(v_edges) OPERATOR(pg_catalog.+) 1), v_step);
END
$$;

COMMENT ON PROCEDURE cxm.backfill_rollup(text, bigint) IS
'Counts the rows of the source of a rollup, part by part of about batch_rows rows, while others go on writing, and commits after each part; progress is in cx.job_run, cx.rollup and, every two seconds, a NOTICE. One that was cut off goes on where it was. For a new rollup on a large table, and for one that cxm.rollup_check() finds wrong: that one can be read meanwhile. Run outside a transaction.';

---- making

CREATE FUNCTION cxm.check_rollup_source(source regclass) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_class record;
BEGIN
    SELECT c.relkind, c.relpersistence, c.relispartition, c.relname, n.nspname INTO v_class
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.oid = source;
    IF NOT FOUND THEN
        RAISE undefined_table USING MESSAGE = 'there is no table to count', HINT = 'Name an ordinary or partitioned table.';
    ELSIF v_class.relkind NOT IN ('r', 'p') THEN
        RAISE wrong_object_type USING MESSAGE = format('%s is not a table', source), HINT = 'Name an ordinary or partitioned table: what changes in others fires no triggers.';
    ELSIF v_class.relpersistence = 't' THEN
        RAISE wrong_object_type USING MESSAGE = format('table %s is temporary', source), HINT = 'Name an ordinary or partitioned table.';
    ELSIF v_class.nspname IN ('pg_catalog', 'information_schema', 'pg_toast') OR v_class.nspname = 'cx' AND v_class.relname ~ '^rollup(_[0-9]+_(base|delta))?$' THEN
        RAISE wrong_object_type USING MESSAGE = format('table %s cannot be counted', source), HINT = 'Name a table of the store or of your own.';
    ELSIF v_class.relispartition THEN
        RAISE wrong_object_type USING
            MESSAGE = format('table %s is a partition', source),
            DETAIL = 'Statements on the partitioned table reach it without firing its triggers.',
            HINT = format('Name %s, and give the rollup a filter.', pg_partition_root(source));
    ELSIF cxm.is_inherited(source) THEN
        RAISE feature_not_supported USING
            MESSAGE = format('table %s takes part in inheritance', source),
            DETAIL = 'Statements reach children without firing their triggers.',
            HINT = 'Use partitioning.';
    ELSIF EXISTS (SELECT FROM cxm.table_members(source) AS m JOIN pg_class AS c ON c.oid = m.member WHERE c.relkind = 'f') THEN
        RAISE feature_not_supported USING MESSAGE = format('table %s has foreign tables as partitions', source), HINT = 'Make the rollup on the server where they are.';
    ELSIF EXISTS (SELECT FROM cxm.table_members(source) AS m JOIN pg_trigger AS t ON t.tgrelid = m.member
                  WHERE t.tgfoid = 'cxm.rollup_delta()'::regprocedure AND t.tgenabled = 'D') THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('triggers of rollups are off on table %s', source),
            DETAIL = 'A rollup that is made now would have the same triggers.',
            HINT = 'SELECT cxm.upgrade_store() puts them on again, and counts anew.';
    ELSIF NOT has_table_privilege(source, 'SELECT') OR NOT has_table_privilege(source, 'TRIGGER') THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('permission denied for table %s', source),
            DETAIL = format('Role "%s" needs the SELECT and the TRIGGER privilege to have its rows counted.', current_user),
            HINT = format('GRANT SELECT, TRIGGER ON %s TO %I.', source, current_user);
    ELSIF row_security_active(source) THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('row-level security hides rows of table %s from role "%s"', source, current_user),
            HINT = 'Make the rollup as its owner or as a role with BYPASSRLS.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_rollup_source(regclass) IS
'Raises a clear error when the rows of a table cannot be counted: it is not an ordinary or partitioned table, is a partition, takes part in inheritance, the triggers of its rollups are off, or the caller lacks SELECT or TRIGGER or does not see all its rows.';

CREATE FUNCTION cxm.lock_rollup_source(source regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- who waits for a lock keeps those waiting that come after: better to give up soon and try again
    FOR v_try IN 1 .. 100 LOOP
        BEGIN
            PERFORM cxm.set_short_timeout();
            EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', source);
            PERFORM set_config('lock_timeout', '0', true);
            RETURN;
        EXCEPTION
            WHEN lock_not_available OR deadlock_detected THEN
                PERFORM pg_sleep(0.05 + random() * 0.1);
        END;
    END LOOP;
    RAISE lock_not_available USING
        MESSAGE = format('table %s is in use', source),
        DETAIL = 'Transactions that write to it have gone on for longer than was waited for.',
        HINT = 'Try again when they are over: pg_stat_activity has them.';
END
$$;

COMMENT ON FUNCTION cxm.lock_rollup_source(regclass) IS
'Locks a table against writers till the end of the transaction, once those before are done: tried for some seconds, a tenth of a second at a time, so that nobody else waits for longer. Error 55P03 when that is not enough.';

CREATE FUNCTION cxm.create_rollup(name text, source regclass, time_column text, bucket text, time_zone text DEFAULT NULL, week_start integer DEFAULT NULL,
                                  dimensions jsonb DEFAULT '[]', measures jsonb DEFAULT '{"rows": {"count": "*"}}', filter text DEFAULT NULL, backfill boolean DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_store record;
    v_zone text;
    v_id integer;
    v_backfill boolean := create_rollup.backfill;
    v_table text;
BEGIN
    PERFORM cxm.store_version();
    SELECT s.time_zone, s.week_start INTO v_store FROM cx.store AS s;
    IF create_rollup.name IS NULL OR create_rollup.name = '' OR octet_length(create_rollup.name) > 57 THEN
        PERFORM cxm.rollup_error('the name of a rollup must have 1 to 57 bytes', 'Give another name.');
    ELSIF EXISTS (SELECT FROM cx.rollup AS r WHERE r.name = create_rollup.name) THEN
        RAISE duplicate_object USING
            MESSAGE = format('there is a rollup "%s" already', create_rollup.name),
            HINT = format('Give another name, or SELECT cxm.drop_rollup(%L) first.', create_rollup.name);
    ELSIF to_regclass(format('cx.%I', create_rollup.name)) IS NOT NULL OR to_regclass(format('cx.%I', create_rollup.name || '_state')) IS NOT NULL
          OR create_rollup.name ~ '^rollup_[0-9]' THEN
        RAISE duplicate_table USING
            MESSAGE = format('a rollup cannot be called "%s"', create_rollup.name),
            DETAIL = format('Its views would be cx.%I and cx.%I, and the store has or may have a relation of such a name.', create_rollup.name, create_rollup.name || '_state'),
            HINT = 'Give another name.';
    END IF;
    SELECT z.name INTO v_zone FROM pg_timezone_names AS z WHERE lower(z.name) = lower(coalesce(create_rollup.time_zone, v_store.time_zone));
    IF v_zone IS NULL THEN
        PERFORM cxm.rollup_error(format('time zone "%s" is not known', coalesce(create_rollup.time_zone, v_store.time_zone)), 'Give a name out of pg_timezone_names, such as Europe/Berlin.');
    END IF;
    -- an error for what is a zone and an abbreviation
    PERFORM cxm.period_number(now(), 'day', v_zone, 1);
    PERFORM cxm.rollup_interval(bucket), cxm.check_week_start(coalesce(create_rollup.week_start, v_store.week_start));
    IF create_rollup.filter IS NOT NULL THEN
        PERFORM cxm.check_expression(create_rollup.filter, 'the filter');
    END IF;
    PERFORM cxm.check_rollup_source(source);

    INSERT INTO cx.rollup (name, source, time_column, bucket, time_zone, week_start, dimensions, measures, filter)
    VALUES (create_rollup.name, create_rollup.source, create_rollup.time_column, create_rollup.bucket, v_zone, coalesce(create_rollup.week_start, v_store.week_start),
            cxm.rollup_dimensions(create_rollup.dimensions), cxm.rollup_measures(create_rollup.measures), create_rollup.filter)
    RETURNING rollup_id INTO v_id;
    PERFORM cxm.make_rollup_rows(v_id);
    PERFORM cxm.make_rollup_tables(v_id);
    PERFORM cxm.make_rollup_views(v_id);
    PERFORM cxm.own_rollup(v_id);

    -- counted while writers wait only when that is soon done
    IF v_backfill IS NULL THEN
        v_backfill := current_setting('transaction_isolation') = 'read committed'
                      AND (SELECT coalesce(sum(pg_relation_size(m.member)), 0) FROM cxm.table_members(source) AS m WHERE m.is_leaf) < 32 * 1024 * 1024;
    ELSIF v_backfill AND current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'rows cannot be counted in a transaction that began before the rollup',
            DETAIL = format('The transaction is %s, and does not see what others have written since it began.', upper(current_setting('transaction_isolation'))),
            HINT = format('Make the rollup with backfill => false, and CALL cxm.backfill_rollup(%L) after.', create_rollup.name);
    END IF;
    PERFORM cxm.lock_rollup_source(source);
    PERFORM cxm.add_rollup_triggers(v_id, m.member) FROM cxm.table_members(source) AS m;
    PERFORM cxm.know_rollup_partitions(v_id);
    IF v_backfill THEN
        PERFORM cxm.backfill_rollup_step(v_id, '{}', 1);
    ELSE
        RAISE NOTICE 'rollup % counts what is written from now on', create_rollup.name
            USING HINT = format('CALL cxm.backfill_rollup(%L) counts what is there.', create_rollup.name);
    END IF;
    RETURN format('cx.%I', create_rollup.name);
END
$$;

COMMENT ON FUNCTION cxm.create_rollup(text, regclass, text, text, text, integer, jsonb, jsonb, text, boolean) IS
'Makes a rollup of a table: the view cx.NAME shows measures by period and dimension, exact in every snapshot, and cx.NAME_state the same as states that can be added up. bucket: hour, day, week, month, quarter, year or an interval of fixed length, cut from time_column in time_zone, weeks from week_start on (1 = Monday ... 7 = Sunday; NULL = those of cx.store). dimensions: ["column", {"name": "expression"}, ...]. measures: {"name": {"kind": "expression", "scale": [lowest, highest], "filter": "condition"}, ...} of kind count ("*" = rows), sum, nps (0 to 10), csat (1 to 5), ces (1 to 7) or ratings. filter: which rows count. Expressions are of columns of one row and IMMUTABLE. backfill: true = what is there is counted now, while writers wait; false = by CALL cxm.backfill_rollup(), while they do not; NULL = now when the table is small. Returns the view. Errors name what cannot be kept exact.';

CREATE FUNCTION cxm.own_rollup(rollup_id integer) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner text;
    v_relation record;
BEGIN
    -- a member or a superuser makes it for the owner of the store
    SELECT pg_get_userbyid(c.relowner) INTO v_owner FROM pg_class AS c WHERE c.oid = 'cx.rollup'::regclass;
    FOR v_relation IN
        SELECT c.relname, c.relkind, pg_get_userbyid(c.relowner) AS owner
        FROM pg_class AS c
        JOIN (SELECT r.name FROM cx.rollup AS r WHERE r.rollup_id = own_rollup.rollup_id) AS r
          ON c.relname IN (format('rollup_%s_rows', rollup_id), format('rollup_%s_base', rollup_id), format('rollup_%s_delta', rollup_id), r.name, r.name || '_state')
        WHERE c.relnamespace = 'cx'::regnamespace
    LOOP
        IF v_relation.owner <> v_owner THEN
            EXECUTE format('ALTER %s cx.%I OWNER TO %I', CASE v_relation.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, v_relation.relname, v_owner);
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.own_rollup(integer) IS 'Gives the tables and views of a rollup to the owner of the store.';

CREATE FUNCTION cxm.drop_rollup(name text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    v_id constant integer := cxm.rollup_number(name);
BEGIN
    PERFORM cxm.remove_rollup_triggers(v_id, t.relation) FROM cxm.rollup_tables(v_id) AS t ORDER BY t.relation::oid;
    EXECUTE format('DROP VIEW IF EXISTS cx.%I', name);
    EXECUTE format('DROP VIEW IF EXISTS cx.%I', name || '_state');
    EXECUTE format('DROP TABLE IF EXISTS cx.rollup_%1$s_base, cx.rollup_%1$s_delta', v_id);
    EXECUTE format('DROP VIEW IF EXISTS cx.rollup_%s_rows', v_id);
    DELETE FROM cx.partition_set AS p WHERE p.rollup_id = v_id;
    DELETE FROM cx.rollup AS r WHERE r.rollup_id = v_id;
END
$$;

COMMENT ON FUNCTION cxm.drop_rollup(text) IS
'Removes a rollup with its views, tables and triggers. Waits for whoever uses its source. Error when there is none of that name, and when views of yours are built on its views.';

---- folding

CREATE FUNCTION cxm.check_rollup_partitions(rollup_id integer) RETURNS void
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
BEGIN
    SELECT r.name, r.source INTO v_rollup FROM cx.rollup AS r WHERE r.rollup_id = check_rollup_partitions.rollup_id;
    IF NOT cxm.has_known_partitions(rollup_id, v_rollup.source) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('rollup "%s" does not count the partitions that table %s has', v_rollup.name, v_rollup.source),
            HINT = format('SELECT cxm.refresh_rollup(%L) first.', v_rollup.name);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_rollup_partitions(integer) IS 'Raises error 55000 when a rollup does not count the partitions that its source has.';

CREATE FUNCTION cxm.fold_rollup_now(rollup_id integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_layout record;
    v_rows bigint;
    v_is_empty boolean;
BEGIN
    -- what a backfill has still to count may have lost rows that base does not have
    IF (SELECT r.state FROM cx.rollup AS r WHERE r.rollup_id = fold_rollup_now.rollup_id) <> 'live' THEN
        RETURN 0;
    END IF;
    EXECUTE format('SELECT NOT EXISTS (SELECT FROM cx.rollup_%s_delta)', rollup_id) INTO v_is_empty;
    IF v_is_empty THEN
        RETURN 0;
    END IF;
    v_layout := cxm.rollup_layout(rollup_id);
    PERFORM cxm.check_rollup_partitions(rollup_id);
    v_rows := cxm.write_rollup(rollup_id, 'fold', format(
        'WITH gone AS MATERIALIZED (DELETE FROM cx.rollup_%1$s_delta RETURNING *), '
        'met AS MATERIALIZED (SELECT DISTINCT %2$s FROM gone), '
        'old AS (DELETE FROM cx.rollup_%1$s_base AS b USING met AS g '
        'WHERE hash_record_extended(ROW(%3$s), 0) = hash_record_extended(ROW(%4$s), 0) AND record_eq(ROW(%3$s), ROW(%4$s)) RETURNING b.*), '
        'added AS (INSERT INTO cx.rollup_%1$s_base (%2$s, %5$s) SELECT %2$s, %6$s '
        'FROM (SELECT weight, %2$s, %5$s FROM gone UNION ALL SELECT 1::smallint, %2$s, %5$s FROM old) AS u GROUP BY %2$s HAVING sum(u.n * u.weight) <> 0) '
        'SELECT count(*) FROM gone',
        rollup_id, v_layout.keys, 'b.' || replace(v_layout.keys, ', ', ', b.'), 'g.' || replace(v_layout.keys, ', ', ', g.'), v_layout.columns, v_layout.net));
    -- again, after the snapshot was taken: so no change is folded that was made while partitions were not known, and
    -- refresh_rollup() finds in the delta table all periods that such changes are in
    PERFORM cxm.check_rollup_partitions(rollup_id);
    UPDATE cx.rollup AS r SET folded_rows = v_rows WHERE r.rollup_id = fold_rollup_now.rollup_id;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.fold_rollup_now(integer) IS
'Folds what came and went in a rollup into its base table, in the caller''s transaction; returns the number of rows of the delta table that are folded. Waits while others fold it. Does nothing to a rollup that is not live. Error 55000 when partitions came or went.';

CREATE PROCEDURE cxm.fold_rollup(name text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_id integer := cxm.rollup_number(name);
    v_job text := 'fold_rollup ' OPERATOR(pg_catalog.||) name;
    v_run bigint := cxm.start_job(v_job);
    v_rows bigint;
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;
    IF cxm.lock_job(v_job) THEN
        PERFORM cxm.refresh_rollup(name);
        v_rows := cxm.fold_rollup_now(v_id);
        PERFORM cxm.finish_job(v_run, v_rows, pg_catalog.format('%s rows folded', v_rows));
    END IF;
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.fold_rollup(text) IS
'Folds what came and went in a rollup since the last run into its base table, in one transaction. Readers see the same before, meanwhile and after; no writer waits. Run by the owner of the store, outside a transaction.';

CREATE PROCEDURE cxm.fold_rollups()
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job('fold_rollups');
    v_rollup record;
    v_rows bigint := 0;
    v_rollups bigint := 0;
    v_refused bigint := 0;
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;
    FOR v_rollup IN SELECT r.rollup_id, r.name FROM cx.rollup AS r ORDER BY r.rollup_id LOOP
        EXIT WHEN NOT cxm.lock_job('fold_rollups');
        -- one that is broken keeps nobody else waiting
        BEGIN
            v_rows := v_rows OPERATOR(pg_catalog.+) cxm.refresh_rollup(v_rollup.name) OPERATOR(pg_catalog.+) cxm.fold_rollup_now(v_rollup.rollup_id);
            v_rollups := v_rollups OPERATOR(pg_catalog.+) 1;
        EXCEPTION
            WHEN OTHERS THEN
                v_refused := v_refused OPERATOR(pg_catalog.+) 1;
                RAISE WARNING 'rollup % cannot be folded: %', v_rollup.name, SQLERRM;
        END;
        PERFORM cxm.report_job(v_run, v_rows, pg_catalog.format('%s rows of %s rollups folded, %s rollups refused', v_rows, v_rollups, v_refused));
        COMMIT;
    END LOOP;
    PERFORM cxm.finish_job(v_run, v_rows, pg_catalog.format('%s rows of %s rollups folded, %s rollups refused', v_rows, v_rollups, v_refused));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.fold_rollups() IS
'Takes new partitions into all rollups (cxm.refresh_rollup) and folds these, committing after each; one that cannot be folded is a WARNING. Run by the owner of the store, outside a transaction.';

---- partitions that come and go

CREATE FUNCTION cxm.rollup_next_period(rollup_id integer, period timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
    v_step interval;
    v_next timestamptz;
BEGIN
    IF NOT isfinite(period) THEN
        RETURN NULL;
    END IF;
    SELECT r.bucket, r.time_zone, r.week_start INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = rollup_next_period.rollup_id;
    -- into the next one, whatever clocks do meanwhile, and not beyond it
    v_step := coalesce(cxm.rollup_interval(v_rollup.bucket) * 1.5,
                       CASE v_rollup.bucket WHEN 'hour' THEN interval '90 minutes' WHEN 'quarter' THEN interval '3 months 12 hours'
                       ELSE ('1 ' || v_rollup.bucket || ' 12 hours')::interval END);
    EXECUTE format('SELECT %s', cxm.rollup_period('$1', v_rollup.bucket, v_rollup.time_zone, v_rollup.week_start)) INTO v_next
    USING CASE WHEN v_rollup.bucket = 'hour' OR cxm.rollup_interval(v_rollup.bucket) IS NOT NULL THEN period + v_step
               ELSE (period AT TIME ZONE v_rollup.time_zone + v_step) AT TIME ZONE v_rollup.time_zone END;
    RETURN v_next;
END
$$;

COMMENT ON FUNCTION cxm.rollup_next_period(integer, timestamptz) IS 'The start of the period of a rollup that follows the one that begins at a time; NULL after an infinite one.';

CREATE FUNCTION cxm.uncovered_ranges(relation regclass, time_column text, OUT from_at timestamptz, OUT to_at timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_partitioned_table AS p JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
                   WHERE p.partrelid = relation AND p.partstrat = 'r' AND p.partnatts = 1 AND a.attname = time_column AND a.atttypid = 'timestamptz'::regtype) THEN
        RETURN NEXT;
        RETURN;
    END IF;
    RETURN QUERY
    WITH bound AS (
        SELECT CASE b.ends[1] WHEN 'MINVALUE' THEN '-infinity' ELSE btrim(b.ends[1], '''') END::timestamptz AS from_at,
               CASE b.ends[2] WHEN 'MAXVALUE' THEN 'infinity' ELSE btrim(b.ends[2], '''') END::timestamptz AS to_at
        FROM pg_inherits AS i
        JOIN pg_class AS c ON c.oid = i.inhrelid AND c.relispartition
        CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), '^FOR VALUES FROM [(](.*)[)] TO [(](.*)[)]$') AS b(ends)
        WHERE i.inhparent = relation AND b.ends IS NOT NULL
    ), edge AS (
        -- what lies before each, and after the last
        SELECT lag(b.to_at, 1, '-infinity') OVER (ORDER BY b.from_at) AS from_at, b.from_at AS to_at FROM bound AS b
        UNION ALL
        SELECT coalesce(max(b.to_at), '-infinity'), 'infinity' FROM bound AS b
    )
    SELECT nullif(e.from_at, '-infinity'), nullif(e.to_at, 'infinity') FROM edge AS e WHERE e.from_at < e.to_at ORDER BY e.from_at;
END
$$;

COMMENT ON FUNCTION cxm.uncovered_ranges(regclass, text) IS
'The times for which a table that is partitioned by them has no partition, or only its default one: where the rows of partitions that were dropped have been. NULL = without end; one row of NULLs for a table that is partitioned by something else.';

CREATE FUNCTION cxm.is_inherited(relation regclass) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhparent WHERE i.inhrelid = relation OR i.inhparent = relation AND c.relkind = 'r');
END
$$;

COMMENT ON FUNCTION cxm.is_inherited(regclass) IS 'Whether a table takes part in inheritance, or is a partition: statements on other tables may reach it, or its children.';

CREATE FUNCTION cxm.take_partitions(rollup_id integer, OUT came regclass[], OUT is_less boolean) RETURNS record
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
    v_change record;
BEGIN
    SELECT r.name, r.source INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = take_partitions.rollup_id;
    IF cxm.is_inherited(v_rollup.source) THEN
        RAISE feature_not_supported USING
            MESSAGE = format('table %s takes part in inheritance, or has become a partition', v_rollup.source),
            DETAIL = format('Statements on other tables reach it, or its children, without firing the triggers of rollup "%s".', v_rollup.name),
            HINT = format('End that, and CALL cxm.backfill_rollup(%1$L); or SELECT cxm.drop_rollup(%1$L).', v_rollup.name);
    ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'partitions cannot be counted in a transaction that does not see what others have written since it began',
            HINT = 'Do it in a transaction that is READ COMMITTED.';
    END IF;

    came := '{}';
    FOR v_change IN
        SELECT coalesce(m.member, t.relation)::regclass AS relation, m.member IS NULL AS is_gone
        FROM cxm.table_members(v_rollup.source) AS m FULL JOIN cxm.rollup_tables(rollup_id) AS t ON t.relation = m.member
        WHERE m.member IS NULL OR t.relation IS NULL
        ORDER BY 1
    LOOP
        IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = v_change.relation) = 'f' THEN
            RAISE feature_not_supported USING
                MESSAGE = format('table %s has foreign tables as partitions', v_rollup.source),
                HINT = format('Detach %s.', v_change.relation);
        END IF;
        PERFORM cxm.lock_rollup_source(v_change.relation);
        IF v_change.is_gone THEN
            PERFORM cxm.remove_rollup_triggers(rollup_id, v_change.relation);
        ELSE
            PERFORM cxm.add_rollup_triggers(rollup_id, v_change.relation);
        END IF;
        came := came || v_change.relation;
    END LOOP;

    -- what of the set can be looked at no more
    is_less := NOT EXISTS (SELECT FROM cx.partition_set AS p WHERE p.rollup_id = take_partitions.rollup_id AND p.partitions IS NOT NULL)
               OR EXISTS (SELECT FROM cx.partition_set AS p CROSS JOIN unnest(p.partitions) AS m(member)
                          WHERE p.rollup_id = take_partitions.rollup_id AND NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = m.member));
    PERFORM cxm.know_rollup_partitions(rollup_id);
END
$$;

COMMENT ON FUNCTION cxm.take_partitions(integer) IS
'Has a rollup count the partitions that its source has, from now on: puts triggers on new ones (came, with the rows in them not counted yet) and removes those of detached ones (came, with the rows in them counted still). is_less: others were dropped, and what they held is counted still. Error 0A000 where rows cannot be counted, 55000 in a transaction that is not READ COMMITTED.';

CREATE FUNCTION cxm.refresh_rollup(name text) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id constant integer := cxm.rollup_number(name);
    v_rollup record;
    v_taken record;
    v_range record;
    v_period text;
    v_periods text;
    v_from timestamptz;
    v_to timestamptz;
    v_rows bigint := 0;
BEGIN
    SELECT r.source, r.state, r.time_column, r.bucket, r.time_zone, r.week_start INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = v_id;
    IF NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = v_rollup.source)
       OR cxm.has_known_partitions(v_id, v_rollup.source)
          AND NOT EXISTS (SELECT FROM cxm.table_members(v_rollup.source) AS m LEFT JOIN cxm.rollup_tables(v_id) AS t ON t.relation = m.member WHERE t.relation IS NULL) THEN
        RETURN 0;
    END IF;
    IF cxm.is_inherited(v_rollup.source) THEN
        -- for as long as it is one nobody sees all that changes
        RAISE WARNING 'rollup % cannot be kept: table % takes part in inheritance, or has become a partition', name, v_rollup.source
            USING HINT = format('End that, and CALL cxm.backfill_rollup(%1$L); or SELECT cxm.drop_rollup(%1$L).', name);
        UPDATE cx.rollup AS r SET state = 'pending', backfill_from = NULL WHERE r.rollup_id = v_id AND r.state = 'live';
        RETURN 0;
    END IF;
    v_taken := cxm.take_partitions(v_id);
    IF v_rollup.state <> 'live' THEN
        RETURN 0;
    ELSIF cxm.rollup_time(v_id) IS NULL THEN
        RAISE undefined_column USING
            MESSAGE = format('column "%s" of table %s does not exist', v_rollup.time_column, v_rollup.source),
            DETAIL = format('Rollup "%s" cuts its periods from it.', name),
            HINT = 'If it was renamed, say so: UPDATE cx.rollup SET time_column = ....';
    END IF;

    -- counted anew are the periods of all rows in partitions that came or went; and of all changes since the last fold, for
    -- rows that were not counted may have been changed or removed through the table
    v_period := cxm.rollup_period(cxm.rollup_time(v_id), v_rollup.bucket, v_rollup.time_zone, v_rollup.week_start);
    v_periods := format('SELECT d.period FROM cx.rollup_%s_delta AS d', v_id)
                 || coalesce((SELECT string_agg(format(' UNION ALL SELECT %s FROM ONLY %s AS t', v_period, m.member), '')
                              FROM unnest(v_taken.came) AS m(member) JOIN pg_class AS c ON c.oid = m.member AND c.relkind = 'r'), '');
    FOR v_range IN EXECUTE format('SELECT min(p.period) AS from_at, max(p.period) AS to_at, coalesce(bool_or(p.period IS NULL), false) AS is_undated FROM (%s) AS p', v_periods) LOOP
        IF v_range.is_undated OR v_range.from_at IS NOT NULL THEN
            v_rows := v_rows + cxm.backfill_rollup_range(v_id, CASE WHEN NOT v_range.is_undated AND isfinite(v_range.from_at) THEN v_range.from_at END,
                                                         cxm.rollup_next_period(v_id, v_range.to_at));
        END IF;
    END LOOP;
    IF v_taken.is_less THEN
        FOR v_range IN SELECT u.from_at, u.to_at FROM cxm.uncovered_ranges(v_rollup.source, v_rollup.time_column) AS u LOOP
            EXECUTE format('SELECT %s, %s', cxm.rollup_period('$1', v_rollup.bucket, v_rollup.time_zone, v_rollup.week_start),
                                            cxm.rollup_period('$2', v_rollup.bucket, v_rollup.time_zone, v_rollup.week_start))
            INTO v_from, v_to USING v_range.from_at, v_range.to_at;
            v_rows := v_rows + cxm.backfill_rollup_range(v_id, v_from, cxm.rollup_next_period(v_id, v_to));
        END LOOP;
    END IF;
    UPDATE cx.rollup AS r SET backfilled_at = clock_timestamp() WHERE r.rollup_id = v_id;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.refresh_rollup(text) IS
'Takes partitions that were attached to the source of a rollup into it, and those that were detached or dropped out of it, with the rows that are or were in them; returns the number of rows that were counted anew: those of the periods concerned, or all when a partition was dropped of a table that is not partitioned by time. Until then the rollup cannot be read; in the transaction that attaches, detaches or drops, it is exact for everybody at all times. Error 55000 in a transaction that is not READ COMMITTED.';

---- checking

CREATE FUNCTION cxm.rollup_check(name text, OUT period timestamptz, OUT dimensions jsonb, OUT kept jsonb, OUT counted jsonb) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id constant integer := cxm.rollup_number(name);
    v_layout constant record := cxm.rollup_layout(v_id);
    v_dimensions text;
    v_kept text := $sql$'rows', coalesce(sum(u.n) FILTER (WHERE u.side = 0), 0)$sql$;
    v_counted text := $sql$'rows', coalesce(sum(u.n) FILTER (WHERE u.side = 1), 0)$sql$;
    v_equal text := 'coalesce(sum(u.n) FILTER (WHERE u.side = 0), 0) = coalesce(sum(u.n) FILTER (WHERE u.side = 1), 0)';
    v_part record;
BEGIN
    SELECT coalesce(string_agg(format('%L, u.k%s', d.value ->> 0, d.i), ', ' ORDER BY d.i), '') INTO v_dimensions
    FROM cx.rollup AS r CROSS JOIN LATERAL jsonb_array_elements(r.dimensions) WITH ORDINALITY AS d(value, i)
    WHERE r.rollup_id = v_id;
    -- what went is added to what is counted, so that nothing has to be taken away that may not be there
    FOR v_part IN
        SELECT m.value ->> 'name' AS name, c.number, substr(v_layout.kinds, m.i::integer, 1) = 'r' AS is_ratings, c.is_shown
        FROM cx.rollup AS r
        CROSS JOIN LATERAL jsonb_array_elements(r.measures) WITH ORDINALITY AS m(value, i)
        CROSS JOIN LATERAL (SELECT format('m%s', m.i) AS number, true AS is_shown UNION ALL SELECT format('m%s_n', m.i), false WHERE substr(v_layout.kinds, m.i::integer, 1) = 's') AS c
        WHERE r.rollup_id = v_id ORDER BY m.i
    LOOP
        IF v_part.is_ratings THEN
            v_kept := v_kept || format(', %L, (cxm.rollup(u.%s) FILTER (WHERE u.side = 0))::text', v_part.name, v_part.number);
            v_counted := v_counted || format(', %L, (cxm.rollup(u.%s) FILTER (WHERE u.side = 1))::text', v_part.name, v_part.number);
            -- a scale without scores is as good as none
            v_equal := v_equal || format($sql$ AND CASE WHEN coalesce(cxm.count(cxm.rollup(u.%1$s) FILTER (WHERE u.side = 0)), 0) = 0
                THEN coalesce(cxm.count(cxm.rollup(u.%1$s) FILTER (WHERE u.side = 1)), 0) = 0
                ELSE coalesce(cxm.rollup(u.%1$s) FILTER (WHERE u.side = 0) OPERATOR(cxm.=) cxm.rollup(u.%1$s) FILTER (WHERE u.side = 1), false) END$sql$, v_part.number);
        ELSE
            IF v_part.is_shown THEN
                v_kept := v_kept || format(', %L, coalesce(sum(u.%s) FILTER (WHERE u.side = 0), 0)', v_part.name, v_part.number);
                v_counted := v_counted || format(', %L, coalesce(sum(u.%s) FILTER (WHERE u.side = 1), 0)', v_part.name, v_part.number);
            END IF;
            v_equal := v_equal || format(' AND coalesce(sum(u.%1$s) FILTER (WHERE u.side = 0), 0) = coalesce(sum(u.%1$s) FILTER (WHERE u.side = 1), 0)', v_part.number);
        END IF;
    END LOOP;
    RETURN QUERY EXECUTE format($sql$
        SELECT u.period, jsonb_build_object(%1$s), jsonb_build_object(%2$s), jsonb_build_object(%3$s)
        FROM (
            SELECT 0 AS side, %4$s FROM cx.rollup_%5$s_base
            UNION ALL
            SELECT CASE WHEN weight > 0 THEN 0 ELSE 1 END, %4$s FROM cx.rollup_%5$s_delta
            UNION ALL
            SELECT 1, %4$s FROM (SELECT %6$s, %7$s FROM cx.rollup_%5$s_rows AS v GROUP BY %6$s) AS c
        ) AS u
        GROUP BY %6$s
        HAVING NOT (%8$s)
        ORDER BY 1, 2$sql$,
        v_dimensions, v_kept, v_counted, v_layout.keys || ', ' || v_layout.columns, v_id, v_layout.keys, v_layout.counted, v_equal);
END
$$;

COMMENT ON FUNCTION cxm.rollup_check(text) IS
'Counts the source of a rollup anew and compares, in one snapshot, under writers: a row for each group that differs, with its period and dimensions, what is kept and what is counted (with what has gone and is not yet folded added to both); none when all is well. Reads every row. What makes a difference: a partition that was attached, detached or dropped (cxm.refresh_rollup), triggers that were off, a function of yours that was changed. CALL cxm.backfill_rollup() mends it.';

CREATE FUNCTION cxm.rollup_problem(rollup_id integer) RETURNS text
LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
    v_tables text;
BEGIN
    SELECT r.name, r.source, r.state INTO STRICT v_rollup FROM cx.rollup AS r WHERE r.rollup_id = rollup_problem.rollup_id;
    IF NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = v_rollup.source) THEN
        RETURN format('its source was dropped: SELECT cxm.drop_rollup(%L)', v_rollup.name);
    ELSIF to_regclass(format('cx.rollup_%s_rows', rollup_id)) IS NULL THEN
        RETURN format('a column or function that it reads was dropped: SELECT cxm.drop_rollup(%L), or put it back and SELECT cxm.upgrade_store()', v_rollup.name);
    ELSIF to_regclass(format('cx.rollup_%s_base', rollup_id)) IS NULL OR to_regclass(format('cx.rollup_%s_delta', rollup_id)) IS NULL
          OR to_regclass(format('cx.%I', v_rollup.name)) IS NULL OR NOT EXISTS (SELECT FROM cxm.rollup_tables(rollup_id) AS t WHERE t.relation = v_rollup.source) THEN
        RETURN 'a part of it was dropped: SELECT cxm.upgrade_store()';
    END IF;

    SELECT string_agg(coalesce(m.member, t.relation)::regclass::text, ', ' ORDER BY coalesce(m.member, t.relation)::regclass::text) INTO v_tables
    FROM cxm.table_members(v_rollup.source) AS m FULL JOIN cxm.rollup_tables(rollup_id) AS t ON t.relation = m.member
    WHERE m.member IS NULL OR t.relation IS NULL;
    IF cxm.is_inherited(v_rollup.source) THEN
        RETURN format('its source takes part in inheritance, or has become a partition: end that and CALL cxm.backfill_rollup(%L)', v_rollup.name);
    ELSIF v_tables IS NOT NULL OR NOT cxm.has_known_partitions(rollup_id, v_rollup.source) THEN
        RETURN format('partitions came or went%s: SELECT cxm.refresh_rollup(%L)', ' (' || v_tables || ')', v_rollup.name);
    END IF;
    SELECT string_agg(m.member::regclass::text, ', ' ORDER BY m.member::regclass::text) INTO v_tables
    FROM cxm.table_members(v_rollup.source) AS m JOIN cxm.rollup_tables(rollup_id) AS t ON t.relation = m.member
    WHERE t.triggers <> CASE (SELECT c.relkind FROM pg_class AS c WHERE c.oid = m.member) WHEN 'r' THEN 4 ELSE 3 END;
    IF v_tables IS NOT NULL THEN
        RETURN format('triggers are off or missing (%s): SELECT cxm.upgrade_store()', v_tables);
    END IF;
    RETURN CASE v_rollup.state WHEN 'pending' THEN format('what was there before is not counted yet: CALL cxm.backfill_rollup(%L)', v_rollup.name) END;
END
$$;

COMMENT ON FUNCTION cxm.rollup_problem(integer) IS 'What keeps a rollup from being exact, and what to do; NULL when nothing is known. Looks at what there is, not at rows: cxm.rollup_check() does.';

---- DROP EXTENSION ... CASCADE, and stores made before

CREATE FUNCTION cxm.restore_rollups() RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
    v_layout record;
    v_columns integer;
    v_is_whole boolean;
    v_mended integer := 0;
    v_uncounted integer[];
    v_trigger record;
BEGIN
    IF to_regclass('cx.rollup') IS NULL THEN
        PERFORM cxm.create_rollup_tables();
        RETURN 0;
    END IF;
    -- of each rollup before the first is mended: they share triggers
    v_uncounted := ARRAY(
        SELECT r.rollup_id
        FROM cx.rollup AS r
        WHERE EXISTS (
            SELECT FROM cxm.table_members(r.source) AS m LEFT JOIN cxm.rollup_tables(r.rollup_id) AS t ON t.relation = m.member
            WHERE t.triggers IS DISTINCT FROM CASE (SELECT c.relkind FROM pg_class AS c WHERE c.oid = m.member) WHEN 'r' THEN 4 ELSE 3 END
        )
    );
    FOR v_rollup IN
        SELECT r.rollup_id, r.name, r.source FROM cx.rollup AS r
        WHERE EXISTS (SELECT FROM pg_class AS c WHERE c.oid = r.source)
        ORDER BY r.rollup_id
    LOOP
        v_is_whole := true;
        v_layout := cxm.rollup_layout(v_rollup.rollup_id);
        IF to_regclass(format('cx.rollup_%s_rows', v_rollup.rollup_id)) IS NULL THEN
            BEGIN
                PERFORM cxm.make_rollup_rows(v_rollup.rollup_id);
            EXCEPTION
                WHEN undefined_column OR undefined_function OR undefined_object OR undefined_table THEN
                    RAISE WARNING 'rollup % cannot be put back: %', v_rollup.name, SQLERRM;
                    CONTINUE;
            END;
            v_is_whole := false;
        END IF;
        -- columns of the extension's types went with it
        SELECT count(*) INTO v_columns
        FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass(format('cx.rollup_%s_base', v_rollup.rollup_id)) AND a.attnum > 0 AND NOT a.attisdropped;
        IF v_columns <> v_layout.nkeys + 1 + length(v_layout.kinds) + length(replace(replace(v_layout.kinds, 'c', ''), 'r', ''))
           OR to_regclass(format('cx.rollup_%s_delta', v_rollup.rollup_id)) IS NULL THEN
            EXECUTE format('DROP VIEW IF EXISTS cx.%I, cx.%I', v_rollup.name, v_rollup.name || '_state');
            EXECUTE format('DROP TABLE IF EXISTS cx.rollup_%1$s_base, cx.rollup_%1$s_delta', v_rollup.rollup_id);
            PERFORM cxm.make_rollup_tables(v_rollup.rollup_id);
            v_is_whole := false;
        END IF;
        PERFORM cxm.make_rollup_guards(v_rollup.rollup_id);
        PERFORM cxm.make_rollup_views(v_rollup.rollup_id);
        PERFORM cxm.own_rollup(v_rollup.rollup_id);
        IF v_rollup.rollup_id = ANY (v_uncounted) THEN
            PERFORM cxm.lock_rollup_source(v_rollup.source);
            PERFORM cxm.add_rollup_triggers(v_rollup.rollup_id, m.member) FROM cxm.table_members(v_rollup.source) AS m;
            -- those that are off; and those by which each rollup had its own
            FOR v_trigger IN
                SELECT t.tgname, t.tgrelid::regclass AS relation, starts_with(t.tgname, 'cxm_rollup_') AS is_shared
                FROM pg_trigger AS t
                WHERE t.tgfoid IN ('cxm.rollup_delta()'::regprocedure, 'cxm.rollup_partition()'::regprocedure)
                  AND (t.tgenabled = 'D' OR starts_with(t.tgname, format('rollup_%s_', v_rollup.rollup_id)))
                  AND t.tgrelid IN (SELECT m.member FROM cxm.table_members(v_rollup.source) AS m)
            LOOP
                EXECUTE format(CASE WHEN v_trigger.is_shared THEN 'ALTER TABLE %1$s ENABLE TRIGGER %2$I' ELSE 'DROP TRIGGER %2$I ON %1$s' END, v_trigger.relation, v_trigger.tgname);
            END LOOP;
            v_is_whole := false;
        END IF;
        IF NOT v_is_whole OR NOT cxm.has_known_partitions(v_rollup.rollup_id, v_rollup.source) THEN
            v_mended := v_mended + 1;
            PERFORM cxm.know_rollup_partitions(v_rollup.rollup_id);
            PERFORM cxm.backfill_rollup_step(v_rollup.rollup_id, '{}', 1);
        END IF;
    END LOOP;
    RETURN v_mended;
END
$$;

COMMENT ON FUNCTION cxm.restore_rollups() IS
'Makes what rollups need where a store lacks it: their table, views, triggers, policies, columns; what had to be made anew is counted anew, while writers wait. Returns how many rollups that were. Called by cxm.upgrade_store(). A rollup whose column or function is gone is a WARNING.';

CREATE FUNCTION cxm.rollup_status(OUT name text, OUT source text, OUT bucket text, OUT time_zone text, OUT state text, OUT problem text,
                                  OUT group_count bigint, OUT delta_count bigint, OUT backfill_rows bigint, OUT backfilled_at timestamptz, OUT folded_rows bigint, OUT folded_at timestamptz) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rollup record;
BEGIN
    FOR v_rollup IN SELECT r.* FROM cx.rollup AS r ORDER BY r.name LOOP
        name := v_rollup.name;
        source := v_rollup.source::text;
        bucket := v_rollup.bucket;
        time_zone := v_rollup.time_zone;
        state := v_rollup.state;
        problem := cxm.rollup_problem(v_rollup.rollup_id);
        -- as statistics have them: -1 where there are none
        group_count := (SELECT nullif(c.reltuples, -1)::bigint FROM pg_class AS c WHERE c.oid = to_regclass(format('cx.rollup_%s_base', v_rollup.rollup_id)));
        delta_count := pg_stat_get_live_tuples(to_regclass(format('cx.rollup_%s_delta', v_rollup.rollup_id)));
        backfill_rows := v_rollup.backfill_rows;
        backfilled_at := v_rollup.backfilled_at;
        folded_rows := v_rollup.folded_rows;
        folded_at := v_rollup.folded_at;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.rollup_status() IS 'The rollups of the store and how they stand, by name; columns as in cx.rollup_status.';
