-- Upkeep: procedures that run by hand or under pg_cron. Each logs to cx.job_run, does not run twice at a time, and
-- commits as it goes. (A procedure that commits can have no SET clause, so every name in it is qualified.)

---- partitions

CREATE FUNCTION cxm.months_to_make(OUT parent text, OUT month timestamp) RETURNS SETOF record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_times timestamptz[];
BEGIN
    FOREACH parent IN ARRAY ARRAY['event', 'feedback', 'purchase'] LOOP
        EXECUTE format('SELECT array_agg(DISTINCT date_trunc(''month'', d.occurred_at AT TIME ZONE ''UTC'') AT TIME ZONE ''UTC'') FROM cx.%I AS d',
                       parent || '_default') INTO v_times;
        FOREACH month IN ARRAY cxm.missing_months(parent, cxm.months_ahead() || v_times) LOOP
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$$;

COMMENT ON FUNCTION cxm.months_to_make() IS
'Monthly partitions that are wanted and missing: of the months ahead and of rows that wait in a default partition.';

CREATE PROCEDURE cxm.maintain_partitions()
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job('maintain_partitions');
    v_todo record;
    v_moved bigint;
    v_rows bigint := 0;
    v_made integer := 0;
    v_busy integer := 0;
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;

    FOR v_todo IN SELECT m.parent, m.month FROM cxm.months_to_make() AS m LOOP
        -- whoever uses the table goes first; a busy one is tried for some seconds and then left to the next run
        v_moved := NULL;
        FOR v_try IN 1 .. 20 LOOP
            EXIT WHEN NOT cxm.lock_job('maintain_partitions');
            v_moved := cxm.make_partition(v_todo.parent, v_todo.month);
            -- sleep before COMMIT: a second run must find this one at it
            IF v_moved IS NULL THEN
                PERFORM pg_catalog.pg_sleep(0.1);
            END IF;
            COMMIT;
            EXIT WHEN v_moved IS NOT NULL;
        END LOOP;
        IF v_moved IS NULL THEN
            v_busy := v_busy OPERATOR(pg_catalog.+) 1;
        ELSE
            v_made := v_made OPERATOR(pg_catalog.+) 1;
            v_rows := v_rows OPERATOR(pg_catalog.+) v_moved;
            RAISE NOTICE 'cx.%: partition % made, % rows moved', v_todo.parent, pg_catalog.to_char(v_todo.month, 'YYYY-MM'), v_moved;
        END IF;
    END LOOP;

    PERFORM cxm.finish_job(v_run, v_rows, pg_catalog.format('%s partitions made, %s rows moved into them, %s partitions left for the next run because the table was in use', v_made, v_rows, v_busy));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.maintain_partitions() IS
'Makes the monthly partitions of the months ahead, and of every month that has rows in a default partition, moving those rows; commits after each. Never makes users wait for more than a tenth of a second; what could not be made because the table was in use is left to the next run. To be run by the owner of the store, outside a transaction.';

---- rejections

