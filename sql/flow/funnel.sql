-- Funnels over the store: steps by name, customers by step, what they are broken down by.

---- Names

CREATE FUNCTION cxm.funnel_exclusion_codes(exclusions jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_key text;
BEGIN
    IF jsonb_typeof(coalesce(exclusions, '[]')) <> 'array'
        OR EXISTS (SELECT FROM jsonb_array_elements(exclusions) AS x WHERE jsonb_typeof(x) <> 'object' OR jsonb_typeof(x -> 'step') IS DISTINCT FROM 'string') THEN
        RAISE EXCEPTION 'exclusions must be a JSON array of objects with a step'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Write ''[{"step": "refund", "from": 1, "to": 2}]''; from and to are numbers of steps, and may be left out.';
    END IF;
    SELECT k INTO v_key FROM jsonb_array_elements(exclusions) AS x, jsonb_object_keys(x) AS k WHERE k NOT IN ('step', 'from', 'to') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'an exclusion has no "%"', v_key
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It has step, from and to.';
    END IF;
    RETURN (SELECT coalesce(jsonb_agg(x - 'step' || jsonb_build_object('codes', cxm.journey_codes(x ->> 'step')) ORDER BY n), '[]')
            FROM jsonb_array_elements(exclusions) WITH ORDINALITY AS e (x, n));
END
$$;

COMMENT ON FUNCTION cxm.funnel_exclusion_codes(jsonb) IS
'Exclusions of a report, [{"step": name, "from": 1, "to": 2}, ...], as cxm.funnel() takes them, with codes for names. NULL is none. Error 22023 for another shape, 42704 for an unknown name.';

---- Customers

CREATE FUNCTION cxm.funnel_customers(
    steps text[],
    within interval,
    mode text DEFAULT 'strict_once',
    during tstzrange DEFAULT NULL,
    breakdown text DEFAULT NULL,
    attribution text DEFAULT NULL,
    exclusions jsonb DEFAULT '[]',
    on_exclusion text DEFAULT 'remove',
    profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    profile_id bigint,
    value text,
    level integer,
    times timestamptz[])
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100000
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_n integer := coalesce(cardinality(steps), 0);
    v_steps jsonb;
    v_exclusions jsonb;
    v_step integer := 0;
    v_codes integer[];
    v_step_codes integer[];
    v_record text;
    v_journey text;
BEGIN
    PERFORM cxm.store_version();
    IF within IS NULL OR mode IS NULL OR on_exclusion IS NULL THEN
        RAISE EXCEPTION '% of a funnel must not be null', CASE WHEN within IS NULL THEN 'within' WHEN mode IS NULL THEN 'mode' ELSE 'on_exclusion' END
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT coalesce(jsonb_agg(to_jsonb(cxm.journey_codes(s)) ORDER BY n), '[]') INTO v_steps FROM unnest(steps) WITH ORDINALITY AS u (s, n);
    v_exclusions := cxm.funnel_exclusion_codes(exclusions);
    -- what is wrong with these is an error on an empty store, too
    PERFORM cxm.funnel('{}', v_steps, within, mode, v_exclusions, on_exclusion);

    IF breakdown IS NULL THEN
        IF attribution IS NOT NULL THEN
            RAISE EXCEPTION 'attribution says nothing without a breakdown'
                USING ERRCODE = 'invalid_parameter_value', HINT = 'Say what to break down by, such as breakdown => ''touchpoint''.';
        END IF;
        RETURN QUERY
        SELECT c.profile_id, NULL::text, cardinality(c.times), c.times
        FROM (SELECT j.profile_id, cxm.funnel_times(j.journey, v_steps, within, mode, v_exclusions, on_exclusion) AS times
              FROM cxm.journeys(during, profile_ids) AS j) AS c
        WHERE cardinality(c.times) > 0;
        RETURN;
    END IF;

    PERFORM cxm.check_breakdown(breakdown);
    IF breakdown ~ '^trait:' THEN
        IF attribution IS NOT NULL THEN
            RAISE EXCEPTION 'attribution says nothing about a trait'
                USING ERRCODE = 'invalid_parameter_value', DETAIL = 'A trait is of the customer, so all steps have the same.';
        END IF;
        RETURN QUERY
        SELECT c.profile_id, t.value, c.level, c.times
        FROM cxm.funnel_customers(steps, within, mode, during, NULL, NULL, exclusions, on_exclusion, profile_ids) AS c
        LEFT JOIN cxm.trait_values(substr(breakdown, 7)) AS t ON t.profile_id = c.profile_id;
        RETURN;
    END IF;

    attribution := coalesce(attribution, 'first');
    IF attribution ~ '^step [1-9][0-9]{0,6}$' THEN
        v_step := substr(attribution, 6)::integer;
    END IF;
    IF v_step > v_n OR (v_step = 0 AND attribution NOT IN ('first', 'last', 'all')) THEN
        RAISE EXCEPTION 'a breakdown cannot be attributed to "%"', attribution
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Attribution is first, last, all, or a step from "step 1" to "step %s".', v_n);
    END IF;

    -- the records of the steps with their values; where whatever comes between counts, all records
    SELECT coalesce(array_agg(DISTINCT c::integer), '{}') INTO v_step_codes FROM jsonb_array_elements(v_steps) AS s, jsonb_array_elements_text(s) AS c;
    SELECT v_step_codes || array_agg(DISTINCT c::integer) INTO v_codes FROM jsonb_array_elements(v_exclusions) AS x, jsonb_array_elements_text(x -> 'codes') AS c;
    v_record := cxm.breakdown_query(breakdown, CASE WHEN mode ~ E'\\mstrict(_order)?\\M' THEN 'NULL::integer[]' ELSE '$6' END)
        || ' WHERE true'
        || CASE WHEN during IS NOT NULL THEN ' AND r.occurred_at <@ $4' ELSE '' END
        || CASE WHEN profile_ids IS NOT NULL THEN ' AND p.canonical_id IN (SELECT o.canonical_id FROM cx.profile AS o WHERE o.profile_id = ANY ($5))' ELSE '' END;

    IF attribution IN ('first', 'last') THEN
        RETURN QUERY EXECUTE format($query$
            WITH valued AS (
                SELECT DISTINCT ON (r.profile_id) r.profile_id, r.value
                FROM (%s
                ) AS r
                WHERE r.value IS NOT NULL AND r.code = ANY ($9)
                ORDER BY r.profile_id, r.at %s, r.value
            )
            SELECT c.profile_id, v.value, cardinality(c.times), c.times
            FROM (SELECT j.profile_id, cxm.funnel_times(j.journey, $1, $2, $3, $7, $8) AS times FROM cxm.journeys($4, $5) AS j) AS c
            LEFT JOIN valued AS v ON v.profile_id = c.profile_id
            WHERE cardinality(c.times) > 0$query$, v_record, CASE attribution WHEN 'last' THEN 'DESC' ELSE '' END)
            USING v_steps, within, mode, during, profile_ids, v_codes, v_exclusions, on_exclusion, v_step_codes;
        RETURN;
    END IF;

    /*
     * A funnel for each value that a customer has. Codes are doubled; odd are those of records with the value. Of step
     * 0, which is all steps, only they are in the journey; else they alone fulfil the step, and any fulfils the others.
     */
    SELECT jsonb_agg((SELECT coalesce(jsonb_agg(x.code), '[]')
                      FROM jsonb_array_elements_text(s) AS c, LATERAL (VALUES (2 * c::integer + 1, true), (2 * c::integer, n <> v_step)) AS x (code, counts)
                      WHERE x.counts) ORDER BY n)
    INTO v_steps FROM jsonb_array_elements(v_steps) WITH ORDINALITY AS u (s, n);
    SELECT coalesce(jsonb_agg(x || jsonb_build_object('codes', (SELECT coalesce(jsonb_agg(y.code), '[]') FROM jsonb_array_elements_text(x -> 'codes') AS c, LATERAL (VALUES (2 * c::integer + 1), (2 * c::integer)) AS y (code)))), '[]')
    INTO v_exclusions FROM jsonb_array_elements(v_exclusions) AS x;
    v_journey := CASE v_step
        WHEN 0 THEN 'SELECT r.profile_id, r.value, cxm.journey_agg(r.at, 2 * r.code + 1) AS journey FROM record AS r GROUP BY 1, 2'
        ELSE $query$
            -- of the whole journey, the records with the value are put in anew; who never came to the step has no value
            SELECT v.profile_id, CASE WHEN v.somebody THEN v.value END AS value,
                   CASE WHEN v.somebody THEN v.whole OPERATOR(cxm.-) v.even OPERATOR(cxm.+) v.odd ELSE v.whole END AS journey
            FROM (SELECT r.*, bool_or(r.is_there) OVER w AS somebody, cxm.rollup(r.even) OVER w AS whole, row_number() OVER w AS n
                  FROM (SELECT x.profile_id, x.value, bool_or(x.code = ANY ($9)) AS is_there,
                               cxm.journey_agg(x.at, 2 * x.code) AS even, cxm.journey_agg(x.at, 2 * x.code + 1) AS odd
                        FROM record AS x GROUP BY 1, 2) AS r
                  WINDOW w AS (PARTITION BY r.profile_id)) AS v
            WHERE v.is_there OR (NOT v.somebody AND v.n = 1)$query$
        END;
    RETURN QUERY EXECUTE format($query$
        WITH record AS (%s
        )
        SELECT c.profile_id, c.value, cardinality(c.times), c.times
        FROM (SELECT j.profile_id, j.value, cxm.funnel_times(j.journey, $1, $2, $3, $7, $8) AS times FROM (%s) AS j) AS c
        WHERE cardinality(c.times) > 0$query$, v_record, v_journey)
        USING v_steps, within, mode, during, profile_ids, v_codes, v_exclusions, on_exclusion,
              CASE WHEN v_step > 0 THEN cxm.journey_codes(steps[v_step]) END;
END
$$;

COMMENT ON FUNCTION cxm.funnel_customers(text[], interval, text, tstzrange, text, text, jsonb, text, bigint[]) IS
'How far each customer came: a row for each that reached step 1 (and each value of the breakdown), with the highest step (level) and the time of each step. steps are names as cxm.journey_codes() takes them; within, mode, on_exclusion as in cxm.funnel(), exclusions with a step by name, [{"step": "refund", "from": 1, "to": 2}]. during: only records in this range; NULL = all. profile_ids: only these customers; NULL = all. breakdown: touchpoint, location, region, product, category, employee, source, kind, metric, currency or property:NAME of the records, or trait:NAME of the customer; value is NULL where there is none. attribution: first (default) or last = the value of the first or last record of any step that has one; all = a funnel for each value, of the records with it alone; step N = a funnel for each value that records of step N have, where only records with it fulfil that step. Errors: 22023 for an unknown breakdown, attribution, mode or shape, 42704 for an unknown step, 22004 for NULL in within, mode or on_exclusion.';

---- Reports

CREATE FUNCTION cxm.funnel_report(
    steps text[],
    within interval,
    mode text DEFAULT 'strict_once',
    during tstzrange DEFAULT NULL,
    breakdown text DEFAULT NULL,
    attribution text DEFAULT NULL,
    exclusions jsonb DEFAULT '[]',
    on_exclusion text DEFAULT 'remove',
    profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    value text,
    step_no integer,
    step text,
    customers bigint,
    conversion_from_first double precision,
    conversion_from_previous double precision,
    dropped bigint,
    median_from_previous interval,
    p90_from_previous interval,
    median_from_first interval,
    p90_from_first interval)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF coalesce(cardinality(steps), 0) = 0 THEN
        RAISE EXCEPTION 'a funnel needs a step'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Steps are names in their order, such as ARRAY[''visit'', ''purchase''].';
    END IF;
    RETURN QUERY
    WITH reached AS MATERIALIZED (
        SELECT c.value, k.n, count(*) AS customers,
               percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY extract(epoch FROM c.times[k.n] - c.times[k.n - 1])::double precision) AS from_previous,
               percentile_cont(ARRAY[0.5, 0.9]) WITHIN GROUP (ORDER BY CASE WHEN k.n > 1 THEN extract(epoch FROM c.times[k.n] - c.times[1])::double precision END) AS from_first
        FROM cxm.funnel_customers(steps, within, mode, during, breakdown, attribution, exclusions, on_exclusion, profile_ids) AS c
        CROSS JOIN LATERAL generate_series(1, c.level) AS k (n)
        GROUP BY c.value, k.n
    ), counted AS (
        SELECT g.value, s.n::integer AS n, s.step, coalesce(r.customers, 0) AS customers, r.from_previous, r.from_first
        FROM (SELECT DISTINCT r.value FROM reached AS r
              UNION
              -- what is not broken down has its steps also when nobody came
              SELECT NULL WHERE breakdown IS NULL) AS g
        CROSS JOIN unnest(steps) WITH ORDINALITY AS s (step, n)
        LEFT JOIN reached AS r ON r.value IS NOT DISTINCT FROM g.value AND r.n = s.n
    )
    SELECT c.value, c.n, c.step, c.customers,
           100.0::double precision * c.customers / nullif(first_value(c.customers) OVER w, 0),
           100.0::double precision * c.customers / nullif(lag(c.customers) OVER w, 0),
           lag(c.customers) OVER w - c.customers,
           make_interval(secs => c.from_previous[1]),
           make_interval(secs => c.from_previous[2]),
           make_interval(secs => c.from_first[1]),
           make_interval(secs => c.from_first[2])
    FROM counted AS c
    WINDOW w AS (PARTITION BY c.value ORDER BY c.n)
    ORDER BY max(c.customers) OVER (PARTITION BY c.value) DESC, c.value COLLATE "C", c.n;
