-- Closing the loop: alerts become follow-ups, people move them on, and whatever is done is recorded.
--
-- cxm.follow_up_moves() is the only place that knows which moves there are; cxm.move_follow_ups() makes them, and the
-- triggers of cx.follow_up write the history and tell listeners, whoever changed the row.

---- what there is to choose from

CREATE FUNCTION cxm.follow_up_moves(OUT state text, OUT move text, OUT next_state text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 34
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('open',        'attach',     'open'),
           ('open',        'assign',     'open'),
           ('open',        'take',       'in_progress'),
           ('open',        'respond',    'in_progress'),
           ('open',        'note',       'open'),
           ('open',        'prioritize', 'open'),
           ('open',        'escalate',   'open'),
           ('open',        'cancel',     'cancelled'),
           ('in_progress', 'attach',     'in_progress'),
           ('in_progress', 'assign',     'in_progress'),
           ('in_progress', 'respond',    'in_progress'),
           ('in_progress', 'note',       'in_progress'),
           ('in_progress', 'prioritize', 'in_progress'),
           ('in_progress', 'wait',       'waiting'),
           ('in_progress', 'resolve',    'resolved'),
           ('in_progress', 'escalate',   'in_progress'),
           ('in_progress', 'cancel',     'cancelled'),
           ('waiting',     'attach',     'in_progress'),
           ('waiting',     'assign',     'waiting'),
           ('waiting',     'respond',    'waiting'),
           ('waiting',     'note',       'waiting'),
           ('waiting',     'prioritize', 'waiting'),
           ('waiting',     'resume',     'in_progress'),
           ('waiting',     'resolve',    'resolved'),
           ('waiting',     'escalate',   'waiting'),
           ('waiting',     'cancel',     'cancelled'),
           ('resolved',    'note',       'resolved'),
           ('resolved',    'close',      'closed'),
           ('resolved',    'reopen',     'open'),
           ('closed',      'note',       'closed'),
           ('closed',      'reopen',     'open'),
           ('cancelled',   'note',       'cancelled'),
           ('cancelled',   'reopen',     'open');
$$;

COMMENT ON FUNCTION cxm.follow_up_moves() IS
'The state machine of follow-ups: which move leads from which state to which. Whatever is not a row here is impossible. attach (another alert of the customer) and a reopen by a new bad score are what cxm.open_follow_ups() does; the other moves are people''s.';

CREATE FUNCTION cxm.add_follow_up_outcome(outcome text, description text DEFAULT '') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.check_follow_up_key('cx.follow_up_outcome', outcome);
    INSERT INTO cx.follow_up_outcome AS o (outcome, description)
    VALUES (add_follow_up_outcome.outcome, coalesce(add_follow_up_outcome.description, ''))
    ON CONFLICT ON CONSTRAINT follow_up_outcome_pkey DO UPDATE SET description = excluded.description, active = true;
END
$$;

COMMENT ON FUNCTION cxm.add_follow_up_outcome(text, text) IS
'Adds an outcome that a follow-up can be resolved with, or describes and activates it anew where it is there. Error 22023: a key that is not lower case letters, digits and _.';

CREATE FUNCTION cxm.add_root_cause(root_cause text, category text DEFAULT NULL, description text DEFAULT '') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.check_follow_up_key('cx.root_cause', root_cause);
    INSERT INTO cx.root_cause AS r (root_cause, category, description)
    VALUES (add_root_cause.root_cause, add_root_cause.category, coalesce(add_root_cause.description, ''))
    ON CONFLICT ON CONSTRAINT root_cause_pkey DO UPDATE SET category = excluded.category, description = excluded.description, active = true;
END
$$;

COMMENT ON FUNCTION cxm.add_root_cause(text, text, text) IS
'Adds a root cause that a follow-up can be resolved with, or describes and activates it anew where it is there. Error 22023: a key that is not lower case letters, digits and _.';

CREATE FUNCTION cxm.check_follow_up_key(catalog text, key text) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (key COLLATE "C" ~ '^[a-z][a-z0-9_]{0,62}$') IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s cannot be a key of %s', coalesce('"' || left(key, 100) || '"', 'NULL'), catalog),
            HINT = 'Use up to 63 lower case letters, digits and _, a letter first.';
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.check_follow_up_key(text, text) IS 'Error 22023 when the key is none that a catalogue of follow-ups takes.';

---- service levels

CREATE FUNCTION cxm.find_follow_up_policy(rule_id integer, location_id integer, severity text DEFAULT NULL, priority text DEFAULT NULL) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT p.policy_id
            FROM cx.follow_up_policy AS p
            WHERE (p.rule_id IS NULL OR p.rule_id = find_follow_up_policy.rule_id)
              AND (p.location_id IS NULL OR p.location_id = find_follow_up_policy.location_id)
              AND (p.severity IS NULL OR find_follow_up_policy.severity IS NULL OR p.severity = find_follow_up_policy.severity)
              AND (find_follow_up_policy.priority IS NULL OR p.priority = find_follow_up_policy.priority)
            ORDER BY p.rule_id IS NULL, p.location_id IS NULL, p.severity IS NULL, p.policy_id
            LIMIT 1);
END
$$;

COMMENT ON FUNCTION cxm.find_follow_up_policy(integer, integer, text, text) IS
'policy_id of the policy that holds for an alert of that rule, location and severity, the most specific first (rule, then location, then severity); with a priority instead, the policy that gives this priority. NULL = none.';

CREATE FUNCTION cxm.set_follow_up_policy(
    severity text DEFAULT NULL,
    rule text DEFAULT NULL,
    location text DEFAULT NULL,
    priority text DEFAULT NULL,
    respond_within interval DEFAULT NULL,
    resolve_within interval DEFAULT NULL,
    escalations jsonb DEFAULT '[]',
    scope text DEFAULT 'rule',
    reopen_within interval DEFAULT '30 days',
    outcome_required boolean DEFAULT true,
    root_cause_required boolean DEFAULT false
) RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    levels CONSTANT text[] NOT NULL := '{low,medium,high,critical}';
    v_rule integer;
    v_location integer;
    v_policy integer;
    problem text;
BEGIN
    IF severity <> ALL (levels) THEN
        problem := format('severity "%s" is unknown', severity);
    ELSIF coalesce(priority, severity) IS NULL THEN
        problem := 'a policy for any severity needs a priority';
    ELSIF coalesce(priority, severity) <> ALL (levels) THEN
        problem := format('priority "%s" is unknown', priority);
    ELSIF (scope IN ('alert', 'rule', 'customer')) IS NOT TRUE THEN
        problem := format('scope %s is unknown', coalesce('"' || scope || '"', 'NULL'));
    ELSIF least(respond_within, resolve_within, reopen_within) <= interval '0' THEN
        problem := 'times must be longer than zero';
    ELSIF outcome_required IS NULL OR root_cause_required IS NULL THEN
        problem := 'outcome_required and root_cause_required must be true or false';
    ELSIF jsonb_typeof(escalations) IS DISTINCT FROM 'array' THEN
        problem := 'escalations are not a JSON array';
    END IF;
    IF problem IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = problem,
            HINT = 'Severity and priority are low, medium, high or critical; scope is rule, customer or alert; escalations are [{"after": "1 hour", "owner": "team lead"}, ...].';
    END IF;

    IF rule IS NOT NULL THEN
        SELECT r.rule_id INTO v_rule FROM cx.alert_rule AS r WHERE r.name = set_follow_up_policy.rule;
        IF NOT FOUND THEN
            RAISE undefined_object USING MESSAGE = format('alert rule "%s" does not exist', rule);
        END IF;
    END IF;
    IF location IS NOT NULL THEN
        INSERT INTO cx.location (key) VALUES (location) ON CONFLICT (key) DO NOTHING;
        SELECT l.location_id INTO v_location FROM cx.location AS l WHERE l.key = set_follow_up_policy.location;
    END IF;

    INSERT INTO cx.follow_up_policy AS p (severity, rule_id, location_id, priority, respond_within, resolve_within, scope, reopen_within,
                                          outcome_required, root_cause_required)
    VALUES (set_follow_up_policy.severity, v_rule, v_location, coalesce(set_follow_up_policy.priority, set_follow_up_policy.severity),
            set_follow_up_policy.respond_within, set_follow_up_policy.resolve_within, set_follow_up_policy.scope, set_follow_up_policy.reopen_within,
            set_follow_up_policy.outcome_required, set_follow_up_policy.root_cause_required)
    ON CONFLICT (coalesce(rule_id, 0), coalesce(location_id, 0), coalesce(severity, '')) DO UPDATE
    SET priority = excluded.priority,
        respond_within = excluded.respond_within,
        resolve_within = excluded.resolve_within,
        scope = excluded.scope,
        reopen_within = excluded.reopen_within,
        outcome_required = excluded.outcome_required,
        root_cause_required = excluded.root_cause_required,
        changed_at = clock_timestamp(),
        changed_by = session_user
    RETURNING p.policy_id INTO v_policy;

    DELETE FROM cx.follow_up_escalation AS e WHERE e.policy_id = v_policy;
    SELECT e.value::text INTO problem
    FROM jsonb_array_elements(escalations) AS e
    WHERE jsonb_typeof(e.value) <> 'object'
       OR e.value - '{after,owner,priority}'::text[] <> '{}'
       OR coalesce(e.value ->> 'owner', '') = ''
       OR e.value ->> 'priority' <> ALL (levels);
    IF FOUND THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s is not an escalation', left(problem, 200)),
            HINT = 'An escalation has an owner, after (an interval, 0 when left out) and, if it is to raise it, a priority: {"after": "1 hour", "owner": "team lead", "priority": "high"}.';
    END IF;
    INSERT INTO cx.follow_up_escalation (policy_id, level, after, owner, priority)
    SELECT v_policy, e.place, coalesce((e.value ->> 'after')::interval, '0'), e.value ->> 'owner', e.value ->> 'priority'
    FROM jsonb_array_elements(escalations) WITH ORDINALITY AS e(value, place);
    IF EXISTS (SELECT FROM cx.follow_up_escalation AS e JOIN cx.follow_up_escalation AS f ON f.policy_id = e.policy_id AND f.level = e.level + 1
               WHERE e.policy_id = v_policy AND f.after < e.after) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'an escalation comes before the one that it follows',
            HINT = 'Every level''s "after" is counted from the due time that was missed, so it must not be shorter than that of the level before.';
    END IF;
    RETURN v_policy;