CREATE FUNCTION cxm.replay_rejection(rejection_id bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rejection record;
    v_zone text;
    v_result cxm.ingest_result;
    v_problem cxm.problem;
BEGIN
    SELECT r.* INTO v_rejection FROM cx.rejection AS r WHERE r.rejection_id = replay_rejection.rejection_id AND r.state = 'open' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    v_zone := (cxm.ingest_limits()).time_zone;

    BEGIN
        CASE v_rejection.kind
            WHEN 'event' THEN
                v_result := cxm.store_events(v_rejection.source_id, ARRAY[cxm.json_event(v_rejection.record, v_zone)], strict => true);
            WHEN 'feedback' THEN
                v_result := cxm.store_feedback(v_rejection.source_id, ARRAY[cxm.json_feedback(v_rejection.record, v_zone)], strict => true);
            WHEN 'purchase' THEN
                v_result := cxm.store_purchases(v_rejection.source_id, ARRAY[cxm.json_purchase(v_rejection.record, v_zone)], strict => true);
            WHEN 'spend' THEN
                v_result := cxm.store_spend(v_rejection.source_id, ARRAY[cxm.json_spend(v_rejection.record, v_zone)], strict => true);
            WHEN 'traits' THEN
                v_result := cxm.store_traits(v_rejection.source_id, ARRAY[cxm.json_traits(v_rejection.record, v_zone)], strict => true);
            WHEN 'message' THEN
                v_problem := (cxm.receive_message_json(v_rejection.record, (SELECT s.source FROM cx.source AS s WHERE s.source_id = v_rejection.source_id))).problem;
            WHEN 'consent' THEN
                v_result := cxm.store_consents(v_rejection.source_id, ARRAY[cxm.json_consent(v_rejection.record, v_zone)], strict => true);
            WHEN 'invitation' THEN
                PERFORM cxm.replay_candidate(v_rejection.record);
            WHEN 'alert' THEN
                PERFORM cxm.evaluate_alerts(ARRAY(SELECT a.value::bigint FROM jsonb_array_elements_text(v_rejection.record -> 'feedback_ids') AS a),
                                            (v_rejection.record ->> 'rule_id')::integer);
            WHEN 'response' THEN
                v_result.problem := cxm.replay_response(v_rejection.source_id, v_rejection.record);
            WHEN 'follow_up' THEN
                PERFORM cxm.open_follow_ups(ARRAY(SELECT a.value::bigint FROM jsonb_array_elements_text(v_rejection.record -> 'alert_ids') AS a));
        END CASE;
        v_problem := coalesce(v_problem, v_result.problem);
    EXCEPTION
        WHEN OTHERS THEN
            v_problem := (SQLSTATE, SQLERRM, NULL)::cxm.problem;
    END;

    IF v_problem.reason IS NULL THEN
        UPDATE cx.rejection AS r SET state = 'replayed', closed_at = clock_timestamp(), attempts = r.attempts + 1
        WHERE r.rejection_id = replay_rejection.rejection_id;
        RETURN true;
    END IF;
    UPDATE cx.rejection AS r
    SET attempts = r.attempts + 1, rejected_at = clock_timestamp(), reason = v_problem.reason, sqlstate = v_problem.sqlstate, hint = v_problem.hint
    WHERE r.rejection_id = replay_rejection.rejection_id;
    RETURN false;
END
$$;

COMMENT ON FUNCTION cxm.replay_rejection(bigint) IS
'Tries one open rejection again. True when its record was taken (or had been meanwhile); false, with the reason of today, when it is refused again or not open.';

CREATE PROCEDURE cxm.replay_rejections(max_attempts integer DEFAULT 10)
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job('replay_rejections');
    v_last bigint := 0;
    v_ids bigint[];
    v_tried bigint := 0;
    v_taken bigint := 0;
    v_told timestamptz := pg_catalog.clock_timestamp();
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;

    <<batches>>
    LOOP
        v_ids := ARRAY(SELECT r.rejection_id FROM cx.rejection AS r
                       WHERE r.state OPERATOR(pg_catalog.=) 'open' AND r.rejection_id OPERATOR(pg_catalog.>) v_last
                         AND r.attempts OPERATOR(pg_catalog.<) max_attempts
                       ORDER BY r.rejection_id LIMIT 500);
        EXIT WHEN pg_catalog.cardinality(v_ids) OPERATOR(pg_catalog.=) 0;

        -- one at a time: records that come one after the other in one transaction lock what they name in no
        -- particular order, and writers could deadlock with them
        FOREACH v_last IN ARRAY v_ids LOOP
            EXIT batches WHEN NOT cxm.lock_job('replay_rejections');
            v_taken := v_taken OPERATOR(pg_catalog.+) cxm.replay_rejection(v_last)::pg_catalog.int4;
            v_tried := v_tried OPERATOR(pg_catalog.+) 1;
            COMMIT;

            IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) (v_told OPERATOR(pg_catalog.+) interval '2 seconds') THEN
                RAISE NOTICE '% rejections tried, % taken', v_tried, v_taken;
                v_told := pg_catalog.clock_timestamp();
            END IF;
        END LOOP;
    END LOOP;

    PERFORM cxm.finish_job(v_run, v_taken, pg_catalog.format('%s rejections tried, %s taken', v_tried, v_taken));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.replay_rejections(integer) IS
'Tries all open rejections again, oldest first, and commits after each: records that were refused for a metric, namespace or rule that has been mended since are taken. Rejections tried max_attempts times already are left alone (set attempts to 0 after mending one). Run outside a transaction.';

---- statistics

CREATE PROCEDURE cxm.refresh_statistics()
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job('refresh_statistics');
    v_table text;
    v_tables integer := 0;
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;
    -- autovacuum never analyses a partitioned table as a whole
    FOREACH v_table IN ARRAY ARRAY['event', 'feedback', 'purchase', 'spend', 'identifier', 'profile', 'link', 'message', 'trait', 'alert', 'follow_up', 'follow_up_alert', 'follow_up_event', 'response', 'answer', 'consent', 'invitation'] LOOP
        EXIT WHEN NOT cxm.lock_job('refresh_statistics');
        EXECUTE pg_catalog.format('ANALYZE cx.%I', v_table);
        COMMIT;
        v_tables := v_tables OPERATOR(pg_catalog.+) 1;
    END LOOP;
    PERFORM cxm.finish_job(v_run, v_tables, pg_catalog.format('%s tables analysed', v_tables));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.refresh_statistics() IS
'Analyses the large tables of the store, which autovacuum does not do for partitioned tables as a whole. Run by the owner of the store, outside a transaction.';

---- all of it

CREATE FUNCTION cxm.forget_job_runs(older_than interval DEFAULT interval '90 days') RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rows bigint;
BEGIN
    DELETE FROM cx.job_run AS r WHERE r.started_at < now() - older_than AND r.outcome <> 'running';
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    RETURN v_rows;
END
$$;

COMMENT ON FUNCTION cxm.forget_job_runs(interval) IS 'Deletes the log of finished jobs that began longer ago than this; returns the number of rows.';

