-- The life of a store: making, checking, opening to roles, upgrading.

CREATE FUNCTION cxm.store_version() RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('cx.store') IS NULL THEN
        RAISE EXCEPTION 'this database has no cxm store'
            USING ERRCODE = 'undefined_table',
                  DETAIL = 'There is no table cx.store.',
                  HINT = 'Run SELECT cxm.create_store().';
    END IF;
    RETURN (SELECT s.version FROM cx.store AS s);
END
$$;

COMMENT ON FUNCTION cxm.store_version() IS
'Version of cxm whose shape the store has, such as 0.1.0. Compare cxm.version(), the version of the library. Error when there is no store.';

CREATE FUNCTION cxm.check_week_start(week_start integer) RETURNS smallint
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF week_start IS NULL OR week_start NOT BETWEEN 1 AND 7 THEN
        RAISE EXCEPTION 'week start % is not a day of the week', coalesce(week_start::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give 1 for Monday to 7 for Sunday.';
    END IF;
    RETURN week_start;
END
$$;

COMMENT ON FUNCTION cxm.check_week_start(integer) IS 'The argument, when it is an ISO day of the week (1 = Monday ... 7 = Sunday); an error otherwise.';

CREATE FUNCTION cxm.check_time_zone() RETURNS trigger
LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- an error for what is no zone, and for what is a zone and an abbreviation
    PERFORM cxm.period_number(now(), 'day', NEW.time_zone, 1);
    -- an offset is read as a zone, too; none goes without a digit, and the names take long to read
    IF NEW.time_zone ~ '[0-9]' AND NOT EXISTS (SELECT FROM pg_timezone_names AS z WHERE lower(z.name) = lower(NEW.time_zone)) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('time zone "%s" is not known', left(NEW.time_zone, 100)),
            HINT = 'Give a name out of pg_timezone_names, such as Europe/Berlin: an abbreviation or an offset does not know when clocks change.';
    END IF;
    RETURN NEW;
END
$$;

COMMENT ON FUNCTION cxm.check_time_zone() IS
'Trigger on cx.store and cx.location, before INSERT and UPDATE of time_zone: error 22023 where it is no name out of pg_timezone_names.';

CREATE FUNCTION cxm.create_store(time_zone text DEFAULT NULL, week_start integer DEFAULT 1) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_zone text;
    v_parent text;
BEGIN
    IF to_regnamespace('cx') IS NOT NULL THEN
        RAISE EXCEPTION 'schema "cx" exists already'
            USING ERRCODE = 'duplicate_schema',
                  DETAIL = CASE WHEN to_regclass('cx.store') IS NULL THEN 'It is not a cxm store.' ELSE 'It holds a cxm store.' END,
                  HINT = CASE WHEN to_regclass('cx.store') IS NULL THEN 'Rename that schema: cxm keeps its store in "cx".'
                              ELSE 'Use it, or bring it up to date with SELECT cxm.upgrade_store().' END;
    END IF;
    v_zone := coalesce(time_zone, current_setting('TimeZone'));
    SELECT z.name INTO v_zone FROM pg_timezone_names AS z WHERE lower(z.name) = lower(v_zone);
    IF v_zone IS NULL THEN
        RAISE EXCEPTION 'time zone "%" is not known', coalesce(time_zone, current_setting('TimeZone'))
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Give a name out of pg_timezone_names, such as Europe/Berlin: an abbreviation or an offset does not know when clocks change.';
    END IF;
    -- an error for what is a zone and an abbreviation
    PERFORM cxm.period_number(now(), 'day', v_zone, 1), cxm.check_week_start(week_start);

    PERFORM cxm.create_tables();
    PERFORM cxm.add_journey_triggers(p.relid)
    FROM unnest(ARRAY['cx.event', 'cx.feedback', 'cx.purchase']) AS k(record_table) CROSS JOIN pg_partition_tree(k.record_table::regclass) AS p;
    PERFORM cxm.know_journey_partitions();
    INSERT INTO cx.store (version, time_zone, week_start) VALUES (cxm.version(), v_zone, week_start);
    FOREACH v_parent IN ARRAY ARRAY['event', 'feedback', 'purchase'] LOOP
        PERFORM cxm.make_early_partition(v_parent);
        PERFORM cxm.ensure_partitions(v_parent, cxm.months_ahead());
    END LOOP;
    PERFORM cxm.create_views();
    PERFORM cxm.wake_notifier();
    RETURN cxm.version();
END
$$;

COMMENT ON FUNCTION cxm.create_store(text, integer) IS
'Makes the store: schema cx with its tables, triggers and views, owned by the caller, and the partitions of this month and the next three. time_zone: IANA name in which views cut periods (default: the session''s); week_start: 1 = Monday ... 7 = Sunday. Returns the version. Error when schema cx exists or the zone is unknown.';

CREATE FUNCTION cxm.months_ahead() RETURNS timestamptz[]
LANGUAGE sql STABLE PARALLEL SAFE
RETURN ARRAY(SELECT pg_catalog.timezone('UTC', pg_catalog.date_trunc('month', pg_catalog.timezone('UTC', pg_catalog.now()))
                                               OPERATOR(pg_catalog.+) pg_catalog.make_interval(months => n))
             FROM pg_catalog.generate_series(-1, 3) AS g(n));

COMMENT ON FUNCTION cxm.months_ahead() IS
'The start of each month (UTC) for which partitions are made ahead: the last one, this one and the next three.';

CREATE FUNCTION cxm.upgrade_store() RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_version text := cxm.store_version();
    v_table text;
BEGIN
    LOCK TABLE cx.store IN ACCESS EXCLUSIVE MODE;
    SELECT s.version INTO v_version FROM cx.store AS s;

    IF v_version !~ '^[0-9]{1,9}([.][0-9]{1,9})*$' THEN
        RAISE EXCEPTION 'store version "%" is not a version', v_version
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'The version in cx.store is written by cxm.create_store() and cxm.upgrade_store() alone.';
    END IF;

    IF string_to_array(v_version, '.')::integer[] > string_to_array(cxm.version(), '.')::integer[] THEN
        RAISE EXCEPTION 'the store has version %, newer than cxm %', v_version, cxm.version()
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Install the newer cxm and run ALTER EXTENSION cxm UPDATE.';
    END IF;

    IF v_version <> cxm.version() THEN
        RAISE EXCEPTION 'there is no way from store version % to %', v_version, cxm.version()
            USING ERRCODE = 'feature_not_supported',
                  DETAIL = 'Store version 0.1.0 is the first.';
    END IF;

    IF to_regclass('cx.partition_set') IS NULL THEN
        PERFORM cxm.create_partition_tables();
    END IF;
    PERFORM cxm.restore_journeys();
    PERFORM cxm.restore_rollups();
    PERFORM cxm.create_views();

    -- DROP EXTENSION ... CASCADE takes along what calls a function of it; without it answers would come in unchecked and
    -- alert nobody. Older stores said the same in SQL.
    IF NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conrelid = 'cx.feedback'::regclass AND c.conname = 'feedback_check') THEN
        BEGIN
            EXECUTE concat('ALTER TABLE cx.feedback ',
                           (SELECT string_agg(format('DROP CONSTRAINT %I, ', c.conname), '') FROM pg_constraint AS c
                            WHERE c.conrelid = 'cx.feedback'::regclass
                              AND c.conname IN ('feedback_occurred_at_check', 'feedback_scale_check', 'feedback_score_check', 'feedback_content_check')),
                           'ADD CONSTRAINT feedback_check CHECK (cxm.check_feedback(occurred_at, score, scale_min, scale_max, comment))');
        EXCEPTION WHEN check_violation THEN
            RAISE check_violation USING
                MESSAGE = 'cx.feedback holds what is no answer, which came in while the extension was away',
                DETAIL = SQLERRM,
                HINT = 'Correct or delete such rows and call cxm.upgrade_store() again; most are found by SELECT * FROM cx.feedback WHERE score < scale_min OR score > scale_max.';
        END;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.feedback'::regclass AND t.tgname = 'feedback_usual_scale') THEN
        CREATE TRIGGER feedback_usual_scale
            BEFORE INSERT ON cx.feedback
            FOR EACH ROW
            EXECUTE FUNCTION cxm.feedback_usual_scale();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.source'::regclass AND t.tgname = 'source_guard_mapping') THEN
        CREATE TRIGGER source_guard_mapping
            BEFORE INSERT OR UPDATE OF source, kind, key_columns, mapping ON cx.source
            FOR EACH ROW
            EXECUTE FUNCTION cxm.guard_mapping();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.source'::regclass AND t.tgname = 'source_rules_changed') THEN
        CREATE TRIGGER source_rules_changed
            AFTER UPDATE OF source_id, source, kind OR DELETE OR TRUNCATE ON cx.source
            FOR EACH STATEMENT
            EXECUTE FUNCTION cxm.identity_rules_changed();
    END IF;
    -- older stores have the namespace first, and read identifiers by statements for want of this key
    IF EXISTS (SELECT FROM pg_constraint AS c WHERE c.conrelid = 'cx.identifier'::regclass AND c.conname = 'identifier_namespace_value_key') THEN
        ALTER TABLE cx.identifier
            DROP CONSTRAINT identifier_namespace_value_key,
            ADD CONSTRAINT identifier_value_namespace_key UNIQUE (value, namespace);
    END IF;
    FOREACH v_table IN ARRAY ARRAY['namespace', 'blocked_value'] LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = format('cx.%I', v_table)::regclass AND t.tgname = v_table || '_rules_changed') THEN
            EXECUTE format('CREATE TRIGGER %I AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON cx.%I FOR EACH STATEMENT EXECUTE FUNCTION cxm.identity_rules_changed()',
                           v_table || '_rules_changed', v_table);
        END IF;
    END LOOP;
    FOREACH v_table IN ARRAY ARRAY['store', 'location'] LOOP
        IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = format('cx.%I', v_table)::regclass AND t.tgname = v_table || '_zone') THEN
            -- records that name a new location say nothing of its zone, and wait for no check
            EXECUTE format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE OF time_zone ON cx.%I FOR EACH ROW WHEN (NEW.time_zone IS NOT NULL) EXECUTE FUNCTION cxm.check_time_zone()',
                           v_table || '_zone', v_table);
        END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.invitation'::regclass AND t.tgname = 'invitation_state') THEN
        CREATE TRIGGER invitation_state
            BEFORE UPDATE OF state ON cx.invitation
            FOR EACH ROW
            WHEN (OLD.state IS DISTINCT FROM NEW.state)
            EXECUTE FUNCTION cxm.guard_invitation();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.delivery'::regclass AND t.tgname = 'delivery_invitation') THEN
        CREATE TRIGGER delivery_invitation
            AFTER UPDATE ON cx.delivery
            REFERENCING NEW TABLE AS new_delivery
            FOR EACH STATEMENT
            EXECUTE FUNCTION cxm.invitation_delivered();
    END IF;
    PERFORM cxm.watch_for_surveys(w.kind) FROM (SELECT DISTINCT t.kind FROM cx.survey_trigger AS t) AS w;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.follow_up'::regclass AND t.tgname = 'follow_up_state') THEN
        CREATE TRIGGER follow_up_state
            BEFORE UPDATE ON cx.follow_up
            FOR EACH ROW
            WHEN (NEW.state <> OLD.state OR NEW.follow_up_id <> OLD.follow_up_id)
            EXECUTE FUNCTION cxm.guard_follow_up();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.follow_up'::regclass AND t.tgname = 'follow_up_history_insert') THEN
        CREATE TRIGGER follow_up_history_insert
            AFTER INSERT ON cx.follow_up
            REFERENCING NEW TABLE AS new_follow_up
            FOR EACH STATEMENT
            EXECUTE FUNCTION cxm.follow_up_history();
    END IF;
    IF NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = 'cx.follow_up'::regclass AND t.tgname = 'follow_up_history_update') THEN
        CREATE TRIGGER follow_up_history_update
            AFTER UPDATE ON cx.follow_up
            REFERENCING OLD TABLE AS old_follow_up NEW TABLE AS new_follow_up
            FOR EACH STATEMENT
            EXECUTE FUNCTION cxm.follow_up_history();
    END IF;
    PERFORM cxm.add_survey_triggers();
    PERFORM cxm.add_alert_triggers(p.relid)
    FROM pg_partition_tree('cx.feedback') AS p
    WHERE NOT EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = p.relid AND t.tgname = 'feedback_alert_insert');
    PERFORM cxm.wake_notifier();
    PERFORM cxm.add_alert_rule_triggers();
    PERFORM cxm.add_goal_triggers();
    PERFORM cxm.add_overall_rating_triggers();
    RETURN v_version;