END
$$;

COMMENT ON FUNCTION cxm.set_follow_up_policy(text, text, text, text, interval, interval, jsonb, text, interval, boolean, boolean) IS
'States the service level for alerts of that severity, rule (by name) and location (by key; an unknown one is registered), NULL = any, and returns its policy_id; a policy that is there for the same three is replaced, the arguments left out included. priority: what the follow-up gets (the severity when left out). respond_within, resolve_within: times promised, NULL = none. escalations: [{"after": "1 hour", "owner": "team lead", "priority": "high"}, ...], a level each. scope: rule, customer or alert. reopen_within: NULL = never re-opened by an alert. Follow-ups that are open keep their due times. Errors 22023 (an unknown word, a time that is not positive), 42704 (no such rule).';

---- opening

CREATE FUNCTION cxm.follow_up_key(scope text, profile_id bigint, identifier_id bigint, feedback_id bigint, rule_id integer, touchpoint_id integer, location_id integer, product_id integer, alert_id bigint) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN scope = 'alert' THEN pg_catalog.concat('alert ', alert_id)
        ELSE pg_catalog.concat(
            CASE
                WHEN profile_id IS NOT NULL THEN pg_catalog.concat('profile ', profile_id)
                WHEN identifier_id IS NOT NULL THEN pg_catalog.concat('identifier ', identifier_id)
                WHEN feedback_id IS NOT NULL THEN pg_catalog.concat('feedback ', feedback_id)
                ELSE pg_catalog.concat('place ', touchpoint_id, ' ', location_id, ' ', product_id)
            END,
            CASE WHEN scope = 'rule' THEN pg_catalog.concat(' rule ', rule_id) END)
        END;

COMMENT ON FUNCTION cxm.follow_up_key(text, bigint, bigint, bigint, integer, integer, integer, integer, bigint) IS
'What alerts that belong to one follow-up have in common: the customer (of an anonymous answer the answer, of an alert about no answer the place) and, under scope rule, the rule. Under scope alert the alert itself.';

