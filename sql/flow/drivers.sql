-- Drivers of an outcome in the rows of any query, and in the ratings of the store.

CREATE FUNCTION cxm.run_driver_report(query text, outcome text, drivers text[], weight text, missing text, outcome_as text, method text,
                                      replicates integer, seed bigint, confidence double precision, search_path text) RETURNS SETOF cxm.driver_importance
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- rows are drawn one by one up to so many, beyond that in so many groups made at random
    c_groups constant bigint := 1000;
    v_path constant text := current_setting('search_path');
    v_score text := format('q.%I::double precision', outcome);
    v_rows text;
    v_samples cxm.comoments[];
BEGIN
    IF query IS NULL OR outcome IS NULL OR drivers IS NULL OR cardinality(drivers) = 0 OR array_position(drivers, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'a report needs a query, an outcome and drivers'
            USING ERRCODE = 'null_value_not_allowed',
                  HINT = 'outcome and drivers name columns of the query.';
    END IF;
    IF outcome_as IS NULL OR outcome_as NOT IN ('score', 'nps', 'rank') THEN
        RAISE EXCEPTION 'an outcome cannot be taken as %', coalesce(quote_literal(outcome_as), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Take it as score (as it stands), nps (what it adds to the Net Promoter Score) or rank (its place among all).';
    END IF;
    IF missing IS NULL OR missing NOT IN ('listwise', 'pairwise') THEN
        RAISE EXCEPTION 'unknown policy for what is missing: %', coalesce(quote_literal(missing), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'The policies are listwise and pairwise.';
    END IF;

    -- the query is the caller's, and so is the search_path that it runs under: nothing else here may depend on it. It
    -- is on a line of its own, for it may end in a comment.
    v_rows := format(E'SELECT %s AS y, ARRAY[%s] AS x, %s AS w FROM (%s\n) AS q',
                     CASE outcome_as WHEN 'nps' THEN format('cxm.nps_points(%s)', v_score) ELSE v_score END,
                     (SELECT string_agg(format('q.%I::double precision', d.name), ', ' ORDER BY d.place) FROM unnest(drivers) WITH ORDINALITY AS d(name, place)),
                     CASE WHEN weight IS NULL THEN '1' ELSE format('q.%I', weight) END || '::double precision',
                     query);
    IF outcome_as = 'rank' THEN
        -- the weight of lower ones and half of that of equal ones, of the rows that are used
        v_rows := format('SELECT CASE WHEN r.y IS NOT NULL THEN pg_catalog.sum(r.of_rank) OVER (ORDER BY r.y) OPERATOR(pg_catalog.-) (pg_catalog.sum(r.of_rank) OVER (PARTITION BY r.y) OPERATOR(pg_catalog./) 2) END AS y, r.x, r.w '
                         'FROM (SELECT s.y, s.x, s.w, CASE WHEN s.y IS NULL OR s.w IS NULL OR %L AND pg_catalog.array_position(s.x, NULL) IS NOT NULL THEN 0 ELSE s.w END AS of_rank FROM (%s) AS s) AS r', missing = 'listwise', v_rows);
    END IF;

    IF replicates > 0 THEN
        -- in the order of their values, so that the answer depends on the seed and not on where rows lie
        v_rows := format('SELECT n.y, n.x, n.w, CASE WHEN n.of OPERATOR(pg_catalog.<=) %1$s THEN n.place ELSE pg_catalog.mod(pg_catalog.hashint8extended(n.place, %2$s) OPERATOR(pg_catalog.&) 9223372036854775807, %1$s) END AS g '
                         'FROM (SELECT s.y, s.x, s.w, pg_catalog.row_number() OVER (ORDER BY s.y, s.x, s.w) AS place, pg_catalog.count(*) OVER () AS of FROM (%3$s) AS s) AS n',
                         c_groups, quote_literal(coalesce(seed, 1)) || '::bigint', v_rows);
    ELSE
        v_rows := format('SELECT s.y, s.x, s.w, 0 AS g FROM (%s) AS s', v_rows);
    END IF;
    PERFORM set_config('search_path', search_path, true);
    EXECUTE pg_catalog.format('SELECT pg_catalog.array_agg(a.sample ORDER BY a.g) FROM (SELECT r.g, cxm.comoments_agg(r.y, r.x, r.w, %L) AS sample FROM (%s) AS r GROUP BY r.g) AS a',
                              missing, v_rows) INTO v_samples;
    PERFORM pg_catalog.set_config('search_path', v_path, true);
    RETURN QUERY SELECT t.* FROM cxm.drivers_table(v_samples, drivers, method, replicates, seed, confidence) AS t;
END
$$;

COMMENT ON FUNCTION cxm.run_driver_report(text, text, text[], text, text, text, text, integer, bigint, double precision, text) IS
'What cxm.driver_report() runs: the query is read under the given search_path, everything else is not.';

CREATE FUNCTION cxm.driver_report(query text, outcome text, drivers text[], weight text DEFAULT NULL, missing text DEFAULT 'listwise',
                                  outcome_as text DEFAULT 'score', method text DEFAULT NULL, replicates integer DEFAULT 1000, seed bigint DEFAULT 1,
                                  confidence double precision DEFAULT 0.95) RETURNS SETOF cxm.driver_importance
LANGUAGE sql STABLE PARALLEL UNSAFE
ROWS 10
BEGIN ATOMIC
    SELECT r.*
    FROM cxm.run_driver_report(driver_report.query, driver_report.outcome, driver_report.drivers, driver_report.weight, driver_report.missing, driver_report.outcome_as,
                               driver_report.method, driver_report.replicates, driver_report.seed, driver_report.confidence, cxm.caller_search_path()) AS r;
END;

COMMENT ON FUNCTION cxm.driver_report(text, text, text[], text, text, text, text, integer, bigint, double precision) IS
'What drives an outcome in the rows of a query, which runs with the rights and the search_path of the caller: a row a driver, see cxm.driver_importance. outcome, drivers and weight name columns of the query, which are taken as double precision. missing: listwise (rows with a NULL are left out) or pairwise (each pair of variables by the rows that have both). outcome_as: score (as it stands, a linear scale), nps (-100, 0 or 100: what an answer adds to the Net Promoter Score) or rank (its place among all, listwise among the rows that have everything, half of those alike counting as before it: only the order of the scores matters). method: lmg, johnson, or NULL for lmg up to 20 drivers and johnson for more. replicates of a bootstrap over the rows, over a thousand random groups of them where there are more; 0 = no intervals. The same rows and seed give the same answer in whatever order they come. Errors: 22004 something is NULL; 22023 outcome_as, missing, method, replicates, confidence; 22003 NaN, infinity, a negative weight, with nps a score that is not whole or not 0 to 10; 54000 more than 25 drivers with method lmg, more than 100 with any; whatever the query raises.';

CREATE FUNCTION cxm.driver_ratings(outcome text, by text, from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL,
                                   OUT unit text, OUT driver text, OUT rating double precision) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF driver_ratings.by IS NULL OR driver_ratings.by NOT IN ('touchpoint', 'question', 'metric') THEN
        RAISE EXCEPTION 'drivers cannot be taken by %', coalesce(quote_literal(driver_ratings.by), 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Take them by touchpoint (of a customer), question or metric (of a submission).';
    END IF;
    PERFORM cxm.store_version();
    IF NOT EXISTS (SELECT FROM cx.metric AS m WHERE m.metric = driver_ratings.outcome) THEN
        RAISE EXCEPTION 'metric % is not known', coalesce(quote_literal(driver_ratings.outcome), 'NULL')
            USING ERRCODE = 'undefined_object',
                  HINT = 'Add it with cxm.add_metric().';
    END IF;
    IF driver_ratings.by = 'touchpoint' THEN
        RETURN QUERY
        WITH answer AS (
            SELECT p.canonical_id, f.metric, f.touchpoint_id, f.score, f.scale_min, f.scale_max, f.occurred_at, f.feedback_id
            FROM cx.feedback AS f
            JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE f.score IS NOT NULL
              AND f.occurred_at >= coalesce(from_time, '-infinity')
              AND f.occurred_at < coalesce(to_time, 'infinity')
        ), said AS (
            SELECT DISTINCT ON (a.canonical_id) a.canonical_id, a.score
            FROM answer AS a
            -- a 5 of 5 is no 5 of 10
            JOIN cx.metric AS m ON m.metric = a.metric AND m.scale_min = a.scale_min AND m.scale_max = a.scale_max
            WHERE a.metric = driver_ratings.outcome
            ORDER BY a.canonical_id, a.occurred_at DESC, a.feedback_id DESC
        )
        SELECT s.canonical_id::text, NULL, s.score::double precision
        FROM said AS s
        UNION ALL
        SELECT a.canonical_id::text, t.key, avg(100.0::double precision * (a.score - a.scale_min) / (a.scale_max - a.scale_min))
        FROM answer AS a
        JOIN cx.touchpoint AS t ON t.touchpoint_id = a.touchpoint_id
        JOIN cx.metric AS m ON m.metric = a.metric AND m.family <> 'nps'
        WHERE a.metric <> driver_ratings.outcome
          AND EXISTS (SELECT FROM said AS s WHERE s.canonical_id = a.canonical_id)
        GROUP BY a.canonical_id, t.key;
    ELSE
        RETURN QUERY
        WITH answer AS (
            SELECT f.submission_id, f.metric, f.question, f.score, f.scale_min, f.scale_max, f.occurred_at, f.feedback_id
            FROM cx.feedback AS f
            WHERE f.score IS NOT NULL
              AND f.submission_id IS NOT NULL
              AND f.occurred_at >= coalesce(from_time, '-infinity')
              AND f.occurred_at < coalesce(to_time, 'infinity')
        ), said AS (
            SELECT DISTINCT ON (a.submission_id) a.submission_id, a.score
            FROM answer AS a
            -- a 5 of 5 is no 5 of 10
            JOIN cx.metric AS m ON m.metric = a.metric AND m.scale_min = a.scale_min AND m.scale_max = a.scale_max
            WHERE a.metric = driver_ratings.outcome
            ORDER BY a.submission_id, a.occurred_at DESC, a.feedback_id DESC
        )
        SELECT s.submission_id, NULL, s.score::double precision
        FROM said AS s
        UNION ALL
        SELECT a.submission_id, n.name, avg(100.0::double precision * (a.score - a.scale_min) / (a.scale_max - a.scale_min))
        FROM answer AS a
        JOIN cx.metric AS m ON m.metric = a.metric AND m.family <> 'nps'
        CROSS JOIN LATERAL (SELECT CASE driver_ratings.by WHEN 'question' THEN a.question ELSE a.metric END AS name) AS n
        WHERE a.metric <> driver_ratings.outcome
          AND n.name IS NOT NULL
          AND EXISTS (SELECT FROM said AS s WHERE s.submission_id = a.submission_id)
        GROUP BY a.submission_id, n.name;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.driver_ratings(text, text, timestamptz, timestamptz) IS
'The ratings of the store that may drive an outcome, in long form. by: touchpoint (unit: a customer; outcome: the last score of that metric; rating: the customer''s mean at the touchpoint), question or metric (unit: a submission; rating: of that question or metric in it). A row with driver NULL is the outcome of a unit, on the usual scale of the metric: answers to it on another scale do not count; the others are ratings of the families csat, ces and rating, mapped to 0 (lowest score of the scale shown) to 100 (highest). Units without an outcome, answers of nobody known (by touchpoint) and answers outside of a submission (by question, metric) are not there. From from_time up to but not including to_time; NULL = no bound. Errors: 22023 by; 42704 unknown metric.';

CREATE FUNCTION cxm.impact_performance(outcome text DEFAULT 'nps', by text DEFAULT 'touchpoint', from_time timestamptz DEFAULT NULL, to_time timestamptz DEFAULT NULL,
                                       missing text DEFAULT 'pairwise', outcome_as text DEFAULT 'score', method text DEFAULT NULL, min_n bigint DEFAULT 30,
                                       replicates integer DEFAULT 0, seed bigint DEFAULT 1, confidence double precision DEFAULT 0.95)
RETURNS TABLE (
    driver text,
    n bigint,
    performance double precision,
    importance double precision,
    share double precision,
    share_lower double precision,
    share_upper double precision,
    correlation double precision,
    beta double precision,
    quadrant text,
    importance_threshold double precision,
    performance_threshold double precision,
    r2 double precision,
    importance_method text,
    units bigint,
    note text)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_units bigint;
    v_names text[];
    v_others jsonb;
    v_query text;
BEGIN
    SELECT coalesce(sum(d.n) FILTER (WHERE d.driver IS NULL), 0),
           array_agg(d.driver ORDER BY d.place) FILTER (WHERE d.n >= impact_performance.min_n AND d.place <= 100),
           jsonb_agg(jsonb_build_object('driver', d.driver, 'n', d.n, 'performance', d.performance))
               FILTER (WHERE d.driver IS NOT NULL AND (d.n < impact_performance.min_n OR d.place > 100))
      INTO v_units, v_names, v_others
    FROM (SELECT r.driver, count(*) AS n, avg(r.rating) AS performance,
                 -- the outcome comes last and is no driver
                 CASE WHEN r.driver IS NOT NULL THEN row_number() OVER (ORDER BY r.driver IS NULL, count(*) DESC, r.driver COLLATE "C") END AS place
          FROM cxm.driver_ratings(impact_performance.outcome, impact_performance.by, from_time, to_time) AS r
          GROUP BY r.driver) AS d;

    -- a column a driver, by number, so that the names are no concern
    SELECT format('SELECT max(r.rating) FILTER (WHERE r.driver IS NULL) AS y%s FROM cxm.driver_ratings(%L, %L, %L, %L) AS r GROUP BY r.unit',
                  string_agg(format(', max(r.rating) FILTER (WHERE r.driver = %L) AS d%s', a.name, a.place), '' ORDER BY a.place),
                  impact_performance.outcome, impact_performance.by, from_time, to_time)
      INTO v_query
    FROM unnest(v_names) WITH ORDINALITY AS a(name, place);

    RETURN QUERY
    WITH found AS (
        SELECT v_names[t.driver] AS driver, t.n, t.mean AS performance, t.importance, t.share, t.share_lower, t.share_upper, t.correlation, t.beta, t.r2, t.method, t.note,
               avg(t.share) OVER () AS importance_threshold,
               avg(t.mean) FILTER (WHERE t.share IS NOT NULL) OVER () AS performance_threshold
        FROM cxm.run_driver_report(v_query, 'y', (SELECT array_agg('d' || i ORDER BY i) FROM generate_subscripts(v_names, 1) AS i), NULL,
                                   impact_performance.missing, impact_performance.outcome_as, impact_performance.method, impact_performance.replicates,
                                   impact_performance.seed, impact_performance.confidence, 'pg_catalog, pg_temp') AS t
        WHERE v_names IS NOT NULL
    )
    SELECT f.driver, f.n, f.performance, f.importance, f.share, f.share_lower, f.share_upper, f.correlation, f.beta,
           cxm.quadrant(f.share, f.performance, f.importance_threshold, f.performance_threshold),
           f.importance_threshold, f.performance_threshold, f.r2, f.method, v_units, f.note
    FROM found AS f
    UNION ALL
    SELECT o.driver, o.n, o.performance, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, v_units,
           CASE WHEN o.n < impact_performance.min_n THEN format('fewer than %s ratings with an outcome', impact_performance.min_n)
                ELSE 'not among the 100 drivers with most ratings' END
    FROM jsonb_to_recordset(v_others) AS o(driver text, n bigint, performance double precision)
    ORDER BY 5 DESC NULLS LAST, 1;
END
$$;

COMMENT ON FUNCTION cxm.impact_performance(text, text, timestamptz, timestamptz, text, text, text, bigint, integer, bigint, double precision) IS
'Importance-performance analysis of the store: a row a driver, the most important first. outcome: a metric; by: touchpoint (of a customer), question or metric (of a submission), see cxm.driver_ratings(). n: ratings used; performance: their mean, 0 to 100; importance: the part of r2 (of all drivers) by importance_method, share the same as a fraction of r2, with its bootstrap interval where there are replicates; importance_threshold: the mean share, performance_threshold: the mean performance, of the drivers that have a share; quadrant: see cxm.quadrant(); units: customers or submissions with an outcome; note: why something is NULL, or what to beware of. A driver with fewer than min_n ratings, or beyond the 100 that have most, is listed with a note and takes no part. missing, outcome_as, method, replicates, seed, confidence as for cxm.driver_report(). No rows without ratings. Errors: 22023 by, missing, outcome_as, method, replicates, confidence; 22003 a score that is not 0 to 10 with nps; 42704 unknown metric.';
