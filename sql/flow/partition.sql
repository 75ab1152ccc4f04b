-- Monthly partitions of cx.event, cx.feedback and cx.purchase.
--
-- A partition is made ahead by upkeep, on demand by the ingest functions, and where neither was possible the row
-- waits in the default partition until upkeep makes its month. No row is ever refused for want of a partition.
--
-- ATTACH PARTITION changes the constraint of the default partition, and a writer that has chosen it already would
-- fail. So a partition is made under a lock that conflicts with writing, after waiting a tenth of a second at most
-- for those who write. Since that lock, and one on the default partition that conflicts with reading, last till the
-- end of the transaction, the ingest functions make partitions only where that is near: outside BEGIN ... COMMIT.

---- partitions that are counted

CREATE FUNCTION cxm.has_known_partitions(rollup_id integer, source regclass) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_has_known_partitions'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.has_known_partitions(integer, regclass) IS
'Whether a table has no partitions with rows but those that a rollup (0 = journeys) counts in the caller''s snapshot, has them all, and was not written to while that was not so. True of an ordinary table, unless it has got into inheritance or become a partition.';

CREATE FUNCTION cxm.check_journeys(must boolean DEFAULT true) RETURNS boolean
AS 'MODULE_PATHNAME', 'cxm_check_journeys'
LANGUAGE C STABLE STRICT PARALLEL SAFE;

COMMENT ON FUNCTION cxm.check_journeys(boolean) IS
'True when journeys count the partitions that cx.event, cx.feedback and cx.purchase have, in the caller''s snapshot. If not, error 55000 when they must, otherwise false.';

CREATE FUNCTION cxm.know_partitions(rollup_id integer, source regclass, partitions regclass[]) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM cx.partition_set AS p WHERE p.rollup_id = know_partitions.rollup_id AND p.source = know_partitions.source;
    IF (SELECT c.relkind FROM pg_class AS c WHERE c.oid = know_partitions.source) = 'p' THEN
        INSERT INTO cx.partition_set (rollup_id, source, partitions)
        VALUES (know_partitions.rollup_id, know_partitions.source, array_remove(know_partitions.partitions, know_partitions.source));
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.know_partitions(integer, regclass, regclass[]) IS
'Notes that a rollup (0 = journeys) counts these partitions of a table: those that carry its triggers.';