CREATE FUNCTION cxm.open_follow_ups(alert_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = auto
SET jit = off
AS $$
DECLARE
    ids bigint[] := ARRAY(SELECT DISTINCT u.id FROM unnest(alert_ids) AS u(id) WHERE u.id IS NOT NULL ORDER BY u.id);
    patience CONSTANT text NOT NULL := current_setting('lock_timeout');
    moment timestamptz;
    profiles bigint[];
    locked bigint[] := '{}';
    touchable bigint[];
    follow_ups bigint[];
    policies integer[];
    known boolean[];
    claimed bigint[];
    opened bigint;
BEGIN
    IF cardinality(ids) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM cxm.plan_for(cardinality(ids));

    -- Somebody may be at the same customer. Whoever set no limit of their own waits for half a second, less than it
    -- takes a deadlock to be seen; the alert writer's caller then keeps the alerts for a later try.
    IF patience = '0' THEN
        PERFORM set_config('lock_timeout', '500ms', true);
    END IF;

    -- All profile rows of each customer, so that openers who see the customer before and after a merge exclude each
    -- other, too. Read again after the wait, for a merge may have been waited for.
    LOOP
        profiles := ARRAY(
            SELECT s.profile_id
            FROM (
                SELECT DISTINCT p.canonical_id
                FROM unnest(ids) AS u(alert_id)
                JOIN cx.alert AS a ON a.alert_id = u.alert_id
                JOIN cx.identifier AS i ON i.identifier_id = a.identifier_id
                JOIN cx.profile AS p ON p.profile_id = i.profile_id
            ) AS c
            CROSS JOIN LATERAL (
                SELECT c.canonical_id
                UNION ALL
                SELECT o.profile_id FROM cx.profile AS o WHERE o.canonical_id = c.canonical_id AND o.canonical_id <> o.profile_id
            ) AS s(profile_id)
            ORDER BY s.profile_id);
        EXIT WHEN profiles = locked;

        INSERT INTO cx.follow_up_lock AS l (profile_id)
        SELECT u.id FROM unnest(profiles) AS u(id) ORDER BY u.id
        ON CONFLICT ON CONSTRAINT follow_up_lock_pkey DO UPDATE SET locked_xid = pg_current_xact_id();
        locked := profiles;
    END LOOP;

    -- alerts about a place and not about a customer: a handful
    PERFORM pg_advisory_xact_lock(hashtextextended('cxm.follow_up ' || k.rule_id, 0))
    FROM (
        SELECT DISTINCT a.rule_id
        FROM unnest(ids) AS u(alert_id)
        JOIN cx.alert AS a ON a.alert_id = u.alert_id
        WHERE a.identifier_id IS NULL AND a.feedback_id IS NULL
        ORDER BY a.rule_id
    ) AS k;

    -- what the customers have already: nobody closes it meanwhile
    touchable := ARRAY(
        SELECT f.follow_up_id
        FROM cx.follow_up AS f
        LEFT JOIN cx.follow_up_policy AS y ON y.policy_id = f.policy_id
        WHERE f.follow_up_id IN (
                SELECT g.follow_up_id
                FROM unnest(profiles) AS u(profile_id)
                JOIN cx.identifier AS i ON i.profile_id = u.profile_id
                JOIN cx.follow_up AS g ON g.identifier_id = i.identifier_id
                UNION
                SELECT g.follow_up_id
                FROM unnest(ids) AS u(alert_id)
                JOIN cx.alert AS a ON a.alert_id = u.alert_id
                JOIN cx.follow_up AS g ON g.feedback_id = a.feedback_id
                UNION
                SELECT g.follow_up_id
                FROM unnest(ids) AS u(alert_id)
                JOIN cx.alert AS a ON a.alert_id = u.alert_id AND a.feedback_id IS NULL AND a.identifier_id IS NULL
                JOIN cx.follow_up AS g ON g.feedback_id IS NULL AND g.identifier_id IS NULL AND g.rule_id = a.rule_id)
          AND f.scope <> 'alert'
          AND (f.state IN ('open', 'in_progress', 'waiting') OR f.resolved_at + cxm.alert_span(y.reopen_within) > clock_timestamp())
        ORDER BY f.follow_up_id
        FOR NO KEY UPDATE OF f);

    moment := clock_timestamp();
    -- Which follow-up is whose: one that is there (the oldest that is open, or else the one that was resolved last), or a
    -- new one for the first alert of each key. By windows and not by joins, which would be planned for a row or two.
    SELECT array_agg(d.alert_id ORDER BY d.alert_id), array_agg(d.follow_up_id ORDER BY d.alert_id),
           array_agg(d.policy_id ORDER BY d.alert_id), array_agg(d.is_known ORDER BY d.alert_id)
    INTO ids, follow_ups, policies, known
    FROM (
        SELECT n.alert_id, n.policy_id, n.existing_id IS NOT NULL AS is_known,
               coalesce(n.existing_id, max(n.new_id) OVER (PARTITION BY n.key)) AS follow_up_id
        FROM (
            SELECT l.*, CASE WHEN l.existing_id IS NULL AND l.alert_id = l.leader
                             THEN nextval(pg_get_serial_sequence('cx.follow_up', 'follow_up_id')) END AS new_id
            FROM (
                SELECT k.key, k.alert_id, k.policy_id,
                       first_value(k.follow_up_id) OVER (PARTITION BY k.key ORDER BY k.follow_up_id IS NULL, k.resolved_at DESC NULLS FIRST, k.follow_up_id) AS existing_id,
                       min(k.alert_id) OVER (PARTITION BY k.key) AS leader
                FROM (
                    SELECT c.alert_id, c.policy_id, NULL::bigint AS follow_up_id, NULL::timestamptz AS resolved_at,
                           cxm.follow_up_key(coalesce(y.scope, 'rule'), c.canonical_id, c.identifier_id, c.feedback_id, c.rule_id,
                                             c.touchpoint_id, c.location_id, c.product_id, c.alert_id) AS key
                    FROM (
                        SELECT b.*, max(CASE WHEN b.place = 1 THEN cxm.find_follow_up_policy(b.rule_id, b.location_id, b.severity) END)
                                        OVER (PARTITION BY b.rule_id, b.location_id, b.severity) AS policy_id
                        FROM (
                            SELECT a.alert_id, a.rule_id, a.severity, a.identifier_id, a.feedback_id, p.canonical_id,
                                   coalesce(f.touchpoint_id, (a.facts ->> 'touchpoint')::integer, CASE WHEN cardinality(r.touchpoint_ids) = 1 THEN r.touchpoint_ids[1] END) AS touchpoint_id,
                                   coalesce(f.location_id, (a.facts ->> 'location')::integer, CASE WHEN cardinality(r.location_ids) = 1 THEN r.location_ids[1] END) AS location_id,
                                   coalesce(f.product_id, (a.facts ->> 'product')::integer, CASE WHEN cardinality(r.product_ids) = 1 THEN r.product_ids[1] END) AS product_id,
                                   row_number() OVER (PARTITION BY a.rule_id, coalesce(f.location_id, (a.facts ->> 'location')::integer, CASE WHEN cardinality(r.location_ids) = 1 THEN r.location_ids[1] END), a.severity) AS place
                            FROM unnest(ids) AS u(alert_id)
                            JOIN cx.alert AS a ON a.alert_id = u.alert_id
                            LEFT JOIN cx.feedback AS f ON f.feedback_id = a.feedback_id AND f.occurred_at = a.occurred_at
                            LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id
                            LEFT JOIN cx.identifier AS i ON i.identifier_id = a.identifier_id
                            LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
                            LEFT JOIN cx.follow_up_alert AS x ON x.alert_id = a.alert_id
                            WHERE x.alert_id IS NULL
                        ) AS b
                    ) AS c
                    LEFT JOIN cx.follow_up_policy AS y ON y.policy_id = c.policy_id
                    UNION ALL
                    SELECT NULL, NULL, f.follow_up_id, f.resolved_at,
                           cxm.follow_up_key(f.scope, p.canonical_id, f.identifier_id, f.feedback_id, f.rule_id,
                                             f.touchpoint_id, f.location_id, f.product_id, f.alert_id)
                    FROM unnest(touchable) AS u(follow_up_id)
                    JOIN cx.follow_up AS f ON f.follow_up_id = u.follow_up_id
                    LEFT JOIN cx.identifier AS i ON i.identifier_id = f.identifier_id
                    LEFT JOIN cx.profile AS p ON p.profile_id = i.profile_id
                ) AS k
                ORDER BY k.alert_id
            ) AS l
            WHERE l.alert_id IS NOT NULL
        ) AS n
    ) AS d;

    -- what makes it once an alert, also where no customer was locked
    WITH claimed AS (
        INSERT INTO cx.follow_up_alert AS n (alert_id, follow_up_id, attached_at)
        SELECT u.alert_id, u.follow_up_id, moment
        FROM unnest(ids, follow_ups) AS u(alert_id, follow_up_id)
        ORDER BY u.alert_id
        ON CONFLICT ON CONSTRAINT follow_up_alert_pkey DO NOTHING
        RETURNING n.alert_id
    )
    SELECT array_agg(c.alert_id) INTO claimed FROM claimed AS c;
    IF cardinality(claimed) IS DISTINCT FROM cardinality(ids) THEN
        SELECT array_agg(u.alert_id ORDER BY u.alert_id), array_agg(u.follow_up_id ORDER BY u.alert_id),
               array_agg(u.policy_id ORDER BY u.alert_id), array_agg(u.is_known ORDER BY u.alert_id)
        INTO ids, follow_ups, policies, known
        FROM unnest(ids, follow_ups, policies, known) AS u(alert_id, follow_up_id, policy_id, is_known)
        JOIN unnest(claimed) AS c(alert_id) ON c.alert_id = u.alert_id;
    END IF;

    INSERT INTO cx.follow_up (follow_up_id, alert_id, rule_id, feedback_id, occurred_at, identifier_id, metric, score,
                              touchpoint_id, location_id, product_id, policy_id, scope, severity, priority, owner,
                              opened_at, first_response_due, due_at, alerts, last_alert_id, moved_at, moved_by)
    SELECT w.follow_up_id, w.alert_id, w.rule_id, w.feedback_id, w.occurred_at, w.identifier_id, w.metric, w.score,
           w.touchpoint_id, w.location_id, w.product_id, w.worst_policy, w.scope, w.worst_severity, w.worst_priority, w.first_owner,
           moment, w.first_response_due, w.due_at, w.alerts, w.last_alert_id, moment, session_user
    FROM (
        SELECT u.follow_up_id, a.*, coalesce(y.scope, 'rule') AS scope,
               coalesce(f.touchpoint_id, (a.facts ->> 'touchpoint')::integer, CASE WHEN cardinality(r.touchpoint_ids) = 1 THEN r.touchpoint_ids[1] END) AS touchpoint_id,
               coalesce(f.location_id, (a.facts ->> 'location')::integer, CASE WHEN cardinality(r.location_ids) = 1 THEN r.location_ids[1] END) AS location_id,
               coalesce(f.product_id, (a.facts ->> 'product')::integer, CASE WHEN cardinality(r.product_ids) = 1 THEN r.product_ids[1] END) AS product_id,
               row_number() OVER (PARTITION BY u.follow_up_id ORDER BY u.alert_id) AS place,
               count(*) OVER whole AS alerts,
               max(u.alert_id) OVER whole AS last_alert_id,
               min(moment + cxm.alert_span(y.respond_within)) OVER whole AS first_response_due,
               min(moment + cxm.alert_span(y.resolve_within)) OVER whole AS due_at,
               first_value(u.policy_id) OVER urgent AS worst_policy,
               first_value(coalesce(y.priority, a.severity)) OVER urgent AS worst_priority,
               first_value(a.severity) OVER severe AS worst_severity,
               first_value(nullif(a.owner, '')) OVER owned AS first_owner
        FROM unnest(ids, follow_ups, policies, known) AS u(alert_id, follow_up_id, policy_id, is_known)
        JOIN cx.alert AS a ON a.alert_id = u.alert_id
        LEFT JOIN cx.follow_up_policy AS y ON y.policy_id = u.policy_id
        LEFT JOIN cx.feedback AS f ON f.feedback_id = a.feedback_id AND f.occurred_at = a.occurred_at
        LEFT JOIN cx.alert_rule AS r ON r.rule_id = a.rule_id
        WHERE NOT u.is_known
        WINDOW whole AS (PARTITION BY u.follow_up_id),
               urgent AS (PARTITION BY u.follow_up_id ORDER BY array_position('{critical,high,medium,low}', coalesce(y.priority, a.severity)), u.alert_id),
               severe AS (PARTITION BY u.follow_up_id ORDER BY array_position('{critical,high,medium,low}', a.severity), u.alert_id),
               owned AS (PARTITION BY u.follow_up_id ORDER BY nullif(a.owner, '') IS NULL, u.alert_id)
    ) AS w
    WHERE w.place = 1
    ORDER BY w.follow_up_id;
    GET DIAGNOSTICS opened = ROW_COUNT;

    IF true = ANY (known) THEN
        WITH changed AS (
            UPDATE cx.follow_up AS f
            SET state = CASE f.state WHEN 'open' THEN 'open' WHEN 'in_progress' THEN 'in_progress' WHEN 'waiting' THEN 'in_progress' ELSE 'open' END,
                priority = CASE WHEN w.urgency < f.priority_rank THEN ('{critical,high,medium,low}'::text[])[w.urgency] ELSE f.priority END,
                severity = ('{critical,high,medium,low}'::text[])[least(w.severity, array_position('{critical,high,medium,low}', f.severity))],
                policy_id = CASE WHEN w.urgency < f.priority_rank THEN w.policy_id ELSE f.policy_id END,
                owner = coalesce(f.owner, w.owner),
                first_response_due = CASE WHEN f.first_response_at IS NULL THEN least(f.first_response_due, w.first_response_due) ELSE f.first_response_due END,
                due_at = CASE WHEN f.resolved_at IS NOT NULL THEN w.due_at
                              ELSE least(f.due_at + coalesce(cxm.alert_span(moment - f.waiting_since), '0'), w.due_at) END,
                waited = f.waited + coalesce(cxm.alert_span(moment - f.waiting_since), '0'),
                waiting_since = NULL,
                escalation_level = CASE WHEN f.resolved_at IS NULL THEN f.escalation_level ELSE 0 END,
                resolved_at = NULL,
                closed_at = NULL,
                outcome = NULL,
                root_cause = NULL,
                reopened = f.reopened + (f.resolved_at IS NOT NULL)::integer,
                reopened_at = CASE WHEN f.resolved_at IS NULL THEN f.reopened_at ELSE moment END,
                alerts = f.alerts + w.alerts,
                last_alert_id = w.last_alert_id,
                move = CASE WHEN f.resolved_at IS NULL THEN 'attach' ELSE 'reopen' END,
                moved_at = moment,
                moved_by = session_user,
                note = NULL
            FROM (
                SELECT u.follow_up_id, count(*)::integer AS alerts, max(u.alert_id) AS last_alert_id,
                       min(moment + cxm.alert_span(y.respond_within)) AS first_response_due, min(moment + cxm.alert_span(y.resolve_within)) AS due_at,
                       min(array_position('{critical,high,medium,low}', coalesce(y.priority, a.severity))) AS urgency,
                       min(array_position('{critical,high,medium,low}', a.severity)) AS severity,
                       (array_agg(u.policy_id ORDER BY array_position('{critical,high,medium,low}', coalesce(y.priority, a.severity)), u.alert_id))[1] AS policy_id,
                       (array_agg(a.owner ORDER BY u.alert_id) FILTER (WHERE a.owner <> ''))[1] AS owner
                FROM unnest(ids, follow_ups, policies, known) AS u(alert_id, follow_up_id, policy_id, is_known)
                JOIN cx.alert AS a ON a.alert_id = u.alert_id
                LEFT JOIN cx.follow_up_policy AS y ON y.policy_id = u.policy_id
                WHERE u.is_known
                GROUP BY u.follow_up_id
            ) AS w
            WHERE f.follow_up_id = w.follow_up_id
            RETURNING f.move = 'reopen' AS is_reopened
        )
        SELECT opened + count(*) FILTER (WHERE c.is_reopened) INTO opened FROM changed AS c;
    END IF;

    IF patience = '0' THEN
        PERFORM set_config('lock_timeout', '0', true);
    END IF;
    RETURN opened;
END
$$;

COMMENT ON FUNCTION cxm.open_follow_ups(bigint[]) IS
'Opens follow-ups for these alerts (alert_id), in the order of their ids, and returns how many it opened or re-opened. An alert of a customer who has one open in the same scope (cx.follow_up_policy) is attached to that: the higher priority and the nearer due times hold from then on; one within reopen_within after the resolution re-opens it. Alerts that have a follow-up already, and ids of none, are passed over, so repeating this is harmless. Two sessions at the same customer take turns; who waits longer than half a second, or than a lock_timeout of their own, gets 55P03, and at REPEATABLE READ and above 40001, and nothing has been done.';

---- history and listeners

-- before the row's CHECK constraints, which say less
CREATE FUNCTION cxm.guard_follow_up() RETURNS trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.follow_up_id <> OLD.follow_up_id THEN
        RAISE EXCEPTION 'follow-up % was another one before', NEW.follow_up_id
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'A follow_up_id does not change.';
    ELSIF NOT EXISTS (SELECT FROM cxm.follow_up_moves() AS m WHERE m.state = OLD.state AND m.next_state = NEW.state) THEN
        RAISE EXCEPTION 'follow-up % cannot go from % to %', OLD.follow_up_id, OLD.state, NEW.state
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = coalesce((SELECT format('From %s it can go to %s.', OLD.state, string_agg(DISTINCT m.next_state, ', ' ORDER BY m.next_state))
                                     FROM cxm.follow_up_moves() AS m WHERE m.state = OLD.state AND m.next_state <> OLD.state),
                                    format('%s is final.', OLD.state)),
                  HINT = 'cxm.follow_up_moves() has the moves there are.';
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION cxm.guard_follow_up() IS
'Trigger of cx.follow_up, where state or number change: lets a state change only as cxm.follow_up_moves() says, and the number never (error 55000).';

CREATE FUNCTION cxm.follow_up_history() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- intervals in the history read the same whoever wrote them
SET intervalstyle = postgres
-- the plans are made for the first statement, be it of one row or of all, and kept: no join in them may be quadratic
SET enable_nestloop = off
SET jit = off
AS $$
DECLARE
    -- more moves than this in one statement come as one summary
    most CONSTANT integer := 100;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO cx.follow_up_event (follow_up_id, move, moved_at, moved_by, to_state, to_owner, to_priority, alert_id, note)
        SELECT n.follow_up_id, n.move, n.moved_at, n.moved_by, n.state, n.owner, n.priority, n.alert_id, n.note
        FROM new_follow_up AS n
        ORDER BY n.follow_up_id;
    ELSE
        INSERT INTO cx.follow_up_event (follow_up_id, move, moved_at, moved_by, from_state, to_state, from_owner, to_owner,
                                        from_priority, to_priority, alert_id, note, changes)
        SELECT n.follow_up_id,
               CASE WHEN n.moved_at = o.moved_at THEN 'edit' ELSE n.move END,
               CASE WHEN n.moved_at = o.moved_at THEN clock_timestamp() ELSE n.moved_at END,
               CASE WHEN n.moved_at = o.moved_at THEN session_user ELSE n.moved_by END,
               o.state, n.state, o.owner, n.owner, o.priority, n.priority,
               CASE WHEN n.last_alert_id IS DISTINCT FROM o.last_alert_id THEN n.last_alert_id END,
               CASE WHEN n.moved_at <> o.moved_at OR n.note IS DISTINCT FROM o.note THEN n.note END,
               -- column by column: to_jsonb() of both rows takes ten times as long
               nullif(jsonb_strip_nulls(jsonb_build_object(
                   'alert_id', CASE WHEN n.alert_id IS DISTINCT FROM o.alert_id THEN jsonb_build_array(o.alert_id, n.alert_id) END,
                   'rule_id', CASE WHEN n.rule_id IS DISTINCT FROM o.rule_id THEN jsonb_build_array(o.rule_id, n.rule_id) END,
                   'feedback_id', CASE WHEN n.feedback_id IS DISTINCT FROM o.feedback_id THEN jsonb_build_array(o.feedback_id, n.feedback_id) END,
                   'occurred_at', CASE WHEN n.occurred_at IS DISTINCT FROM o.occurred_at THEN jsonb_build_array(o.occurred_at, n.occurred_at) END,
                   'identifier_id', CASE WHEN n.identifier_id IS DISTINCT FROM o.identifier_id THEN jsonb_build_array(o.identifier_id, n.identifier_id) END,
                   'metric', CASE WHEN n.metric IS DISTINCT FROM o.metric THEN jsonb_build_array(o.metric, n.metric) END,
                   'score', CASE WHEN n.score IS DISTINCT FROM o.score THEN jsonb_build_array(o.score, n.score) END,
                   'touchpoint_id', CASE WHEN n.touchpoint_id IS DISTINCT FROM o.touchpoint_id THEN jsonb_build_array(o.touchpoint_id, n.touchpoint_id) END,
                   'location_id', CASE WHEN n.location_id IS DISTINCT FROM o.location_id THEN jsonb_build_array(o.location_id, n.location_id) END,
                   'product_id', CASE WHEN n.product_id IS DISTINCT FROM o.product_id THEN jsonb_build_array(o.product_id, n.product_id) END,
                   'policy_id', CASE WHEN n.policy_id IS DISTINCT FROM o.policy_id THEN jsonb_build_array(o.policy_id, n.policy_id) END,
                   'scope', CASE WHEN n.scope IS DISTINCT FROM o.scope THEN jsonb_build_array(o.scope, n.scope) END,
                   'severity', CASE WHEN n.severity IS DISTINCT FROM o.severity THEN jsonb_build_array(o.severity, n.severity) END,
                   'opened_at', CASE WHEN n.opened_at IS DISTINCT FROM o.opened_at THEN jsonb_build_array(o.opened_at, n.opened_at) END,
                   'first_response_due', CASE WHEN n.first_response_due IS DISTINCT FROM o.first_response_due THEN jsonb_build_array(o.first_response_due, n.first_response_due) END,
                   'first_response_at', CASE WHEN n.first_response_at IS DISTINCT FROM o.first_response_at THEN jsonb_build_array(o.first_response_at, n.first_response_at) END,
                   'due_at', CASE WHEN n.due_at IS DISTINCT FROM o.due_at THEN jsonb_build_array(o.due_at, n.due_at) END,
                   'waiting_since', CASE WHEN n.waiting_since IS DISTINCT FROM o.waiting_since THEN jsonb_build_array(o.waiting_since, n.waiting_since) END,
                   'waited', CASE WHEN n.waited IS DISTINCT FROM o.waited THEN jsonb_build_array(o.waited, n.waited) END,
                   'escalation_level', CASE WHEN n.escalation_level IS DISTINCT FROM o.escalation_level THEN jsonb_build_array(o.escalation_level, n.escalation_level) END,
                   'escalated_at', CASE WHEN n.escalated_at IS DISTINCT FROM o.escalated_at THEN jsonb_build_array(o.escalated_at, n.escalated_at) END,
                   'resolved_at', CASE WHEN n.resolved_at IS DISTINCT FROM o.resolved_at THEN jsonb_build_array(o.resolved_at, n.resolved_at) END,
                   'closed_at', CASE WHEN n.closed_at IS DISTINCT FROM o.closed_at THEN jsonb_build_array(o.closed_at, n.closed_at) END,
                   'outcome', CASE WHEN n.outcome IS DISTINCT FROM o.outcome THEN jsonb_build_array(o.outcome, n.outcome) END,
                   'root_cause', CASE WHEN n.root_cause IS DISTINCT FROM o.root_cause THEN jsonb_build_array(o.root_cause, n.root_cause) END,
                   'alerts', CASE WHEN n.alerts IS DISTINCT FROM o.alerts THEN jsonb_build_array(o.alerts, n.alerts) END,
                   'last_alert_id', CASE WHEN n.last_alert_id IS DISTINCT FROM o.last_alert_id THEN jsonb_build_array(o.last_alert_id, n.last_alert_id) END,
                   'reopened', CASE WHEN n.reopened IS DISTINCT FROM o.reopened THEN jsonb_build_array(o.reopened, n.reopened) END,
                   'reopened_at', CASE WHEN n.reopened_at IS DISTINCT FROM o.reopened_at THEN jsonb_build_array(o.reopened_at, n.reopened_at) END)), '{}')
        FROM new_follow_up AS n
        JOIN old_follow_up AS o ON o.follow_up_id = n.follow_up_id
        WHERE n IS DISTINCT FROM o
        ORDER BY n.follow_up_id;
    END IF;

    IF EXISTS (SELECT FROM new_follow_up) THEN
        PERFORM cxm.post_notifications('cxm_follow_up', CASE
            WHEN (SELECT count(*) FROM (SELECT FROM new_follow_up LIMIT most + 1) AS l) <= most THEN ARRAY(
                SELECT jsonb_build_object('follow_up_id', n.follow_up_id, 'move', n.move, 'state', n.state, 'priority', n.priority)
                FROM new_follow_up AS n
                ORDER BY n.follow_up_id)
            ELSE ARRAY(
                SELECT jsonb_build_object('follow_ups', count(*), 'first_follow_up_id', min(n.follow_up_id), 'last_follow_up_id', max(n.follow_up_id))
                FROM new_follow_up AS n)
            END);
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.follow_up_history() IS
'Statement trigger on cx.follow_up, after INSERT and UPDATE: writes cx.follow_up_event and tells the listeners of channel cxm_follow_up (ids and states; up to 100 one by one, more as one summary). A row that somebody changes by an UPDATE of their own is recorded as edit.';

---- moves

CREATE FUNCTION cxm.move_follow_ups(
    follow_up_ids bigint[],
    move text,
    moved_by text,
    note text DEFAULT NULL,
    owner text DEFAULT NULL,
    priority text DEFAULT NULL,
    outcome text DEFAULT NULL,
    root_cause text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = auto
AS $$
DECLARE
    ids CONSTANT bigint[] NOT NULL := ARRAY(SELECT DISTINCT u.id FROM unnest(follow_up_ids) AS u(id) ORDER BY u.id);
    levels CONSTANT text[] NOT NULL := '{low,medium,high,critical}';
    locked bigint[];
    moment timestamptz;
    wrong record;
    moved bigint;
BEGIN
    IF coalesce(moved_by, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'moved_by must say who does it';
    END IF;
    IF (move IN (SELECT m.move FROM cxm.follow_up_moves() AS m WHERE m.move <> 'attach')) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('there is no move %s', coalesce('"' || move || '"', 'NULL')),
            HINT = format('The moves are %s.', (SELECT string_agg(DISTINCT m.move, ', ' ORDER BY m.move) FROM cxm.follow_up_moves() AS m WHERE m.move <> 'attach'));
    END IF;
    IF owner = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'owner must not be empty',
            HINT = 'NULL means nobody.';
    END IF;
    IF move = 'prioritize' AND (priority = ANY (levels)) IS NOT TRUE OR priority <> ALL (levels) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('priority %s is unknown', coalesce('"' || priority || '"', 'NULL')),
            HINT = 'Use low, medium, high or critical.';
    END IF;
    IF move = 'note' AND coalesce(note, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'a note must say something';
    END IF;
    IF move = 'resolve' THEN
        IF outcome IS NOT NULL AND NOT EXISTS (SELECT FROM cx.follow_up_outcome AS o WHERE o.outcome = move_follow_ups.outcome AND o.active) THEN
            RAISE undefined_object USING
                MESSAGE = format('outcome "%s" does not exist', outcome),
                DETAIL = format('The outcomes are %s.', (SELECT string_agg(o.outcome, ', ' ORDER BY o.outcome) FROM cx.follow_up_outcome AS o WHERE o.active)),
                HINT = 'Add one of your own with cxm.add_follow_up_outcome().';
        END IF;
        IF root_cause IS NOT NULL AND NOT EXISTS (SELECT FROM cx.root_cause AS r WHERE r.root_cause = move_follow_ups.root_cause AND r.active) THEN
            RAISE undefined_object USING
                MESSAGE = format('root cause "%s" does not exist', root_cause),
                DETAIL = format('The root causes are %s.', (SELECT string_agg(r.root_cause, ', ' ORDER BY r.root_cause) FROM cx.root_cause AS r WHERE r.active)),
                HINT = 'Add one of your own with cxm.add_root_cause().';
        END IF;
    END IF;
    IF cardinality(ids) = 0 THEN
        RETURN 0;
    END IF;
    PERFORM cxm.plan_for(cardinality(ids));

    -- in one order, so that moves of many at once wait for each other and do not deadlock
    locked := ARRAY(SELECT f.follow_up_id FROM cx.follow_up AS f WHERE f.follow_up_id = ANY (ids) ORDER BY f.follow_up_id FOR NO KEY UPDATE);
    IF cardinality(locked) < cardinality(ids) THEN
        SELECT u.id, count(*) OVER () AS n INTO wrong FROM unnest(ids) AS u(id) WHERE u.id IS NULL OR u.id <> ALL (locked) ORDER BY u.id LIMIT 1;
        RAISE no_data_found USING
            MESSAGE = format('follow-up %s does not exist', coalesce(wrong.id::text, 'NULL')),
            DETAIL = format('Of %s given %s do not exist. None was moved.', cardinality(ids), wrong.n);
    END IF;

    SELECT f.follow_up_id, f.state, f.owner, f.outcome, f.root_cause, count(*) OVER () AS n,
           m.move IS NULL AND NOT s.is_there AS is_impossible,
           m.move IS NULL AND move_follow_ups.move = 'take' AS is_taken,
           m.move IS NULL AND move_follow_ups.move = 'resolve' AS is_resolved,
           coalesce(y.outcome_required, true) AND move_follow_ups.outcome IS NULL AS lacks_outcome
    INTO wrong
    FROM cx.follow_up AS f
    LEFT JOIN cxm.follow_up_moves() AS m ON m.state = f.state AND m.move = move_follow_ups.move
    LEFT JOIN cx.follow_up_policy AS y ON y.policy_id = f.policy_id
    CROSS JOIN LATERAL (
        -- is it already what the move would make it?
        SELECT EXISTS (SELECT FROM cxm.follow_up_moves() AS r WHERE r.move = move_follow_ups.move AND r.next_state = f.state) AS is_there
    ) AS s
    WHERE f.follow_up_id = ANY (locked)
      AND (m.move IS NULL
           AND (NOT s.is_there
                OR (move_follow_ups.move = 'take' AND f.owner IS DISTINCT FROM move_follow_ups.moved_by)
                OR (move_follow_ups.move = 'resolve'
                    AND (f.outcome, f.root_cause) IS DISTINCT FROM (move_follow_ups.outcome, move_follow_ups.root_cause)))
           OR m.move = 'resolve'
              AND (coalesce(y.outcome_required, true) AND move_follow_ups.outcome IS NULL
                   OR coalesce(y.root_cause_required, false) AND move_follow_ups.root_cause IS NULL))
    ORDER BY f.follow_up_id
    LIMIT 1;

    IF FOUND THEN
        IF wrong.is_impossible THEN
            RAISE object_not_in_prerequisite_state USING
                MESSAGE = format('follow-up %s is %s: "%s" is impossible', wrong.follow_up_id, wrong.state, move),
                DETAIL = format('Of %s given %s cannot be moved so. None was moved.', cardinality(ids), wrong.n),
                HINT = format('Possible are %s.', (SELECT string_agg(m.move, ', ' ORDER BY m.move) FROM cxm.follow_up_moves() AS m WHERE m.state = wrong.state AND m.move <> 'attach'));
        ELSIF wrong.is_taken THEN
            RAISE object_not_in_prerequisite_state USING
                MESSAGE = format('follow-up %s is in progress: %s has it', wrong.follow_up_id, coalesce('"' || wrong.owner || '"', 'nobody')),
                HINT = 'Hand it over with cxm.assign_follow_up().';
        ELSIF wrong.is_resolved THEN
            RAISE object_not_in_prerequisite_state USING
                MESSAGE = format('follow-up %s is resolved already, with another outcome', wrong.follow_up_id),
                DETAIL = format('Its outcome is %s, its root cause %s.', coalesce(wrong.outcome, 'not stated'), coalesce(wrong.root_cause, 'not stated')),
                HINT = 'To resolve it otherwise, re-open it first.';
        ELSE
            RAISE invalid_parameter_value USING
                MESSAGE = format('follow-up %s needs %s to be resolved', wrong.follow_up_id, CASE WHEN wrong.lacks_outcome THEN 'an outcome' ELSE 'a root cause' END),
                DETAIL = 'Its policy (cx.follow_up_policy) says so.',
                HINT = CASE WHEN wrong.lacks_outcome THEN 'Choose one of cx.follow_up_outcome.' ELSE 'Choose one of cx.root_cause.' END;
        END IF;
    END IF;

    moment := clock_timestamp();
    UPDATE cx.follow_up AS f
    SET state = t.next_state,
        owner = CASE move_follow_ups.move
                    WHEN 'assign' THEN move_follow_ups.owner
                    WHEN 'take' THEN move_follow_ups.moved_by
                    WHEN 'respond' THEN coalesce(f.owner, move_follow_ups.moved_by)
                    WHEN 'escalate' THEN coalesce(move_follow_ups.owner, f.owner)
                    ELSE f.owner END,
        priority = t.next_priority,
        policy_id = coalesce(t.next_policy_id, f.policy_id),
        first_response_due = CASE WHEN t.is_raised AND f.first_response_at IS NULL THEN least(f.first_response_due, moment + cxm.alert_span(t.respond_within)) ELSE f.first_response_due END,
        first_response_at = CASE WHEN move_follow_ups.move IN ('respond', 'resolve') THEN coalesce(f.first_response_at, moment) ELSE f.first_response_at END,
        due_at = CASE
                     WHEN move_follow_ups.move = 'reopen' THEN moment + cxm.alert_span(t.resolve_within)
                     WHEN t.is_raised THEN least(f.due_at + t.waited, moment + cxm.alert_span(t.resolve_within))
                     ELSE f.due_at + t.waited END,
        waited = f.waited + t.waited,
        waiting_since = CASE WHEN t.next_state = 'waiting' THEN coalesce(f.waiting_since, moment) END,
        escalation_level = CASE move_follow_ups.move WHEN 'escalate' THEN f.escalation_level + 1 WHEN 'reopen' THEN 0 ELSE f.escalation_level END,
        escalated_at = CASE WHEN move_follow_ups.move = 'escalate' THEN moment ELSE f.escalated_at END,
        resolved_at = CASE move_follow_ups.move WHEN 'resolve' THEN moment WHEN 'reopen' THEN NULL ELSE f.resolved_at END,
        closed_at = CASE WHEN move_follow_ups.move IN ('close', 'cancel') THEN moment WHEN move_follow_ups.move = 'reopen' THEN NULL ELSE f.closed_at END,
        outcome = CASE move_follow_ups.move WHEN 'resolve' THEN move_follow_ups.outcome WHEN 'reopen' THEN NULL ELSE f.outcome END,
        root_cause = CASE move_follow_ups.move WHEN 'resolve' THEN move_follow_ups.root_cause WHEN 'reopen' THEN NULL ELSE f.root_cause END,
        reopened = f.reopened + (move_follow_ups.move = 'reopen')::integer,
        reopened_at = CASE WHEN move_follow_ups.move = 'reopen' THEN moment ELSE f.reopened_at END,
        move = move_follow_ups.move,
        moved_at = moment,
        moved_by = move_follow_ups.moved_by,
        note = move_follow_ups.note
    FROM (
        SELECT g.follow_up_id, m.next_state,
               coalesce(move_follow_ups.priority, g.priority) AS next_priority,
               y.policy_id AS next_policy_id,
               array_position('{critical,high,medium,low}', move_follow_ups.priority) < g.priority_rank AS is_raised,
               coalesce(y.respond_within, p.respond_within) AS respond_within,
               coalesce(y.resolve_within, p.resolve_within) AS resolve_within,
               -- the clock of the resolution stands still while it waits for the customer
               CASE WHEN m.next_state <> 'waiting' THEN coalesce(cxm.alert_span(moment - g.waiting_since), '0') ELSE '0' END AS waited
        FROM cx.follow_up AS g
        JOIN cxm.follow_up_moves() AS m ON m.state = g.state AND m.move = move_follow_ups.move
        LEFT JOIN cx.follow_up_policy AS p ON p.policy_id = g.policy_id
        LEFT JOIN cx.follow_up_policy AS y ON y.policy_id = CASE WHEN move_follow_ups.priority <> g.priority
            THEN cxm.find_follow_up_policy(g.rule_id, g.location_id, priority => move_follow_ups.priority) END
        WHERE g.follow_up_id = ANY (locked)
          -- a repeat that changes nothing
          AND CASE move_follow_ups.move
                  WHEN 'assign' THEN g.owner IS DISTINCT FROM move_follow_ups.owner
                  WHEN 'respond' THEN g.first_response_at IS NULL OR g.state = 'open'
                  WHEN 'prioritize' THEN g.priority <> move_follow_ups.priority
                  ELSE true END
    ) AS t
    WHERE f.follow_up_id = t.follow_up_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

COMMENT ON FUNCTION cxm.move_follow_ups(bigint[], text, text, text, text, text, text, text) IS
'Makes one move (cxm.follow_up_moves()) with all of these follow-ups, or with none, and returns how many it changed: those that were what the move makes them already are passed over. What cxm.assign_follow_ups() and its kin call. owner is for assign and escalate, priority for prioritize and escalate, outcome and root_cause for resolve. Raising the priority brings due times forward to what a follow-up of that priority opened now would have; lowering it leaves them. Errors: P0002 no such follow-up; 55000 the move is impossible (with the follow-up, its state and what is possible); 22023 a wrong argument; 42704 an unknown outcome or root cause.';

CREATE FUNCTION cxm.assign_follow_ups(follow_up_ids bigint[], owner text, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'assign', moved_by, note, owner => owner);

COMMENT ON FUNCTION cxm.assign_follow_ups(bigint[], text, text, text) IS
'Gives follow-ups to an owner, a person or a team; NULL = to nobody. The state stays. Returns how many were changed: those that have this owner are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.assign_follow_up(follow_up_id bigint, owner text, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'assign', moved_by, note, owner => owner) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.assign_follow_up(bigint, text, text, text) IS
'As cxm.assign_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.take_follow_ups(follow_up_ids bigint[], note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'take', moved_by, note);

COMMENT ON FUNCTION cxm.take_follow_ups(bigint[], text, text) IS
'Begins work: open follow-ups go in progress, and moved_by owns them. cxm.claim_follow_ups() takes the next ones of a queue. Returns how many were changed: those that moved_by is at already are passed over; one that another is at is an error. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.take_follow_up(follow_up_id bigint, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'take', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.take_follow_up(bigint, text, text) IS
'As cxm.take_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.respond_follow_ups(follow_up_ids bigint[], note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'respond', moved_by, note);

COMMENT ON FUNCTION cxm.respond_follow_ups(bigint[], text, text) IS
'Records the first response to the customer; an open follow-up goes in progress, and belongs to moved_by if it was nobody''s. Returns how many were changed: those that have a first response are passed over, unless they are open again. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.respond_follow_up(follow_up_id bigint, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'respond', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.respond_follow_up(bigint, text, text) IS
'As cxm.respond_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.note_follow_ups(follow_up_ids bigint[], note text, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'note', moved_by, note);

COMMENT ON FUNCTION cxm.note_follow_ups(bigint[], text, text) IS
'Adds a note to follow-ups, whatever their state. Returns how many were changed: all of them, each time. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.note_follow_up(follow_up_id bigint, note text, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'note', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.note_follow_up(bigint, text, text) IS
'As cxm.note_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.prioritize_follow_ups(follow_up_ids bigint[], priority text, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'prioritize', moved_by, note, priority => priority);

COMMENT ON FUNCTION cxm.prioritize_follow_ups(bigint[], text, text, text) IS
'Sets the priority: low, medium, high or critical. Raising it brings the due times forward to what a follow-up of that priority opened now would have; lowering it leaves them. Returns how many were changed: those that have this priority are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.prioritize_follow_up(follow_up_id bigint, priority text, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'prioritize', moved_by, note, priority => priority) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.prioritize_follow_up(bigint, text, text, text) IS
'As cxm.prioritize_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.wait_follow_ups(follow_up_ids bigint[], note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'wait', moved_by, note);

COMMENT ON FUNCTION cxm.wait_follow_ups(bigint[], text, text) IS
'Waits for the customer: the clock of the resolution stands still, and nothing is escalated. Returns how many were changed: those that wait already are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.wait_follow_up(follow_up_id bigint, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'wait', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.wait_follow_up(bigint, text, text) IS
'As cxm.wait_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.resume_follow_ups(follow_up_ids bigint[], note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'resume', moved_by, note);

COMMENT ON FUNCTION cxm.resume_follow_ups(bigint[], text, text) IS
'Goes on with follow-ups that waited for the customer; their due time moves on by the time that they waited. Returns how many were changed: those in progress already are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.resume_follow_up(follow_up_id bigint, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'resume', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.resume_follow_up(bigint, text, text) IS
'As cxm.resume_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.resolve_follow_ups(follow_up_ids bigint[], outcome text DEFAULT NULL, root_cause text DEFAULT NULL, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'resolve', moved_by, note, outcome => outcome, root_cause => root_cause);

COMMENT ON FUNCTION cxm.resolve_follow_ups(bigint[], text, text, text, text) IS
'Resolves follow-ups with an outcome (cx.follow_up_outcome) and a root cause (cx.root_cause), each required where the policy says so. Counts as the first response where there was none. A further alert of the customer within the policy''s reopen_within re-opens them. Returns how many were changed: those resolved with the same outcome and root cause already are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.resolve_follow_up(follow_up_id bigint, outcome text DEFAULT NULL, root_cause text DEFAULT NULL, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'resolve', moved_by, note, outcome => outcome, root_cause => root_cause) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.resolve_follow_up(bigint, text, text, text, text) IS
'As cxm.resolve_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.close_follow_ups(follow_up_ids bigint[], note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'close', moved_by, note);

COMMENT ON FUNCTION cxm.close_follow_ups(bigint[], text, text) IS
'Closes resolved follow-ups. Returns how many were changed: those closed already are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.close_follow_up(follow_up_id bigint, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'close', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.close_follow_up(bigint, text, text) IS
'As cxm.close_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.reopen_follow_ups(follow_up_ids bigint[], note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'reopen', moved_by, note);

COMMENT ON FUNCTION cxm.reopen_follow_ups(bigint[], text, text) IS
'Opens resolved, closed or cancelled follow-ups again, with a new due time for the resolution. Outcome and root cause are in the history. Returns how many were changed: those that are open already are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.reopen_follow_up(follow_up_id bigint, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'reopen', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.reopen_follow_up(bigint, text, text) IS
'As cxm.reopen_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.escalate_follow_ups(follow_up_ids bigint[], owner text DEFAULT NULL, priority text DEFAULT NULL, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'escalate', moved_by, note, owner => owner, priority => priority);

COMMENT ON FUNCTION cxm.escalate_follow_ups(bigint[], text, text, text, text) IS
'Escalates follow-ups by hand: a level more, to another owner and with another priority where these are given. CALL cxm.escalate_follow_ups() does so with those overdue. Returns how many were changed: all of them, each time. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.escalate_follow_up(follow_up_id bigint, owner text DEFAULT NULL, priority text DEFAULT NULL, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'escalate', moved_by, note, owner => owner, priority => priority) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.escalate_follow_up(bigint, text, text, text, text) IS
'As cxm.escalate_follow_ups() for one; false when it was so already.';

CREATE FUNCTION cxm.cancel_follow_ups(follow_up_ids bigint[], note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(follow_up_ids, 'cancel', moved_by, note);

COMMENT ON FUNCTION cxm.cancel_follow_ups(bigint[], text, text) IS
'Cancels follow-ups that were none: opened by mistake, a duplicate, a joke. Returns how many were changed: those cancelled already are passed over. All or none; errors as cxm.move_follow_ups().';

CREATE FUNCTION cxm.cancel_follow_up(follow_up_id bigint, note text DEFAULT NULL, moved_by text DEFAULT session_user) RETURNS boolean
LANGUAGE sql VOLATILE PARALLEL UNSAFE
    RETURN cxm.move_follow_ups(ARRAY[follow_up_id], 'cancel', moved_by, note) OPERATOR(pg_catalog.>) 0;

COMMENT ON FUNCTION cxm.cancel_follow_up(bigint, text, text) IS
'As cxm.cancel_follow_ups() for one; false when it was so already.';

---- the next ones of a queue

CREATE FUNCTION cxm.claim_follow_ups(n integer DEFAULT 1, claimed_by text DEFAULT session_user, queue text DEFAULT NULL)
RETURNS TABLE (
    follow_up_id bigint,
    priority text,
    severity text,
    next_due_at timestamptz,
    opened_at timestamptz,
    reopened integer,
    alerts integer,
    feedback_id bigint,
    occurred_at timestamptz,
    identifier_id bigint,
    metric text,
    score integer,
    comment text
)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
-- one or a hundred, the plan is the same; making it anew each time costs more than running it
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    moment CONSTANT timestamptz NOT NULL := clock_timestamp();
BEGIN
    IF (n > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'n must be greater than zero';
    END IF;
    IF coalesce(claimed_by, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'claimed_by must say who claims';
    END IF;

    RETURN QUERY
    WITH candidate AS MATERIALIZED (
        SELECT f.follow_up_id
        FROM cx.follow_up AS f
        WHERE f.state = 'open'
          AND coalesce(f.owner, '') = coalesce(claim_follow_ups.queue, '')
        ORDER BY f.priority_rank, f.next_due_at, f.follow_up_id
        LIMIT n
        FOR NO KEY UPDATE SKIP LOCKED
    ), claimed AS (
        UPDATE cx.follow_up AS f
        SET state = 'in_progress',
            owner = claim_follow_ups.claimed_by,
            move = 'take',
            moved_at = moment,
            moved_by = claim_follow_ups.claimed_by,
            note = NULL
        FROM candidate AS c
        WHERE f.follow_up_id = c.follow_up_id
        RETURNING f.*
    )
    SELECT f.follow_up_id, f.priority, f.severity, f.next_due_at, f.opened_at, f.reopened, f.alerts, f.feedback_id, f.occurred_at,
           f.identifier_id, f.metric, f.score::integer, a.comment
    FROM claimed AS f
    LEFT JOIN cx.feedback AS a ON a.feedback_id = f.feedback_id AND a.occurred_at = f.occurred_at
    ORDER BY f.priority_rank, f.next_due_at, f.follow_up_id;
END
$$;

COMMENT ON FUNCTION cxm.claim_follow_ups(integer, text, text) IS
'Takes the next n open follow-ups of a queue for claimed_by and returns them with what is needed to begin: highest priority first, then the one due next. A queue is the owner whose follow-ups wait there, a team or a person; NULL = those of nobody. Sessions that claim at once get different ones and do not wait. comment is NULL where the answer has none, is about none or is gone. Error 22023: n or claimed_by is missing or not positive.';

CREATE FUNCTION cxm.open_follow_up(feedback_id bigint, severity text DEFAULT 'medium', owner text DEFAULT NULL, note text DEFAULT NULL,
                                   moved_by text DEFAULT session_user) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    answer record;
    policy record;
    moment timestamptz;
    v_id bigint;
BEGIN
    IF (severity IN ('low', 'medium', 'high', 'critical')) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('severity %s is unknown', coalesce('"' || severity || '"', 'NULL')),
            HINT = 'Use low, medium, high or critical.';
    END IF;
    IF coalesce(moved_by, '') = '' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'moved_by must say who does it';
    END IF;
    SELECT f.* INTO answer FROM cx.feedback AS f WHERE f.feedback_id = open_follow_up.feedback_id;
    IF NOT FOUND THEN
        RAISE no_data_found USING
            MESSAGE = format('feedback %s does not exist', coalesce(open_follow_up.feedback_id::text, 'NULL'));
    END IF;

    -- two who open one for the same answer at once get the same
    PERFORM pg_advisory_xact_lock(hashtextextended('cxm.open_follow_up', open_follow_up.feedback_id));
    SELECT f.follow_up_id INTO v_id
    FROM cx.follow_up AS f
    WHERE f.feedback_id = open_follow_up.feedback_id AND f.state IN ('open', 'in_progress', 'waiting')
    ORDER BY f.follow_up_id
    LIMIT 1;
    IF FOUND THEN
        RAISE NOTICE 'feedback % has the open follow-up % already', open_follow_up.feedback_id, v_id;
        RETURN v_id;
    END IF;

    SELECT p.* INTO policy
    FROM cx.follow_up_policy AS p
    WHERE p.policy_id = cxm.find_follow_up_policy(NULL, answer.location_id, open_follow_up.severity);
    moment := clock_timestamp();
    INSERT INTO cx.follow_up AS f (feedback_id, occurred_at, identifier_id, metric, score, touchpoint_id, location_id, product_id, policy_id,
                                   severity, priority, owner, opened_at, first_response_due, due_at, moved_at, moved_by, note)
    VALUES (answer.feedback_id, answer.occurred_at, answer.identifier_id, answer.metric, answer.score, answer.touchpoint_id, answer.location_id,
            answer.product_id, policy.policy_id, open_follow_up.severity, coalesce(policy.priority, open_follow_up.severity), open_follow_up.owner,
            moment, moment + cxm.alert_span(policy.respond_within), moment + cxm.alert_span(policy.resolve_within), moment, open_follow_up.moved_by, open_follow_up.note)
    RETURNING f.follow_up_id INTO v_id;
    RETURN v_id;
END
$$;

COMMENT ON FUNCTION cxm.open_follow_up(bigint, text, text, text, text) IS
'Opens a follow-up by hand, about an answer that no rule saw, and returns its follow_up_id; where the answer has an open one, that one, with a NOTICE. It gets the policy of its severity and location. Alerts are not attached to it. Errors: P0002 no such answer, 22023 an unknown severity.';

---- what happened

CREATE FUNCTION cxm.explain_follow_up(follow_up_id bigint)
RETURNS TABLE (
    moved_at timestamptz,
    move text,
    moved_by text,
    what text,
    alert_id bigint,
    note text
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM cx.follow_up AS f WHERE f.follow_up_id = explain_follow_up.follow_up_id) THEN
        RAISE no_data_found USING
            MESSAGE = format('follow-up %s does not exist', coalesce(explain_follow_up.follow_up_id::text, 'NULL'));
    END IF;

    RETURN QUERY
    SELECT e.moved_at, e.move, e.moved_by,
           concat_ws('; ',
               CASE WHEN e.from_state IS DISTINCT FROM e.to_state THEN 'state ' || concat_ws(' -> ', e.from_state, e.to_state) END,
               CASE WHEN e.from_owner IS DISTINCT FROM e.to_owner THEN format('owner %s -> %s', coalesce(e.from_owner, 'nobody'), coalesce(e.to_owner, 'nobody')) END,
               CASE WHEN e.from_priority IS DISTINCT FROM e.to_priority THEN 'priority ' || concat_ws(' -> ', e.from_priority, e.to_priority) END,
               (
                   SELECT string_agg(format('%s %s -> %s', c.key, coalesce(c.value ->> 0, 'none'), coalesce(c.value ->> 1, 'none')), '; ' ORDER BY c.key)
                   FROM jsonb_each(e.changes) AS c
               )),
           e.alert_id, e.note
    FROM cx.follow_up_event AS e
    WHERE e.follow_up_id = explain_follow_up.follow_up_id
    ORDER BY e.event_id;
END
$$;

COMMENT ON FUNCTION cxm.explain_follow_up(bigint) IS
'The history of a follow-up, oldest first: when, what was done and by whom, what that changed in words, the alert that did it, and the note. Error P0002: no such follow-up.';

---- overdue

CREATE FUNCTION cxm.escalate_overdue(batch_size integer DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    moment CONSTANT timestamptz NOT NULL := clock_timestamp();
    ids bigint[];
    moved bigint;
BEGIN
    IF (batch_size > 0) IS NOT TRUE THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'batch_size must be greater than zero';
    END IF;

    -- Whoever works on one right now goes first. What was locked is looked at again below: somebody may have
    -- closed it since this statement began.
    ids := ARRAY(
        SELECT f.follow_up_id
        FROM cx.follow_up AS f
        WHERE f.next_due_at <= moment
          AND EXISTS (SELECT FROM cx.follow_up_escalation AS e
                      WHERE e.policy_id = f.policy_id AND e.level > f.escalation_level AND f.next_due_at + cxm.alert_span(e.after) <= moment)
        ORDER BY f.next_due_at, f.follow_up_id
        LIMIT batch_size
        FOR NO KEY UPDATE SKIP LOCKED);

    UPDATE cx.follow_up AS f
    SET escalation_level = d.level,
        escalated_at = moment,
        owner = d.owner,
        priority = CASE WHEN array_position('{critical,high,medium,low}', d.priority) < f.priority_rank THEN d.priority ELSE f.priority END,
        move = 'escalate',
        moved_at = moment,
        moved_by = session_user,
        note = CASE WHEN f.first_response_at IS NULL AND f.next_due_at = f.first_response_due THEN 'first response overdue' ELSE 'resolution overdue' END
    FROM (
        SELECT g.follow_up_id, l.level, l.owner, l.priority
        FROM cx.follow_up AS g
        CROSS JOIN LATERAL (
            -- the highest level that it has reached: after a standstill not one after the other
            SELECT e.level, e.owner, e.priority
            FROM cx.follow_up_escalation AS e
            WHERE e.policy_id = g.policy_id AND e.level > g.escalation_level AND g.next_due_at + cxm.alert_span(e.after) <= moment
            ORDER BY e.level DESC
            LIMIT 1
        ) AS l
        WHERE g.follow_up_id = ANY (ids)
    ) AS d
    WHERE f.follow_up_id = d.follow_up_id;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;

COMMENT ON FUNCTION cxm.escalate_overdue(integer) IS
'Escalates overdue follow-ups, at most batch_size of them, those longest overdue first, and returns how many: each to the highest level of cx.follow_up_escalation that it has reached. One that somebody works on at the moment is left to the next time. What CALL cxm.escalate_follow_ups() does batch by batch.';

CREATE PROCEDURE cxm.escalate_follow_ups()
LANGUAGE plpgsql
AS $$
BEGIN
    CALL cxm.run_job('escalate_follow_ups', 'cxm.escalate_overdue(1000)', '%s follow-ups escalated');
END
$$;

COMMENT ON PROCEDURE cxm.escalate_follow_ups() IS
'Escalates all overdue follow-ups as cx.follow_up_escalation says, a thousand at a time, and commits after each: a level up, to the owner of that level, recorded, with a notification. To be run every few minutes, outside a transaction.';
