-- Taking events.

CREATE FUNCTION cxm.store_events(source_id integer, records cxm.event_input[], upsert boolean DEFAULT false, strict boolean DEFAULT false)
RETURNS cxm.ingest_result
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET jit = off
SET plan_cache_mode = auto
AS $$
DECLARE
    v_limits record;
    v_problems cxm.problem[];
    v_taken cxm.taken_record[];
    v_types integer[];
BEGIN
    PERFORM cxm.plan_for(cardinality(records));
    v_limits := cxm.ingest_limits();
    SELECT array_agg(CASE WHEN r.reason IS NULL AND coalesce(r.event, '') = ''
                          THEN ('22004', 'the record has no event', 'Name what happened.')::cxm.problem
                          ELSE cxm.record_problem(r.reason, r.message_id, r.at, v_limits.latest, r.identifiers, v_limits.namespaces, r.properties,
                                                  ARRAY[r.event, r.touchpoint, r.location, r.product, r.employee])
                     END ORDER BY r.ordinality)
    INTO v_problems
    FROM unnest(records) WITH ORDINALITY AS r;

    IF strict AND (cxm.strict_result(v_problems)).rejected > 0 THEN
        RETURN cxm.strict_result(v_problems);
    END IF;

    -- before the partitions are made, for the order of locks
    v_types := cxm.catalog_ids('event_type', ARRAY(SELECT CASE WHEN p.reason IS NULL THEN r.event END
                                                   FROM unnest(records) WITH ORDINALITY AS r
                                                   LEFT JOIN unnest(v_problems) WITH ORDINALITY AS p(sqlstate, reason, hint, ordinality) USING (ordinality)
                                                   ORDER BY ordinality));

    v_taken := (SELECT cxm.take_records(source_id, 'event', upsert, v_problems, cxm.refused_records(records, v_problems),
                       array_agg(r.message_id ORDER BY r.ordinality), array_agg(r.at ORDER BY r.ordinality),
                       array_agg(r.identifiers ORDER BY r.ordinality), array_agg(r.touchpoint ORDER BY r.ordinality),
                       array_agg(r.location ORDER BY r.ordinality), array_agg(r.product ORDER BY r.ordinality),
                       array_agg(r.employee ORDER BY r.ordinality))
                FROM unnest(records) WITH ORDINALITY AS r);

    INSERT INTO cx.event (event_id, occurred_at, identifier_id, event_type_id, touchpoint_id, location_id, product_id, employee_id, source_id, properties)
    SELECT t.record_id, r.at, t.identifier_id, y.event_type_id, t.touchpoint_id, t.location_id, t.product_id, t.employee_id,
           store_events.source_id, nullif(r.properties, '{}')
    FROM unnest(records) WITH ORDINALITY AS r
    JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
    JOIN unnest(v_types) WITH ORDINALITY AS y(event_type_id, ordinality) USING (ordinality)
    WHERE t.record_id IS NOT NULL AND t.is_new;

    IF upsert THEN
        UPDATE cx.event AS e
        SET occurred_at = r.at, identifier_id = t.identifier_id, event_type_id = y.event_type_id, touchpoint_id = t.touchpoint_id,
            location_id = t.location_id, product_id = t.product_id, employee_id = t.employee_id, properties = nullif(r.properties, '{}')
        FROM unnest(records) WITH ORDINALITY AS r
        JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
        JOIN unnest(v_types) WITH ORDINALITY AS y(event_type_id, ordinality) USING (ordinality)
        WHERE NOT t.is_new AND e.event_id = t.record_id AND e.occurred_at = t.stored_at;
    END IF;

    RETURN cxm.ingest_counts(v_problems, v_taken, upsert);
END
$$;

COMMENT ON FUNCTION cxm.store_events(integer, cxm.event_input[], boolean, boolean) IS
'Takes a batch of events of one source into cx.event. Refused ones go to cx.rejection (strict: the first refusal stops the batch and comes back as its problem); ones whose message is stored already change the stored record (upsert) or nothing.';

CREATE FUNCTION cxm.track(event text, identifiers jsonb DEFAULT NULL, properties jsonb DEFAULT NULL, at timestamptz DEFAULT now(),
                          touchpoint text DEFAULT NULL, location text DEFAULT NULL, product text DEFAULT NULL, employee text DEFAULT NULL,
                          source text DEFAULT 'app', message_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN cxm.single_record(cxm.store_events(cxm.source_id(source),
        ARRAY[(message_id, at, event, nullif(identifiers, 'null'), touchpoint, location, product, employee, nullif(properties, 'null'), NULL, NULL)::cxm.event_input], strict => true));
END
$$;

COMMENT ON FUNCTION cxm.track(text, jsonb, jsonb, timestamptz, text, text, text, text, text, text) IS
'Records that something happened and returns its event_id. identifiers: {"namespace": "value", ...}, all known ones of the person, or NULL; properties: an object; touchpoint, location, product, employee: keys, new ones are added to their catalogue. With a message_id the event is stored once for (source, message_id): sent again, it returns the first event_id and changes nothing. Error on a missing event, an unknown namespace, an unusable identifier, a time that is not finite or too far in the future.';

CREATE FUNCTION cxm.json_event(record jsonb, time_zone text) RETURNS cxm.event_input
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (record ->> 'message_id', cxm.try_timestamptz(record ->> 'at', time_zone), record ->> 'event', nullif(record -> 'identifiers', 'null'),
            record ->> 'touchpoint', record ->> 'location', record ->> 'product', record ->> 'employee', nullif(record -> 'properties', 'null'),
            cxm.json_problem(record, '{message_id,at,event,identifiers,touchpoint,location,product,employee,properties}', '{}', time_zone),
            record)::cxm.event_input;
$$;

COMMENT ON FUNCTION cxm.json_event(jsonb, text) IS 'An event given as JSON, as cxm.track_batch() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.track_batch(records jsonb, source text DEFAULT 'app',
                                OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.accepted, r.duplicates, r.rejected
    FROM cxm.store_events(cxm.source_id(source),
                     ARRAY(SELECT cxm.json_event(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j)) AS r;
$$;

COMMENT ON FUNCTION cxm.track_batch(jsonb, text) IS
'Takes many events at once: [{"event": ..., "identifiers": {...}, "at": ..., "message_id": ..., "touchpoint": ..., "location": ..., "product": ..., "employee": ..., "properties": {...}}, ...]. Good ones are stored, refused ones go to cx.rejection with the reason; returns how many were stored, had been stored before, were refused. Error only when the batch is not an array.';