CREATE FUNCTION cxm.add_known_partition(source regclass, partition regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE cx.partition_set AS p
    SET partitions = p.partitions || add_known_partition.partition
    WHERE p.source = add_known_partition.source AND NOT add_known_partition.partition = ANY (p.partitions);
END
$$;

COMMENT ON FUNCTION cxm.add_known_partition(regclass, regclass) IS
'Notes that all rollups of a table, and journeys, count a new partition of it, too: one whose rows were counted before or that has none.';

CREATE FUNCTION cxm.drop_partition(partition regclass) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_parent constant regclass := (SELECT i.inhparent FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhrelid = partition AND c.relispartition);
    v_root constant regclass := pg_partition_root(partition);
BEGIN
    IF v_parent IS NULL THEN
        RAISE wrong_object_type USING
            MESSAGE = format('%s is not a partition', partition),
            HINT = 'DROP TABLE removes an ordinary table.';
    END IF;
    -- as DROP would: in the order of those who read the table
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', v_root);
    IF EXISTS (SELECT FROM cx.partition_set AS p WHERE p.source = v_root AND NOT cxm.has_known_partitions(p.rollup_id, v_root)) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('partitions of %s came or went, and were not counted yet', v_root),
            HINT = 'CALL cxm.fold_rollups() and CALL cxm.fold_journeys(), which look after that, and try again.';
    END IF;
    -- its triggers take its rows out of journeys and rollups
    EXECUTE format('TRUNCATE %s', partition);
    UPDATE cx.partition_set AS p
    SET partitions = ARRAY(SELECT m.member FROM unnest(p.partitions) AS m(member) EXCEPT SELECT t.relid FROM pg_partition_tree(partition) AS t ORDER BY 1)
    WHERE p.source = v_root;
    EXECUTE format('DROP TABLE %s', partition);
END
$$;

COMMENT ON FUNCTION cxm.drop_partition(regclass) IS
'Removes a partition of a table, its rows, and what these count for in journeys and rollups, in one transaction: what is left is exact at all times, and nothing has to be counted anew. Waits for whoever reads or writes the table. Error 42809 when it is not a partition, and what DROP TABLE and TRUNCATE raise.';

---- making

-- Statement triggers of a partitioned table see what is written through it. What is written straight into a
-- partition is seen by the triggers of the partition.
CREATE FUNCTION cxm.add_partition_triggers(parent text, partition_name text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM cxm.add_journey_triggers(format('cx.%I', partition_name)::regclass);
    PERFORM cxm.add_partition_rollups(format('cx.%I', parent)::regclass, format('cx.%I', partition_name)::regclass);
    PERFORM cxm.add_known_partition(format('cx.%I', parent)::regclass, format('cx.%I', partition_name)::regclass);
    IF parent = 'feedback' THEN
        PERFORM cxm.add_alert_triggers(format('cx.%I', partition_name)::regclass);
    END IF;
    IF EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = format('cx.%I', parent)::regclass AND t.tgname = 'survey_candidate') THEN
        PERFORM cxm.watch_for_surveys(parent);
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.add_partition_triggers(text, text) IS
'Gives a new partition of cx.<parent> the statement triggers that the parent has, and has it counted with the others.';

-- Rows that lie before the epoch share one partition: dates such as 0001-01-01 stand for "unknown" in many
-- systems, and a month of its own for each would be noise.
CREATE FUNCTION cxm.make_early_partition(parent text) RETURNS void
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
BEGIN
    EXECUTE format('CREATE TABLE cx.%I PARTITION OF cx.%I FOR VALUES FROM (MINVALUE) TO (%L)',
                   parent || '_early', parent, timestamptz '1970-01-01 00:00+00');
    EXECUTE format('COMMENT ON TABLE cx.%I IS %L', parent || '_early', 'Rows of cx.' || parent || ' dated before 1970.');
    PERFORM cxm.add_partition_triggers(parent, parent || '_early');
END
$$;

COMMENT ON FUNCTION cxm.make_early_partition(text) IS
'Makes the partition of cx.<parent> for all times before 1970. Run by cxm.create_store().';

CREATE FUNCTION cxm.make_partition(parent text, month timestamp) RETURNS bigint
LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '50ms'
AS $$
DECLARE
    v_name text := parent || to_char(month, '_YYYY_MM');
    v_from timestamptz := month AT TIME ZONE 'UTC';
    v_to timestamptz := (month + interval '1 month') AT TIME ZONE 'UTC';
    v_columns text;
    v_owner text;
    v_enabled "char";
    v_moved bigint;
BEGIN
    EXECUTE format('LOCK TABLE cx.%I IN SHARE ROW EXCLUSIVE MODE', parent);
    IF to_regclass(format('cx.%I', v_name)) IS NOT NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('LOCK TABLE cx.%I IN ACCESS EXCLUSIVE MODE', parent || '_default');
    EXECUTE format('CREATE TABLE cx.%I (LIKE cx.%I INCLUDING DEFAULTS INCLUDING GENERATED INCLUDING CONSTRAINTS INCLUDING STORAGE INCLUDING COMPRESSION)', v_name, parent);
    -- a member or a superuser makes it for the owner of the store
    SELECT quote_ident(pg_get_userbyid(c.relowner)) INTO v_owner FROM pg_class AS c WHERE c.oid = format('cx.%I', parent)::regclass;
    IF v_owner <> quote_ident(current_user) THEN
        EXECUTE format('ALTER TABLE cx.%I OWNER TO %s', v_name, v_owner);
    END IF;
    EXECUTE format('COMMENT ON TABLE cx.%I IS %L', v_name, format('Rows of cx.%s of %s (UTC).', parent, to_char(month, 'YYYY-MM')));

    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO v_columns
    FROM pg_attribute a
    WHERE a.attrelid = format('cx.%I', parent)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';

    -- a row that moves is in the same journey as before, and counted as before
    SELECT t.tgenabled INTO v_enabled
    FROM pg_trigger AS t
    WHERE t.tgrelid = format('cx.%I', parent || '_default')::regclass AND t.tgname = 'journey_delete';
    IF v_enabled <> 'D' THEN
        EXECUTE format('ALTER TABLE cx.%I DISABLE TRIGGER journey_delete', parent || '_default');
    END IF;
    PERFORM cxm.pause_rollups(format('cx.%I', parent || '_default')::regclass, true);
    EXECUTE format('WITH moved AS (DELETE FROM cx.%I WHERE occurred_at >= %L AND occurred_at < %L RETURNING %s) INSERT INTO cx.%I (%s) SELECT %s FROM moved',
                   parent || '_default', v_from, v_to, v_columns, v_name, v_columns, v_columns);
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    PERFORM cxm.pause_rollups(format('cx.%I', parent || '_default')::regclass, false);
    IF v_enabled <> 'D' THEN
        EXECUTE format('ALTER TABLE cx.%I ENABLE %s TRIGGER journey_delete', parent || '_default',
                       CASE v_enabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END);
    END IF;

    EXECUTE format('ALTER TABLE cx.%I ATTACH PARTITION cx.%I FOR VALUES FROM (%L) TO (%L)', parent, v_name, v_from, v_to);
    PERFORM cxm.add_partition_triggers(parent, v_name);
    RETURN v_moved;
EXCEPTION
    -- somebody is using the table: the row is safe in the default partition
    WHEN lock_not_available OR deadlock_detected OR object_in_use OR insufficient_privilege THEN
        RETURN NULL;
    -- what users hung on the table (a foreign key to a row that waits, a trigger) may stand in the way: no reason
    -- to refuse a record
    WHEN OTHERS THEN
        RAISE WARNING 'partition % of cx.% cannot be made: %', to_char(month, 'YYYY-MM'), parent, SQLERRM
            USING ERRCODE = SQLSTATE, HINT = 'Its rows stay in the default partition until cxm.maintain_partitions() succeeds.';
        RETURN NULL;
END
$$;

COMMENT ON FUNCTION cxm.make_partition(text, timestamp) IS
'Makes the partition of cx.<parent> for a month (first day, UTC) and moves that month''s rows out of the default partition into it. Returns the number of rows moved; NULL when it could not be made now: the table is in use, the caller does not own it, or (with a warning) something that hangs on the table stands in the way; 0 when it is there already. The owner of cx.<parent> owns it. Never waits longer than a tenth of a second for its locks, which then keep writers of cx.<parent> and readers of its default partition waiting till the end of the transaction.';

CREATE FUNCTION cxm.missing_months(parent text, times timestamptz[]) RETURNS timestamp[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT m.month
                 FROM (SELECT DISTINCT date_trunc('month', t.at AT TIME ZONE 'UTC') AS month
                       FROM unnest(times) AS t(at)
                       WHERE isfinite(t.at) AND t.at >= timestamptz '1970-01-01 00:00+00') AS m
                 WHERE to_regclass(format('cx.%I', parent || to_char(m.month, '_YYYY_MM'))) IS NULL
                 ORDER BY m.month);
END
$$;

COMMENT ON FUNCTION cxm.missing_months(text, timestamptz[]) IS
'First days (UTC) of the months of the given times that have no partition of cx.<parent>, in order. NULLs, infinities and times before 1970 need none.';

CREATE FUNCTION cxm.ensure_partitions(parent text, times timestamptz[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_months timestamp[] := cxm.missing_months(parent, times);
    v_month timestamp;
BEGIN
    IF v_months <> '{}'
       AND pg_has_role(current_user, (SELECT c.relowner FROM pg_class AS c WHERE c.oid = format('cx.%I', parent)::regclass), 'USAGE') THEN
        FOREACH v_month IN ARRAY v_months LOOP
            PERFORM cxm.make_partition(parent, v_month);
        END LOOP;
    END IF;
END
$$;

COMMENT ON FUNCTION cxm.ensure_partitions(text, timestamptz[]) IS
'Makes the partitions of cx.<parent> that rows of the given times need, as far as the caller may and the table is free; other rows find their place in the default partition.';
