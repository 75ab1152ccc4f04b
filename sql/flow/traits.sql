-- Taking what sources know of people: identifiers that belong together, and traits.

CREATE FUNCTION cxm.store_traits(source_id integer, records cxm.traits_input[], upsert boolean DEFAULT false, strict boolean DEFAULT false)
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
BEGIN
    PERFORM cxm.plan_for(cardinality(records));
    v_limits := cxm.ingest_limits();
    SELECT array_agg(CASE WHEN r.reason IS NULL AND coalesce(jsonb_typeof(r.identifiers), 'object') = 'object'
                               AND NOT coalesce(jsonb_path_exists(r.identifiers, '$.*[*] ? (@.type() != "null")'), false)
                          THEN ('22004', 'the record has no identifier', 'Say whom it is about: {"email": "ann@example.com"}.')::cxm.problem
                          WHEN r.reason IS NULL AND jsonb_typeof(r.traits) <> 'object'
                          THEN ('22023', format('traits must be an object, not %s', left(r.traits::text, 100)), 'Give {"name": value, ...}.')::cxm.problem
                          ELSE cxm.record_problem(r.reason, r.message_id, r.at, v_limits.latest, r.identifiers, v_limits.namespaces, NULL, '{}')
                     END ORDER BY r.ordinality)
    INTO v_problems
    FROM unnest(records) WITH ORDINALITY AS r;

    IF strict AND (cxm.strict_result(v_problems)).rejected > 0 THEN
        RETURN cxm.strict_result(v_problems);
    END IF;

    v_taken := (SELECT cxm.take_records(source_id, 'traits', upsert, v_problems, cxm.refused_records(records, v_problems),
                       array_agg(r.message_id ORDER BY r.ordinality), array_agg(r.at ORDER BY r.ordinality),
                       array_agg(r.identifiers ORDER BY r.ordinality), verified => array_agg(r.verified ORDER BY r.ordinality))
                FROM unnest(records) WITH ORDINALITY AS r);

    INSERT INTO cx.trait (trait_id, identifier_id, observed_at, traits, source_id)
    SELECT t.record_id, t.identifier_id, r.at, coalesce(r.traits, '{}'), store_traits.source_id
    FROM unnest(records) WITH ORDINALITY AS r
    JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
    WHERE t.record_id IS NOT NULL AND t.is_new;

    IF upsert THEN
        UPDATE cx.trait AS o
        SET identifier_id = t.identifier_id, observed_at = r.at, traits = coalesce(r.traits, '{}')
        FROM unnest(records) WITH ORDINALITY AS r
        JOIN unnest(v_taken) WITH ORDINALITY AS t USING (ordinality)
        WHERE NOT t.is_new AND t.stored_at IS NOT NULL AND o.trait_id = t.record_id;
    END IF;

    RETURN cxm.ingest_counts(v_problems, v_taken, upsert);
END
$$;

COMMENT ON FUNCTION cxm.store_traits(integer, cxm.traits_input[], boolean, boolean) IS
'Takes a batch of what one source knows of people into cx.trait and cx.link. Refused ones go to cx.rejection (strict: the first refusal stops the batch and comes back as its problem); ones whose message is stored already change the stored record, links included (upsert), or nothing.';

CREATE FUNCTION cxm.identify(identifiers jsonb, traits jsonb DEFAULT NULL, at timestamptz DEFAULT now(), verified boolean DEFAULT false,
                             source text DEFAULT 'app', message_id text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_trait bigint;
BEGIN
    v_trait := cxm.single_record(cxm.store_traits(cxm.source_id(source),
        ARRAY[(message_id, at, nullif(identifiers, 'null'), nullif(traits, 'null'), verified, NULL, NULL)::cxm.traits_input], strict => true));
    RETURN (SELECT p.canonical_id
            FROM cx.trait AS t
            JOIN cx.identifier AS i ON i.identifier_id = t.identifier_id
            JOIN cx.profile AS p ON p.profile_id = i.profile_id
            WHERE t.trait_id = v_trait);
END
$$;

COMMENT ON FUNCTION cxm.identify(jsonb, jsonb, timestamptz, boolean, text, text) IS
'Says that identifiers belong to one person, and what is known of that person; returns the profile_id. identifiers: {"namespace": "value" or ["value", ...], ...}, at least one; traits: {"name": value, ...}, a JSON null takes a trait away; verified: whether the person proved the identifiers, for example by signing in. Profiles that the identifiers join become one, the oldest stays. With a message_id it counts once for (source, message_id). Error without an identifier, on an unknown namespace, an unusable identifier, a time that is not finite or too far in the future.';

CREATE FUNCTION cxm.json_traits(record jsonb, time_zone text) RETURNS cxm.traits_input
LANGUAGE sql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (record ->> 'message_id', cxm.try_timestamptz(record ->> 'at', time_zone), nullif(record -> 'identifiers', 'null'), nullif(record -> 'traits', 'null'),
            record -> 'verified' = 'true',
            coalesce(cxm.json_problem(record, '{message_id,at,identifiers,traits,verified}', '{}', time_zone),
                     CASE WHEN jsonb_typeof(record -> 'verified') NOT IN ('boolean', 'null')
                          THEN format('verified must be true or false, not %s', left((record -> 'verified')::text, 100)) END),
            record)::cxm.traits_input;
$$;

COMMENT ON FUNCTION cxm.json_traits(jsonb, text) IS 'What is known of a person given as JSON, as cxm.identify_batch() takes it, ready to be stored; what cannot be read is noted as its reason.';

CREATE FUNCTION cxm.identify_batch(records jsonb, source text DEFAULT 'app',
                                   OUT accepted bigint, OUT duplicates bigint, OUT rejected bigint) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.accepted, r.duplicates, r.rejected
    FROM cxm.store_traits(cxm.source_id(source),
                     ARRAY(SELECT cxm.json_traits(j, (SELECT l.time_zone FROM cxm.ingest_limits() AS l)) FROM cxm.json_records(records) AS j)) AS r;
$$;

COMMENT ON FUNCTION cxm.identify_batch(jsonb, text) IS
'Takes what is known of many people at once: [{"identifiers": {...}, "traits": {...}, "verified": ..., "at": ..., "message_id": ...}, ...]. Good ones are stored, refused ones go to cx.rejection with the reason; returns how many were stored, had been stored before, were refused. Error only when the batch is not an array.';