END
$$;

COMMENT ON FUNCTION cxm.upgrade_store() IS
'Brings the store to cxm.version(), makes its views anew (views of yours that are built on them stay) and puts back triggers of its tables that are missing. Returns the version reached; running it again changes nothing. Error when there is no store, when it is newer than the library, and when no way leads from its version; 23514 when answers came in meanwhile that are none.';

CREATE FUNCTION cxm.store_privileges(OUT level text, OUT privileges text, OUT table_name text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- a line a module; what the functions that a level is for read and write on its behalf
    SELECT g.level, g.privileges, t.table_name
    FROM (VALUES
        ('writer', 'SELECT', '{store,namespace,blocked_value,metric,alert_rule,trait_policy}'::text[]),
        ('writer', 'SELECT, INSERT', '{touchpoint,location,employee,product,event_type}'),
        ('writer', 'SELECT, INSERT', '{alert,outbox}'),
        ('writer', 'SELECT', '{alert_route}'),
        ('writer', 'SELECT, INSERT, UPDATE', '{alert_limit}'),
        ('writer', 'SELECT, INSERT', '{identity_change}'),
        ('writer', 'SELECT, INSERT, UPDATE', '{source,profile,identifier,link,match,match_run,rejection}'),
        ('writer', 'SELECT, INSERT, UPDATE, DELETE', '{message,event,feedback,purchase,spend,trait}'),
        ('writer', 'SELECT, INSERT', '{journey_code_entry}'),
        ('writer', 'INSERT', '{journey_delta}'),
        ('writer', 'SELECT', '{delivery_channel,rollup}'),
        ('writer', 'SELECT, INSERT, UPDATE', '{delivery,delivery_event}'),
        ('writer', 'SELECT, INSERT, UPDATE', '{conversation,conversation_message,conversation_participant,conversation_event}'),
        ('writer', 'SELECT', '{consent_policy}'),
        ('writer', 'SELECT, INSERT', '{consent}'),
        ('writer', 'SELECT', '{follow_up_policy,follow_up_escalation}'),
        ('writer', 'SELECT, INSERT', '{follow_up_alert,follow_up_event}'),
        ('writer', 'SELECT, INSERT, UPDATE', '{follow_up,follow_up_lock}'),
        ('writer', 'SELECT', '{survey,survey_version,survey_question,survey_text,question,question_option}'),
        ('writer', 'SELECT, INSERT, UPDATE, DELETE', '{response,answer}'),
        ('writer', 'SELECT', '{fatigue_rule,quota,survey_trigger,survey_step}'),
        ('writer', 'SELECT, INSERT, UPDATE', '{invitation,invitation_token,contact_clock,quota_stripe,referral_code,referral}'),
        ('writer', 'SELECT, INSERT, DELETE', '{quota_place,quota_excess}'),
        ('writer', 'SELECT, INSERT, UPDATE, DELETE', '{survey_candidate}'),
        -- enough to answer, not to read an answer
        ('writer', 'SELECT', '{employee_wave,employee_question,employee_group}'),
        ('writer', 'SELECT, DELETE', '{employee_ticket}'),
        ('writer', 'INSERT', '{employee_answer}'),
        ('agent', 'UPDATE', '{alert}'),
        ('agent', 'INSERT, UPDATE', '{delivery,delivery_event}'),
        ('agent', 'INSERT, UPDATE', '{follow_up}'),
        ('agent', 'INSERT', '{follow_up_event,outbox}'),
        ('agent', 'INSERT, UPDATE', '{conversation,conversation_message,conversation_participant,conversation_event}'),
        ('agent', 'INSERT', '{outbox}'),
        ('sender', 'SELECT', '{store,namespace,identifier,profile,delivery_channel}'),
        ('sender', 'SELECT, INSERT, UPDATE', '{delivery,delivery_event}'),
        ('sender', 'SELECT, UPDATE', '{invitation}')
    ) AS g(level, privileges, tables)
    CROSS JOIN unnest(g.tables) AS t(table_name);
$$;

COMMENT ON FUNCTION cxm.store_privileges() IS
'What cxm.grant_store() grants on the tables of schema cx, beyond SELECT for a reader and an agent on all of them but employee_answer and employee_ticket.';

CREATE FUNCTION cxm.grant_store(role_name text, level text DEFAULT 'reader') RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_owner name;
    v_privilege record;
BEGIN
    IF level NOT IN ('reader', 'writer', 'agent', 'sender') THEN
        RAISE EXCEPTION 'unknown level "%"', level
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Levels are reader (reads everything), writer (sends records, merges and splits), agent (reads, and works on alerts, follow-ups and conversations) and sender (brings deliveries out).';
    END IF;
    PERFORM cxm.store_version();
    -- a GRANT by somebody who may not is a warning only
    SELECT pg_get_userbyid(n.nspowner) INTO v_owner FROM pg_namespace AS n WHERE n.nspname = 'cx';
    IF NOT pg_has_role(current_user, v_owner, 'USAGE') THEN
        RAISE EXCEPTION 'role "%" may not open the store to others', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('Ask "%s", who owns schema cx.', v_owner);
    END IF;
    IF has_schema_privilege('cxm', 'USAGE WITH GRANT OPTION') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA cxm TO %I', role_name);
    ELSIF NOT has_schema_privilege(role_name, 'cxm', 'USAGE') THEN
        RAISE EXCEPTION 'role "%" may not use schema cxm, and "%" cannot change that', role_name, current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('Ask the owner of the extension to GRANT USAGE ON SCHEMA cxm TO %I.', role_name);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA cx TO %I', role_name);

    IF level IN ('reader', 'agent') THEN
        -- not what employees say before it is published, and not the rows of the tables that rollups count
        FOR v_privilege IN
            SELECT c.relname AS table_name FROM pg_class AS c
            WHERE c.relnamespace = 'cx'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname NOT IN ('employee_answer', 'employee_ticket')
              AND NOT EXISTS (SELECT FROM cx.rollup AS r WHERE c.relname = format('rollup_%s_rows', r.rollup_id))
        LOOP
            -- with the token of an invitation that is still to be sent, whoever reads it could answer for the customer
            EXECUTE format('GRANT SELECT %s ON cx.%I TO %I',
                           CASE WHEN level = 'reader' AND v_privilege.table_name = 'delivery'
                                THEN (SELECT format('(%s)', string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)) FROM pg_attribute AS a
                                      WHERE a.attrelid = 'cx.delivery'::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'payload') END,
                           v_privilege.table_name, role_name);
        END LOOP;
    END IF;
    FOR v_privilege IN SELECT p.privileges, p.table_name FROM cxm.store_privileges() AS p WHERE p.level = grant_store.level LOOP
        EXECUTE format('GRANT %s ON cx.%I TO %I', v_privilege.privileges, v_privilege.table_name, role_name);
    END LOOP;
    IF level <> 'reader' THEN
        EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA cx TO %I', role_name);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.grant_store(text, text) IS
