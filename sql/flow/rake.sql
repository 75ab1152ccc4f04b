-- Weighting a survey: raking and post-stratification of the answers that a query gives.

-- What weights make of the shares, a row a category.
CREATE FUNCTION cxm.rake_margins(ids bigint[], variables text[], labels text[], counts integer[], categories integer[], base_weights double precision[], weights double precision[])
RETURNS TABLE (place bigint, variable text, category text, answers bigint, base_share double precision, share double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH variable AS (
        SELECT v.place, v.name, pg_catalog.sum(v.n) OVER (ORDER BY v.place) - v.n AS first, v.n
        FROM ROWS FROM (pg_catalog.unnest(variables), pg_catalog.unnest(counts)) WITH ORDINALITY AS v(name, n, place)
    ), answer AS (
        SELECT (a.place - 1) / pg_catalog.cardinality(ids) + 1 AS variable, a.category,
               base_weights[(a.place - 1) % pg_catalog.cardinality(ids) + 1] AS base_weight, weights[(a.place - 1) % pg_catalog.cardinality(ids) + 1] AS weight
        FROM pg_catalog.unnest(categories) WITH ORDINALITY AS a(category, place)
    ), counted AS (
        SELECT a.variable, a.category, pg_catalog.count(*) AS answers, pg_catalog.sum(a.base_weight) AS base_weight, pg_catalog.sum(a.weight) AS weight
        FROM answer AS a WHERE a.category > 0 GROUP BY a.variable, a.category
    )
    SELECT l.place, v.name, l.label, coalesce(c.answers, 0),
           coalesce(c.base_weight, 0) / pg_catalog.sum(c.base_weight) OVER (PARTITION BY v.place), coalesce(c.weight, 0) / pg_catalog.sum(c.weight) OVER (PARTITION BY v.place)
    FROM variable AS v
    JOIN pg_catalog.unnest(labels) WITH ORDINALITY AS l(label, place) ON l.place > v.first AND l.place <= v.first + v.n
    LEFT JOIN counted AS c ON c.variable = v.place AND c.category = l.place - v.first
    ORDER BY l.place;
END;

COMMENT ON FUNCTION cxm.rake_margins(bigint[], text[], text[], integer[], integer[], double precision[], double precision[]) IS
'The share of each category with the weights to begin with and with those after raking, a step of cxm.rake_report(): the arrays are those of cxm.rake_query().';

-- The work; the three functions after it each show something of what comes out.
CREATE FUNCTION cxm.rake_query(query text, search_path text, targets jsonb, cap double precision, max_iterations integer, tolerance double precision, base_weight text, value text DEFAULT NULL,
    OUT ids bigint[], OUT variables text[], OUT labels text[], OUT counts integer[], OUT shares double precision[], OUT categories integer[],
    OUT base_weights double precision[], OUT weights double precision[], OUT "values" double precision[],
    OUT iterations integer, OUT converged boolean, OUT largest_difference double precision, OUT capped bigint) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_path constant text := current_setting('search_path');
    v_categories text[] := '{}';
    v_strangers text[] := '{}';
    v_labels text[];
    v_one record;
BEGIN
    IF query IS NULL OR targets IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'raking needs a query and targets';
    END IF;
    IF jsonb_typeof(targets) <> 'object' OR targets = '{}'
       OR EXISTS (SELECT FROM jsonb_each(targets) AS t WHERE jsonb_typeof(t.value) <> 'object' OR t.value = '{}') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'targets of raking must be an object of objects',
            DETAIL = format('They are %s.', left(targets::text, 200)),
            HINT = 'Write the columns of the query, and for each the share of its categories: {"region": {"north": 0.4, "south": 0.6}}.';
    END IF;
    SELECT t.key AS variable, c.key AS category, c.value INTO v_one
    FROM jsonb_each(targets) AS t CROSS JOIN LATERAL jsonb_each(t.value) AS c
    WHERE CASE WHEN jsonb_typeof(c.value) = 'number' THEN c.value::numeric <= 0 ELSE true END
    ORDER BY 1, 2 LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('target of category "%s" of "%s" must be a number above zero: %s', v_one.category, v_one.variable, v_one.value),
            HINT = 'Leave the category out, and its answers out of the query.';
    END IF;
    IF (cap > 1) IS NOT TRUE OR (max_iterations > 0) IS NOT TRUE OR (tolerance > 0 AND tolerance < 1) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'raking needs a cap above 1, iterations above 0 and a tolerance between 0 and 1',
            DETAIL = format('They are %s, %s and %s.', cap, max_iterations, tolerance),
            HINT = 'A cap of ''infinity'' is none.';
    END IF;

    labels := '{}';
    shares := '{}';
    FOR v_one IN SELECT t.key AS variable, array_agg(c.key ORDER BY c.key) AS labels, array_agg(c.value::double precision / s.total ORDER BY c.key) AS shares
                 FROM jsonb_each(targets) AS t
                 CROSS JOIN LATERAL (SELECT sum(a.value::double precision) AS total FROM jsonb_each(t.value) AS a) AS s
                 CROSS JOIN LATERAL jsonb_each(t.value) AS c
                 GROUP BY t.key ORDER BY t.key
    LOOP
        variables := variables || v_one.variable;
        counts := counts || cardinality(v_one.labels);
        labels := labels || v_one.labels;
        shares := shares || v_one.shares;
        v_categories := v_categories || format(
            'pg_catalog.array_agg(CASE WHEN q.%1$I IS NULL THEN 0 ELSE coalesce(pg_catalog.array_position(%2$L::pg_catalog.text[], q.%1$I::pg_catalog.text), 0) END)',
            v_one.variable, v_one.labels);
        v_strangers := v_strangers || format(
            'pg_catalog.min(q.%1$I::pg_catalog.text) FILTER (WHERE pg_catalog.array_position(%2$L::pg_catalog.text[], q.%1$I::pg_catalog.text) IS NULL)',
            v_one.variable, v_one.labels);
    END LOOP;

    -- the query is the caller's, and on a line of its own, for it may end in a comment
    PERFORM set_config('search_path', search_path, true);
    EXECUTE pg_catalog.format(E'SELECT pg_catalog.array_agg(q.id::pg_catalog.int8) AS ids, pg_catalog.array_agg(%s::pg_catalog.float8) AS weights, %s AS "values", %s AS categories, ARRAY[%s] AS strangers FROM (%s\n) AS q',
                              CASE WHEN base_weight IS NULL THEN '1' ELSE pg_catalog.format('q.%I', base_weight) END,
                              CASE WHEN value IS NULL THEN 'NULL::pg_catalog.float8[]' ELSE pg_catalog.format('pg_catalog.array_agg(q.%I::pg_catalog.float8)', value) END,
                              pg_catalog.array_to_string(v_categories, ' OPERATOR(pg_catalog.||) '), pg_catalog.array_to_string(v_strangers, ', '), query)
    INTO v_one;
    PERFORM pg_catalog.set_config('search_path', v_path, true);

    IF v_one.ids IS NULL THEN
        RAISE no_data_found USING
            MESSAGE = 'there are no answers to rake',
            DETAIL = 'The query returned no rows.';
    END IF;
    ids := v_one.ids;
    base_weights := v_one.weights;
    "values" := v_one."values";
    categories := v_one.categories;
    IF array_position(ids, NULL) IS NOT NULL OR array_position(base_weights, NULL) IS NOT NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'an answer has no id, or no weight to begin with',
            HINT = 'Leave such answers out of the query.';
    END IF;
    FOR i IN 1 .. cardinality(variables) LOOP
        IF v_one.strangers[i] IS NOT NULL THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('category "%s" of "%s" has no target', v_one.strangers[i], variables[i]),
                HINT = 'Give it one, put it together with another in the query, or leave its answers out.';
        END IF;
    END LOOP;

    SELECT r.variable, r.category INTO v_one FROM cxm.rake_margins(ids, variables, labels, counts, categories, base_weights, base_weights) AS r WHERE r.answers = 0 LIMIT 1;
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('no answer is in category "%s" of "%s"', v_one.category, v_one.variable),
            HINT = 'No weight can make up for that: put the category together with another, in the targets and in the query.';
    END IF;
    SELECT r.weights, r.iterations, r.converged, r.largest_difference, r.capped INTO weights, iterations, converged, largest_difference, capped
    FROM cxm.rake_weights(categories, counts, shares, base_weights, cap, max_iterations, tolerance) AS r;
    IF NOT converged THEN
        RAISE WARNING USING
            MESSAGE = format('raking has not reached its targets after %s iterations', iterations),
            DETAIL = format('A share is %s away from its target; %s weights are at the cap of %s.', round(largest_difference::numeric, 6), capped, cap),
            HINT = 'cxm.rake_report() shows which. Raise the cap or the tolerance, put small categories together, or look for targets that exclude each other.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.rake_query(text, text, jsonb, double precision, integer, double precision, text, text) IS
'Runs a query under the given search_path and rakes its rows, for cxm.rake(), cxm.rake_report(), cxm.rake_summary() and cxm.raked_mean(), which say what the arguments are.';

CREATE FUNCTION cxm.rake(query text, targets jsonb, cap double precision DEFAULT 5, max_iterations integer DEFAULT 1000, tolerance double precision DEFAULT 1e-9, base_weight text DEFAULT NULL)
RETURNS TABLE (id bigint, weight double precision)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT w.id, w.weight
    FROM cxm.rake_query(query, pg_catalog.current_setting('search_path'), targets, cap, max_iterations, tolerance, base_weight) AS r
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(r.ids), pg_catalog.unnest(r.weights)) AS w(id, weight);
END;

