-- The scorecard: every measure by period and dimension, with how certain it is, what it was before, and what it is to be.

---- What the parts share

CREATE FUNCTION cxm.scorecard_start(number integer, bucket text, zone text, week_start integer) RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- the tables hold nothing earlier, and dates do not go far beyond
    SELECT CASE WHEN number > cxm.period_number('4000-01-01 00:00+00 BC', bucket, zone, week_start)
                THEN cxm.period_start(number, bucket, zone, week_start) ELSE '-infinity' END;
$$;

COMMENT ON FUNCTION cxm.scorecard_start(integer, text, text, integer) IS
'From when on a scorecard reads records whose first period has this number (cxm.period_number): -infinity for NULL and for periods before the first that records can lie in.';

CREATE FUNCTION cxm.dimension_groups(dimension text) RETURNS integer[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_catalog CONSTANT text := CASE dimension WHEN 'region' THEN 'location' WHEN 'category' THEN 'product' END;
    v_last integer;
    v_groups integer[];
BEGIN
    IF v_catalog IS NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT max(c.%1$s_id) FROM cx.%1$s AS c', v_catalog) INTO v_last;
    IF v_last > 1000000 THEN
        RAISE program_limit_exceeded USING
            MESSAGE = format('%s_id %s of cx.%s is too large to be told apart by %s', v_catalog, v_last, v_catalog, dimension),
            HINT = 'The largest may be 1000000; ids that the catalogue gives out itself begin with 1.';
    END IF;
    -- 0 for none, for with a NULL in it an array is read from its beginning each time
    EXECUTE format('
        SELECT array_agg(coalesce(g.first, 0) ORDER BY n.id)
        FROM generate_series(1, $1) AS n (id)
        LEFT JOIN (SELECT c.%1$s_id AS id, min(c.%1$s_id) FILTER (WHERE c.%1$s_id > 0) OVER (PARTITION BY c.%2$s) AS first FROM cx.%1$s AS c WHERE c.%2$s IS NOT NULL) AS g ON g.id = n.id',
        v_catalog, dimension) INTO v_groups USING v_last;
    RETURN coalesce(v_groups, '{}');
END
$$;

COMMENT ON FUNCTION cxm.dimension_groups(text) IS
'Of the dimension region for each location_id, of category for each product_id (the place in the array), what stands for its group: the smallest id of the region or category; 0 for one that has none. NULL by any other dimension. Error 54000: an id above 1000000.';

CREATE FUNCTION cxm.dimension_id(dimension text, touchpoint_id integer, location_id integer, product_id integer, employee_id integer, groups integer[] DEFAULT NULL, member integer DEFAULT NULL) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE dimension_id.dimension
           WHEN 'touchpoint' THEN dimension_id.touchpoint_id
           WHEN 'location' THEN dimension_id.location_id
           WHEN 'product' THEN dimension_id.product_id
           WHEN 'employee' THEN dimension_id.employee_id
           WHEN 'region' THEN nullif(dimension_id.groups[dimension_id.location_id], 0)
           WHEN 'category' THEN nullif(dimension_id.groups[dimension_id.product_id], 0)
           ELSE dimension_id.member
       END;

COMMENT ON FUNCTION cxm.dimension_id(text, integer, integer, integer, integer, integer[], integer) IS
'Of what a record names, the id in the catalogue of this dimension: touchpoint, location, product or employee; by region or category that of the location or product that stands for it in groups (cxm.dimension_groups), by a trait the member (cxm.trait_members). NULL when it names none, and without a dimension.';

CREATE FUNCTION cxm.dimension_trait(dimension text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN starts_with(dimension_trait.dimension, 'trait:') THEN substr(dimension_trait.dimension, 7) END;

COMMENT ON FUNCTION cxm.dimension_trait(text) IS 'NAME of the dimension trait:NAME; NULL for any other.';

CREATE FUNCTION cxm.trait_members(trait text) RETURNS TABLE (profile_id bigint, id integer, value text)
LANGUAGE sql STABLE STRICT PARALLEL SAFE
ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.profile_id, dense_rank() OVER (ORDER BY t.value COLLATE "C")::integer, t.value FROM cxm.trait_values(trait_members.trait) AS t WHERE t.value IS NOT NULL;
$$;

COMMENT ON FUNCTION cxm.trait_members(text) IS
'Customers who have a trait (cxm.trait_values), its value, and id, which numbers the values from 1 in their order by code points. No rows for NULL.';

CREATE TYPE cxm.scorecard_figure AS (
    measure         text,
    unit            text,
    number          integer,
    id              integer,
    n               bigint,
    value           double precision,
    lower           double precision,
    upper           double precision,
    previous_n      bigint,
    previous        double precision,
    p_value         double precision
);

COMMENT ON TYPE cxm.scorecard_figure IS
'A row of a part of cxm.scorecard(): what was measured, in which unit; number of the period (cxm.period_number) that its window ends with; id in the catalogue of the dimension (cxm.dimension_id), NULL without one; then as the columns of that function have these names.';

CREATE FUNCTION cxm.scorecard_measures(OUT measure text, OUT unit text, OUT dimensions text[]) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('response_rate', 'percent', '{touchpoint,location,region,product,category,employee,trait}'::text[]),
           ('retention_rate', 'percent', '{touchpoint,location,region,product,category,employee,trait}'),
           ('churn_rate', 'percent', '{touchpoint,location,region,product,category,employee,trait}'),
           ('repeat_purchase_rate', 'percent', '{touchpoint,location,region,product,category,employee,trait}'),
           ('referral_rate', 'percent', '{touchpoint,location,region,product,category,employee,trait}'),
           ('review_rate', 'percent', '{touchpoint,location,region,product,category,employee,trait}'),
           ('complaint_rate', 'percent', '{touchpoint,location,region,product,category,employee,trait}'),
           ('first_response', 'hours', '{touchpoint,location,region,product,category,trait}'),
           ('clv', NULL, '{touchpoint,location,region,product,category,employee,trait}'),
           ('acquisition_cost', NULL, '{touchpoint,location,region,product,category}');
$$;

COMMENT ON FUNCTION cxm.scorecard_measures() IS
'The measures of a scorecard (cxm.scorecard) beside the metrics of cx.metric, which are counted from records: name, unit (NULL: a currency, that of the row), and the dimensions by which each has a meaning, beside none; trait: any of the customers.';

CREATE FUNCTION cxm.scorecard_scores(
    bucket text,
    dimension text,
    zone text,
    week_start integer,
    rolling integer,
    first_number integer,
    last_number integer,
    read_to timestamptz,
    confidence double precision,
    measures text[])
RETURNS SETOF cxm.scorecard_figure
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
-- what to read depends on the arguments, and compiling it takes longer than most of it runs
SET plan_cache_mode = force_custom_plan
-- the planner takes few records for many, and compiling would take longer than the rest
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_from CONSTANT timestamptz NOT NULL := cxm.scorecard_start(first_number - 2 * rolling + 1, bucket, zone, week_start);
    v_groups CONSTANT integer[] := cxm.dimension_groups(dimension);
    v_trait CONSTANT text := cxm.dimension_trait(dimension);
BEGIN
    RETURN QUERY
    WITH counted AS MATERIALIZED (
        SELECT f.metric, f.scale_min, f.scale_max, cxm.period_number(f.occurred_at, bucket, zone, week_start) AS number,
               cxm.dimension_id(dimension, f.touchpoint_id, f.location_id, f.product_id, f.employee_id, v_groups) AS id,
               cxm.ratings_agg(f.score, f.scale_min, f.scale_max) AS ratings
        FROM cx.feedback AS f
        WHERE f.metric = ANY (measures)
          AND f.score IS NOT NULL
          AND f.occurred_at >= v_from
          AND f.occurred_at < read_to
          AND (dimension IS NULL OR cxm.dimension_id(dimension, f.touchpoint_id, f.location_id, f.product_id, f.employee_id, v_groups) IS NOT NULL)
        GROUP BY 1, 2, 3, 4, 5
        UNION ALL
        -- on its own, so that the answers are read as fast as they can be where nobody asks who gave them
        SELECT f.metric, f.scale_min, f.scale_max, cxm.period_number(f.occurred_at, bucket, zone, week_start), m.id, cxm.ratings_agg(f.score, f.scale_min, f.scale_max)
        FROM cx.feedback AS f
        JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        JOIN cxm.trait_members(v_trait) AS m ON m.profile_id = p.canonical_id
        WHERE v_trait IS NOT NULL
          AND f.metric = ANY (measures)
          AND f.score IS NOT NULL
          AND f.occurred_at >= v_from
          AND f.occurred_at < read_to
        GROUP BY 1, 2, 3, 4, 5
    ), usual AS (
        SELECT m.metric, m.family, c.number, c.id, c.ratings
        FROM counted AS c
        JOIN cx.metric AS m ON m.metric = c.metric AND m.scale_min = c.scale_min AND m.scale_max = c.scale_max
    ), spread AS (
        -- a window has a row where the last of its periods has no answers, too
        SELECT s.metric, s.family, s.number, s.id, cxm.rollup(s.ratings) AS ratings
        FROM (
            SELECT u.metric, u.family, u.number, u.id, u.ratings FROM usual AS u
            UNION ALL
            SELECT u.metric, u.family, u.number + later.j, u.id, NULL FROM usual AS u CROSS JOIN generate_series(1, rolling - 1) AS later (j) WHERE u.number + later.j <= last_number
        ) AS s
        GROUP BY s.metric, s.family, s.number, s.id
    ), windowed AS (
        SELECT s.metric, s.family, s.number, s.id,
               cxm.rollup(s.ratings) OVER (own RANGE BETWEEN rolling - 1 PRECEDING AND CURRENT ROW) AS ratings,
               cxm.rollup(s.ratings) OVER (own RANGE BETWEEN 2 * rolling - 1 PRECEDING AND rolling PRECEDING) AS ratings_before
        FROM spread AS s
        WINDOW own AS (PARTITION BY s.metric, s.family, s.id ORDER BY s.number)
    )
    SELECT w.metric, CASE w.family WHEN 'nps' THEN 'points' WHEN 'csat' THEN 'percent' ELSE 'mean' END, w.number, w.id,
           cxm.count(w.ratings), cxm.score_of(w.family, w.ratings), i.lower, i.upper,
           cxm.count(w.ratings_before), CASE WHEN cxm.count(w.ratings_before) > 0 THEN cxm.score_of(w.family, w.ratings_before) END,
           CASE WHEN cxm.count(w.ratings_before) > 0 THEN cxm.score_test(w.family, w.ratings, w.ratings_before) END
    FROM windowed AS w
    CROSS JOIN LATERAL cxm.score_interval(w.family, w.ratings, confidence) AS i
    WHERE (first_number IS NULL OR w.number >= first_number) AND w.number <= last_number;
END
$$;

COMMENT ON FUNCTION cxm.scorecard_scores(text, text, text, integer, integer, integer, integer, timestamptz, double precision, text[]) IS
'Part of cxm.scorecard(): the metrics (measures), from answers on their usual scale. number: of the period (cxm.period_number), from first_number (NULL: the first that has any) to last_number. id: of the dimension''s catalogue. Nothing from read_to on is read.';

---- Shares: of so many, so many

CREATE FUNCTION cxm.scorecard_steps(marks bigint[], rolling integer, at timestamptz[] DEFAULT NULL, orders text[] DEFAULT NULL) RETURNS integer[]
AS 'MODULE_PATHNAME', 'cxm_scorecard_steps'
LANGUAGE C IMMUTABLE PARALLEL SAFE;

COMMENT ON FUNCTION cxm.scorecard_steps(bigint[], integer, timestamptz[], text[]) IS
'The windows of so many periods (rolling) that a customer counts in: pairs {number of the period that a window ends with, step} to be counted by cxm.count_pairs(). marks: of each of the customer''s records the number of its period times 8, plus 1 when something was bought, 2 for a complaint, 4 for a review. A step is 2 times its kind where a run of windows begins, 1 more where it has ended; kinds: 0 bought, 1 bought in another order than the first, 2 any record, 3 complained, 4 reviewed, 5 bought in the window before, 6 bought in both. at and orders: time and order of each record, without which there is no kind 1. NULL marks are skipped; NULL when all is NULL. Errors: 22023 a window without periods, 2202E arrays of different lengths, 22003 a period that has no number.';

CREATE FUNCTION cxm.scorecard_shares(
    bucket text,
    dimension text,
    zone text,
    week_start integer,
    rolling integer,
    first_number integer,
    last_number integer,
    read_to timestamptz,
    confidence double precision,
    measures text[])
RETURNS SETOF cxm.scorecard_figure
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_from CONSTANT timestamptz NOT NULL := cxm.scorecard_start(first_number - 3 * rolling + 1, bucket, zone, week_start);
    v_groups CONSTANT integer[] := cxm.dimension_groups(dimension);
    v_trait CONSTANT text := cxm.dimension_trait(dimension);
    v_repeat CONSTANT boolean NOT NULL := 'repeat_purchase_rate' = ANY (measures);
    v_retained CONSTANT boolean NOT NULL := '{retention_rate,churn_rate}' && measures;
    v_active CONSTANT boolean NOT NULL := '{complaint_rate,review_rate}' && measures;
    v_complaints CONSTANT integer[] NOT NULL := ARRAY(SELECT t.event_type_id FROM cx.store AS s JOIN cx.event_type AS t ON t.key = ANY (s.complaint_types));
BEGIN
    RETURN QUERY
    WITH member AS MATERIALIZED (
        SELECT m.profile_id AS customer, m.id FROM cxm.trait_members(v_trait) AS m
    ), done AS (
        -- what each customer did, every table read once: 1 = bought, 2 = complained, 4 = reviewed, in the low bits of a mark
        SELECT d.customer, d.id, cxm.scorecard_steps(array_agg(d.number::bigint * 8 + d.what), rolling, CASE WHEN v_repeat THEN array_agg(d.at) END, CASE WHEN v_repeat THEN array_agg(d.order_key) END) AS steps
        FROM (
            SELECT p.canonical_id AS customer, cxm.dimension_id(dimension, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, v_groups) AS id,
                   cxm.period_number(b.occurred_at, bucket, zone, week_start) AS number, CASE WHEN b.amount > 0 THEN 1 ELSE 0 END AS what,
                   b.occurred_at AS at, CASE WHEN v_repeat THEN coalesce('order ' || b.order_id || ' ' || b.source_id, 'order ' || b.order_id, 'line ' || b.purchase_id) END AS order_key
            FROM cx.purchase AS b
            JOIN cx.identifier AS i ON i.identifier_id = b.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE (v_repeat OR v_retained OR v_active)
              AND (v_active OR b.amount > 0)
              AND b.occurred_at >= CASE WHEN v_repeat THEN '-infinity' ELSE v_from END AND b.occurred_at < read_to
              AND (dimension IS NULL OR v_trait IS NOT NULL OR cxm.dimension_id(dimension, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, v_groups) IS NOT NULL)
            UNION ALL
            SELECT p.canonical_id, cxm.dimension_id(dimension, e.touchpoint_id, e.location_id, e.product_id, e.employee_id, v_groups),
                   cxm.period_number(e.occurred_at, bucket, zone, week_start), CASE WHEN e.event_type_id = ANY (v_complaints) THEN 2 ELSE 0 END, e.occurred_at, NULL
            FROM cx.event AS e
            JOIN cx.identifier AS i ON i.identifier_id = e.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE v_active AND e.occurred_at >= v_from AND e.occurred_at < read_to
              AND (dimension IS NULL OR v_trait IS NOT NULL OR cxm.dimension_id(dimension, e.touchpoint_id, e.location_id, e.product_id, e.employee_id, v_groups) IS NOT NULL)
            UNION ALL
            SELECT p.canonical_id, cxm.dimension_id(dimension, f.touchpoint_id, f.location_id, f.product_id, f.employee_id, v_groups),
                   cxm.period_number(f.occurred_at, bucket, zone, week_start), CASE WHEN f.metric = 'rating' AND f.question = 'public_review' THEN 4 ELSE 0 END, f.occurred_at, NULL
            FROM cx.feedback AS f
            JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE v_active AND f.occurred_at >= v_from AND f.occurred_at < read_to
              AND (dimension IS NULL OR v_trait IS NOT NULL OR cxm.dimension_id(dimension, f.touchpoint_id, f.location_id, f.product_id, f.employee_id, v_groups) IS NOT NULL)
        ) AS d
        GROUP BY d.customer, d.id
    ), referral AS MATERIALIZED (
        SELECT l.referrer_id AS customer, cxm.period_number(l.referred_at, bucket, zone, week_start) AS number
        FROM cxm.referral_links() AS l
        WHERE 'referral_rate' = ANY (measures) AND isfinite(l.referred_at) AND l.referred_at < read_to
    ), referrer AS (
        -- whoever has a code, or has brought somebody
        SELECT c.customer, min(c.number) AS number
        FROM (
            SELECT p.canonical_id AS customer, cxm.period_number(o.created_at, bucket, zone, week_start) AS number
            FROM cx.referral_code AS o
            JOIN cx.identifier AS i ON i.identifier_id = o.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE 'referral_rate' = ANY (measures) AND isfinite(o.created_at) AND o.created_at < read_to
            UNION ALL
            SELECT r.customer, r.number FROM referral AS r
        ) AS c
        GROUP BY c.customer
    ), referrer_of AS (
        -- and by dimension has bought what names it, from then on; or has the trait
        SELECT r.customer, NULL::integer AS id, r.number FROM referrer AS r WHERE dimension IS NULL
        UNION ALL
        SELECT r.customer, m.id, r.number FROM referrer AS r JOIN member AS m ON m.customer = r.customer
        UNION ALL
        SELECT r.customer, cxm.dimension_id(dimension, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, v_groups),
               greatest(r.number, min(cxm.period_number(b.occurred_at, bucket, zone, week_start)))
        FROM referrer AS r
        JOIN cx.profile AS p ON p.canonical_id = r.customer
        JOIN cx.identifier AS i ON i.profile_id = p.profile_id
        JOIN cx.purchase AS b ON b.identifier_id = i.identifier_id
        WHERE dimension IS NOT NULL AND v_trait IS NULL AND 'referral_rate' = ANY (measures) AND b.amount > 0 AND b.occurred_at < read_to
          AND cxm.dimension_id(dimension, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, v_groups) IS NOT NULL
        GROUP BY r.customer, 2, r.number
    ), referred AS (
        SELECT r.customer, cxm.scorecard_steps(array_agg(r.number::bigint * 8 + 1), rolling) AS steps FROM referral AS r GROUP BY r.customer
    ), step AS (
        SELECT t.measure, t.id, t.number, sum(t.trials) AS trials, sum(t.successes) AS successes
        FROM (
            SELECT m.measure, s.id, s.number, CASE s.kind WHEN m.trial THEN s.count ELSE 0 END AS trials, CASE s.kind WHEN m.success THEN s.count ELSE 0 END AS successes
            FROM (
                SELECT c.id, p.first AS number, p.second / 2 AS kind, CASE p.second % 2 WHEN 0 THEN p.count ELSE -p.count END AS count
                FROM (
                    SELECT coalesce(d.id, m.id) AS id, cxm.count_pairs(d.steps) AS counts
                    FROM done AS d LEFT JOIN member AS m ON m.customer = d.customer
                    WHERE v_trait IS NULL OR m.id IS NOT NULL
                    GROUP BY 1
                ) AS c
                CROSS JOIN LATERAL cxm.pair_counts(c.counts) AS p
            ) AS s
            JOIN (VALUES ('repeat_purchase_rate', v_repeat, 0, 1), ('complaint_rate', 'complaint_rate' = ANY (measures), 2, 3),
                         ('review_rate', 'review_rate' = ANY (measures), 2, 4), ('retention_rate', v_retained, 5, 6)) AS m (measure, counts, trial, success) ON m.counts AND s.kind IN (m.trial, m.success)
            UNION ALL
            -- of a window that began before the customer counted, the part from then on
            SELECT 'referral_rate', o.id, greatest(p.first, o.number), 0, CASE p.second % 2 WHEN 0 THEN p.count ELSE -p.count END
            FROM (SELECT r.customer, cxm.count_pairs(r.steps) AS counts FROM referred AS r GROUP BY r.customer) AS c
            JOIN referrer_of AS o ON o.customer = c.customer
            CROSS JOIN LATERAL cxm.pair_counts(c.counts) AS p
            WHERE p.second / 2 = 0
            UNION ALL
            SELECT 'response_rate', c.id, v.number, v.sign * c.sent, v.sign * c.answered
            FROM (
                SELECT n.number, n.id, count(*) AS sent, count(*) FILTER (WHERE n.responded_at < read_to) AS answered
                FROM (
                    -- what the invitation is about, or else its survey
                    SELECT cxm.period_number(n.sent_at, bucket, zone, week_start) AS number, n.responded_at,
                           CASE dimension WHEN 'touchpoint' THEN coalesce((SELECT k.touchpoint_id FROM cx.touchpoint AS k WHERE k.key = n.attributes ->> 'touchpoint'), s.touchpoint_id)
                                          WHEN 'location' THEN coalesce((SELECT k.location_id FROM cx.location AS k WHERE k.key = n.attributes ->> 'location'), s.location_id)
                                          WHEN 'product' THEN (SELECT k.product_id FROM cx.product AS k WHERE k.key = n.attributes ->> 'product')
                                          WHEN 'employee' THEN (SELECT k.employee_id FROM cx.employee AS k WHERE k.key = n.attributes ->> 'employee')
                                          WHEN 'region' THEN nullif(v_groups[coalesce((SELECT k.location_id FROM cx.location AS k WHERE k.key = n.attributes ->> 'location'), s.location_id)], 0)
                                          WHEN 'category' THEN nullif(v_groups[(SELECT k.product_id FROM cx.product AS k WHERE k.key = n.attributes ->> 'product')], 0)
                                          ELSE m.id END AS id
                    FROM cx.invitation AS n
                    LEFT JOIN cx.survey AS s ON s.survey_id = n.survey_id
                    LEFT JOIN cx.identifier AS i ON i.identifier_id = n.identifier_id AND v_trait IS NOT NULL
                    LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
                    LEFT JOIN member AS m ON m.customer = p.canonical_id
                    WHERE 'response_rate' = ANY (measures) AND n.kind = 'survey' AND n.state <> 'bounced' AND isfinite(n.sent_at) AND n.sent_at >= v_from AND n.sent_at < read_to
                ) AS n
                WHERE dimension IS NULL OR n.id IS NOT NULL
                GROUP BY 1, 2
            ) AS c
            CROSS JOIN LATERAL (VALUES (c.number, 1), (c.number + rolling, -1)) AS v (number, sign)
            UNION ALL
            SELECT 'referral_rate', o.id, o.number, 1, 0 FROM referrer_of AS o
        ) AS t
        GROUP BY t.measure, t.id, t.number
    ), level AS (
        SELECT s.measure, s.id, s.number, (sum(s.trials) OVER so_far)::bigint AS trials, (sum(s.successes) OVER so_far)::bigint AS successes, lead(s.number) OVER so_far AS next
        FROM step AS s
        WINDOW so_far AS (PARTITION BY s.measure, s.id ORDER BY s.number)
    ), share AS (
        SELECT v.measure, l.id, g.number, l.trials, v.successes
        FROM level AS l
        CROSS JOIN LATERAL generate_series(greatest(l.number, first_number - rolling), least(l.next - 1, last_number)) AS g (number)
        CROSS JOIN LATERAL (VALUES (l.measure, l.successes), ('churn_rate', CASE l.measure WHEN 'retention_rate' THEN l.trials - l.successes END)) AS v (measure, successes)
        WHERE l.trials > 0 AND v.successes IS NOT NULL AND v.measure = ANY (measures)
    ), compared AS (
        SELECT s.*, max(s.trials) OVER before AS trials_before, max(s.successes) OVER before AS successes_before
        FROM share AS s
        WINDOW before AS (PARTITION BY s.measure, s.id ORDER BY s.number RANGE BETWEEN rolling PRECEDING AND rolling PRECEDING)
    )
    SELECT c.measure, 'percent', c.number, c.id, c.trials, 100 * c.successes::double precision / c.trials, 100 * i.lower, 100 * i.upper,
           coalesce(c.trials_before, 0), 100 * c.successes_before::double precision / c.trials_before,
           CASE WHEN c.trials_before > 0 THEN (cxm.proportion_test(ARRAY[c.successes, c.successes_before], ARRAY[c.trials, c.trials_before])).p_value END
    FROM compared AS c
    CROSS JOIN LATERAL cxm.proportion_interval(c.successes, c.trials, confidence) AS i
    WHERE first_number IS NULL OR c.number >= first_number;
END
$$;

COMMENT ON FUNCTION cxm.scorecard_shares(text, text, text, integer, integer, integer, integer, timestamptz, double precision, text[]) IS
'Part of cxm.scorecard(): the measures that are shares of invitations or customers, in percent. Arguments as of cxm.scorecard_scores(); customers are profiles as they are today, and records without an identifier are nobody''s.';

---- Waits

CREATE FUNCTION cxm.scorecard_waits(
    bucket text,
    dimension text,
    zone text,
    week_start integer,
    rolling integer,
    first_number integer,
    last_number integer,
    read_to timestamptz,
    confidence double precision,
    measures text[])
RETURNS SETOF cxm.scorecard_figure
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_from CONSTANT timestamptz NOT NULL := cxm.scorecard_start(first_number - 2 * rolling + 1, bucket, zone, week_start);
    v_groups CONSTANT integer[] := cxm.dimension_groups(dimension);
    v_trait CONSTANT text := cxm.dimension_trait(dimension);
BEGIN
    RETURN QUERY
    WITH wait AS (
        SELECT cxm.period_number(f.opened_at, bucket, zone, week_start) AS number,
               cxm.dimension_id(dimension, f.touchpoint_id, f.location_id, f.product_id, NULL, v_groups, m.id) AS id,
               greatest(extract(epoch FROM f.first_response_at - f.opened_at)::double precision / 3600, 0) AS hours
        FROM cx.follow_up AS f
        LEFT JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id AND v_trait IS NOT NULL
        LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
        LEFT JOIN cxm.trait_members(v_trait) AS m ON m.profile_id = p.canonical_id
        WHERE f.state <> 'cancelled' AND isfinite(f.first_response_at) AND f.first_response_at < read_to
          AND isfinite(f.opened_at) AND f.opened_at >= v_from AND f.opened_at < read_to
          AND (dimension IS NULL OR cxm.dimension_id(dimension, f.touchpoint_id, f.location_id, f.product_id, NULL, v_groups, m.id) IS NOT NULL)
        UNION ALL
        SELECT cxm.period_number(a.asked_at, bucket, zone, week_start), NULL, greatest(extract(epoch FROM a.occurred_at - a.asked_at)::double precision / 3600, 0)
        FROM (
            -- the first answer of each conversation
            SELECT DISTINCT ON (m.conversation_id) m.asked_at, m.occurred_at
            FROM cx.conversation_message AS m
            WHERE dimension IS NULL AND m.asked_at IS NOT NULL
            ORDER BY m.conversation_id, m.message_no
        ) AS a
        WHERE isfinite(a.occurred_at) AND a.occurred_at < read_to AND isfinite(a.asked_at) AND a.asked_at >= v_from AND a.asked_at < read_to
    ), windowed AS (
        SELECT g.number, w.id, count(*) AS n, percentile_cont(0.5) WITHIN GROUP (ORDER BY w.hours) AS median, array_agg(w.hours) AS hours
        FROM wait AS w
        CROSS JOIN LATERAL generate_series(w.number, least(w.number + rolling - 1, last_number)) AS g (number)
        GROUP BY g.number, w.id
    ), compared AS (
        SELECT w.*, max(w.n) OVER before AS n_before, max(w.median) OVER before AS median_before, max(w.hours) OVER before AS hours_before
        FROM windowed AS w
        WINDOW before AS (PARTITION BY w.id ORDER BY w.number RANGE BETWEEN rolling PRECEDING AND rolling PRECEDING)
    )
    SELECT 'first_response', 'hours', c.number, c.id, c.n, c.median, i.lower, i.upper, coalesce(c.n_before, 0), c.median_before, cxm.rank_sum_test(c.hours, c.hours_before)
    FROM compared AS c
    CROSS JOIN LATERAL cxm.median_interval(c.hours, confidence) AS i
    WHERE first_number IS NULL OR c.number >= first_number;
END
$$;

COMMENT ON FUNCTION cxm.scorecard_waits(text, text, text, integer, integer, integer, integer, timestamptz, double precision, text[]) IS
'Part of cxm.scorecard(): the median time to first response, in hours, of follow-ups opened and conversations begun in the window that have had one by read_to; by dimension, of follow-ups alone. Arguments as of cxm.scorecard_scores().';

---- Money

CREATE FUNCTION cxm.scorecard_value(
    bucket text,
    dimension text,
    zone text,
    week_start integer,
    rolling integer,
    first_number integer,
    last_number integer,
    read_to timestamptz,
    confidence double precision,
    measures text[])
RETURNS SETOF cxm.scorecard_figure
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_groups CONSTANT integer[] := cxm.dimension_groups(dimension);
    v_trait CONSTANT text := cxm.dimension_trait(dimension);
BEGIN
    RETURN QUERY
    WITH spent AS (
        SELECT p.canonical_id AS customer, cxm.dimension_id(dimension, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, v_groups) AS id, b.currency,
               cxm.period_number(b.occurred_at, bucket, zone, week_start) AS number, sum(b.amount) AS amount, bool_or(b.amount > 0) AS bought
        FROM cx.purchase AS b
        JOIN cx.identifier AS i ON i.identifier_id = b.identifier_id
        JOIN cx.profile AS p ON p.profile_id = i.profile_id
        WHERE b.occurred_at < read_to
          AND (dimension IS NULL OR v_trait IS NOT NULL OR cxm.dimension_id(dimension, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, v_groups) IS NOT NULL)
        GROUP BY 1, 2, 3, 4
    ), worth AS (
        -- what a customer is worth from each purchase on; nothing, and nobody, before the first that brought money
        SELECT w.customer, w.id, w.currency, w.number, w.amount - CASE WHEN w.is_first THEN 0 ELSE lag(w.amount) OVER (PARTITION BY w.customer, w.id, w.currency ORDER BY w.number) END AS more, w.is_first::integer AS joined
        FROM (
            SELECT s.customer, s.id, s.currency, s.number, sum(s.amount) OVER so_far AS amount, s.number >= min(s.number) FILTER (WHERE s.bought) OVER own AS counts,
                   s.number = min(s.number) FILTER (WHERE s.bought) OVER own AS is_first
            FROM spent AS s
            WINDOW so_far AS (PARTITION BY s.customer, s.id, s.currency ORDER BY s.number), own AS (PARTITION BY s.customer, s.id, s.currency)
        ) AS w
        WHERE w.counts
    ), changed AS (
        -- at each change what the customer is worth now and at the end of the window before, both of them as far as they go
        SELECT s.customer, s.id, s.currency, s.number, sum(s.joined) AS joined, sum(sum(s.more)) OVER so_far AS now, sum(sum(s.joined_before)) OVER so_far AS is_before, sum(sum(s.more_before)) OVER so_far AS before
        FROM (
            SELECT w.customer, w.id, w.currency, w.number, w.joined, w.more, 0 AS joined_before, 0 AS more_before FROM worth AS w
            UNION ALL
            SELECT w.customer, w.id, w.currency, w.number + rolling, 0, 0, w.joined, w.more FROM worth AS w
        ) AS s
        GROUP BY s.customer, s.id, s.currency, s.number
        WINDOW so_far AS (PARTITION BY s.customer, s.id, s.currency ORDER BY s.number)
    ), step AS (
        SELECT coalesce(c.id, m.id) AS id, c.currency, c.number, sum(c.joined) AS n, sum(c.now - c.now_was) AS total, sum(c.now ^ 2 - c.now_was ^ 2) AS squares,
               sum(c.now * c.before - c.now_was * c.before_was) AS products, sum(c.now * c.is_before - c.now_was * c.is_before_was) AS total_both
        FROM (
            SELECT b.*, lag(b.now, 1, 0::numeric) OVER own AS now_was, lag(b.before, 1, 0::numeric) OVER own AS before_was, lag(b.is_before, 1, 0::numeric) OVER own AS is_before_was
            FROM changed AS b
            WINDOW own AS (PARTITION BY b.customer, b.id, b.currency ORDER BY b.number)
        ) AS c
        LEFT JOIN cxm.trait_members(v_trait) AS m ON m.profile_id = c.customer
        WHERE v_trait IS NULL OR m.id IS NOT NULL
        GROUP BY 1, c.currency, c.number
    ), level AS (
        SELECT s.id, s.currency, s.number, (sum(s.n) OVER so_far)::bigint AS n, sum(s.total) OVER so_far AS total, sum(s.squares) OVER so_far AS squares,
               sum(s.products) OVER so_far AS products, sum(s.total_both) OVER so_far AS total_both, lead(s.number) OVER so_far AS next
        FROM step AS s
        WINDOW so_far AS (PARTITION BY s.id, s.currency ORDER BY s.number)
    ), filled AS (
        SELECT l.id, l.currency, g.number, l.n, l.total, l.products, l.total_both, (l.total / l.n)::double precision AS mean,
               CASE WHEN l.n > 1 THEN greatest((l.squares - l.total ^ 2 / l.n) / (l.n - 1), 0)::double precision END AS variance
        FROM level AS l
        CROSS JOIN LATERAL generate_series(greatest(l.number, first_number - rolling), least(l.next - 1, last_number)) AS g (number)
    ), compared AS (
        SELECT f.*, max(f.n) OVER before AS n_before, max(f.mean) OVER before AS mean_before, max(f.variance) OVER before AS variance_before, max(f.total) OVER before AS total_before
        FROM filled AS f
        WINDOW before AS (PARTITION BY f.id, f.currency ORDER BY f.number RANGE BETWEEN rolling PRECEDING AND rolling PRECEDING)
    )
    SELECT 'clv', c.currency, c.number, c.id, c.n, c.mean, c.mean - h.half, c.mean + h.half, coalesce(c.n_before, 0), c.mean_before,
           CASE WHEN c.n_before > 1 THEN
               cxm.mean_test(c.mean, c.variance, c.n, c.mean_before, c.variance_before, c.n_before, c.n_before,
                             ((c.products - c.total_both * c.total_before / c.n_before) / (c.n_before - 1))::double precision) END
    FROM compared AS c
    CROSS JOIN LATERAL (SELECT cxm.student_quantile(confidence, c.n - 1) * sqrt(c.variance / c.n) AS half) AS h
    WHERE first_number IS NULL OR c.number >= first_number;
END
$$;

COMMENT ON FUNCTION cxm.scorecard_value(text, text, text, integer, integer, integer, integer, timestamptz, double precision, text[]) IS
'Part of cxm.scorecard(): what customers have spent until the end of the period, returns taken off: the mean of all who have bought by then, for each currency. Arguments as of cxm.scorecard_scores(). The customers of the window before are among those of this one; the test takes their covariance into account.';

CREATE FUNCTION cxm.scorecard_acquisition(
    bucket text,
    dimension text,
    zone text,
    week_start integer,
    rolling integer,
    first_number integer,
    last_number integer,
    read_to timestamptz,
    confidence double precision,
    measures text[])
RETURNS SETOF cxm.scorecard_figure
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_from CONSTANT timestamptz NOT NULL := cxm.scorecard_start(first_number - 2 * rolling + 1, bucket, zone, week_start);
    v_groups CONSTANT integer[] := cxm.dimension_groups(dimension);
BEGIN
    RETURN QUERY
    WITH paid AS (
        SELECT cxm.dimension_id(dimension, s.touchpoint_id, s.location_id, s.product_id, NULL, v_groups) AS id, s.currency, cxm.period_number(s.occurred_at, bucket, zone, week_start) AS number, sum(s.amount) AS amount
        FROM cx.spend AS s
        WHERE s.occurred_at >= v_from AND s.occurred_at < read_to
          AND (dimension IS NULL OR cxm.dimension_id(dimension, s.touchpoint_id, s.location_id, s.product_id, NULL, v_groups) IS NOT NULL)
        GROUP BY 1, 2, 3
    ), won AS (
        -- a customer is won by the first purchase of all, and for what that names
        SELECT cxm.dimension_id(dimension, o.touchpoint_id, o.location_id, o.product_id, NULL, v_groups) AS id, cxm.period_number(o.occurred_at, bucket, zone, week_start) AS number, count(*) AS customers
        FROM (
            SELECT DISTINCT ON (p.canonical_id) b.occurred_at, b.touchpoint_id, b.location_id, b.product_id
            FROM cx.purchase AS b
            JOIN cx.identifier AS i ON i.identifier_id = b.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE b.amount > 0 AND b.occurred_at < read_to AND EXISTS (SELECT FROM paid)
            ORDER BY p.canonical_id, b.occurred_at, b.purchase_id
        ) AS o
        WHERE o.occurred_at >= v_from
          AND (dimension IS NULL OR cxm.dimension_id(dimension, o.touchpoint_id, o.location_id, o.product_id, NULL, v_groups) IS NOT NULL)
        GROUP BY 1, 2
    ), windowed AS (
        SELECT g.number, t.id, t.currency, sum(t.amount) AS amount, coalesce(sum(t.customers), 0)::bigint AS customers
        FROM (
            SELECT p.id, p.currency, p.number, p.amount, NULL::bigint AS customers FROM paid AS p
            UNION ALL
            SELECT w.id, c.currency, w.number, NULL, w.customers
            FROM won AS w
            JOIN (SELECT DISTINCT p.id, p.currency FROM paid AS p) AS c ON coalesce(c.id, 0) = coalesce(w.id, 0)
        ) AS t
        CROSS JOIN LATERAL generate_series(t.number, least(t.number + rolling - 1, last_number)) AS g (number)
        GROUP BY g.number, t.id, t.currency
    ), compared AS (
        SELECT w.*, max(w.customers) OVER before AS customers_before, max(w.amount) OVER before AS amount_before
        FROM windowed AS w
        WHERE w.amount IS NOT NULL
        WINDOW before AS (PARTITION BY w.id, w.currency ORDER BY w.number RANGE BETWEEN rolling PRECEDING AND rolling PRECEDING)
    )
    SELECT 'acquisition_cost', c.currency, c.number, c.id, c.customers, (c.amount / nullif(c.customers, 0))::double precision,
           CASE WHEN c.amount > 0 THEN c.amount::double precision / i.upper END, CASE WHEN c.amount > 0 THEN c.amount::double precision / nullif(i.lower, 0) END,
           coalesce(c.customers_before, 0), (c.amount_before / nullif(c.customers_before, 0))::double precision,
           CASE WHEN c.amount > 0 AND c.amount_before > 0 AND c.customers > 0 AND c.customers_before > 0
                THEN cxm.poisson_test(c.customers, c.amount::double precision, c.customers_before, c.amount_before::double precision) END
    FROM compared AS c
    CROSS JOIN LATERAL cxm.poisson_interval(c.customers, confidence) AS i
    WHERE first_number IS NULL OR c.number >= first_number;
END
$$;

COMMENT ON FUNCTION cxm.scorecard_acquisition(text, text, text, integer, integer, integer, integer, timestamptz, double precision, text[]) IS
'Part of cxm.scorecard(): what was spent (cx.spend) in the window over the customers whose first purchase of all lies in it, for each currency; n: these customers, and the interval is that of their number as a Poisson count. Without any the value is NULL, and lower alone is known. Arguments as of cxm.scorecard_scores().';

---- The scorecard

CREATE FUNCTION cxm.scorecard(
    bucket text DEFAULT 'month',
    dimension text DEFAULT NULL,
    from_time timestamptz DEFAULT NULL,
    to_time timestamptz DEFAULT NULL,
    rolling integer DEFAULT 1,
    measures text[] DEFAULT NULL,
    confidence double precision DEFAULT 0.95,
    zone text DEFAULT NULL,
    week_start integer DEFAULT NULL)
RETURNS TABLE (
    period date,
    starts_at timestamptz,
    ends_at timestamptz,
    complete boolean,
    key text,
    measure text,
    unit text,
    n bigint,
    value double precision,
    lower double precision,
    upper double precision,
    previous_n bigint,
    previous double precision,
    change double precision,
    p_value double precision,
    significant boolean,
    goal text,
    target double precision,
    goal_met boolean,
    benchmark double precision,
    benchmark_source text,
    benchmark_as_of date,
    owner text)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_metrics text[];
    v_counted text[];
    v_unknown text;
    v_read_to CONSTANT timestamptz NOT NULL := coalesce(to_time, 'infinity');
    v_first integer;
    v_last integer;
    v_values text[];
BEGIN
    PERFORM cxm.store_version();
    IF bucket IS NULL OR bucket NOT IN ('day', 'week', 'month', 'quarter', 'year') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('bucket must be day, week, month, quarter or year, not %s', coalesce('"' || left(bucket, 100) || '"', 'NULL'));
    ELSIF dimension NOT IN ('touchpoint', 'location', 'region', 'product', 'category', 'employee') AND dimension !~ '^trait:.' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('dimension must be touchpoint, location, region, product, category, employee or trait:NAME, not "%s"', left(dimension, 100)),
            HINT = 'Leave it out for all records together.';
    ELSIF (rolling BETWEEN 1 AND 400) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('rolling must be a number of periods from 1 to 400, not %s', coalesce(rolling::text, 'NULL')),
            HINT = 'With 1 each row is about its own period alone.';
    ELSIF (confidence > 0 AND confidence < 1) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('confidence %s is not between 0 and 1', coalesce(confidence::text, 'NULL')),
            HINT = 'Use 0.95 for a 95 % interval.';
    END IF;
    zone := coalesce(zone, (SELECT s.time_zone FROM cx.store AS s));
    week_start := cxm.check_week_start(coalesce(week_start, (SELECT s.week_start FROM cx.store AS s)));
    SELECT array_agg(m.metric) INTO v_metrics FROM cx.metric AS m WHERE measures IS NULL OR m.metric = ANY (measures);
    SELECT array_agg(k.measure) FILTER (WHERE dimension IS NULL OR split_part(dimension, ':', 1) = ANY (k.dimensions)) INTO v_counted
    FROM cxm.scorecard_measures() AS k WHERE measures IS NULL OR k.measure = ANY (measures);
    SELECT u.measure INTO v_unknown FROM unnest(measures) AS u (measure)
    WHERE u.measure IS NULL OR (u.measure <> ALL (coalesce(v_metrics, '{}')) AND u.measure NOT IN (SELECT k.measure FROM cxm.scorecard_measures() AS k))
    LIMIT 1;
    IF FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('measure %s does not exist', coalesce('"' || left(v_unknown, 100) || '"', 'NULL')),
            DETAIL = format('The metrics are %s; the other measures are %s.', cxm.metric_names(), (SELECT string_agg(k.measure, ', ' ORDER BY k.measure) FROM cxm.scorecard_measures() AS k));
    END IF;

    -- a wrong zone is an error on an empty store, too
    v_last := cxm.period_number(now(), bucket, zone, week_start);
    IF v_read_to <= '4000-01-01 00:00+00 BC' THEN
        RETURN;
    ELSIF isfinite(to_time) THEN
        v_last := least(v_last, cxm.period_number(to_time - interval '1 microsecond', bucket, zone, week_start));
    END IF;
    IF from_time > '4000-01-01 00:00+00 BC' THEN
        IF NOT isfinite(from_time) THEN
            RETURN;
        END IF;
        v_first := cxm.period_number(from_time, bucket, zone, week_start);
    END IF;
    v_values := ARRAY(SELECT DISTINCT m.value COLLATE "C" FROM cxm.trait_members(cxm.dimension_trait(dimension)) AS m ORDER BY 1);

    RETURN QUERY
    WITH figure AS (
        SELECT f.* FROM cxm.scorecard_scores(bucket, dimension, zone, week_start, rolling, v_first, v_last, v_read_to, confidence, v_metrics) AS f
        WHERE v_metrics IS NOT NULL
        UNION ALL
        SELECT f.* FROM cxm.scorecard_shares(bucket, dimension, zone, week_start, rolling, v_first, v_last, v_read_to, confidence, v_counted) AS f
        WHERE v_counted && '{response_rate,retention_rate,churn_rate,repeat_purchase_rate,referral_rate,review_rate,complaint_rate}'
        UNION ALL
        SELECT f.* FROM cxm.scorecard_waits(bucket, dimension, zone, week_start, rolling, v_first, v_last, v_read_to, confidence, v_counted) AS f
        WHERE 'first_response' = ANY (v_counted)
        UNION ALL
        SELECT f.* FROM cxm.scorecard_value(bucket, dimension, zone, week_start, rolling, v_first, v_last, v_read_to, confidence, v_counted) AS f
        WHERE 'clv' = ANY (v_counted)
        UNION ALL
        SELECT f.* FROM cxm.scorecard_acquisition(bucket, dimension, zone, week_start, rolling, v_first, v_last, v_read_to, confidence, v_counted) AS f
        WHERE 'acquisition_cost' = ANY (v_counted)
    ), placed AS (
        SELECT f.*, (p.begins_at AT TIME ZONE zone)::date AS period, p.begins_at, p.starts_at, p.ends_at, p.ends_at <= least(now(), v_read_to) AS complete,
               (least(p.ends_at, v_read_to) - interval '1 microsecond') AT TIME ZONE zone AS last_time
        FROM figure AS f
        CROSS JOIN LATERAL (
            SELECT cxm.period_start(f.number, bucket, zone, week_start) AS begins_at,
                   cxm.period_start(f.number - rolling + 1, bucket, zone, week_start) AS starts_at,
                   cxm.period_start(f.number + 1, bucket, zone, week_start) AS ends_at) AS p
    )
    SELECT
        f.period,
        f.starts_at,
        f.ends_at,
        f.complete,
        CASE dimension
            WHEN 'touchpoint' THEN (SELECT k.key FROM cx.touchpoint AS k WHERE k.touchpoint_id = f.id)
            WHEN 'location' THEN (SELECT k.key FROM cx.location AS k WHERE k.location_id = f.id)
            WHEN 'product' THEN (SELECT k.key FROM cx.product AS k WHERE k.product_id = f.id)
            WHEN 'employee' THEN (SELECT k.key FROM cx.employee AS k WHERE k.employee_id = f.id)
            WHEN 'region' THEN (SELECT k.region FROM cx.location AS k WHERE k.location_id = f.id)
            WHEN 'category' THEN (SELECT k.category FROM cx.product AS k WHERE k.product_id = f.id)
            ELSE v_values[f.id]
        END AS key,
        f.measure,
        f.unit,
        f.n,
        f.value,
        f.lower,
        f.upper,
        f.previous_n,
        f.previous,
        CASE WHEN f.complete THEN f.value - f.previous END,
        CASE WHEN f.complete THEN f.p_value END,
        CASE WHEN f.complete THEN f.p_value < 1 - confidence END,
        g.name,
        g.target,
        CASE g.direction WHEN 'at_least' THEN f.value >= g.target ELSE f.value <= g.target END,
        b.value,
        b.source,
        b.as_of,
        g.owner
    FROM placed AS f
    LEFT JOIN LATERAL (
        -- of several the one that is due next, as it stood when the period ended
        SELECT o.name, o.direction, v.target, v.owner
        FROM cx.goal AS o
        JOIN LATERAL (
            SELECT h.* FROM cx.goal_version AS h WHERE h.goal_id = o.goal_id
            ORDER BY (h.changed_at < f.ends_at) DESC, CASE WHEN h.changed_at < f.ends_at THEN -h.version ELSE h.version END
            LIMIT 1
        ) AS v ON true
        WHERE coalesce(o.metric, o.measure) = f.measure AND (o.measure IS NULL OR o.measure NOT IN ('clv', 'acquisition_cost') OR o.currency IS NOT DISTINCT FROM f.unit)
          AND cxm.dimension_id(dimension, o.touchpoint_id, o.location_id, o.product_id, o.employee_id) IS NOT DISTINCT FROM f.id
          AND num_nonnulls(o.touchpoint_id, o.location_id, o.product_id, o.employee_id) = num_nonnulls(dimension)
          AND o.starts_on <= f.last_time::date AND v.due_on >= f.period AND v.closed_at IS NULL
        ORDER BY v.due_on, o.goal_id
        LIMIT 1
    ) AS g ON true
    LEFT JOIN LATERAL (
        SELECT o.value, o.source, o.as_of
        FROM cx.benchmark AS o
        WHERE coalesce(o.metric, o.measure) = f.measure AND (o.measure IS NULL OR o.measure NOT IN ('clv', 'acquisition_cost') OR o.currency IS NOT DISTINCT FROM f.unit)
          AND cxm.dimension_id(dimension, o.touchpoint_id, o.location_id, o.product_id, o.employee_id) IS NOT DISTINCT FROM f.id
          AND num_nonnulls(o.touchpoint_id, o.location_id, o.product_id, o.employee_id) = num_nonnulls(dimension)
          AND o.as_of <= f.last_time::date
        ORDER BY o.as_of DESC, o.segment, o.source
        LIMIT 1
    ) AS b ON true
    ORDER BY f.number, 5, f.measure, f.unit;
END
$$;

COMMENT ON FUNCTION cxm.scorecard(text, text, timestamptz, timestamptz, integer, text[], double precision, text, integer) IS
'Measures by period and dimension, a row each, oldest first: how much, how certain, what it was before, whether that is more than chance, what it is to be, and what others have.
bucket: day, week, month, quarter or year, cut in zone with weeks from week_start (NULL: those of cx.store). dimension: touchpoint, location, product or employee (then key is its key, and records that name none do not count), region of the location or category of the product, as the catalogues say today (then key is that), or trait:NAME, what customers have of a trait today by the golden record (then key is its value, as text, and those who have none do not count); NULL: all records, key NULL. from_time: the first period shown is the one that it lies in, whole; to_time: nothing from then on is read; NULL: no bound. rolling: a row covers this many periods, those that end with its own, and has starts_at moved back. measures: only these, the others cost nothing; NULL: all. confidence: of intervals; a change is significant when p_value is below 1 - confidence.
Columns: period: first day of the period; starts_at, ends_at: what the row covers; complete: whether that is over, now and at to_time; measure, unit; n: what the value rests on; value with lower and upper, NULL where none can be told; previous_n, previous: of as many periods right before starts_at, NULL without data; change: value less previous, with p_value and significant, NULL for a row that is not complete or has nothing before; goal, target, owner: the goal (cx.goal) of that measure and key in force in the period, of several the one due first, by its version at the end; goal_met: whether value reaches the target; benchmark: the newest (cx.benchmark) as of the end of the period, with source and day. A period without data has no row, nor has one that has not begun.
Measures: every metric of cx.metric under its own name, answers on its usual scale alone: NPS in points with its adjusted Wald interval and test, CSAT in percent with Wilson''s and a test of two proportions, others their mean with Student''s t and Welch''s test.
The others (cxm.scorecard_measures) are counted from records: shares of invitations (response_rate) or customers (retention_rate, churn_rate, repeat_purchase_rate, referral_rate, review_rate, complaint_rate) in percent, with Wilson''s interval and a test of two proportions; first_response, the median wait for a follow-up or an answer in hours, between order statistics and with a test of rank sums; clv, the mean of what customers have spent by the end of the row, with Student''s t and a test that knows whom both periods have; acquisition_cost, money spent (cx.spend) for each new customer, with the interval and test of a Poisson count. The last two have a row a currency, which is their unit; NULL: records that name none. Customers are people as they are today. A measure that has no meaning by the dimension has no row.
Errors: 22023 another bucket, dimension, rolling, confidence, zone or week_start; 42704 an unknown measure; 54000 as cxm.dimension_groups().';
