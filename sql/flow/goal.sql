-- Goals and benchmarks: setting them, and how far a goal has come.

CREATE FUNCTION cxm.dimension_id(dimension text, key text) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_id integer;
BEGIN
    IF dimension IS NULL AND key IS NULL THEN
        RETURN NULL;
    ELSIF dimension IS NULL OR dimension NOT IN ('touchpoint', 'location', 'product', 'employee') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('dimension must be touchpoint, location, product or employee, not %s', coalesce('"' || left(dimension, 100) || '"', 'NULL')),
            HINT = 'Leave out both dimension and key for all answers of the metric.';
    END IF;
    EXECUTE format('SELECT c.%I FROM cx.%I AS c WHERE c.key = $1', dimension || '_id', dimension) INTO v_id USING key;
    IF v_id IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('%s %s does not exist', dimension, coalesce('"' || left(key, 100) || '"', 'NULL')),
            HINT = format('Give a key of cx.%s.', dimension);
    END IF;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.dimension_id(text, text) IS
'Code of a key in the catalogue of a dimension: touchpoint, location, product or employee. NULL when neither is given. Errors: another dimension (22023), a key that the catalogue does not have (42704).';

CREATE FUNCTION cxm.check_score(what text, metric text, score double precision) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_low double precision;
    v_high double precision;
    v_is_metric boolean;
BEGIN
    SELECT CASE m.family WHEN 'nps' THEN -100 WHEN 'csat' THEN 0 ELSE m.scale_min END,
           CASE m.family WHEN 'nps' THEN 100 WHEN 'csat' THEN 100 ELSE m.scale_max END, true
    INTO v_low, v_high, v_is_metric
    FROM cx.metric AS m WHERE m.metric = check_score.metric;
    IF NOT FOUND THEN
        -- one below infinity
        SELECT 0, CASE m.unit WHEN 'percent' THEN 100 ELSE 1.7976931348623157e308 END, false INTO v_low, v_high, v_is_metric
        FROM cxm.scorecard_measures() AS m WHERE m.measure = check_score.metric;
    END IF;
    IF v_low IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('metric %s does not exist', coalesce('"' || left(metric, 100) || '"', 'NULL')),
            DETAIL = format('The metrics are %s; the other measures are %s.', cxm.metric_names(), (SELECT string_agg(m.measure, ', ' ORDER BY m.measure) FROM cxm.scorecard_measures() AS m));
    ELSIF score NOT BETWEEN v_low AND v_high THEN
        RAISE numeric_value_out_of_range USING
            MESSAGE = format(CASE WHEN v_is_metric THEN '%s %s is no score of metric "%s"' ELSE '%s %s is no value of measure "%s"' END, what, score, metric),
            HINT = CASE WHEN v_high > 1e300 THEN 'Its values are not below 0, and finite.' ELSE format('Its scores go from %s to %s.', v_low, v_high) END;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_score(text, text, double precision) IS
'Nothing, when the score can be one of the metric: -100 to 100 for family nps, 0 to 100 for csat, otherwise on the scale; of another measure of cx.scorecard: 0 to 100 for percentages, otherwise 0 or more; or is NULL. Errors: an unknown metric (42704), a score that is out of range or NaN (22003); what is the word for it in the message.';

CREATE FUNCTION cxm.check_measure(metric text, dimension text, currency text) RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_measure record;
BEGIN
    SELECT m.* INTO v_measure FROM cxm.scorecard_measures() AS m WHERE m.measure = metric;
    IF FOUND AND dimension <> ALL (v_measure.dimensions) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('measure "%s" has no meaning by %s', metric, dimension),
            HINT = CASE WHEN v_measure.dimensions = '{}' THEN 'Leave out dimension and key.' ELSE format('It is known by %s.', array_to_string(v_measure.dimensions, ', ')) END;
    ELSIF currency IS NOT NULL AND (v_measure.measure IS NULL OR v_measure.unit IS NOT NULL) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('"%s" is not in money', metric),
            HINT = 'Leave out the currency.';
    ELSIF currency !~ '^[A-Z]{3}$' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('currency "%s" is not an ISO 4217 code', left(currency, 100)),
            HINT = 'Give three capital letters, such as EUR.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_measure(text, text, text) IS
'Nothing, when a metric or measure has a meaning by that dimension (NULL: by none) and in that currency (NULL: not in money, or of records that name none); otherwise an error (22023).';

CREATE FUNCTION cxm.number_goal_version() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    said CONSTANT text[] := '{owner,target,baseline,due_on,reason,closed_at}';
    kept CONSTANT text[] := said || '{version,changed_at,changed_by}'::text[];
BEGIN
    IF to_jsonb(NEW) - kept <> to_jsonb(OLD) - kept THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('what goal "%s" measures cannot be changed', OLD.name),
            DETAIL = format('It is about %s.', (SELECT string_agg(o.key, ', ' ORDER BY o.key) FROM jsonb_each(to_jsonb(OLD) - kept) AS o WHERE o.value IS DISTINCT FROM to_jsonb(NEW) -> o.key)),
            HINT = 'Close it with cxm.close_goal() and set another one.';
    END IF;
    NEW.version := OLD.version;
    NEW.changed_at := OLD.changed_at;
    NEW.changed_by := OLD.changed_by;
    IF NEW IS DISTINCT FROM OLD THEN
        NEW.version := OLD.version + 1;
        NEW.changed_at := greatest(now(), OLD.changed_at);
        NEW.changed_by := session_user;
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION cxm.number_goal_version() IS
'Trigger on cx.goal, before UPDATE: a row that says something else is a new version. Error 55000: a change of what is measured, of the name or of who set it.';

