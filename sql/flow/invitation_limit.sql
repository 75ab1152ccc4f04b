-- How often a person may be asked (fatigue rules), and how many are wanted (quotas).
--
-- Both are exact whatever other sessions do, because the row that is written is what is counted. Sessions that decide about
-- one person meet at the person's profile, which a merge has to lock too, and at its row in cx.contact_clock, whose
-- update makes a session with an older snapshot start anew. Sessions that take from one quota meet at one of its stripes.

CREATE TYPE cxm.invitation_draft AS (
    invitation_id   bigint,
    identifier_id   bigint,
    profile_id      bigint,
    turn            integer,
    asked_for       timestamptz,
    send_at         timestamptz,
    channel         text,
    attributes      jsonb,
    record_id       bigint,
    suppressed_by   text,
    rule_id         integer,
    quota_id        integer,
    detail          jsonb
);

COMMENT ON TYPE cxm.invitation_draft IS
'An invitation on its way into cx.invitation: profile_id is the person as of now, turn its place among the invitations of one call for that person; the last four say what stopped or delayed it.';

---- fatigue rules

CREATE FUNCTION cxm.add_fatigue_rule(
    name text,
    max_count integer DEFAULT NULL,
    rolling_window interval DEFAULT NULL,
    min_gap interval DEFAULT NULL,
    purpose text DEFAULT NULL,
    channel text DEFAULT NULL,
    survey_id integer DEFAULT NULL,
    attributes jsonb DEFAULT '{}',
    per text[] DEFAULT '{}',
    except_purposes text[] DEFAULT '{thank_you}',
    except_surveys integer[] DEFAULT '{}',
    max_delay interval DEFAULT NULL
) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer;
BEGIN
    PERFORM cxm.store_version();
    IF coalesce(add_fatigue_rule.name, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a fatigue rule needs a name';
    ELSIF (add_fatigue_rule.max_count IS NULL) <> (add_fatigue_rule.rolling_window IS NULL) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('fatigue rule "%s" has half a limit', add_fatigue_rule.name),
            HINT = 'max_count and rolling_window go together: at most so many in any such stretch of time.';
    ELSIF coalesce(add_fatigue_rule.max_count::text, add_fatigue_rule.min_gap::text) IS NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('fatigue rule "%s" has no limit', add_fatigue_rule.name),
            HINT = 'Give max_count with rolling_window, min_gap, or both.';
    ELSIF add_fatigue_rule.max_count < 1 OR least(add_fatigue_rule.rolling_window, add_fatigue_rule.min_gap, add_fatigue_rule.max_delay) <= '0' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('fatigue rule "%s" has a limit that is not greater than zero', add_fatigue_rule.name);
    ELSIF jsonb_typeof(coalesce(add_fatigue_rule.attributes, '{}')) <> 'object' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('attributes of fatigue rule "%s" are not a JSON object', add_fatigue_rule.name),
            HINT = 'Give what the attributes of an invitation must contain, such as {"brand": "north"}.';
    END IF;

    INSERT INTO cx.fatigue_rule AS r (name, purpose, channel, survey_id, attributes, per, except_purposes, except_surveys,
                                      max_count, rolling_window, min_gap, action, max_delay)
    VALUES (add_fatigue_rule.name, add_fatigue_rule.purpose, add_fatigue_rule.channel, add_fatigue_rule.survey_id,
            coalesce(add_fatigue_rule.attributes, '{}'), coalesce(add_fatigue_rule.per, '{}'), coalesce(add_fatigue_rule.except_purposes, '{}'),
            coalesce(add_fatigue_rule.except_surveys, '{}'), add_fatigue_rule.max_count, add_fatigue_rule.rolling_window, add_fatigue_rule.min_gap,
            CASE WHEN add_fatigue_rule.max_delay IS NULL THEN 'block' ELSE 'delay' END, add_fatigue_rule.max_delay)
    RETURNING r.rule_id INTO v_id;
    RETURN v_id;
EXCEPTION
    WHEN unique_violation THEN
        RAISE unique_violation USING
            MESSAGE = format('fatigue rule "%s" exists already', add_fatigue_rule.name),
            HINT = 'Choose another name, or UPDATE cx.fatigue_rule.';
END
$$;

COMMENT ON FUNCTION cxm.add_fatigue_rule(text, integer, interval, interval, text, text, integer, jsonb, text[], text[], integer[], interval) IS
'Adds a rule on how often one person may be asked and returns its rule_id: at most max_count invitations in any stretch shorter than rolling_window, any two at least min_gap apart. It governs invitations of that purpose, channel, survey and with those attributes (NULL, {} = any), but for the purposes and surveys excepted; per: what has a clock of its own (purpose, channel, survey, or names of attributes). With max_delay an invitation that comes too soon is moved to the first free time if that is not further off, otherwise it is suppressed. Reminders are never limited. Error 22023: no name, no limit, half a limit or one that is not positive; 23505: the name is taken.';

CREATE FUNCTION cxm.enable_fatigue_rule(name text, enabled boolean DEFAULT true) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_was boolean;
BEGIN
    SELECT r.enabled INTO v_was FROM cx.fatigue_rule AS r WHERE r.name = enable_fatigue_rule.name FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('fatigue rule "%s" does not exist', coalesce(enable_fatigue_rule.name, 'NULL'));
    END IF;
    UPDATE cx.fatigue_rule AS r SET enabled = coalesce(enable_fatigue_rule.enabled, true) WHERE r.name = enable_fatigue_rule.name;
    RETURN v_was IS DISTINCT FROM coalesce(enable_fatigue_rule.enabled, true);
END
$$;

COMMENT ON FUNCTION cxm.enable_fatigue_rule(text, boolean) IS
'Turns a fatigue rule on (the default) or off; returns whether that changed anything. Error 42704: no such rule.';

CREATE FUNCTION cxm.fatigue_key(per text[], purpose text, channel text, survey_id integer, attributes jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY(SELECT CASE k.part WHEN 'purpose' THEN fatigue_key.purpose WHEN 'channel' THEN fatigue_key.channel
                                    WHEN 'survey' THEN fatigue_key.survey_id::pg_catalog.text
                                    ELSE fatigue_key.attributes OPERATOR(pg_catalog.->>) k.part END
                 FROM pg_catalog.unnest(fatigue_key.per) WITH ORDINALITY AS k(part, place) ORDER BY k.place);

COMMENT ON FUNCTION cxm.fatigue_key(text[], text, text, integer, jsonb) IS
'Which clock of a fatigue rule an invitation counts on: its values for the parts of per.';

CREATE FUNCTION cxm.hold_people(identifier_ids bigint[]) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_locked bigint[] := '{}';
    v_profiles bigint[];
    v_new bigint[];
BEGIN
    LOOP
        v_profiles := cxm.identifier_profiles(identifier_ids);
        v_new := ARRAY(SELECT p.id FROM unnest(v_profiles) AS p(id) EXCEPT SELECT l.id FROM unnest(v_locked) AS l(id));
        IF v_new = '{}' THEN
            RETURN v_profiles;
        END IF;
        -- one that is merged away while it is waited for does not come back, and is looked up anew
        v_locked := v_locked || ARRAY(SELECT p.profile_id FROM cx.profile AS p
                                      WHERE p.profile_id = ANY (v_new) AND p.canonical_id = p.profile_id
                                      ORDER BY p.profile_id FOR NO KEY UPDATE);
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.hold_people(bigint[]) IS
'The people (standing profiles, ascending) with these identifiers, kept from being merged or split till the end of the transaction. At REPEATABLE READ and SERIALIZABLE raises 40001 when one was since the transaction began.';

CREATE FUNCTION cxm.lock_people(identifier_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO cx.contact_clock AS c (profile_id)
    SELECT p.id FROM unnest(cxm.hold_people(identifier_ids)) AS p(id) ORDER BY p.id
    ON CONFLICT ON CONSTRAINT contact_clock_pkey DO UPDATE SET decided_at = clock_timestamp();
END
$$;

COMMENT ON FUNCTION cxm.lock_people(bigint[]) IS
'Makes the caller the only one who decides, till the end of the transaction, whether the people with these identifiers are asked, and keeps them from being merged or split meanwhile. At REPEATABLE READ and SERIALIZABLE raises 40001 when somebody else has decided about one of them since the transaction began.';

CREATE FUNCTION cxm.fatigue_violations(drafts cxm.invitation_draft[], purpose text, survey_id integer,
                                       OUT invitation_id bigint, OUT rule_id integer, OUT free_at timestamptz, OUT action text, OUT max_delay interval, OUT detail jsonb)
RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
#variable_conflict use_column
BEGIN
    PERFORM cxm.plan_for(cardinality(drafts));
    RETURN QUERY
    WITH draft AS MATERIALIZED (
        SELECT d.invitation_id, d.profile_id, d.send_at, d.channel, d.attributes FROM unnest(drafts) AS d
    ), rule AS MATERIALIZED (
        SELECT r.*, greatest(r.rolling_window, r.min_gap) AS reach
        FROM cx.fatigue_rule AS r
        WHERE r.enabled
          AND (r.purpose IS NULL OR r.purpose = fatigue_violations.purpose COLLATE "C")
          AND (r.survey_id IS NULL OR r.survey_id = fatigue_violations.survey_id)
          AND fatigue_violations.purpose <> ALL (r.except_purposes) AND fatigue_violations.survey_id <> ALL (r.except_surveys)
    ), history AS MATERIALIZED (
        -- by index from each draft; what it needs later goes along, for the planner cannot know how much this finds
        SELECT d.invitation_id, d.send_at AS at, d.channel AS own_channel, d.attributes AS own_attributes, h.send_at, h.purpose, h.channel, h.survey_id, h.attributes
        FROM draft AS d
        CROSS JOIN LATERAL (
            SELECT n.invitation_id, n.send_at, n.purpose, n.channel, n.survey_id, n.attributes
            FROM (SELECT d.profile_id
                  UNION ALL
                  SELECT p.profile_id FROM cx.profile AS p WHERE p.canonical_id = d.profile_id AND p.canonical_id <> p.profile_id) AS m
            JOIN cx.identifier AS i ON i.profile_id = m.profile_id
            JOIN cx.invitation AS n ON n.identifier_id = i.identifier_id AND n.counted
            WHERE n.invitation_id <> d.invitation_id) AS h
    ), earlier AS (
        SELECT h.invitation_id, h.at, r.rule_id, array_agg(h.send_at ORDER BY h.send_at) AS times
        FROM history AS h
        JOIN rule AS r ON (r.channel IS NULL OR (r.channel = h.own_channel COLLATE "C" AND r.channel = h.channel))
                      AND (r.attributes = '{}' OR (h.own_attributes @> r.attributes AND h.attributes @> r.attributes))
                      AND (r.purpose IS NULL OR r.purpose = h.purpose)
                      AND (r.survey_id IS NULL OR r.survey_id = h.survey_id)
                      AND h.purpose <> ALL (r.except_purposes) AND h.survey_id <> ALL (r.except_surveys)
                      AND h.send_at > h.at - r.reach * 2
                      AND (r.per = '{}' OR cxm.fatigue_key(r.per, fatigue_violations.purpose, h.own_channel, fatigue_violations.survey_id, h.own_attributes)
                                           = cxm.fatigue_key(r.per, h.purpose, h.channel, h.survey_id, h.attributes))
        GROUP BY h.invitation_id, h.at, r.rule_id
    )
    SELECT e.invitation_id, r.rule_id, f.free_at, r.action, r.max_delay,
           jsonb_strip_nulls(jsonb_build_object(
               'rule', r.name,
               'invitations', (SELECT count(*) FROM unnest(e.times) AS t(at) WHERE t.at > e.at - cxm.alert_span(r.rolling_window) AND t.at <= e.at),
               'max_count', r.max_count, 'rolling_window', r.rolling_window, 'min_gap', r.min_gap,
               'nearest', (SELECT t.at FROM unnest(e.times) AS t(at) ORDER BY abs(extract(epoch FROM t.at - e.at)), t.at LIMIT 1),
               'free_at', f.free_at))
    FROM earlier AS e
    JOIN rule AS r ON r.rule_id = e.rule_id
    CROSS JOIN LATERAL (SELECT cxm.fatigue_free_at(e.times, e.at, r.max_count, r.rolling_window, r.min_gap) AS free_at) AS f
    WHERE f.free_at > e.at;
END
$$;

COMMENT ON FUNCTION cxm.fatigue_violations(cxm.invitation_draft[], text, integer) IS
'Which fatigue rules the drafts would break at their send_at, a row a (draft, rule), with the first time that the rule would allow. All drafts are of one purpose and survey; what counts are the stored invitations of the person, not the other drafts.';

CREATE FUNCTION cxm.apply_fatigue(drafts cxm.invitation_draft[], purpose text, survey_id integer) RETURNS cxm.invitation_draft[]
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
DECLARE
    v_open cxm.invitation_draft[] := ARRAY(SELECT d FROM unnest(drafts) AS d WHERE d.suppressed_by IS NULL);
    v_done cxm.invitation_draft[] := ARRAY(SELECT d FROM unnest(drafts) AS d WHERE d.suppressed_by IS NOT NULL);
    v_all cxm.invitation_draft[];
BEGIN
    PERFORM cxm.plan_for(cardinality(drafts));
    -- what is moved is held against all rules again at its new time
    WHILE v_open <> '{}' LOOP
        v_all := ARRAY(
            SELECT (d.invitation_id, d.identifier_id, d.profile_id, d.turn, d.asked_for,
                    CASE WHEN v.rule_id IS NULL OR v.is_final THEN d.send_at ELSE v.free_at END, d.channel, d.attributes, d.record_id,
                    CASE WHEN v.is_final THEN 'fatigue' END, coalesce(v.rule_id, d.rule_id), NULL, coalesce(v.detail, d.detail))::cxm.invitation_draft
            FROM unnest(v_open) AS d
            LEFT JOIN (
                SELECT b.invitation_id,
                       bool_or(b.is_final) AS is_final,
                       max(b.free_at) AS free_at,
                       -- the rule that decides: one that stops it, else the one that holds it back longest
                       (array_agg(b.rule_id ORDER BY b.is_final DESC, b.free_at DESC, b.rule_id))[1] AS rule_id,
                       (array_agg(b.detail ORDER BY b.is_final DESC, b.free_at DESC, b.rule_id))[1] AS detail
                FROM (SELECT f.*, f.action = 'block' OR f.free_at > o.asked_for + f.max_delay AS is_final
                      FROM cxm.fatigue_violations(v_open, purpose, survey_id) AS f
                      JOIN unnest(v_open) AS o ON o.invitation_id = f.invitation_id) AS b
                GROUP BY b.invitation_id
            ) AS v ON v.invitation_id = d.invitation_id);
        -- what stayed where it was is done
        v_done := v_done || ARRAY(SELECT a FROM unnest(v_all) AS a JOIN unnest(v_open) AS o ON o.invitation_id = a.invitation_id
                                  WHERE a.send_at = o.send_at);
        v_open := ARRAY(SELECT a FROM unnest(v_all) AS a JOIN unnest(v_open) AS o ON o.invitation_id = a.invitation_id
                        WHERE a.send_at <> o.send_at);
    END LOOP;
    RETURN v_done;
END
$$;

COMMENT ON FUNCTION cxm.apply_fatigue(cxm.invitation_draft[], text, integer) IS
'The drafts as the fatigue rules leave them: as they are, moved to the first time that all rules allow, or suppressed with the rule and the numbers. At most one draft a person (else they would not count each other); all of one purpose and survey. Those suppressed before stay as they are.';

---- quotas

CREATE FUNCTION cxm.add_quota(survey_id integer, name text, target integer, basis text DEFAULT 'response', attributes jsonb DEFAULT '{}',
                              period text DEFAULT NULL, when_full text DEFAULT 'mark', stripes integer DEFAULT 16) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_id integer;
BEGIN
    PERFORM cxm.store_version();
    IF add_quota.survey_id IS NULL OR coalesce(add_quota.name, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a quota needs a survey and a name';
    ELSIF (add_quota.target >= 0) IS NOT TRUE OR (add_quota.stripes BETWEEN 1 AND 64) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('quota "%s" cannot have a target of %s in %s stripes', add_quota.name, coalesce(add_quota.target::text, 'NULL'), coalesce(add_quota.stripes::text, 'NULL')),
            HINT = 'A target is 0 or more, and is split into 1 to 64 stripes.';
    ELSIF (add_quota.basis IN ('response', 'invitation')) IS NOT TRUE OR (add_quota.when_full IN ('mark', 'refuse')) IS NOT TRUE
          OR (coalesce(add_quota.period, 'day') IN ('day', 'week', 'month')) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('quota "%s" is not one that cxm knows', add_quota.name),
            HINT = 'basis is response or invitation, when_full is mark or refuse, period is day, week, month or NULL.';
    ELSIF jsonb_typeof(coalesce(add_quota.attributes, '{}')) <> 'object' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('attributes of quota "%s" are not a JSON object', add_quota.name),
            HINT = 'Give what the attributes of a response must contain, such as {"region": "north"}.';
    END IF;

    INSERT INTO cx.quota AS q (survey_id, name, target, basis, attributes, period, when_full, stripes)
    VALUES (add_quota.survey_id, add_quota.name, add_quota.target, add_quota.basis, coalesce(add_quota.attributes, '{}'), add_quota.period,
            add_quota.when_full, add_quota.stripes)
    RETURNING q.quota_id INTO v_id;
    IF add_quota.period IS NULL THEN
        PERFORM cxm.make_quota_stripes(v_id, '-infinity');
    END IF;
    RETURN v_id;
EXCEPTION
    WHEN unique_violation THEN
        RAISE unique_violation USING
            MESSAGE = format('quota "%s" of survey %s exists already', add_quota.name, add_quota.survey_id),
            HINT = 'Change its target with cxm.set_quota_target().';
END
$$;

COMMENT ON FUNCTION cxm.add_quota(integer, text, integer, text, jsonb, text, text, integer) IS
'Adds a quota to a survey and returns its quota_id: target responses (or invitations, by basis), of all or of those whose attributes contain the given ones, for ever or in each period (day, week, month, cut as cx.store says). when_full: what becomes of a response beyond it, mark or refuse. stripes: how many sessions can take from it without waiting for each other. Error 22023: a setting that is not one of these; 23505: the name is taken.';

CREATE FUNCTION cxm.make_quota_stripes(quota_id integer, period_start date) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO cx.quota_stripe (quota_id, period_start, stripe, capacity)
    SELECT q.quota_id, make_quota_stripes.period_start, s.stripe, q.target / q.stripes + (s.stripe < q.target % q.stripes)::integer
    FROM cx.quota AS q
    CROSS JOIN LATERAL generate_series(0, q.stripes - 1) AS s(stripe)
    WHERE q.quota_id = make_quota_stripes.quota_id
    ORDER BY s.stripe
    ON CONFLICT ON CONSTRAINT quota_stripe_pkey DO NOTHING;
END
$$;

COMMENT ON FUNCTION cxm.make_quota_stripes(integer, date) IS 'Splits the target of a quota for a period evenly into its stripes, where that is not done yet.';

CREATE FUNCTION cxm.quota_period(period text, at timestamptz) RETURNS date
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_store record;
    v_local timestamp;
BEGIN
    IF period IS NULL THEN
        RETURN '-infinity';
    END IF;
    SELECT s.time_zone, s.week_start INTO v_store FROM cx.store AS s;
    v_local := at AT TIME ZONE v_store.time_zone;
    IF period = 'week' THEN
        RETURN date_trunc('week', v_local - make_interval(days => v_store.week_start - 1))::date + (v_store.week_start - 1);
    END IF;
    RETURN date_trunc(period, v_local)::date;
END
$$;

COMMENT ON FUNCTION cxm.quota_period(text, timestamptz) IS
'First day of the period (day, week or month) that a time lies in, in the zone and with the week start of cx.store; -infinity for no period.';

CREATE FUNCTION cxm.set_quota_target(quota_id integer, target integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_stripes integer;
    v_period date;
BEGIN
    IF (set_quota_target.target >= 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('target %s of a quota must be 0 or more', coalesce(set_quota_target.target::text, 'NULL'));
    END IF;
    UPDATE cx.quota AS q SET target = set_quota_target.target WHERE q.quota_id = set_quota_target.quota_id RETURNING q.stripes INTO v_stripes;
    IF NOT FOUND THEN
        RAISE undefined_object USING
            MESSAGE = format('quota %s does not exist', coalesce(set_quota_target.quota_id::text, 'NULL'));
    END IF;

    -- each period that has begun gets the new target, but never less than is taken; a stripe keeps what was taken from it
    PERFORM FROM cx.quota_stripe AS s WHERE s.quota_id = set_quota_target.quota_id ORDER BY s.period_start, s.stripe FOR NO KEY UPDATE;
    FOR v_period IN SELECT DISTINCT s.period_start FROM cx.quota_stripe AS s WHERE s.quota_id = set_quota_target.quota_id LOOP
        UPDATE cx.quota_stripe AS s
        SET capacity = s.taken + n.room / v_stripes + (s.stripe < n.room % v_stripes)::integer
        FROM (SELECT greatest(set_quota_target.target - sum(o.taken), 0)::integer AS room
              FROM cx.quota_stripe AS o WHERE o.quota_id = set_quota_target.quota_id AND o.period_start = v_period) AS n
        WHERE s.quota_id = set_quota_target.quota_id AND s.period_start = v_period;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.set_quota_target(integer, integer) IS
'Changes the target of a quota, also of its periods that have begun; what is taken stays taken, even beyond the new target. Waits for sessions that take from the quota. Error 42704: no such quota; 22023: a negative target.';

CREATE FUNCTION cxm.take_quota_place(quota_id integer, period_start date) RETURNS smallint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- a stripe is found by the whole key whatever the tables hold
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    -- an order of the stripes of this session's own
    v_first CONSTANT integer := pg_backend_pid() & 63;
    v_stripe smallint;
BEGIN
    LOOP
        -- a stripe with room that nobody is at
        SELECT s.stripe INTO v_stripe
        FROM cx.quota_stripe AS s
        WHERE s.quota_id = take_quota_place.quota_id AND s.period_start = take_quota_place.period_start AND s.taken < s.capacity
        ORDER BY s.stripe # v_first
        LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED;

        -- Or one that is waited for: who is at it may roll back. A stripe that turns out to be full stays locked till the end
        -- of the transaction; so each wait is for one that has room as of now, or sessions would wait in a circle.
        IF NOT FOUND THEN
            SELECT s.stripe INTO v_stripe
            FROM cx.quota_stripe AS s
            WHERE s.quota_id = take_quota_place.quota_id AND s.period_start = take_quota_place.period_start AND s.taken < s.capacity
            ORDER BY s.stripe # v_first
            LIMIT 1;
            IF NOT FOUND THEN
                RETURN NULL;
            END IF;
            PERFORM FROM cx.quota_stripe AS s
            WHERE s.quota_id = take_quota_place.quota_id AND s.period_start = take_quota_place.period_start AND s.stripe = v_stripe AND s.taken < s.capacity
            FOR NO KEY UPDATE;
            CONTINUE WHEN NOT FOUND;
        END IF;

        UPDATE cx.quota_stripe AS s SET taken = s.taken + 1
        WHERE s.quota_id = take_quota_place.quota_id AND s.period_start = take_quota_place.period_start AND s.stripe = v_stripe;
        RETURN v_stripe;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.take_quota_place(integer, date) IS
'Takes one place of a quota in a period and returns the stripe that it came from; NULL when the quota is full. Waits only when all stripes with room are held by sessions that have not committed yet.';

CREATE FUNCTION cxm.take_quota(survey_id integer, attributes jsonb, response_id bigint, at timestamptz DEFAULT now(), refuse boolean DEFAULT true) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    v_quota record;
    v_period date;
    v_stripe smallint;
    v_taken integer[] := '{}';
BEGIN
    IF response_id IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = 'response_id must say which response takes a place';
    END IF;

    -- in order, so that sessions that take from several quotas never wait in a circle
    FOR v_quota IN
        SELECT q.quota_id, q.name, q.target, q.period, q.when_full
        FROM cx.quota AS q
        WHERE q.survey_id = take_quota.survey_id AND q.basis = 'response' AND q.enabled AND coalesce(take_quota.attributes, '{}') @> q.attributes
          AND NOT EXISTS (SELECT FROM cx.quota_place AS p WHERE p.quota_id = q.quota_id AND p.record_id = take_quota.response_id)
        ORDER BY q.quota_id
    LOOP
        v_period := cxm.quota_period(v_quota.period, at);
        IF v_quota.period IS NOT NULL AND NOT EXISTS (SELECT FROM cx.quota_stripe AS s WHERE s.quota_id = v_quota.quota_id AND s.period_start = v_period) THEN
            PERFORM cxm.make_quota_stripes(v_quota.quota_id, v_period);
        END IF;
        v_stripe := cxm.take_quota_place(v_quota.quota_id, v_period);

        IF v_stripe IS NULL THEN
            IF v_quota.when_full = 'refuse' AND refuse THEN
                RAISE EXCEPTION 'quota "%" of survey % is full', v_quota.name, take_quota.survey_id
                    USING ERRCODE = 'CX004',
                          DETAIL = format('All %s places are taken.', v_quota.target),
                          HINT = 'Raise it with cxm.set_quota_target(), or set when_full to mark to keep responses beyond it.';
            END IF;
            -- what counts in one of its quotas counts in all or in none
            PERFORM cxm.release_quota(take_quota.response_id, v_taken);
            INSERT INTO cx.quota_excess (quota_id, record_id) VALUES (v_quota.quota_id, take_quota.response_id)
            ON CONFLICT ON CONSTRAINT quota_excess_pkey DO NOTHING;
            RETURN false;
        END IF;

        INSERT INTO cx.quota_place (quota_id, record_id, period_start, stripe) VALUES (v_quota.quota_id, take_quota.response_id, v_period, v_stripe);
        v_taken := v_taken || v_quota.quota_id;
    END LOOP;
    IF v_taken <> '{}' THEN
        DELETE FROM cx.quota_excess AS e WHERE e.quota_id = ANY (v_taken) AND e.record_id = take_quota.response_id;
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION cxm.take_quota(integer, jsonb, bigint, timestamptz, boolean) IS
'Takes a place for a completed response in each quota of its survey (basis response) whose attributes its own contain. True when it counts: every such quota had a place, or there is none. False when one was full: it then counts in none of them, and is noted in cx.quota_excess. Asked again for the same response it takes nothing twice. Error CX004 when a full quota says when_full = refuse, unless refuse is false. The places go back when the transaction rolls back; until then others who want the last ones wait.';

CREATE FUNCTION cxm.release_quota(record_id bigint, quota_ids integer[]) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    v_place record;
    v_released integer := 0;
BEGIN
    FOR v_place IN
        WITH gone AS (
            DELETE FROM cx.quota_place AS p
            WHERE p.record_id = release_quota.record_id AND p.quota_id = ANY (quota_ids)
            RETURNING p.quota_id, p.period_start, p.stripe
        )
        SELECT g.* FROM gone AS g ORDER BY g.quota_id
    LOOP
        UPDATE cx.quota_stripe AS s SET taken = s.taken - 1
        WHERE s.quota_id = v_place.quota_id AND s.period_start = v_place.period_start AND s.stripe = v_place.stripe;
        v_released := v_released + 1;
    END LOOP;
    RETURN v_released;
END
$$;

COMMENT ON FUNCTION cxm.release_quota(bigint, integer[]) IS
'Gives back the places that a response (or invitation) has in the given quotas, as when a response turns out to be a test; returns how many there were.';

CREATE FUNCTION cxm.apply_quotas(drafts cxm.invitation_draft[], survey_id integer) RETURNS cxm.invitation_draft[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
#variable_conflict use_column
DECLARE
    v_rooms jsonb;               -- places that are left, by quota and period
    v_draft record;
    v_full integer;
    v_stopped bigint[] := '{}';  -- invitations for which a quota was full ...
    v_by integer[] := '{}';      -- ... and which
    v_takers bigint[] := '{}';   -- a (taker, quota, period) each place
    v_quotas integer[] := '{}';
    v_periods date[] := '{}';
BEGIN
    IF NOT EXISTS (SELECT FROM cx.quota AS q WHERE q.survey_id = apply_quotas.survey_id AND q.basis = 'invitation' AND q.enabled) THEN
        RETURN drafts;
    END IF;
    PERFORM cxm.plan_for(cardinality(drafts));

    -- all places that any of them might want, locked in order
    PERFORM cxm.make_quota_stripes(w.quota_id, w.period_start)
    FROM (SELECT DISTINCT q.quota_id, cxm.quota_period(q.period, d.send_at) AS period_start
          FROM unnest(drafts) AS d
          JOIN cx.quota AS q ON q.survey_id = apply_quotas.survey_id AND q.basis = 'invitation' AND q.enabled AND d.attributes @> q.attributes
          WHERE d.suppressed_by IS NULL) AS w;
    WITH held AS MATERIALIZED (
        SELECT s.quota_id, s.period_start, s.capacity - s.taken AS room
        FROM cx.quota_stripe AS s
        JOIN cx.quota AS q ON q.quota_id = s.quota_id
        WHERE q.survey_id = apply_quotas.survey_id AND q.basis = 'invitation' AND q.enabled
        ORDER BY s.quota_id, s.period_start, s.stripe
        FOR NO KEY UPDATE OF s
    )
    SELECT jsonb_object_agg(h.key, h.room) INTO v_rooms
    FROM (SELECT h.quota_id || ' ' || h.period_start AS key, sum(h.room) AS room FROM held AS h GROUP BY 1) AS h;

    -- first come, first served; who does not get a place in every quota takes none
    FOR v_draft IN
        SELECT d.invitation_id, q.quota_ids, q.periods, q.keys
        FROM unnest(drafts) WITH ORDINALITY AS d
        CROSS JOIN LATERAL (
            SELECT array_agg(q.quota_id ORDER BY q.quota_id) AS quota_ids,
                   array_agg(cxm.quota_period(q.period, d.send_at) ORDER BY q.quota_id) AS periods,
                   array_agg(q.quota_id || ' ' || cxm.quota_period(q.period, d.send_at) ORDER BY q.quota_id) AS keys
            FROM cx.quota AS q
            WHERE q.survey_id = apply_quotas.survey_id AND q.basis = 'invitation' AND q.enabled AND d.attributes @> q.attributes) AS q
        WHERE d.suppressed_by IS NULL AND q.quota_ids IS NOT NULL
        ORDER BY d.ordinality
    LOOP
        v_full := NULL;
        FOR i IN 1 .. cardinality(v_draft.keys) LOOP
            IF (v_rooms ->> v_draft.keys[i])::integer = 0 THEN
                v_full := v_draft.quota_ids[i];
                EXIT;
            END IF;
        END LOOP;
        IF v_full IS NOT NULL THEN
            v_stopped := v_stopped || v_draft.invitation_id;
            v_by := v_by || v_full;
            CONTINUE;
        END IF;
        FOR i IN 1 .. cardinality(v_draft.keys) LOOP
            v_rooms := v_rooms || jsonb_build_object(v_draft.keys[i], (v_rooms ->> v_draft.keys[i])::integer - 1);
            v_takers := v_takers || v_draft.invitation_id;
            v_quotas := v_quotas || v_draft.quota_ids[i];
            v_periods := v_periods || v_draft.periods[i];
        END LOOP;
    END LOOP;

    WITH wanted AS (
        SELECT t.record_id, t.quota_id, t.period_start, row_number() OVER (PARTITION BY t.quota_id, t.period_start ORDER BY t.place) AS number
        FROM unnest(v_takers, v_quotas, v_periods) WITH ORDINALITY AS t(record_id, quota_id, period_start, place)
    ), stripe AS (
        SELECT s.quota_id, s.period_start, s.stripe, sum(s.capacity - s.taken) OVER w - (s.capacity - s.taken) AS before, sum(s.capacity - s.taken) OVER w AS up_to
        FROM cx.quota_stripe AS s
        WHERE s.quota_id = ANY (v_quotas)
        WINDOW w AS (PARTITION BY s.quota_id, s.period_start ORDER BY s.stripe)
    ), given AS (
        INSERT INTO cx.quota_place AS p (quota_id, record_id, period_start, stripe)
        SELECT w.quota_id, w.record_id, w.period_start, s.stripe
        FROM wanted AS w
        JOIN stripe AS s ON s.quota_id = w.quota_id AND s.period_start = w.period_start AND w.number > s.before AND w.number <= s.up_to
        RETURNING p.quota_id, p.period_start, p.stripe
    )
    UPDATE cx.quota_stripe AS s
    SET taken = s.taken + g.places
    FROM (SELECT g.quota_id, g.period_start, g.stripe, count(*) AS places FROM given AS g GROUP BY 1, 2, 3) AS g
    WHERE s.quota_id = g.quota_id AND s.period_start = g.period_start AND s.stripe = g.stripe;

    RETURN ARRAY(
        SELECT CASE WHEN f.quota_id IS NULL THEN d ELSE
                    (d.invitation_id, d.identifier_id, d.profile_id, d.turn, d.asked_for, d.send_at, d.channel, d.attributes, d.record_id,
                     'quota', NULL, f.quota_id, jsonb_build_object('quota', f.name, 'target', f.target))::cxm.invitation_draft END
        FROM unnest(drafts) AS d
        LEFT JOIN (SELECT s.invitation_id, q.quota_id, q.name, q.target
                   FROM unnest(v_stopped, v_by) AS s(invitation_id, quota_id) JOIN cx.quota AS q ON q.quota_id = s.quota_id) AS f
            ON f.invitation_id = d.invitation_id);
END
$$;

COMMENT ON FUNCTION cxm.apply_quotas(cxm.invitation_draft[], integer) IS
'The drafts as the quotas of their survey leave them: in order, each takes a place in every quota (basis invitation) that its attributes fall under, or is suppressed by the first that is full. Waits for other sessions that take from these quotas.';
