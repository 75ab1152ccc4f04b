-- The frame of every job: it logs to cx.job_run, and does not run twice at a time.

CREATE FUNCTION cxm.lock_job(job text) RETURNS boolean
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_try_advisory_xact_lock(hashtextextended('cxm.job ' || job, 0));
$$;

COMMENT ON FUNCTION cxm.lock_job(text) IS
'Tries to be the only run of a job till the end of the transaction; false when another run is at it. To be called again after each COMMIT.';

CREATE FUNCTION cxm.start_job(job text) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_run bigint;
BEGIN
    PERFORM cxm.store_version();
    IF cxm.lock_job(job) THEN
        -- whatever else still says that it runs was cut off
        UPDATE cx.job_run AS r SET outcome = 'failed', detail = 'cut off' WHERE r.job = start_job.job AND r.outcome = 'running';
        INSERT INTO cx.job_run (job) VALUES (job) RETURNING run_id INTO v_run;
    ELSE
        INSERT INTO cx.job_run (job, finished_at, outcome, detail) VALUES (job, clock_timestamp(), 'skipped', 'another run was at it');
        RAISE NOTICE 'another run of % is at it', job;
    END IF;
    RETURN v_run;
END
$$;

COMMENT ON FUNCTION cxm.start_job(text) IS 'Logs the start of a job and returns its run_id; NULL when another run is at it.';

CREATE FUNCTION cxm.report_job(run_id bigint, row_count bigint, detail text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE cx.job_run AS r
    SET row_count = report_job.row_count, detail = report_job.detail
    WHERE r.run_id = report_job.run_id;
END
$$;

COMMENT ON FUNCTION cxm.report_job(bigint, bigint, text) IS 'Says in cx.job_run how far a running job has come; others see it once the batch is committed.';

CREATE FUNCTION cxm.finish_job(run_id bigint, row_count bigint, detail text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE cx.job_run AS r
    SET finished_at = clock_timestamp(), outcome = 'done', row_count = finish_job.row_count, detail = finish_job.detail
    WHERE r.run_id = finish_job.run_id;
END
$$;

COMMENT ON FUNCTION cxm.finish_job(bigint, bigint, text) IS 'Logs the end of a job.';

CREATE PROCEDURE cxm.run_job(job text, batch text, told text)
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job(job);
    v_rows bigint := 0;
    v_batch bigint;
    v_told_at timestamptz := pg_catalog.clock_timestamp();
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;

    LOOP
        EXIT WHEN NOT cxm.lock_job(job);
        EXECUTE 'SELECT ' OPERATOR(pg_catalog.||) batch INTO v_batch;
        v_rows := v_rows OPERATOR(pg_catalog.+) v_batch;
        PERFORM cxm.report_job(v_run, v_rows, pg_catalog.format(told, v_rows));
        COMMIT;
        EXIT WHEN v_batch OPERATOR(pg_catalog.=) 0;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) (v_told_at OPERATOR(pg_catalog.+) interval '2 seconds') THEN
            RAISE NOTICE '%', pg_catalog.format(told, v_rows);
            v_told_at := pg_catalog.clock_timestamp();
        END IF;
    END LOOP;

    PERFORM cxm.finish_job(v_run, v_rows, pg_catalog.format(told, v_rows));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.run_job(text, text, text) IS
'Runs a job batch by batch: batch is an expression that does one and gives the number of rows done, until that is 0; told says what they are, such as %s invitations sent. Commits after each, with the progress in cx.job_run and, every two seconds, in a NOTICE. Nothing is done when another run is at it. Run outside a transaction.';

CREATE PROCEDURE cxm.run_range_job(job text, bound text, batch text, told text, after bigint DEFAULT -9223372036854775808)
LANGUAGE plpgsql
AS $$
DECLARE
    v_run bigint := cxm.start_job(job);
    v_after bigint := after;
    v_upto bigint;
    v_batch bigint;
    v_rows bigint := 0;
    v_detail text;
    v_told_at timestamptz := pg_catalog.clock_timestamp();
BEGIN
    IF v_run IS NULL THEN
        RETURN;
    END IF;
    COMMIT;

    LOOP
        EXIT WHEN NOT cxm.lock_job(job);
        EXECUTE 'SELECT ' OPERATOR(pg_catalog.||) bound INTO v_upto USING v_after;
        EXIT WHEN v_upto IS NULL;
        EXECUTE 'SELECT ' OPERATOR(pg_catalog.||) batch INTO v_batch USING v_after, v_upto;
        v_rows := v_rows OPERATOR(pg_catalog.+) v_batch;
        v_detail := pg_catalog.format(told, v_rows, v_upto);
        PERFORM cxm.report_job(v_run, v_rows, v_detail);
        COMMIT;
        v_after := v_upto;
        IF pg_catalog.clock_timestamp() OPERATOR(pg_catalog.>) (v_told_at OPERATOR(pg_catalog.+) interval '2 seconds') THEN
            RAISE NOTICE '%', v_detail;
            v_told_at := pg_catalog.clock_timestamp();
        END IF;
    END LOOP;

    PERFORM cxm.finish_job(v_run, v_rows, coalesce(v_detail, pg_catalog.format(told, 0, after)));
    COMMIT;
END
$$;

COMMENT ON PROCEDURE cxm.run_range_job(text, text, text, text, bigint) IS
'As cxm.run_job(), through a range of numbers: bound is an expression for where a batch that begins above $1 ends, NULL at the end of the range; batch is one that does what is above $1 up to $2. told is given the rows done, and the number up to which.';