CREATE FUNCTION cxm.keep_goal_version() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO cx.goal_version (goal_id, version, owner, target, baseline, due_on, closed_at, reason, changed_at, changed_by)
    VALUES (NEW.goal_id, NEW.version, NEW.owner, NEW.target, NEW.baseline, NEW.due_on, NEW.closed_at, NEW.reason, NEW.changed_at, NEW.changed_by)
    ON CONFLICT (goal_id, version) DO NOTHING;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.keep_goal_version() IS 'Trigger on cx.goal, after INSERT and UPDATE: keeps each version in cx.goal_version.';

CREATE FUNCTION cxm.add_goal_triggers() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.goal'::regclass AND t.tgname = 'goal_number_version') THEN
        CREATE TRIGGER goal_number_version BEFORE UPDATE ON cx.goal FOR EACH ROW EXECUTE FUNCTION cxm.number_goal_version();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.goal'::regclass AND t.tgname = 'goal_keep_version') THEN
        CREATE TRIGGER goal_keep_version AFTER INSERT OR UPDATE ON cx.goal FOR EACH ROW EXECUTE FUNCTION cxm.keep_goal_version();
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.add_goal_triggers() IS 'Gives cx.goal its triggers back where it has lost them.';

CREATE FUNCTION cxm.set_goal(
    name text,
    owner text,
    metric text,
    target double precision,
    due_on date,
    starts_on date DEFAULT NULL,
    dimension text DEFAULT NULL,
    key text DEFAULT NULL,
    baseline double precision DEFAULT NULL,
    direction text DEFAULT 'at_least',
    period text DEFAULT 'week',
    currency text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_id CONSTANT integer := cxm.dimension_id(dimension, key);
    v_measure CONSTANT text := (SELECT m.measure FROM cxm.scorecard_measures() AS m WHERE m.measure = metric);
    v_goal integer;
BEGIN
    PERFORM cxm.store_version();
    PERFORM cxm.check_score('target', metric, target);
    PERFORM cxm.check_score('baseline', metric, baseline);
    PERFORM cxm.check_measure(metric, dimension, currency);
    starts_on := coalesce(starts_on, (now() AT TIME ZONE (SELECT s.time_zone FROM cx.store AS s))::date);
    IF direction IS NULL OR direction NOT IN ('at_least', 'at_most') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('direction must be at_least or at_most, not %s', coalesce('"' || left(direction, 100) || '"', 'NULL'));
    ELSIF period IS NULL OR period NOT IN ('week', 'month') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('period must be week or month, not %s', coalesce('"' || left(period, 100) || '"', 'NULL'));
    END IF;
    PERFORM cxm.check_goal_days(starts_on, due_on);

    BEGIN
        INSERT INTO cx.goal (name, owner, metric, measure, currency, touchpoint_id, location_id, product_id, employee_id, direction, target, baseline, period, starts_on, due_on)
        VALUES (name, owner, CASE WHEN v_measure IS NULL THEN metric END, v_measure, currency,
                CASE dimension WHEN 'touchpoint' THEN v_id END, CASE dimension WHEN 'location' THEN v_id END,
                CASE dimension WHEN 'product' THEN v_id END, CASE dimension WHEN 'employee' THEN v_id END,
                direction, target, baseline, period, starts_on, due_on)
        RETURNING goal_id INTO v_goal;
    EXCEPTION
        WHEN unique_violation THEN
            RAISE unique_violation USING
                MESSAGE = format('goal "%s" exists already', name),
                HINT = 'Change it with cxm.change_goal(), or choose another name.';
    END;
    RETURN v_goal;
END
$$;

COMMENT ON FUNCTION cxm.set_goal(text, text, text, double precision, date, date, text, text, double precision, text, text, text) IS
'Sets a goal: the score of a metric, or another measure of cx.scorecard (cxm.scorecard_measures), is to be at least (direction at_most: at most) target by due_on. starts_on: first day whose answers count (NULL: today, in the time zone of the store); dimension and key: only answers about that touchpoint, location, product or employee; baseline: what it began with; period: week or month, the length of what is scored. target and baseline are in the unit of the metric''s family: NPS -100 to 100, CSAT 0 to 100 percent, otherwise a mean on the scale; in that of the measure. currency: of a measure in money. Returns its goal_id. Errors: an unknown metric or key (42704), a dimension or currency that the measure does not have, another dimension, direction or period, days that are not in order, not finite or more than 3660 apart (22023), a score that the metric cannot have (22003), a name that is taken (23505), a NULL (23502) or empty (23514) name or owner.';

CREATE FUNCTION cxm.check_goal_days(starts_on date, due_on date) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (isfinite(starts_on) AND isfinite(due_on)) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a goal cannot go from %s to %s', coalesce(starts_on::text, 'NULL'), coalesce(due_on::text, 'NULL')),
            HINT = 'Give the day by which it is to be reached.';
    ELSIF due_on < starts_on OR due_on - starts_on > 3660 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a goal that starts on %s cannot be due on %s', starts_on, due_on),
            HINT = 'It is due on the day of its start at the earliest, and 3660 days later at the latest.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_goal_days(date, date) IS 'Nothing, when a goal can go from the one day to the other; otherwise an error (22023).';

CREATE FUNCTION cxm.change_goal(
    goal text,
    reason text,
    target double precision DEFAULT NULL,
    due_on date DEFAULT NULL,
    owner text DEFAULT NULL,
    baseline double precision DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_goal cx.goal;
    v_version integer;
BEGIN
    PERFORM cxm.store_version();
    SELECT g.* INTO v_goal FROM cx.goal AS g WHERE g.name = goal FOR UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('goal %s does not exist', coalesce('"' || left(goal, 100) || '"', 'NULL')),
            HINT = 'The names are in cx.goal.';
    ELSIF v_goal.closed_at IS NOT NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('goal "%s" is closed', goal),
            HINT = 'Set another one with cxm.set_goal().';
    ELSIF coalesce(reason, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a goal is not changed without a reason',
            HINT = 'Say why; it is kept with what the goal was.';
    ELSIF num_nonnulls(target, due_on, owner, baseline) = 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'nothing is to be changed',
            HINT = 'Give target, due_on, owner or baseline.';
    END IF;
    PERFORM cxm.check_score('target', coalesce(v_goal.metric, v_goal.measure), target);
    PERFORM cxm.check_score('baseline', coalesce(v_goal.metric, v_goal.measure), baseline);
    PERFORM cxm.check_goal_days(v_goal.starts_on, coalesce(due_on, v_goal.due_on));

    UPDATE cx.goal AS g
    SET target = coalesce(target, g.target), due_on = coalesce(due_on, g.due_on), owner = coalesce(owner, g.owner),
        baseline = coalesce(baseline, g.baseline), reason = reason
    WHERE g.goal_id = v_goal.goal_id
    RETURNING g.version INTO v_version;
    RETURN v_version;
END
$$;

COMMENT ON FUNCTION cxm.change_goal(text, text, double precision, date, text, double precision) IS
'Changes an open goal, by name: target, due_on, owner, baseline; NULL leaves one as it is. What it was stays in cx.goal_version, with the reason. Returns the number of the version. Errors: an unknown goal (42704), one that is closed (55000), no reason, nothing to change, days out of order (22023), a score that the metric cannot have (22003), an empty owner (23514).';

CREATE FUNCTION cxm.close_goal(goal text, reason text DEFAULT NULL) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_closed timestamptz;
BEGIN
    PERFORM cxm.store_version();
    UPDATE cx.goal AS g SET closed_at = now(), reason = reason WHERE g.name = goal AND g.closed_at IS NULL;
    SELECT g.closed_at INTO v_closed FROM cx.goal AS g WHERE g.name = goal;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('goal %s does not exist', coalesce('"' || left(goal, 100) || '"', 'NULL')),
            HINT = 'The names are in cx.goal.';
    END IF;
    RETURN v_closed;
END
$$;

COMMENT ON FUNCTION cxm.close_goal(text, text) IS
'Closes a goal, by name: answers from then on do not count, and it cannot be changed. Returns when it was closed; of a goal that is closed already, when that was. Error: an unknown goal (42704).';

CREATE FUNCTION cxm.set_benchmark(
    metric text,
    value double precision,
    source text,
    as_of date,
    segment text DEFAULT '',
    dimension text DEFAULT NULL,
    key text DEFAULT NULL,
    note text DEFAULT NULL,
    url text DEFAULT NULL,
    currency text DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    v_id CONSTANT integer := cxm.dimension_id(dimension, key);
    v_measure CONSTANT text := (SELECT m.measure FROM cxm.scorecard_measures() AS m WHERE m.measure = metric);
    v_benchmark integer;
BEGIN
    PERFORM cxm.store_version();
    PERFORM cxm.check_score('benchmark', metric, value);
    PERFORM cxm.check_measure(metric, dimension, currency);
    IF isfinite(as_of) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a benchmark cannot be of %s', coalesce(as_of::text, 'NULL')),
            HINT = 'Give the day that it stands for, or on which it was published.';
    END IF;
    BEGIN
        INSERT INTO cx.benchmark (metric, measure, currency, touchpoint_id, location_id, product_id, employee_id, segment, value, source, as_of, note, url)
        VALUES (CASE WHEN v_measure IS NULL THEN metric END, v_measure, currency,
                CASE dimension WHEN 'touchpoint' THEN v_id END, CASE dimension WHEN 'location' THEN v_id END,
                CASE dimension WHEN 'product' THEN v_id END, CASE dimension WHEN 'employee' THEN v_id END,
                segment, value, source, as_of, note, url)
        RETURNING benchmark_id INTO v_benchmark;
    EXCEPTION
        WHEN unique_violation THEN
            RAISE unique_violation USING
                MESSAGE = format('the benchmark of %s by "%s" as of %s is set already', metric, source, as_of),
                HINT = 'Give the day that a newer one stands for; to correct a slip, delete the row of cx.benchmark first.';
    END;
    RETURN v_benchmark;
END
$$;

COMMENT ON FUNCTION cxm.set_benchmark(text, double precision, text, date, text, text, text, text, text, text) IS
'Adds a score of others to compare with: its metric and value in the unit of the metric''s family, or a measure of cx.scorecard (cxm.scorecard_measures) and value in its unit (currency: of one in money), who published it (source), the day that it stands for (as_of), whose it is in words (segment), and the touchpoint, location, product or employee (dimension, key) that it is about. Returns its benchmark_id. Nothing is replaced: the same source, segment and day again is an error (23505). Other errors: an unknown metric or key (42704), a dimension or currency that the measure does not have, another dimension or no finite day (22023), a score that the metric cannot have (22003), a NULL value, source or segment (23502), an empty source (23514).';

CREATE FUNCTION cxm.answer_variance(family text, ratings cxm.ratings) RETURNS double precision
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- shares: taken back from their interval, which is never without width
    SELECT CASE
               WHEN family IN ('nps', 'csat') THEN
                   (SELECT cxm.count(ratings) * ((i.upper - i.lower) / (2 * 1.959963984540054)) ^ 2 FROM cxm.score_interval(family, ratings, 0.95) AS i)
               ELSE greatest(cxm.variance(ratings), 1 / 12.0::double precision)
           END;
$$;

COMMENT ON FUNCTION cxm.answer_variance(text, cxm.ratings) IS
'Variance that one answer adds to the score (cxm.score_of()): n times the squared standard error of the score of n answers. Of families nps and csat it is taken from their interval, adjusted Wald and Wilson, so that it is above zero even when all answers are alike; otherwise the variance of the scores, at least 1/12, that of rounding to whole numbers. NULL when there are no answers, and for a mean of one.';

-- What is read for goals is read for all of them together: answers once a metric, records once a measure.

CREATE FUNCTION cxm.goal_frames(goal_ids integer[], at timestamptz)
RETURNS TABLE (
    goal_id integer,
    metric text,
    measure text,
    currency text,
    dimension text,
    id integer,
    key text,
    direction text,
    period text,
    family text,
    unit text,
    low double precision,
    high double precision,
    version integer,
    target double precision,
    baseline double precision,
    due_on date,
    starts_at timestamptz,
    due_at timestamptz,
    ends_at timestamptz,
    closed_at timestamptz,
    bounds timestamptz[])
LANGUAGE sql STABLE PARALLEL SAFE
ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    SELECT g.goal_id, g.metric, g.measure, g.currency, d.dimension,
           coalesce(g.touchpoint_id, g.location_id, g.product_id, g.employee_id),
           CASE d.dimension WHEN 'touchpoint' THEN (SELECT t.key FROM cx.touchpoint AS t WHERE t.touchpoint_id = g.touchpoint_id)
                            WHEN 'location' THEN (SELECT l.key FROM cx.location AS l WHERE l.location_id = g.location_id)
                            WHEN 'product' THEN (SELECT p.key FROM cx.product AS p WHERE p.product_id = g.product_id)
                            WHEN 'employee' THEN (SELECT e.key FROM cx.employee AS e WHERE e.employee_id = g.employee_id) END,
           g.direction, g.period, m.family, k.unit, m.scale_min, m.scale_max, v.version, v.target, v.baseline, v.due_on,
           w.starts_at, w.due_at, w.ends_at, v.closed_at,
           -- periods are counted back from the end, so that the last one is whole; the first may be cut
           CASE WHEN g.metric IS NOT NULL THEN ARRAY(
               SELECT (w.ends_at AT TIME ZONE s.time_zone - j * w.step) AT TIME ZONE s.time_zone
               -- no week is shorter than six days, no month than 27
               FROM generate_series(0, (greatest(extract(epoch FROM w.ends_at - w.starts_at), 0) / 86400)::integer / CASE g.period WHEN 'week' THEN 6 ELSE 27 END + 1) AS j
               WHERE (w.ends_at AT TIME ZONE s.time_zone - (j - 1) * w.step) AT TIME ZONE s.time_zone > w.starts_at
               ORDER BY j DESC) END
    FROM cx.store AS s
    CROSS JOIN cx.goal AS g
    LEFT JOIN cx.metric AS m ON m.metric = g.metric
    LEFT JOIN cxm.scorecard_measures() AS k ON k.measure = g.measure
    CROSS JOIN LATERAL (SELECT CASE WHEN g.touchpoint_id IS NOT NULL THEN 'touchpoint' WHEN g.location_id IS NOT NULL THEN 'location'
                                    WHEN g.product_id IS NOT NULL THEN 'product' WHEN g.employee_id IS NOT NULL THEN 'employee' END AS dimension) AS d
    CROSS JOIN LATERAL (
        -- the version of that time; before there was one, the first
        SELECT o.version, o.target, o.baseline, o.due_on, o.closed_at FROM cx.goal_version AS o WHERE o.goal_id = g.goal_id
        ORDER BY (o.changed_at <= goal_frames.at) DESC, CASE WHEN o.changed_at <= goal_frames.at THEN -o.version ELSE o.version END
        LIMIT 1
    ) AS v
    CROSS JOIN LATERAL (
        SELECT z.*, least(goal_frames.at, z.due_at, v.closed_at) AS ends_at
        FROM (SELECT g.starts_on::timestamp AT TIME ZONE s.time_zone AS starts_at, (v.due_on + 1)::timestamp AT TIME ZONE s.time_zone AS due_at, ('1 ' || g.period)::interval AS step) AS z
    ) AS w
    WHERE goal_ids IS NULL OR g.goal_id = ANY (goal_ids);
$$;

COMMENT ON FUNCTION cxm.goal_frames(integer[], timestamptz) IS
'What goals (NULL: all) are about at a time, by the version of each that was in force then (before there was one, the first): starts_at is when its first day begins, due_at when its due day ends, ends_at up to when its answers count; bounds are those of its periods, counted back from ends_at, the first of them at or before starts_at (NULL: of a measure, whose periods are those of the calendar).';

CREATE FUNCTION cxm.goal_answers(goal_ids integer[], at timestamptz, confidence double precision)
RETURNS TABLE (
    goal_id integer,
    periods integer,
    weeks double precision[],
    scores double precision[],
    weights double precision[],
    starts_at timestamptz,
    ends_at timestamptz,
    n bigint,
    value double precision,
    lower double precision,
    upper double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    v_read record;
BEGIN
    -- between two cuts an answer counts in the same periods wherever it lies
    SELECT min(f.metric) AS metric, min(f.low) AS low, min(f.high) AS high, min(f.starts_at) AS from_at, max(f.ends_at) AS to_at,
           (SELECT array_agg(DISTINCT c.at ORDER BY c.at) FROM cxm.goal_frames(goal_ids, goal_answers.at) AS o CROSS JOIN LATERAL unnest(o.bounds || o.starts_at) AS c(at) WHERE c.at >= o.starts_at) AS cuts,
           bool_or(f.dimension IS NULL) AS by_none, bool_or(f.dimension = 'touchpoint') AS by_touchpoint, bool_or(f.dimension = 'location') AS by_location,
           bool_or(f.dimension = 'product') AS by_product, bool_or(f.dimension = 'employee') AS by_employee,
           CASE WHEN count(*) = count(f.dimension) AND min(f.dimension || ' ' || f.id) = max(f.dimension || ' ' || f.id) THEN min(f.id) END AS id
    INTO v_read
    FROM cxm.goal_frames(goal_ids, goal_answers.at) AS f;
    IF v_read.metric IS NULL THEN
        RETURN;
    END IF;

    RETURN QUERY
    WITH counted AS MATERIALIZED (
        SELECT width_bucket(f.occurred_at, v_read.cuts) AS cut,
               CASE WHEN v_read.by_touchpoint THEN f.touchpoint_id END AS touchpoint_id, CASE WHEN v_read.by_location THEN f.location_id END AS location_id,
               CASE WHEN v_read.by_product THEN f.product_id END AS product_id, CASE WHEN v_read.by_employee THEN f.employee_id END AS employee_id,
               cxm.ratings_agg(f.score, f.scale_min, f.scale_max) AS ratings,
               -- to the second, so that the sum is of whole numbers: exact in any order, and fast
               sum(date_part('epoch', f.occurred_at)::bigint) AS seconds
        FROM cx.feedback AS f
        WHERE f.metric = v_read.metric AND f.score IS NOT NULL
          AND f.scale_min = v_read.low AND f.scale_max = v_read.high
          AND f.occurred_at >= v_read.from_at AND f.occurred_at < v_read.to_at
          AND CASE WHEN v_read.id IS NULL THEN true WHEN v_read.by_touchpoint THEN f.touchpoint_id = v_read.id WHEN v_read.by_location THEN f.location_id = v_read.id
                   WHEN v_read.by_product THEN f.product_id = v_read.id ELSE f.employee_id = v_read.id END
        GROUP BY 1, 2, 3, 4, 5
    ), about AS (
        SELECT c.cut, d.dimension, d.id, cxm.rollup(c.ratings) AS ratings, sum(c.seconds) AS seconds
        FROM counted AS c
        CROSS JOIN LATERAL (VALUES ('', CASE WHEN v_read.by_none THEN 0 END), ('touchpoint', c.touchpoint_id), ('location', c.location_id), ('product', c.product_id), ('employee', c.employee_id)) AS d (dimension, id)
        WHERE d.id IS NOT NULL
        GROUP BY c.cut, d.dimension, d.id
    ), scored AS (
        SELECT f.goal_id, f.family, f.bounds, f.starts_at, f.ends_at, width_bucket(v_read.cuts[a.cut], f.bounds) AS no, cxm.rollup(a.ratings) AS ratings,
               (sum(a.seconds) / sum(cxm.count(a.ratings)) - extract(epoch FROM f.starts_at))::double precision / 604800 AS week
        FROM cxm.goal_frames(goal_ids, goal_answers.at) AS f
        JOIN about AS a ON a.dimension = coalesce(f.dimension, '') AND a.id = coalesce(f.id, 0)
        WHERE v_read.cuts[a.cut] >= f.starts_at AND v_read.cuts[a.cut] < f.ends_at
        GROUP BY 1, 2, 3, 4, 5, 6
    ), summed AS (
        SELECT s.goal_id, s.family, count(*)::integer AS periods, array_agg(s.week ORDER BY s.no) AS weeks, array_agg(cxm.score_of(s.family, s.ratings) ORDER BY s.no) AS scores,
               array_agg(cxm.count(s.ratings)::double precision ORDER BY s.no) AS answers, cxm.answer_variance(s.family, cxm.rollup(s.ratings)) AS variance,
               greatest(s.starts_at, s.bounds[cardinality(s.bounds) - 1]) AS starts_at, s.ends_at,
               cxm.rollup(s.ratings) FILTER (WHERE s.no = cardinality(s.bounds) - 1) AS last
        FROM scored AS s
        GROUP BY s.goal_id, s.family, s.bounds, s.starts_at, s.ends_at
    )
    SELECT s.goal_id, s.periods, s.weeks, s.scores, ARRAY(SELECT a.answers / s.variance FROM unnest(s.answers) WITH ORDINALITY AS a(answers, no) ORDER BY a.no),
           s.starts_at, s.ends_at, coalesce(cxm.count(s.last), 0), cxm.score_of(s.family, s.last), i.lower, i.upper
    FROM summed AS s
    LEFT JOIN LATERAL cxm.score_interval(s.family, s.last, confidence) AS i ON true;
END
$$;

COMMENT ON FUNCTION cxm.goal_answers(integer[], timestamptz, double precision) IS
'What the answers say of goals that are about one metric and have begun, read once for all of them: of each that has any, the middle, in weeks since its start, score and weight of the periods that have answers, and of the last period its bounds, answers, score and confidence interval.';

CREATE FUNCTION cxm.goal_records(goal_ids integer[], at timestamptz, confidence double precision)
RETURNS TABLE (
    goal_id integer,
    periods integer,
    weeks double precision[],
    scores double precision[],
    weights double precision[],
    starts_at timestamptz,
    ends_at timestamptz,
    n bigint,
    value double precision,
    lower double precision,
    upper double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_read record;
BEGIN
    SELECT min(f.measure) AS measure, min(f.dimension) AS dimension, min(f.period) AS period, min(f.starts_at) AS from_at, max(f.ends_at) AS to_at
    INTO v_read
    FROM cxm.goal_frames(goal_ids, goal_records.at) AS f;
    IF v_read.measure IS NULL THEN
        RETURN;
    END IF;

    -- what is counted is counted by the calendar: periods that lie in the time of the goal and are over
    RETURN QUERY
    SELECT s.goal_id, count(*)::integer,
           array_agg(extract(epoch FROM s.starts_at + (s.ends_at - s.starts_at) / 2 - s.begins_at)::double precision / 604800 ORDER BY s.starts_at),
           array_agg(s.value ORDER BY s.starts_at),
           -- a precision for each that n stands for, from all intervals together: one alone can be of no width, or not be known
           array_agg(greatest(s.n, 1) / greatest(s.variance, 1e-9) ORDER BY s.starts_at),
           (array_agg(s.starts_at ORDER BY s.starts_at DESC))[1], (array_agg(s.ends_at ORDER BY s.starts_at DESC))[1],
           (array_agg(s.n ORDER BY s.starts_at DESC))[1], (array_agg(s.value ORDER BY s.starts_at DESC))[1],
           (array_agg(s.lower ORDER BY s.starts_at DESC))[1], (array_agg(s.upper ORDER BY s.starts_at DESC))[1]
    FROM (
        SELECT f.goal_id, f.starts_at AS begins_at, c.starts_at, c.ends_at, c.n, c.value, c.lower, c.upper,
               coalesce(sum(c.n * c.n * ((c.upper - c.lower) / 2) ^ 2) OVER own / nullif(sum(c.n) FILTER (WHERE c.upper > c.lower) OVER own, 0), 1) / cxm.student_quantile(confidence, 1000000) ^ 2 AS variance
        FROM cxm.scorecard(v_read.period, v_read.dimension, v_read.from_at, v_read.to_at, 1, ARRAY[v_read.measure], confidence, (SELECT s.time_zone FROM cx.store AS s)) AS c
        JOIN cxm.goal_frames(goal_ids, goal_records.at) AS f
          ON c.starts_at >= f.starts_at AND c.ends_at <= f.ends_at AND c.key IS NOT DISTINCT FROM f.key AND (c.unit IS NOT DISTINCT FROM f.currency OR f.unit IS NOT NULL)
        WHERE c.value IS NOT NULL
        WINDOW own AS (PARTITION BY f.goal_id)
    ) AS s
    GROUP BY s.goal_id;
END
$$;

COMMENT ON FUNCTION cxm.goal_records(integer[], timestamptz, double precision) IS
'As cxm.goal_answers(), of goals that are about one measure by one dimension, have periods of one length and end at the same time.';

CREATE FUNCTION cxm.goal_statuses(goal_ids integer[] DEFAULT NULL, at timestamptz DEFAULT now(), confidence double precision DEFAULT 0.95)
RETURNS TABLE (
    goal_id integer,
    version integer,
    target double precision,
    due_on date,
    status text,
    starts_at timestamptz,
    ends_at timestamptz,
    n bigint,
    value double precision,
    lower double precision,
    upper double precision,
    progress double precision,
    periods integer,
    weekly_change double precision,
    projected double precision,
    projected_lower double precision,
    projected_upper double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_zone CONSTANT text := (SELECT s.time_zone FROM cx.store AS s);
    v_group record;
    v_goal record;
    v_over boolean;
    v_closed boolean;
    v_line record;
    v_low double precision;
    v_high double precision;
    v_sign double precision;
BEGIN
    IF (confidence > 0 AND confidence < 1) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('confidence %s is not between 0 and 1', coalesce(confidence::text, 'NULL'));
    ELSIF isfinite(at) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('a goal has no status at %s', coalesce(at::text, 'NULL'));
    END IF;

    FOR v_group IN
        WITH frame AS MATERIALIZED (
            SELECT f.* FROM cxm.goal_frames(goal_statuses.goal_ids, goal_statuses.at) AS f
        ), span AS (
            -- what no goal is about is not read
            SELECT s.metric, r.span
            FROM (SELECT f.metric, range_agg(tstzrange(f.starts_at, f.ends_at)) AS spans FROM frame AS f WHERE f.metric IS NOT NULL AND f.ends_at > f.starts_at GROUP BY f.metric) AS s
            CROSS JOIN LATERAL unnest(s.spans) AS r(span)
        )
        SELECT array_agg(f.goal_id) AS answers, NULL::integer[] AS records, NULL::integer[] AS nothing
        FROM span AS s JOIN frame AS f ON f.metric = s.metric AND f.ends_at > f.starts_at AND tstzrange(f.starts_at, f.ends_at) <@ s.span
        GROUP BY s.metric, s.span
        UNION ALL
        SELECT NULL, array_agg(f.goal_id), NULL FROM frame AS f WHERE f.measure IS NOT NULL AND f.ends_at > f.starts_at GROUP BY f.measure, f.dimension, f.period, f.ends_at
        UNION ALL
        SELECT NULL, NULL, array_agg(f.goal_id) FROM frame AS f WHERE f.ends_at <= f.starts_at HAVING count(*) > 0
    LOOP
        FOR v_goal IN
            SELECT f.*, coalesce(p.periods, 0) AS periods, p.weeks, p.scores, p.weights, coalesce(p.n, 0) AS n, p.value, p.lower, p.upper,
                   coalesce(p.starts_at, greatest(f.starts_at, f.bounds[cardinality(f.bounds) - 1])) AS period_starts_at, coalesce(p.ends_at, f.ends_at) AS period_ends_at
            FROM cxm.goal_frames(coalesce(v_group.answers, v_group.records, v_group.nothing), goal_statuses.at) AS f
            LEFT JOIN (
                SELECT a.* FROM cxm.goal_answers(v_group.answers, goal_statuses.at, confidence) AS a WHERE v_group.answers IS NOT NULL
                UNION ALL
                SELECT r.* FROM cxm.goal_records(v_group.records, goal_statuses.at, confidence) AS r WHERE v_group.records IS NOT NULL
            ) AS p ON p.goal_id = f.goal_id
        LOOP
            goal_id := v_goal.goal_id;
            version := v_goal.version;
            target := v_goal.target;
            due_on := v_goal.due_on;
            starts_at := v_goal.period_starts_at;
            ends_at := v_goal.period_ends_at;
            n := v_goal.n;
            value := v_goal.value;
            lower := v_goal.lower;
            upper := v_goal.upper;
            periods := v_goal.periods;
            progress := 100 * (value - v_goal.baseline) / nullif(target - v_goal.baseline, 0);
            weekly_change := NULL;
            projected := NULL;
            projected_lower := NULL;
            projected_upper := NULL;
            v_over := v_goal.ends_at = v_goal.due_at;
            v_closed := v_goal.closed_at IS NOT NULL AND v_goal.closed_at <= goal_statuses.at AND NOT v_over;
            v_sign := CASE v_goal.direction WHEN 'at_least' THEN 1 ELSE -1 END;
            IF v_goal.ends_at <= v_goal.starts_at THEN
                starts_at := v_goal.starts_at;
                ends_at := v_goal.starts_at;
                status := CASE WHEN v_closed THEN 'closed' ELSE 'too early' END;
            ELSIF v_over THEN
                status := CASE WHEN v_sign * value >= v_sign * target THEN 'reached' ELSE 'missed' END;
            ELSIF v_closed OR periods < 3 THEN
                status := CASE WHEN v_closed THEN 'closed' ELSE 'too early' END;
            ELSE
                SELECT p.* INTO v_line
                FROM cxm.project(v_goal.weeks, v_goal.scores, v_goal.weights,
                                 -- the middle of the last period before the goal is due: what will be held against the target
                                 extract(epoch FROM (v_goal.due_at + ((v_goal.due_at AT TIME ZONE v_zone - ('1 ' || v_goal.period)::interval) AT TIME ZONE v_zone - v_goal.due_at) / 2) - v_goal.starts_at)::double precision / 604800,
                                 confidence) AS p;
                weekly_change := v_line.slope;
                -- a line knows no end of the scale
                v_low := CASE WHEN v_goal.family = 'nps' THEN -100 WHEN v_goal.family = 'csat' OR v_goal.measure IS NOT NULL THEN 0 ELSE v_goal.low END;
                v_high := CASE WHEN v_goal.family IN ('nps', 'csat') OR v_goal.unit = 'percent' THEN 100 WHEN v_goal.measure IS NOT NULL THEN 'Infinity'::double precision ELSE v_goal.high END;
                projected := greatest(least(v_line.value, v_high), v_low);
                projected_lower := greatest(least(v_line.lower, v_high), v_low);
                projected_upper := greatest(least(v_line.upper, v_high), v_low);
                status := CASE
                              WHEN v_sign * CASE v_sign WHEN 1 THEN lower ELSE upper END >= v_sign * target THEN 'reached'
                              WHEN v_sign * projected >= v_sign * target THEN 'on track'
                              WHEN v_sign * CASE v_sign WHEN 1 THEN projected_upper ELSE projected_lower END >= v_sign * target THEN 'at risk'
                              ELSE 'off track'
                          END;
            END IF;
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.goal_statuses(integer[], timestamptz, double precision) IS
'cxm.goal_status() of several goals (NULL: all) at a time, each with its goal_id: answers are read once for all goals of a metric, records once for all of a measure by a dimension.';

CREATE FUNCTION cxm.goal_status(goal text, at timestamptz DEFAULT now(), confidence double precision DEFAULT 0.95)
RETURNS TABLE (
    version integer,
    target double precision,
    due_on date,
    status text,
    starts_at timestamptz,
    ends_at timestamptz,
    n bigint,
    value double precision,
    lower double precision,
    upper double precision,
    progress double precision,
    periods integer,
    weekly_change double precision,
    projected double precision,
    projected_lower double precision,
    projected_upper double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id CONSTANT integer := (SELECT g.goal_id FROM cx.goal AS g WHERE g.name = goal_status.goal);
BEGIN
    IF v_id IS NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('goal %s does not exist', coalesce('"' || left(goal, 100) || '"', 'NULL')),
            HINT = 'The names are in cx.goal.';
    END IF;
    RETURN QUERY
    SELECT s.version, s.target, s.due_on, s.status, s.starts_at, s.ends_at, s.n, s.value, s.lower, s.upper, s.progress, s.periods,
           s.weekly_change, s.projected, s.projected_lower, s.projected_upper
    FROM cxm.goal_statuses(ARRAY[v_id], goal_status.at, confidence) AS s;
END
$$;

COMMENT ON FUNCTION cxm.goal_status(text, timestamptz, double precision) IS
'How far a goal (by name) has come at a time, by the version of it that was in force then (before there was one, the first). Only answers from its first day up to that time count, at most to the end of the day that it is due and to its closing; on the usual scale of the metric. Of a measure that is counted from records, periods are those of cxm.scorecard(), by the calendar, that lie in the time of the goal and are over; each weighs n, over the variance that their intervals together tell. value: the score of the last period (week or month, in the time zone of the store) before ends_at, with n answers and a confidence interval (lower, upper), cut by the start of the goal; progress: percentage of the way from baseline to target. projected: the straight line through the scores of all periods that have answers (periods many, counted back from ends_at), by cxm.project(), weighted by their precision, answers over cxm.answer_variance(); at the middle of the last period before the due day ends, with its confidence interval, cut off at the ends of the scale; weekly_change: its slope. status: after the due day reached, when value reaches the target, else missed (without answers, too); before it closed, when it was closed; too early with fewer than three periods, and then there is no projection; reached, when the whole interval of value reaches the target; on track, when projected does; at risk, when it does not, but its interval does; else off track. Errors: an unknown goal (42704), a time that is not finite or a confidence that is not between 0 and 1 (22023).';

CREATE FUNCTION cxm.benchmark_gap(at timestamptz DEFAULT now(), within interval DEFAULT interval '90 days', confidence double precision DEFAULT 0.95)
RETURNS TABLE (
    benchmark_id integer,
    n bigint,
    score double precision,
    lower double precision,
    upper double precision,
    difference double precision,
    beyond_chance boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_days integer;
BEGIN
    PERFORM cxm.store_version();
    IF (confidence > 0 AND confidence < 1) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('confidence %s is not between 0 and 1', coalesce(confidence::text, 'NULL'));
    ELSIF isfinite(at) IS NOT TRUE OR (within > interval '0') IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('no answers are within %s before %s', coalesce(within::text, 'NULL'), coalesce(at::text, 'NULL'));
    END IF;
    v_days := least(ceil(extract(epoch FROM at - (at - within)) / 86400), 400);
    RETURN QUERY
    WITH latest AS MATERIALIZED (
        SELECT DISTINCT ON (b.metric, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, b.segment, b.source) b.*, m.family, m.scale_min, m.scale_max
        FROM cx.benchmark AS b
        JOIN cx.metric AS m ON m.metric = b.metric
        WHERE b.as_of <= (benchmark_gap.at AT TIME ZONE (SELECT s.time_zone FROM cx.store AS s))::date
        ORDER BY b.metric, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, b.segment, b.source, b.as_of DESC
    )
    SELECT l.benchmark_id, coalesce(cxm.count(c.ratings), 0), s.score, i.lower, i.upper, s.score - l.value, l.value NOT BETWEEN i.lower AND i.upper
    FROM latest AS l
    CROSS JOIN LATERAL (
        SELECT cxm.ratings_agg(f.score, f.scale_min, f.scale_max) AS ratings
        FROM cx.feedback AS f
        WHERE f.metric = l.metric AND f.score IS NOT NULL
          AND f.scale_min = l.scale_min AND f.scale_max = l.scale_max
          AND f.occurred_at >= benchmark_gap.at - within AND f.occurred_at < benchmark_gap.at
          AND (l.touchpoint_id IS NULL OR f.touchpoint_id = l.touchpoint_id)
          AND (l.location_id IS NULL OR f.location_id = l.location_id)
          AND (l.product_id IS NULL OR f.product_id = l.product_id)
          AND (l.employee_id IS NULL OR f.employee_id = l.employee_id)
    ) AS c
    CROSS JOIN LATERAL (SELECT cxm.score_of(l.family, c.ratings) AS score) AS s
    LEFT JOIN LATERAL cxm.score_interval(l.family, c.ratings, confidence) AS i ON true
    UNION ALL
    SELECT l.benchmark_id, coalesce(c.n, 0), c.value, c.lower, c.upper, c.value - l.value, l.value NOT BETWEEN c.lower AND c.upper
    FROM (
        SELECT DISTINCT ON (b.measure, b.currency, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, b.segment, b.source) b.*, k.unit,
               CASE WHEN b.touchpoint_id IS NOT NULL THEN 'touchpoint' WHEN b.location_id IS NOT NULL THEN 'location' WHEN b.product_id IS NOT NULL THEN 'product' WHEN b.employee_id IS NOT NULL THEN 'employee' END AS dimension,
               coalesce((SELECT t.key FROM cx.touchpoint AS t WHERE t.touchpoint_id = b.touchpoint_id), (SELECT o.key FROM cx.location AS o WHERE o.location_id = b.location_id),
                        (SELECT p.key FROM cx.product AS p WHERE p.product_id = b.product_id), (SELECT e.key FROM cx.employee AS e WHERE e.employee_id = b.employee_id)) AS key
        FROM cx.benchmark AS b
        JOIN cxm.scorecard_measures() AS k ON k.measure = b.measure
        WHERE b.as_of <= (benchmark_gap.at AT TIME ZONE (SELECT s.time_zone FROM cx.store AS s))::date
        ORDER BY b.measure, b.currency, b.touchpoint_id, b.location_id, b.product_id, b.employee_id, b.segment, b.source, b.as_of DESC
    ) AS l
    LEFT JOIN LATERAL (
        -- the window that ends with the last day; the day before would be a row of its own
        SELECT s.* FROM cxm.scorecard('day', l.dimension, benchmark_gap.at - interval '1 microsecond', benchmark_gap.at, v_days, ARRAY[l.measure], confidence) AS s
        WHERE s.key IS NOT DISTINCT FROM l.key AND (s.unit IS NOT DISTINCT FROM l.currency OR l.unit IS NOT NULL)
    ) AS c ON true;
END
$$;

COMMENT ON FUNCTION cxm.benchmark_gap(timestamptz, interval, double precision) IS
'The own score beside each benchmark, of each (metric, dimension, segment, source) the newest that stands for the day of at or one before. score: of the n answers within that interval before at, on the usual scale of the metric and about the key of the benchmark, with its confidence interval (lower, upper); difference: score less benchmark; beyond_chance: whether the interval does not contain the benchmark, which is taken as exact; NULL when there is no interval. A measure that is counted from records is that of cxm.scorecard() over the day of at and as many days before as within has, at most 400 in all. Errors (22023): a time that is not finite, an interval that is not above zero, a confidence that is not between 0 and 1.';