COMMENT ON FUNCTION cxm.rake(text, jsonb, double precision, integer, double precision, text) IS
'Weights with which the answers of a query have the shares of the population, one variable after the other until all hold (raking, iterative proportional fitting: Deming and Stephan 1940). query: a row an answer, with a bigint id and a column for each variable. targets: for each variable the shares, or the numbers of people, of its categories, above zero: {"region": {"north": 0.4, "south": 0.6}, "age": {...}}. An answer whose category is NULL is left alone by that variable. weight: mean 1, at most cap (infinity = none); weights above it are cut after each pass and the rest takes up what they lose. base_weight: column with weights to begin with, such as those of a sampling plan. Ends when every share is within tolerance of its target, or comes no nearer; then a warning says so. Errors: 22023 targets that are none, a category without a target or without answers, P0002 no answers, 22004 an id or weight that is NULL, 22003 a weight that is not above zero.';

CREATE FUNCTION cxm.rake_report(query text, targets jsonb, cap double precision DEFAULT 5, max_iterations integer DEFAULT 1000, tolerance double precision DEFAULT 1e-9, base_weight text DEFAULT NULL)
RETURNS TABLE (variable text, category text, answers bigint, target double precision, base_share double precision, share double precision, difference double precision)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT m.variable, m.category, m.answers, r.shares[m.place], m.base_share, m.share, m.share - r.shares[m.place]
    FROM cxm.rake_query(query, pg_catalog.current_setting('search_path'), targets, cap, max_iterations, tolerance, base_weight) AS r
    CROSS JOIN LATERAL cxm.rake_margins(r.ids, r.variables, r.labels, r.counts, r.categories, r.base_weights, r.weights) AS m
    ORDER BY m.place;