CREATE PROCEDURE cxm.upkeep()
LANGUAGE plpgsql
AS $$
BEGIN
    CALL cxm.maintain_partitions();
    CALL cxm.refresh_attachments();
    CALL cxm.replay_rejections();
    CALL cxm.fold_journeys();
    CALL cxm.fold_rollups();
    CALL cxm.watch_alerts();
    CALL cxm.forget_deliveries();
    CALL cxm.escalate_follow_ups();
    CALL cxm.settle_responses();
    CALL cxm.invite_candidates();
    CALL cxm.send_invitations();
    CALL cxm.remind_invitations();
    CALL cxm.expire_invitations();
    CALL cxm.refresh_statistics();
    PERFORM cxm.forget_job_runs();
    PERFORM cxm.forget_notifications();
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.upkeep() IS
'All upkeep in one call: partitions, attached tables'' new partitions, rejections, journeys, rollups, alerts that no answer raises, overdue follow-ups, statistics, the logs. Run by the owner of the store, outside a transaction; or have cxm.schedule_jobs() run the parts.';

CREATE FUNCTION cxm.jobs(OUT job text, OUT schedule text, OUT command text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 16
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('cxm maintain_partitions', '17 1 * * *',  'CALL cxm.maintain_partitions()'),
           ('cxm watch_alerts',        '*/5 * * * *', 'CALL cxm.watch_alerts()'),
           ('cxm fold_journeys',       '*/5 * * * *', 'CALL cxm.fold_journeys()'),
           ('cxm fold_rollups',        '* * * * *',   'CALL cxm.fold_rollups()'),
           ('cxm refresh_attachments', '*/5 * * * *', 'CALL cxm.refresh_attachments()'),
           ('cxm replay_rejections',   '*/15 * * * *', 'CALL cxm.replay_rejections()'),
           ('cxm forget_deliveries',   '27 3 * * *',  'CALL cxm.forget_deliveries()'),
           ('cxm escalate_follow_ups', '*/5 * * * *', 'CALL cxm.escalate_follow_ups()'),
           ('cxm settle_responses',    '*/10 * * * *', 'CALL cxm.settle_responses()'),
           ('cxm refresh_statistics',  '47 2 * * *',  'CALL cxm.refresh_statistics()'),
           ('cxm invite_candidates',   '* * * * *',   'CALL cxm.invite_candidates()'),
           ('cxm send_invitations',    '* * * * *',   'CALL cxm.send_invitations()'),
           ('cxm remind_invitations',  '*/10 * * * *', 'CALL cxm.remind_invitations()'),
           ('cxm expire_invitations',  '*/10 * * * *', 'CALL cxm.expire_invitations()'),
           ('cxm forget_job_runs',     '37 3 * * *',  'SELECT cxm.forget_job_runs(), cxm.forget_notifications()');
$$;

COMMENT ON FUNCTION cxm.jobs() IS 'The upkeep jobs that cxm.schedule_jobs() gives to pg_cron: name, schedule (pg_cron''s zone, GMT unless set otherwise), command.';

CREATE FUNCTION cxm.require_cron() RETURNS void
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'pg_cron') THEN
        RAISE EXCEPTION 'extension pg_cron is not in this database'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = CASE WHEN nullif(current_setting('cron.database_name', true), '') IS NULL
                                THEN 'The server has not loaded pg_cron.'
                                ELSE format('pg_cron of this server works in database "%s".', current_setting('cron.database_name')) END,
                  HINT = CASE WHEN current_setting('cron.database_name', true) = current_database() THEN 'Run CREATE EXTENSION pg_cron.'
                              ELSE 'Set shared_preload_libraries = ''pg_cron'' and cron.database_name to this database, restart, and CREATE EXTENSION pg_cron; or schedule the commands of cxm.jobs() there with cron.schedule_in_database(); or run CALL cxm.upkeep() by any other scheduler.' END;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.require_cron() IS 'Error, saying what to do, when pg_cron is not in this database.';

CREATE FUNCTION cxm.schedule_jobs() RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_job record;
    v_jobs integer := 0;
BEGIN
    PERFORM cxm.store_version();
    PERFORM cxm.require_cron();
    FOR v_job IN SELECT j.job, j.schedule, j.command FROM cxm.jobs() AS j LOOP
        PERFORM cron.schedule(v_job.job, v_job.schedule, v_job.command);
        v_jobs := v_jobs + 1;
    END LOOP;
    RETURN v_jobs;
END
$$;

COMMENT ON FUNCTION cxm.schedule_jobs() IS
'Gives the jobs of cxm.jobs() to pg_cron, to run as the caller in this database; returns how many. Running it again changes nothing but schedules that you edited. Error when pg_cron is not in this database.';

CREATE FUNCTION cxm.unschedule_jobs() RETURNS integer
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_jobs integer;
BEGIN
    PERFORM cxm.require_cron();
    SELECT count(cron.unschedule(c.jobid)) INTO v_jobs
    FROM cron.job AS c JOIN cxm.jobs() AS j ON j.job = c.jobname
    WHERE c.username = current_user;
    RETURN v_jobs;
END
$$;

COMMENT ON FUNCTION cxm.unschedule_jobs() IS 'Takes the caller''s cxm jobs back from pg_cron; returns how many there were. Error when pg_cron is not in this database.';