'Gives a role what it needs in the store. reader: read every table and view but the answers and tickets of employees, the payload of deliveries (links with tokens) and the rows that rollups count; writer: send records by the ingest functions or by writing to attached tables, link, merge and unmerge, run matchings and decide on matches; agent: a reader who also claims and acknowledges alerts, and works on follow-ups and conversations; sender: claims deliveries with the addresses of customers, and says what became of them. Plain GRANTs, which the owner of the store can add to or revoke. Error on an unknown role or level.';

CREATE FUNCTION cxm.store_check(OUT table_name text, OUT problem text, OUT row_count bigint) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_check record;
BEGIN
    -- references that carry no foreign key
    FOR v_check IN
        SELECT c.relname AS fact, a.attname AS ref, left(a.attname, -3) AS target
        FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'cx'::regnamespace
          AND c.relname IN ('event', 'feedback', 'purchase', 'spend', 'alert', 'follow_up', 'response', 'conversation', 'conversation_message', 'delivery')
          AND a.attname IN ('identifier_id', 'event_type_id', 'touchpoint_id', 'location_id', 'product_id', 'employee_id', 'source_id')
        ORDER BY 1, 2
    LOOP
        EXECUTE format('SELECT count(*) FROM cx.%I AS f WHERE f.%I IS NOT NULL AND NOT EXISTS (SELECT FROM cx.%I AS t WHERE t.%I = f.%I)',
                       v_check.fact, v_check.ref, v_check.target, v_check.ref, v_check.ref) INTO row_count;
        IF row_count > 0 THEN
            table_name := 'cx.' || v_check.fact;
            problem := format('%s leads nowhere in cx.%s', v_check.ref, v_check.target);
            RETURN NEXT;
        END IF;
    END LOOP;

    table_name := 'cx.feedback';
    problem := 'metric is not in cx.metric';
    SELECT count(*) INTO row_count FROM cx.feedback AS f WHERE NOT EXISTS (SELECT FROM cx.metric AS m WHERE m.metric = f.metric);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    -- what was there before it was checked, and what is no zone on this server
    problem := 'time_zone is not known';
    FOR table_name, row_count IN
        SELECT c.table_name, count(*)
        FROM (SELECT 'cx.store' AS table_name, s.time_zone FROM cx.store AS s
              UNION ALL
              SELECT 'cx.location', l.time_zone FROM cx.location AS l WHERE l.time_zone IS NOT NULL) AS c
        WHERE lower(c.time_zone) NOT IN (SELECT lower(z.name) FROM pg_timezone_names AS z)
        GROUP BY c.table_name
        ORDER BY c.table_name DESC
    LOOP
        RETURN NEXT;
    END LOOP;

    table_name := 'cx.follow_up_alert';
    problem := 'follow_up_id or alert_id leads nowhere';
    SELECT count(*) INTO row_count
    FROM cx.follow_up_alert AS x
    WHERE NOT EXISTS (SELECT FROM cx.follow_up AS f WHERE f.follow_up_id = x.follow_up_id)
       OR NOT EXISTS (SELECT FROM cx.alert AS a WHERE a.alert_id = x.alert_id);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    table_name := 'cx.follow_up';
    problem := 'state, owner or priority is not what the history says';
    SELECT count(*) INTO row_count
    FROM cx.follow_up AS f
    LEFT JOIN (
        SELECT DISTINCT ON (e.follow_up_id) e.follow_up_id, e.to_state, e.to_owner, e.to_priority
        FROM cx.follow_up_event AS e
        ORDER BY e.follow_up_id, e.event_id DESC
    ) AS h ON h.follow_up_id = f.follow_up_id
    WHERE (f.state, f.owner, f.priority) IS DISTINCT FROM (h.to_state, h.to_owner, h.to_priority);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    table_name := 'cx.answer';
    problem := 'response_id or question_id leads nowhere, or the question is of another survey';
    SELECT count(*) INTO row_count
    FROM cx.answer AS a
    LEFT JOIN cx.response AS r USING (response_id)
    LEFT JOIN cx.survey_question AS q ON q.survey_id = r.survey_id AND q.version = r.version AND q.question_id = a.question_id
    WHERE q.question_id IS NULL;
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    table_name := 'cx.identifier';
    problem := 'profile_id leads nowhere in cx.profile';
    SELECT count(*) INTO row_count FROM cx.identifier AS i WHERE NOT EXISTS (SELECT FROM cx.profile AS p WHERE p.profile_id = i.profile_id);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    problem := 'namespace is not in cx.namespace';
    SELECT count(*) INTO row_count FROM cx.identifier AS i WHERE NOT EXISTS (SELECT FROM cx.namespace AS n WHERE n.namespace = i.namespace);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    table_name := 'cx.link';
    problem := 'an end leads nowhere in cx.identifier';
    SELECT count(*) INTO row_count
    FROM cx.link AS l
    WHERE NOT EXISTS (SELECT FROM cx.identifier AS i WHERE i.identifier_id = l.identifier_a)
       OR NOT EXISTS (SELECT FROM cx.identifier AS i WHERE i.identifier_id = l.identifier_b);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    problem := 'source_id leads nowhere in cx.source';
    SELECT count(*) INTO row_count FROM cx.link AS l WHERE NOT EXISTS (SELECT FROM cx.source AS s WHERE s.source_id = l.source_id);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    table_name := 'cx.profile';
    problem := 'canonical_id leads nowhere';
    SELECT count(*) INTO row_count FROM cx.profile AS p WHERE NOT EXISTS (SELECT FROM cx.profile AS c WHERE c.profile_id = p.canonical_id);
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    problem := 'canonical_id is itself merged into another profile';
    SELECT count(*) INTO row_count
    FROM cx.profile AS p JOIN cx.profile AS c ON c.profile_id = p.canonical_id
    WHERE c.canonical_id <> c.profile_id;
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    table_name := 'cx.identifier';
    problem := 'profile is not the one that the links give';
    row_count := cxm.identity_differences();
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    table_name := 'cx.journey';
    problem := 'journey is not what the records say';
    SELECT count(*) INTO row_count FROM cxm.journey_check();
    IF row_count > 0 THEN
        RETURN NEXT;
    END IF;

    FOREACH table_name IN ARRAY ARRAY['event', 'feedback', 'purchase', 'spend', 'traits'] LOOP
        EXECUTE format('SELECT count(*) FROM cx.message AS m WHERE m.kind = %L AND NOT EXISTS (SELECT FROM cx.%I AS r WHERE r.%I = m.record_id%s)',
                       table_name,
                       CASE table_name WHEN 'traits' THEN 'trait' ELSE table_name END,
                       CASE table_name WHEN 'traits' THEN 'trait_id' ELSE table_name || '_id' END,
                       CASE table_name WHEN 'traits' THEN '' ELSE ' AND r.occurred_at = m.occurred_at' END) INTO row_count;
        IF row_count > 0 THEN
            problem := format('messages of kind %s have no record', table_name);
            table_name := 'cx.message';
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.store_check() IS
'Looks through the whole store for what no constraint guards: references that lead nowhere, unknown metrics and time zones, profiles that differ from what the links say, journeys that differ from the records, messages without a record. A row a problem with the number of rows; no rows when the store is sound.';