END;

COMMENT ON FUNCTION cxm.rake_report(text, jsonb, double precision, integer, double precision, text) IS
'What cxm.rake() with the same arguments makes of the shares, a row a category: answers in it, its target, its share before (with the weights to begin with) and after, and how far that is from the target; shares are of the answers whose category is known, 0 to 1.';

CREATE FUNCTION cxm.rake_summary(query text, targets jsonb, cap double precision DEFAULT 5, max_iterations integer DEFAULT 1000, tolerance double precision DEFAULT 1e-9, base_weight text DEFAULT NULL)
RETURNS TABLE (answers bigint, iterations integer, converged boolean, largest_difference double precision, capped bigint, smallest_weight double precision, largest_weight double precision, effective_n double precision, design_effect double precision)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT w.n, r.iterations, r.converged, r.largest_difference, r.capped, w.smallest, w.largest, w.total ^ 2 / w.squares, w.n * w.squares / w.total ^ 2
    FROM cxm.rake_query(query, pg_catalog.current_setting('search_path'), targets, cap, max_iterations, tolerance, base_weight) AS r
    CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS n, pg_catalog.min(u.weight) AS smallest, pg_catalog.max(u.weight) AS largest,
                               pg_catalog.sum(u.weight) AS total, pg_catalog.sum(u.weight ^ 2) AS squares
                        FROM pg_catalog.unnest(r.weights) AS u(weight)) AS w;