END
$$;

COMMENT ON FUNCTION cxm.funnel_report(text[], interval, text, tstzrange, text, text, jsonb, text, bigint[]) IS
'The funnel of the store: a row for each step (and each value of the breakdown, the one with most customers first). customers reached the step; conversion_from_first and conversion_from_previous are in percent, 0 to 100, NULL where nobody could convert and, from_previous, at step 1; dropped reached the step before and not this one; median and 90th percentile of the time from the previous step and from the first, of those who came. In mode any_order step n is whatever they did n-th. Arguments and errors as in cxm.funnel_customers().';

CREATE FUNCTION cxm.funnel_dropoff(
    steps text[],
    within interval,
    after_step integer,
    mode text DEFAULT 'strict_once',
    during tstzrange DEFAULT NULL,
    breakdown text DEFAULT NULL,
    attribution text DEFAULT NULL,
    exclusions jsonb DEFAULT '[]',
    on_exclusion text DEFAULT 'remove',
    profile_ids bigint[] DEFAULT NULL)
RETURNS TABLE (
    profile_id bigint,
    value text,
    reached_at timestamptz)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10000
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF (after_step BETWEEN 1 AND cardinality(steps)) IS NOT TRUE THEN
        RAISE EXCEPTION 'nobody can drop off after step % of a funnel of % steps', coalesce(after_step::text, 'NULL'), coalesce(cardinality(steps), 0)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Steps are counted from 1.';
    END IF;
    RETURN QUERY
    SELECT c.profile_id, c.value, c.times[c.level]
    FROM cxm.funnel_customers(steps, within, mode, during, breakdown, attribution, exclusions, on_exclusion, profile_ids) AS c
    WHERE c.level = after_step
    ORDER BY c.times[c.level] DESC, c.profile_id, c.value COLLATE "C";
END
$$;

COMMENT ON FUNCTION cxm.funnel_dropoff(text[], interval, integer, text, tstzrange, text, text, jsonb, text, bigint[]) IS
'The customers who reached step after_step and no later one, the latest first: what dropped of the next row of cxm.funnel_report() counts, with the time of the last step that each reached. After the last step, those who came through. Error 22023 for a step that there is not; the other arguments and errors as in cxm.funnel_customers().';