END;

COMMENT ON FUNCTION cxm.rake_summary(text, jsonb, double precision, integer, double precision, text) IS
'How cxm.rake() with the same arguments went, one row: answers, passes over all variables, whether every share came within tolerance, how far the worst is from its target, answers at the cap, smallest and largest weight, Kish''s effective number of answers and design effect (answers for each effective one, 1 or more).';

CREATE FUNCTION cxm.post_stratify(query text, targets jsonb, cap double precision DEFAULT 'infinity', base_weight text DEFAULT NULL)
RETURNS TABLE (id bigint, weight double precision)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT w.id, w.weight
    FROM cxm.rake_query(query, pg_catalog.current_setting('search_path'), pg_catalog.jsonb_build_object('stratum', targets), cap, 1000, 1e-9, base_weight) AS r
    CROSS JOIN LATERAL ROWS FROM (pg_catalog.unnest(r.ids), pg_catalog.unnest(r.weights)) AS w(id, weight);
END;

COMMENT ON FUNCTION cxm.post_stratify(text, jsonb, double precision, text) IS
'Weights with which the answers of a query have the population''s share of each stratum. query: a row an answer, with a bigint id and the stratum (write several variables as one text where their joint shares are known). targets: the share, or number of people, of each stratum, above zero. Otherwise as cxm.rake().';

CREATE FUNCTION cxm.raked_mean(query text, targets jsonb, value text DEFAULT 'value', cap double precision DEFAULT 5, max_iterations integer DEFAULT 1000, tolerance double precision DEFAULT 1e-9,
                               base_weight text DEFAULT NULL, confidence double precision DEFAULT 0.95)
RETURNS TABLE (answers bigint, mean double precision, standard_error double precision, lower double precision, upper double precision)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT m.answers, m.mean, m.standard_error, m.lower, m.upper
    FROM cxm.rake_query(query, pg_catalog.current_setting('search_path'), targets, cap, max_iterations, tolerance, base_weight, coalesce(value, 'value')) AS r
    CROSS JOIN LATERAL cxm.rake_mean(r.categories, r.counts, r.base_weights, r.weights, r."values", coalesce(confidence, 0.95)) AS m;
END;

COMMENT ON FUNCTION cxm.raked_mean(text, jsonb, text, double precision, integer, double precision, text, double precision) IS
'Mean of a column (value) of the query with the weights of cxm.rake() for the same arguments, and a standard error that knows that they were raked: what the variables explain of the value is certain, for the shares of the population are. The same as svymean() of the R package survey after rake(), or with one variable after postStratify(), for a design without strata and clusters; an approximation where weights were cut to the cap. An answer whose value is NULL takes part in raking only. A value of cxm.nps_points(score) gives the Net Promoter Score; 100 or 0, a percentage. lower, upper: the normal interval, not cut off at the ends of a scale. One row; mean NULL without values, error and interval with fewer than two. Errors: those of cxm.rake(), 22003 a value that is NaN or beyond 1e100, 22023 a confidence that is not between 0 and 1.';
